// Digit sums of states from tables: for each few inputs the sums of their weights for every pattern
// of states, which all chains share. The sums are the same integers.
#pragma once
#include "cpu/sampling/operand.h"

namespace ncg {
namespace {

// The weights of an output in one place: digits `low`, or `low` + 256 (`low` + 1).
struct Place {
  int low;
  bool single;
};

// Weights of the inputs term .. term + n - 1, then zeros to a whole group.
inline void read_weights(const Layer& layer, int64_t panel, int row, Place place, int64_t term,
                         int64_t n, int32_t* weights) {
  const DigitLayout layout{layer.n_out, layer.n_in, layer.digits.n_digits};
  int64_t t = 0;
  for (; t < n; t += 16) {  // of one block
    const int64_t block = (term + t) / kBlock, at = row * kBlock + (term + t) % kBlock;
    const int8_t* low = layer.digits.dense + layout.tile(panel, place.low, block) + at;
    const int8_t* high =
        place.single ? nullptr : layer.digits.dense + layout.tile(panel, place.low + 1, block) + at;
    for (int i = 0; i < 16; i += kLanes) {
      const I digit = load_bytes(low + i);
      store(weights + t + i,
            place.single ? digit : add(digit, shift_left<8>(load_bytes(high + i))));
    }
  }
  for (int i = 0; i < 16; i += kLanes) store(weights + t + i, splat(0));
}

// sums[word][4 outputs][64] of the outputs from `row` of a panel on, for the words first .. last-1.
inline void lookup_sums(const Layer& layer, const Operand& in, int64_t panel, int row, Place place,
                        int64_t first, int64_t last, int32_t* sums) {
  constexpr int kSums = 4 * kWord;
  memset(sums, 0, sizeof(int32_t) * static_cast<size_t>((last - first) * kSums));
  for (int64_t term = 0; term < layer.n_in; term += kTableTerms) {
    const int64_t left = layer.n_in - term, n = left < kTableTerms ? left : kTableTerms;
    const int n_groups = static_cast<int>(ceil_div(n, kLookupBits));
    Tables tables;
    for (int r = 0; r < 4; ++r) {
      alignas(64) int32_t weights[kTableTerms + 16];
      read_weights(layer, panel, row + r, place, term, n, weights);
      make_tables(weights, n_groups, tables.of[r]);
    }
    for (int64_t word = first; word < last; ++word)
      add_lookups(tables, in.index(word) + term / kIndexBits * kWord, n_groups,
                  sums + (word - first) * kSums);
  }
}

// x[word][32 outputs][64] = place_0 + 256 place_1 + ..., as in preactivation.h, for at most
// kTableWords words. Two digits make one place: what fma(C1, 256, C0) rounds to is float(256 C1 +
// C0). Of three the higher two do.
inline void lookup_product(const Layer& layer, const Operand& in, int64_t panel, int64_t first,
                           int64_t last, float* x) {
  constexpr Place kBoth{0, false}, kHigher{1, false}, kLowest{0, true};
  const bool three = layer.digits.n_digits == 3;
  const int64_t left = layer.n_out - panel * kPanel, n_units = left < kPanel ? left : kPanel;
  alignas(64) int32_t sums[kTableWords * 4 * kWord], lowest[kTableWords * 4 * kWord];
  for (int row = 0; row < n_units; row += 4) {
    lookup_sums(layer, in, panel, row, three ? kHigher : kBoth, first, last, sums);
    if (three) lookup_sums(layer, in, panel, row, kLowest, first, last, lowest);
    for (int64_t word = 0; word < last - first; ++word)
      for (int at = 0; at < 4 * kWord; at += kLanes) {
        const F sum = to_float(load(sums + word * 4 * kWord + at));
        store(x + (word * kPanel + row) * kWord + at,
              three ? fma(sum, splat(256.f), to_float(load(lowest + word * 4 * kWord + at))) : sum);
      }
  }
}

}  // namespace
}  // namespace ncg
