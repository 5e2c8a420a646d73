// Sums of the numbers whose bits are set, from tables of the sums of every few: four rows of
// numbers at a time, for 64 columns of bits.
#pragma once
#include "common/layout.h"
#include "cpu/isa/isa.h"

namespace ncg {
namespace {

// Bits of 64 columns along the numbers: int32 [words][64], bit i of word w is number 30 w + i.
constexpr int kIndexBits = 30;    // whole groups of kLookupBits
constexpr int kTableTerms = 240;  // numbers of one set of tables, which stays in the nearest cache
static_assert(kIndexBits % kLookupBits == 0 && kTableTerms % kIndexBits == 0, "whole groups");

// For each of four rows and kLookupBits numbers: their sum for each pattern of bits.
struct Tables {
  alignas(64) int32_t of[4][kTableTerms / kLookupBits][kTableEntries];
};

inline void make_tables(const int32_t* numbers, int n_groups, int32_t (*tables)[kTableEntries]) {
  for (int group = 0; group < n_groups; ++group)
    store_table(tables[group], numbers + group * kLookupBits);
}

// out[4][64] += the numbers whose bit is set in `index`.
inline void add_lookups(const Tables& tables, const int32_t* index, int n_groups, int32_t* out) {
  for (int u = 0; u < kBlock; u += kWideVectors * kLanes) {
    I sum[4][kWideVectors];
    for (int r = 0; r < 4; ++r)
      for (int v = 0; v < kWideVectors; ++v) sum[r][v] = load(out + r * kBlock + u + v * kLanes);
    const int32_t* word = index + u;
    I state[kWideVectors];
    int left = 0;  // groups in the index words
    for (int group = 0; group < n_groups; ++group, --left) {
      if (left == 0) {
        left = kIndexBits / kLookupBits;
#pragma GCC unroll 4
        for (int v = 0; v < kWideVectors; ++v) state[v] = load(word + v * kLanes);
        word += kBlock;
      }
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < kWideVectors; ++v)
          sum[r][v] = add(sum[r][v], lookup(tables.of[r][group], state[v]));
#pragma GCC unroll 4
      for (int v = 0; v < kWideVectors; ++v) state[v] = shift_right<kLookupBits>(state[v]);
    }
    for (int r = 0; r < 4; ++r)
      for (int v = 0; v < kWideVectors; ++v) store(out + r * kBlock + u + v * kLanes, sum[r][v]);
  }
}

}  // namespace
}  // namespace ncg
