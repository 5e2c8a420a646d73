// The fingerprint of weights that are on, as ncg_fast/backends/numerics.py states it, too.
//
// Chunks of 1024 elements are hashed by NH (Black, Halevi, Krawczyk, Krovetz and Rogaway, UMAC,
// CRYPTO '99), whose collisions over its keys have probability 2^-32, and by the sum of their
// pairs, which no change of one element leaves as it is. The two words of a chunk, with its number,
// go through a permutation of 128 bits; only its results are added up: keys that run on over the
// whole matrix would let changes in several places cancel. Sums are modulo 2^64, in any order.
#pragma once
#include <cstdint>

#include "common/numerics.h"

namespace ncg {

constexpr int kChunk = 1024;    // elements, in the order of the matrix
constexpr uint32_t kOff = ~0u;  // in place of a weight that is off, and after the last

// The finalizers of MurmurHash3 (Austin Appleby, public domain): permutations.
NCG_HD constexpr uint32_t mixed(uint32_t h) {
  h = (h ^ h >> 16) * 0x85EBCA6Bu;
  h = (h ^ h >> 13) * 0xC2B2AE35u;
  return h ^ h >> 16;
}
NCG_HD constexpr uint64_t mixed(uint64_t h) {
  h = (h ^ h >> 33) * 0xFF51AFD7ED558CCDu;
  h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53u;
  return h ^ h >> 33;
}

// Added to the element at this place of a chunk.
NCG_HD constexpr uint32_t chunk_key(int place) { return mixed(static_cast<uint32_t>(place) + 1); }

// Both words of a chunk, from the sums of its pairs: of the products of neighbours with their keys,
// and of neighbours as one number of 64 bits, the even one in the low half.
NCG_HD constexpr uint64_t first_word(int64_t chunk, uint64_t products) {
  return mixed(products + (static_cast<uint64_t>(chunk) + 1) * 0x9E3779B97F4A7C15u);
}
NCG_HD constexpr uint64_t second_word(uint64_t first, uint64_t sum) { return mixed(sum + first); }

}  // namespace ncg
