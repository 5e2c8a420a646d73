// The op scan_weights: one pass over weights and mask, about as fast as they can be read.
#pragma once
#include "common/fingerprint.h"
#include "common/layout.h"
#include "cpu/isa/isa.h"
#include "cpu/scratch.h"
#include "cpu/team/team.h"
#include "ops.h"

namespace ncg {
namespace {

struct ChunkKeys {
  alignas(64) int32_t at[kChunk] = {};
  constexpr ChunkKeys() {
    for (int place = 0; place < kChunk; ++place) at[place] = static_cast<int32_t>(chunk_key(place));
  }
};
constexpr ChunkKeys kChunkKeys;

// One thread's part of what is found.
struct ScanTally {
  I magnitude = splat(0);
  uint64_t n_on = 0, first = 0, second = 0;
};

inline uint64_t sum_of(W values) {
  uint64_t lanes[kLanes / 2], sum = 0;
  memcpy(lanes, &values, sizeof lanes);
  for (const uint64_t lane : lanes) sum += lane;
  return sum;
}

inline void scan_chunk(const float* weight, const uint8_t* mask, int64_t chunk, ScanTally& tally) {
  I magnitude = tally.magnitude;
  int n_on = 0;
  W products = wide(0), pairs = wide(0);
  const F off = as_float(splat(static_cast<int32_t>(kOff)));
  for (int first = 0; first < kChunk; first += 4 * kLanes) {
    n_on += count_bytes(mask + first);
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      const int u = first + v * kLanes;
      const M on = load_mask(mask + u, kLanes);
      const I word = as_bits(select(on, load(weight + u), off));
      magnitude = max(magnitude, magnitude_where(on, word));
      const W keyed = as_wide(add(word, load(kChunkKeys.at + u)));
      products = wide_add(products, wide_mul(keyed, wide_high(keyed)));
      pairs = wide_add(pairs, as_wide(word));
    }
  }
  const uint64_t first = first_word(chunk, sum_of(products));
  tally.magnitude = magnitude;
  tally.n_on += static_cast<uint64_t>(n_on);
  tally.first += first;
  tally.second += second_word(first, sum_of(pairs));
}

void scan_weights(const ScanWeights& op, const Run& run) {
  scratch_reset();
  const int n_workers = threads_for(2 * static_cast<double>(op.n_pairs), run.n_threads);
  ScanTally* tallies = scratch<ScanTally>(n_workers);
  for (int i = 0; i < n_workers; ++i) tallies[i] = ScanTally();
  run_team(n_workers, [&](const Worker& me) {
    ScanTally tally;
    me.share(ceil_div(op.n_pairs, kChunk), [&](int64_t chunk) {
      const int64_t at = chunk * kChunk, left = op.n_pairs - at;
      if (left >= kChunk) return scan_chunk(op.weight + at, op.mask + at, chunk, tally);
      float weight[kChunk];
      uint8_t mask[kChunk] = {};
      memcpy(weight, op.weight + at, sizeof(float) * static_cast<size_t>(left));
      memset(weight + left, 0, sizeof(float) * static_cast<size_t>(kChunk - left));
      memcpy(mask, op.mask + at, static_cast<size_t>(left));
      scan_chunk(weight, mask, chunk, tally);
    });
    tallies[me.id] = tally;
  });
  int32_t magnitude = 0;
  uint64_t n_on = 0, first = 0, second = 0;
  for (int i = 0; i < n_workers; ++i) {
    const int32_t largest = largest_lane(tallies[i].magnitude);
    if (largest > magnitude) magnitude = largest;
    n_on += tallies[i].n_on;
    first += tallies[i].first;
    second += tallies[i].second;
  }
  op.found[0] = magnitude;
  op.found[1] = static_cast<int64_t>(n_on);
  op.found[2] = static_cast<int64_t>(first);
  op.found[3] = static_cast<int64_t>(second);
}

}  // namespace
}  // namespace ncg
