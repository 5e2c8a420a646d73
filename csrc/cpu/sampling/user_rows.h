// A user's rows as states: as bits where all values are 0 or 1, else as levels.
#pragma once
#include <stdexcept>

#include "cpu/sampling/draws.h"
#include "cpu/scratch.h"

namespace ncg {
namespace {

// What an op reads.
struct Given {
  States states;
  ChainBits bits;  // of all chains, where rows hold only 0 and 1; else null

  bool are_levels() const {
    return states.are_levels() || (states.are_rows() && bits.bits == nullptr);
  }
};

// What rows hold, all bits together. Non-negative floats are ordered as integers are.
struct Held {
  I others, signs, largest;  // others: not 0 where a value is neither 0 nor 1
  uint64_t other_bytes;

  bool only_bits() const { return other_bytes == 0 && largest_of(others, true) == 0; }
  bool in_range() const {
    return other_bytes == 0 && largest_of(signs, true) >= 0 &&
           largest_of(largest, false) <= as_bits(1.f);
  }
  static int32_t largest_of(I a, bool joined) {
    alignas(64) int32_t lanes[kLanes];
    store(lanes, a);
    int32_t found = lanes[0];
    for (const int32_t lane : lanes) found = joined ? found | lane : found > lane ? found : lane;
    return found;
  }
};

// A word of up to 64 values, of which n are left.
inline uint64_t bits_of(const float* values, int64_t n, Held& held) {
  uint64_t word = 0;
  for (int i = 0; i < 64 && i < n; i += kLanes) {
    const F value = n - i < kLanes ? load(values + i, static_cast<int>(n - i)) : load(values + i);
    const F v = add(value, splat(0.f));  // -0 becomes 0
    const M off = less(v, splat(1.f));
    word |= uint64_t{~bits(off) & ((1u << kLanes) - 1)} << i;
    held.others =
        bit_or(held.others, bit_xor(as_bits(v), as_bits(select(off, splat(0.f), splat(1.f)))));
    held.signs = bit_or(held.signs, as_bits(v));
    held.largest = max(held.largest, as_bits(v));
  }
  return word;
}
inline uint64_t bits_of(const uint8_t* values, int64_t n, Held& held) {
  constexpr uint64_t kOnes = 0x0101010101010101, kGather = 0x0102040810204080;
  uint64_t word = 0;
  for (int i = 0; i < 64 && i < n; i += 8) {
    uint64_t bytes = 0;
    if (n - i < 8)
      memcpy(&bytes, values + i, static_cast<size_t>(n - i));
    else
      memcpy(&bytes, values + i, 8);
    held.other_bytes |= bytes & ~kOnes;
    word |= ((bytes & kOnes) * kGather >> 56) << i;
  }
  return word;
}

// Call it outside parallel regions.
inline Given read_states(const States& states, int n_threads) {
  if (!states.are_rows()) return {states, {}};
  const int64_t n = states.n_units, n_chains = states.n_chains, words = chain_words(n);
  const ChainBits out{scratch<uint64_t>(words * n_chains), words};
  int only_bits = 1, in_range = 1;
  const double work = 8 * static_cast<double>(n) * static_cast<double>(n_chains);
  run_team(threads_for(work, n_threads), [&](const Worker& me) {
    Held held{splat(0), splat(0), splat(0), 0};
    const auto read = [&](const auto* rows) {
      me.share(n_chains, [&](int64_t c) {
        for (int64_t k = 0; k < words; ++k)
          out.of(c)[k] = 64 * k < n ? bits_of(rows + c * n + 64 * k, n - 64 * k, held) : 0;
      });
    };
    if (states.format == StateFormat::kFloats)
      read(states.floats());
    else
      read(states.bytes());
    if (!held.only_bits()) __atomic_store_n(&only_bits, 0, __ATOMIC_RELAXED);
    if (!held.in_range()) __atomic_store_n(&in_range, 0, __ATOMIC_RELAXED);
  });
  if (in_range == 0) throw std::domain_error("rows");
  return {states, only_bits != 0 ? out : ChainBits{}};
}

// Levels of `count` inputs of a chain from `first` on; 0 where there are no more. Of levels or rows
// of floats.
inline void read_levels(const States& states, int64_t chain, int64_t first, int64_t count,
                        int32_t* levels) {
  const int64_t at = chain * states.n_units + first, left = states.n_units - first,
                n = left < count ? left : count;
  if (n < count) memset(levels + n, 0, sizeof(int32_t) * static_cast<size_t>(count - n));
  if (states.are_levels()) {
    memcpy(levels, states.levels() + at, sizeof(int32_t) * static_cast<size_t>(n));
    return;
  }
  const float* values = states.floats() + at;
  const auto level = [](F value) { return to_int(mul(value, splat(static_cast<float>(kLevels)))); };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(levels + i, level(load(values + i)));
  if (i == n) return;
  alignas(64) int32_t rest[kLanes];
  store(rest, level(load(values + i, static_cast<int>(n - i))));
  memcpy(levels + i, rest, sizeof(int32_t) * static_cast<size_t>(n - i));
}

}  // namespace
}  // namespace ncg
