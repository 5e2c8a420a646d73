// Launchers of the ops of ../ops.h that pack and sample: pointers are memory of the stream's
// device. They return before the work is done and allocate nothing.
#pragma once
#include <cuda_runtime.h>

#include "ops.h"

namespace ncg::cuda {

void pack_states(const uint8_t* states, int64_t n_chains, int64_t n_units, uint64_t* packed,
                 cudaStream_t stream);
void unpack_states(const uint64_t* packed, int64_t n_chains, int64_t n_units, uint8_t* states,
                   cudaStream_t stream);
void pack_weights(const PackWeights& op, cudaStream_t stream);

void mean(const char* op, const Layer& layer, const States& states, float* mean,
          cudaStream_t stream);
void sample(const char* op, const Layer& layer, const States& states, const Draw& draw,
            uint64_t* packed, cudaStream_t stream);
void gibbs_steps(const Gibbs& op, cudaStream_t stream);

// Scratch: x (n_chains, n_hidden); hidden packed.
void free_energy(const Layer& layer, const States& visible, const float* visible_bias, float* x,
                 double* energy, cudaStream_t stream);
void anneal(const Anneal& op, float* x, uint64_t* hidden, cudaStream_t stream);

}  // namespace ncg::cuda
