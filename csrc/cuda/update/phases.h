// The states that G is summed from, as the kernels of training take them.
#pragma once
#include <cuda_runtime.h>

#include "common/layout.h"
#include "common/means.h"
#include "cuda/progress.h"
#include "cuda/scratch.h"
#include "ops.h"

namespace ncg::cuda {

constexpr int64_t kNarrowChains = 16384;  // sums of as many levels, and their difference, fit int32

// One phase: hidden level planes, visible packed bits or level planes.
struct PhaseStates {
  const uint8_t *hidden, *visible;
  int64_t n_chains;
  int words;
  bool levels;               // visible
  const Progress* progress;  // null: no batches
  int64_t batch_stride;      // bytes from one batch of packed visible states to the next

  __device__ __forceinline__ const uint64_t* visible_bits() const {
    const uint8_t* batch = visible;
    if (progress != nullptr) batch += progress->batch * batch_stride;
    return reinterpret_cast<const uint64_t*>(batch);
  }
};

// Level planes of the hidden units, with packed visible states or their level planes.
inline PhaseStates phase_of(const States& visible, const uint8_t* visible_planes,
                            const uint8_t* hidden) {
  const auto* packed = static_cast<const uint8_t*>(visible.data);
  return {hidden,
          visible.are_levels() ? visible_planes : packed,
          visible.n_chains,
          static_cast<int>(ceil_div(visible.n_chains, kWord)),
          visible.are_levels(),
          nullptr,
          0};
}

struct PhasePair {
  PhaseStates data, model;
  int64_t n_hidden, n_visible;
  PhaseMeans means;

  bool narrow() const {
    return !data.levels && data.n_chains <= kNarrowChains && model.n_chains <= kNarrowChains;
  }
};

// The same with centred gradients.
struct CentredPhases : PhasePair {
  Offsets offsets;
  float* differences;  // of the units' means, hidden units first; centring_kernel fills them
  int64_t* terms;      // sums of what centring adds to the gradients of the biases; 0 at first
};

// In place of the states: sums of both phases, those of the model in bits.
struct GivenSums {
  PhaseSums data, model;
  int64_t n_hidden, n_visible;
  PhaseMeans means;
};

// In place of both phases: what the update ascends by.
struct GivenGradients {
  Gradients gradients;
  int64_t n_hidden, n_visible;
};

// levels int32 [n_chains][n_units], `batch_stride` bytes from one batch to the next, to planes.
void level_planes(const char* op, const int32_t* levels, int64_t batch_stride, int64_t n_units,
                  int64_t n_chains, uint8_t* planes, const Progress* progress, cudaStream_t stream);

// The planes of one phase; those of its visible states where they are levels.
PhaseStates phase_planes(const char* op, const Phase& phase, int64_t n_hidden, uint8_t* hidden,
                         uint8_t* visible, cudaStream_t stream);

// Of both phases, in the scratch memory.
PhasePair pair_planes(const char* op, const Phases& phases, int64_t n_hidden,
                      const PhaseScratch& scratch, cudaStream_t stream);

}  // namespace ncg::cuda
