// Gibbs sweeps of all chains, with what training needs of their start and end.
#pragma once
#include <cuda_runtime.h>

#include "cuda/progress.h"
#include "ops.h"

namespace ncg::cuda {

// P(h|v) of the start as level planes (half_step.h), n_steps sweeps, P(h|v) of the end as planes.
struct Chains {
  Layer to_hidden, to_visible;
  States data;           // start of CD; data of PCD (then only its planes are made)
  int64_t batch_stride;  // bytes from one mini-batch of data to the next
  uint64_t* persistent;  // packed chains, start and end; null: CD, which begins at data
  int64_t n_chains, n_steps;
  Draw draw;                            // of sweep 0
  const uint64_t* clamped;              // packed, or null; units set in it keep data's states
  uint8_t *data_planes, *model_planes;  // null: not wanted
  uint64_t *visible_out, *hidden_out;   // packed; visible_out is not used with persistent
  const Progress* progress;             // or null; a clamp needs null
  const float* base_bias = nullptr;     // of Gibbs, or null
};

// The machine's weights stay in the shared memory of a cluster of blocks where they fit; elsewhere
// each half step is a launch.
void run_chains(const Chains& chains, cudaStream_t stream);

}  // namespace ncg::cuda
