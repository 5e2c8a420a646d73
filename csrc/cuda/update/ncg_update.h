// One update of many, of which the device itself keeps account.
#pragma once
#include "cuda/scratch.h"
#include "cuda/update/phases.h"

namespace ncg::cuda {

// Where an update reports.
struct Report {
  double* found;
  Tally* tally;        // zeros
  Progress* progress;  // null: one update. Else it advances, or stops where max |W∘A| leaves
  double least, most;  // [least, most]
  int64_t n_steps;
  const float* lr_factors = nullptr;  // of the batches that progress counts; null: 1
};

void update_from_planes(const char* op, const Parameters& parameters, const CentredPhases& both,
                        const Rates& rates, const Report& report, cudaStream_t stream);

// With the offsets, if given, and what they need of the scratch memory.
inline CentredPhases with_offsets(const PhasePair& both, const Offsets& offsets,
                                  const PhaseScratch& scratch) {
  return {both, offsets, scratch.differences, scratch.terms};
}

}  // namespace ncg::cuda
