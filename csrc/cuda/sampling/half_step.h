// One half step: pre-activations x = bias + (W∘A) states, and what becomes of them.
#pragma once
#include <cuda_runtime.h>

#include "cuda/progress.h"
#include "ops.h"

namespace ncg::cuda {

// What is wanted of x, (n_chains, n_out) each; null: not wanted. Levels are written as planes:
// uint8 [2][n_out][64 words], low bytes, then high bytes, chains side by side, padding 0.
struct Outcome {
  float *preactivation, *mean;
  uint8_t* planes;
  uint64_t* packed;  // draws, with draw.beta, or along a ladder
  Draw draw;
  const uint64_t *clamped, *start;  // units whose bit is set in clamped take that of start
  const double* rung;               // of a ladder: the beta of all chains, in place of draw.beta
  const float* base_bias;           // x becomes beta x + (1 - beta) base_bias; null: beta x
};

struct HalfStep {
  Layer layer;
  States states;
  int64_t batch_stride;      // bytes from the states of one mini-batch to the next
  const Progress* progress;  // or null
  Outcome outcome;
};

// By tiles of 32 units; any size.
void half_step(const char* op, const HalfStep& work, cudaStream_t stream);

}  // namespace ncg::cuda
