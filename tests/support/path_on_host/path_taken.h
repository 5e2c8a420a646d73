// The kernels of half steps with a note where each calls one of its products: which path is taken.
// A unit chooses its instruction set first, as those in csrc/cpu/isa do.
#pragma once
#include <string>

#include "cpu/sampling/gather_product.h"
#include "cpu/sampling/lookup_product.h"
#include "cpu/sampling/sparse_product.h"

namespace ncg {
namespace {

std::string taken;

void note(const char* path) {
  if (taken != path) taken += path;
}

}  // namespace
}  // namespace ncg

#define product_tile note("products"), product_tile
#define gather_product note("lists"), gather_product
#define lookup_product note("tables"), lookup_product
#define sparse_row note("sparse"), sparse_row
#include "cpu/sampling/half_step.h"

// Samples a layer without biases; the names of all products that were called.
extern "C" __attribute__((visibility("default"))) const char* path_taken(
    int64_t n_out, int64_t n_in, int n_digits, int64_t n_chains, const uint64_t* states,
    int8_t* dense, int32_t* sparse, int64_t capacity, uint64_t* sampled) {
  const std::string zeros(static_cast<size_t>(n_out) * sizeof(float), '\0');
  const float* bias = reinterpret_cast<const float*>(zeros.data());
  const ncg::Layer layer{{dense, sparse, capacity, n_digits, 0}, bias, n_out, n_in};
  ncg::taken.clear();
  ncg::sample(layer, ncg::packed_states(states, n_in, n_chains), {}, sampled,
              {1, nullptr, nullptr});
  return ncg::taken.c_str();
}
