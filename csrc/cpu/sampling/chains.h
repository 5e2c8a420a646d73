// States chain by chain: bits, and lists of the inputs whose weights are added up.
#pragma once
#include "common/layout.h"
#include "cpu/isa/isa.h"
#include "cpu/team/team.h"

namespace ncg {
namespace {

constexpr int kSuper = 2 * kBlock;  // outputs that are worked on together

// uint64 [n_chains][words]: unit u is bit u % 64 of word u / 64; bits past the last unit are 0.
struct ChainBits {
  uint64_t* bits;
  int64_t words;
  uint64_t* of(int64_t chain) const { return bits + chain * words; }
  ChainBits from(int64_t chain) const { return {of(chain), words}; }
  // Where the bits of 8 units and more begin.
  uint8_t* at(int64_t chain, int64_t unit) const {
    return reinterpret_cast<uint8_t*>(of(chain)) + unit / 8;
  }
};

inline int64_t chain_words(int64_t n_units) { return ceil_div(n_units, kSuper) * (kSuper / 64); }

// Bit j of word i becomes bit i of word j.
inline void transpose_bits(uint64_t bits[64]) {
  uint64_t low = 0xFFFFFFFF;
  for (int half = 32; half > 0; half /= 2, low ^= low << half)
    for (int first = 0; first < 64; first += 2 * half)
      for (int i = first; i < first + half; ++i) {
        const uint64_t moved = ((bits[i] >> half) ^ bits[i + half]) & low;
        bits[i] ^= moved << half;
        bits[i + half] ^= moved;
      }
}

// Bits of the chains first .. first + n - 1 of packed states. The work is shared;
// ends with a barrier.
inline void from_packed(const Worker& me, const uint64_t* packed, int64_t n_units, int64_t n_chains,
                        int64_t first, int64_t n, const ChainBits& out) {
  const int64_t words = ceil_div(n_chains, kWord);
  me.share(out.words, [&](int64_t k) {
    for (int64_t w = first / kWord; w * kWord < first + n; ++w) {
      uint64_t bits[64];
      for (int64_t i = 0; i < 64; ++i)
        bits[i] = 64 * k + i < n_units ? packed[(64 * k + i) * words + w] : 0;
      transpose_bits(bits);
      for (int64_t c = 0; c < 64; ++c) {
        const int64_t chain = w * kWord + c - first;
        if (chain >= 0 && chain < n) out.of(chain)[k] = bits[c];
      }
    }
  });
}

// Packed states of all chains. The work is shared; ends with a barrier.
inline void to_packed(const Worker& me, const ChainBits& in, int64_t n_units, int64_t n_chains,
                      uint64_t* packed) {
  const int64_t words = ceil_div(n_chains, kWord);
  me.share(ceil_div(n_units, 64), [&](int64_t k) {
    for (int64_t w = 0; w < words; ++w) {
      uint64_t bits[64];
      for (int64_t c = 0; c < 64; ++c)
        bits[c] = w * kWord + c < n_chains ? in.of(w * kWord + c)[k] : 0;
      transpose_bits(bits);
      for (int64_t i = 0; i < 64 && 64 * k + i < n_units; ++i)
        packed[(64 * k + i) * words + w] = bits[i];
    }
  });
}

// The states of a layer as inputs, for a group of chains.
struct Inputs {
  ChainBits now, counted;  // counted: what x is made of; null bits: of nothing
};

// Rows that a chain's x takes: n of each list, those of the second times `sign`.
struct List {
  const uint32_t *first, *second;
  int32_t n;  // a multiple of kPairsAtOnce
  int16_t sign;
  bool fresh;  // x starts at 0
};

// Whether x takes fewer rows from 0 than from what it is made of.
inline bool starts_fresh(const Inputs& in, int64_t chain) {
  if (in.counted.bits == nullptr) return true;
  const uint64_t *now = in.now.of(chain), *counted = in.counted.of(chain);
  int64_t on = 0, plus = 0, minus = 0;
  for (int64_t k = 0; k < in.now.words; ++k) {
    on += __builtin_popcountll(now[k]);
    plus += __builtin_popcountll(now[k] & ~counted[k]);
    minus += __builtin_popcountll(counted[k] & ~now[k]);
  }
  return on <= 2 * (plus > minus ? plus : minus);
}

constexpr int64_t kListRoom = 64;  // beyond two for each input

// Of the inputs 64 first_word ..; row `zero` holds zeros. Written to `room`.
inline List make_list(const Inputs& in, int64_t chain, bool fresh, bool begins, int64_t first_word,
                      int64_t last_word, uint32_t zero, uint32_t* room) {
  const uint64_t *now = in.now.of(chain), *counted = fresh ? nullptr : in.counted.of(chain);
  const auto pad = [=](uint32_t* from, uint32_t* to) {
    while (from < to) *from++ = zero;
  };
  const auto whole = [](int64_t n) { return (n + kPairsAtOnce - 1) / kPairsAtOnce * kPairsAtOnce; };
  uint32_t* end = room;
  if (fresh) {
    for (int64_t k = first_word; k < last_word; ++k)
      end = append(end, now[k], static_cast<uint32_t>(64 * k));
    const int64_t n = whole((end - room + 1) / 2);
    pad(end, room + 2 * n);
    return {room, room + n, static_cast<int32_t>(n), 1, begins};
  }
  uint32_t* second = room + (last_word - first_word) * 64 + kListRoom / 2;
  uint32_t* second_end = second;
  for (int64_t k = first_word; k < last_word; ++k) {
    end = append(end, now[k] & ~counted[k], static_cast<uint32_t>(64 * k));
    second_end = append(second_end, counted[k] & ~now[k], static_cast<uint32_t>(64 * k));
  }
  const int64_t plus = end - room, minus = second_end - second,
                n = whole(plus > minus ? plus : minus);
  pad(end, room + n);
  pad(second_end, second + n);
  return {room, second, static_cast<int32_t>(n), -1, false};
}

}  // namespace
}  // namespace ncg
