// A user's rows as states: as bits where all values are 0 or 1, else as levels.
#pragma once
#include <stdexcept>

#include "cpu/sampling/draws.h"
#include "cpu/scratch.h"

namespace ncg {
namespace {

// Call these outside parallel regions.
inline ChainBits make_bits(int64_t n_units, int64_t n_chains) {
  const int64_t words = chain_words(n_units);
  return {scratch<uint64_t>(words * n_chains), words};
}

// What an op reads.
struct Given {
  States states;
  ChainBits bits;  // of all chains, where rows hold only 0 and 1; else null

  bool are_levels() const {
    return states.are_levels() || (states.are_rows() && bits.bits == nullptr);
  }
};

// What rows hold: not 0 where there is such a value.
struct Held {
  uint64_t between, outside;  // 0 and 1
};

// A word of up to 64 values, of which n are left.
inline uint64_t bits_of(const float* values, int64_t n, Held& held) {
  constexpr uint32_t kAll = (1u << kLanes) - 1;
  uint64_t word = 0;
  for (int i = 0; i < 64 && i < n; i += kLanes) {
    const F v = n - i < kLanes ? load(values + i, static_cast<int>(n - i)) : load(values + i);
    const uint32_t below_1 = bits(less(v, splat(1.f)));
    const uint32_t not_above_1 = bits(less(v, splat(1 + 0x1p-23f)));  // of NaN neither
    held.between |= bits(less(splat(0.f), v)) & below_1;
    held.outside |= bits(less(v, splat(0.f))) | (kAll & ~not_above_1);
    word |= uint64_t{kAll & ~below_1} << i;
  }
  return word;
}
inline uint64_t bits_of(const uint8_t* values, int64_t n, Held& held) {
  constexpr uint64_t kOnes = 0x0101010101010101, kGather = 0x0102040810204080;
  uint64_t word = 0;
  for (int i = 0; i < 64 && i < n; i += 8) {
    uint64_t bytes = 0;
    memcpy(&bytes, values + i, static_cast<size_t>(n - i < 8 ? n - i : 8));
    held.outside |= bytes & ~kOnes;
    word |= ((bytes & kOnes) * kGather >> 56) << i;
  }
  return word;
}

// Calls read(rows), of the type of the values.
template <class Read>
inline void with_rows(const States& states, Read read) {
  if (states.format == StateFormat::kFloats) return read(states.floats());
  read(states.bytes());
}

// Throws std::domain_error where a value is neither 0 nor 1 nor, of floats, in between.
inline Given read_states(const States& states, const Run& run) {
  if (!states.are_rows()) return {states, {}};
  const int64_t n = states.n_units, n_chains = states.n_chains;
  const ChainBits out = make_bits(n, n_chains);
  const double work = 8 * static_cast<double>(n) * static_cast<double>(n_chains);
  const int n_workers = threads_for(work, run.n_threads);
  Held* found = scratch<Held>(n_workers);  // of each worker
  for (int i = 0; i < n_workers; ++i) found[i] = {};
  run_team(run, n_workers, [&](const Worker& me) {
    with_rows(states, [&](const auto* rows) {
      me.share(n_chains, [&](int64_t c) {
        Held held = found[me.id];
        for (int64_t k = 0; k < out.words; ++k)
          out.of(c)[k] = bits_of(rows + c * n + 64 * k, n - 64 * k, held);
        found[me.id] = held;
      });
    });
  });
  Held all{};
  for (int i = 0; i < n_workers; ++i) {
    all.between |= found[i].between;
    all.outside |= found[i].outside;
  }
  if (all.outside != 0) throw std::domain_error("rows");
  return {states, all.between == 0 ? out : ChainBits{}};
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
