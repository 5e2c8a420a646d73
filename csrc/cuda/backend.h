// The ops of ../ops.h on a GPU. They return before the work is done and allocate nothing.
#pragma once
#include <cuda_runtime.h>

#include "ops.h"

namespace ncg::cuda {

void pack_states(const uint8_t* states, int64_t n_chains, int64_t n_units, uint64_t* packed,
                 const Run& run);
void unpack_states(const uint64_t* packed, int64_t n_chains, int64_t n_units, uint8_t* states,
                   const Run& run);
void pack_weights(const PackWeights& op, const Run& run);
void scan_weights(const ScanWeights& op, const Run& run);
void mean(const Layer& layer, const States& states, float* mean, const Run& run);
void sample(const Layer& layer, const States& states, const Draw& draw, uint64_t* packed,
            const Run& run);
void gibbs_steps(const Gibbs& op, const Run& run);
void connection_gradient(const Gradient& op, const Run& run);
void phase_sums(const AddPhase& op, const Run& run);
void ncg_update(const Update& op, double* found, const Run& run);
void update_from_sums(const UpdateFromSums& op, double* found, const Run& run);
// After the first mini-batch they are launches of one captured graph.
void train_steps(const TrainSteps& op, double* found, const Run& run);
void free_energy(const FreeEnergy& op, const Run& run);
void anneal(const Anneal& op, const Run& run);

constexpr OpTable kOpTable{pack_states, unpack_states, pack_weights,     scan_weights,
                           mean,        sample,        gibbs_steps,      connection_gradient,
                           phase_sums,  ncg_update,    update_from_sums, train_steps,
                           free_energy, anneal,        nullptr};

inline cudaStream_t stream_of(const Run& run) { return static_cast<cudaStream_t>(run.stream); }

}  // namespace ncg::cuda
