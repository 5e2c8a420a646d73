// Launchers of the ops of ../ops.h that learn: pointers are memory of the stream's device. They
// return before the work is done and allocate nothing.
#pragma once
#include <cuda_runtime.h>

#include "cuda/phases.h"
#include "ops.h"

namespace ncg::cuda {

// What the blocks of one update found, and how many have; 0 before and after each.
struct Tally {
  unsigned long long on, off;
  uint32_t magnitude, n_done;
};

// What training needs beside the tensors of ops.h.
struct TrainScratch {
  Tally* tally;
  Progress* progress;
  uint8_t *hidden_data, *hidden_model, *visible_data;  // level planes; the last of real values only
  uint64_t *visible, *hidden;                          // packed
};

// Lays the scratch out from an address on, aligned to kScratchAlignment; returns its bytes.
constexpr int64_t kScratchAlignment = 256;
int64_t lay_out(uintptr_t memory, int64_t n_hidden, int64_t n_visible, int64_t n_rows,
                int64_t n_chains, bool levels, TrainScratch& scratch);

// levels int32 [n_chains][n_units], `batch_stride` bytes from one batch to the next, to planes.
void level_planes(const char* op, const int32_t* levels, int64_t batch_stride, int64_t n_units,
                  int64_t n_chains, uint8_t* planes, const Progress* progress, cudaStream_t stream);

// Both phases of an op as planes and packed states; written to the scratch.
PhasePair phase_planes(const char* op, const Phases& phases, int64_t n_hidden, int64_t n_visible,
                       const TrainScratch& scratch, cudaStream_t stream);

void connection_gradient(const Gradient& op, const TrainScratch& scratch, cudaStream_t stream);

// result: max |W|, connections switched on and off, as ops.h says.
void ncg_update(const Update& op, const TrainScratch& scratch, double* result, cudaStream_t stream);

// result: the last max |W|, the sums of the counts, the number of batches done. After the first
// batch they are launches of one captured graph.
void train_steps(const char* name, const TrainSteps& op, const TrainScratch& scratch,
                 double* result, cudaStream_t stream);

// Where one update reports.
struct Report {
  double* result;
  Tally* tally;        // zeros
  Progress* progress;  // null: one update. Else it advances, or stops where max |W| leaves
  double least, most;  // [least, most]
  int64_t n_steps;
};

// One update from planes.
void update_from_planes(const char* op, const Parameters& parameters, const PhasePair& both,
                        const Rates& rates, const Report& report, cudaStream_t stream);

}  // namespace ncg::cuda
