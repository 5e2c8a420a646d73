// The ops pack_states and unpack_states: 0/1 bytes to words of 64 chains and back.
#pragma once
#include "common/layout.h"
#include "ops.h"

namespace ncg {
namespace {

void pack_states(const uint8_t* states, int64_t n_chains, int64_t n_units, uint64_t* packed,
                 const Run&) {
  const int64_t words = ceil_div(n_chains, kWord);
  for (int64_t w = 0; w < words; ++w) {
    for (int64_t unit = 0; unit < n_units; ++unit) packed[unit * words + w] = 0;
    for (int64_t c = w * kWord; c < n_chains && c < (w + 1) * kWord; ++c)
      for (int64_t unit = 0; unit < n_units; ++unit)
        packed[unit * words + w] |= uint64_t{states[c * n_units + unit] & 1u} << c % kWord;
  }
}

void unpack_states(const uint64_t* packed, int64_t n_chains, int64_t n_units, uint8_t* states,
                   const Run&) {
  const int64_t words = ceil_div(n_chains, kWord);
  for (int64_t c = 0; c < n_chains; ++c)
    for (int64_t unit = 0; unit < n_units; ++unit)
      states[c * n_units + unit] = packed[unit * words + c / kWord] >> c % kWord & 1;
}

}  // namespace
}  // namespace ncg
