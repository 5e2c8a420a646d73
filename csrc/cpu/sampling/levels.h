// Pre-activations of real-valued states, given as levels: sums of digits times the low and the high
// byte of each level, place by place.
#pragma once
#include "cpu/sampling/draws.h"

namespace ncg {
namespace {

constexpr int64_t kLevelInputs = 1024;  // at a time, whose sums fit 32 bits
constexpr int kMaxPlaces = 4;

// Memory of a worker: digits of kLevelInputs rows of a block, those of kLevelGroup inputs a lane,
// and sums of a group of chains.
struct LevelMemory {
  int32_t* digits;  // [kLevelInputs / kLevelGroup][n_digits][64]
  int64_t* places;  // [chains][kMaxPlaces][64]
};

constexpr int64_t kLevelDigits = kLevelInputs / kLevelGroup * 3 * kBlock;
inline int64_t level_bytes(int64_t n_chains) {
  return 4 * kLevelDigits + 8 * kMaxPlaces * kBlock * n_chains;
}
inline LevelMemory level_memory(char* bytes) {
  int32_t* digits = reinterpret_cast<int32_t*>(bytes);
  return {digits, reinterpret_cast<int64_t*>(digits + kLevelDigits)};
}

// Takes the lowest balanced digit off q.
inline int32_t take_digit(int32_t& q) {
  const int32_t digit = static_cast<int8_t>(q);
  q = static_cast<int32_t>(static_cast<uint32_t>(q) - static_cast<uint32_t>(digit)) >> 8;
  return digit;
}

// Number k of the kLevelGroup numbers of a lane.
constexpr int kLevelBits = 32 / kLevelGroup;
inline int32_t in_group(int32_t number, int k) {
  const uint32_t mask = (uint32_t{1} << kLevelBits) - 1;
  return static_cast<int32_t>((static_cast<uint32_t>(number) & mask) << kLevelBits * k);
}

// Low and high bytes of a chain's levels, two lanes for each group of inputs.
inline void pack_levels(const int32_t* levels, int64_t n_in, int32_t* lanes) {
  for (int64_t i = 0; i < n_in; i += kLevelGroup, lanes += 2) {
    lanes[0] = lanes[1] = 0;
    for (int k = 0; k < kLevelGroup && i + k < n_in; ++k) {
      lanes[0] |= in_group(levels[i + k] & 255, k);
      lanes[1] |= in_group(levels[i + k] >> 8 & 255, k);
    }
  }
}

// Digits of the inputs first .. last - 1 of a block.
template <int kPlanes, int kDigits>
inline void split_rows(const Layer& layer, int64_t block, int64_t first, int64_t last,
                       int32_t* out) {
  const RowLayout layout{layer.n_out, layer.n_in, layer.digits.n_digits};
  for (int64_t i = first; i < last; i += kLevelGroup, out += kDigits * kBlock) {
    memset(out, 0, sizeof(int32_t) * kDigits * kBlock);
    for (int k = 0; k < kLevelGroup && i + k < last; ++k) {
      const int16_t* planes[kPlanes];
      for (int p = 0; p < kPlanes; ++p)
        planes[p] = rows_of(layer.digits) + layout.block(p, block) + (i + k) * kBlock;
      for (int u = 0; u < kBlock; ++u) {
#pragma GCC unroll 3
        for (int p = 0; p + 1 < kPlanes; ++p) out[p * kBlock + u] |= in_group(planes[p][u], k);
        int32_t q = planes[kPlanes - 1][u];
#pragma GCC unroll 3
        for (int d = kPlanes - 1; d + 1 < kDigits; ++d)
          out[d * kBlock + u] |= in_group(take_digit(q), k);
        out[(kDigits - 1) * kBlock + u] |= in_group(q, k);
      }
    }
  }
}

inline void split_rows(const Layer& layer, int64_t block, int64_t first, int64_t last,
                       int32_t* out) {
  const int n_planes = RowLayout{layer.n_out, layer.n_in, layer.digits.n_digits}.planes();
  if (n_planes == 1) return split_rows<1, 2>(layer, block, first, last, out);
  if (n_planes == 3) return split_rows<3, 3>(layer, block, first, last, out);
  if (layer.digits.n_digits == 2) return split_rows<2, 2>(layer, block, first, last, out);
  split_rows<2, 3>(layer, block, first, last, out);
}

// places[place][64] += digits times bytes of the levels of n_groups groups of inputs.
template <int kDigits>
inline void add_levels(const int32_t* lanes, int64_t n_groups, const int32_t* digits,
                       int64_t* places) {
  constexpr int kVectors = 4, kPlaces = kDigits + 1;
  for (int part = 0; part < kBlock; part += kVectors * kLanes) {
    I sums[kPlaces][kVectors];
#pragma GCC unroll 4
    for (int p = 0; p < kPlaces; ++p)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[p][v] = splat(0);
    for (int64_t group = 0; group < n_groups; ++group) {
      const int32_t low = lanes[2 * group], high = lanes[2 * group + 1];
      if ((low | high) == 0) continue;
      const I by_low = splat(low), by_high = splat(high);
      const int32_t* from = digits + group * kDigits * kBlock + part;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 3
        for (int d = 0; d < kDigits; ++d) {
          const I digit = load(from + d * kBlock + v * kLanes);
          sums[d][v] = dot_levels(sums[d][v], by_low, digit);
          sums[d + 1][v] = dot_levels(sums[d + 1][v], by_high, digit);
        }
    }
    for (int p = 0; p < kPlaces; ++p)
      for (int v = 0; v < kVectors; ++v) {
        alignas(64) int32_t sum[kLanes];
        store(sum, sums[p][v]);
        for (int i = 0; i < kLanes; ++i) places[p * kBlock + part + v * kLanes + i] += sum[i];
      }
  }
}

// Of a level times the lowest digit.
inline float level_step(const Layer& layer) {
  const float step = layer.digits.step();
  return static_cast<float>(static_cast<double>(step) / kLevels);
}

// x of n units from places [n_digits + 1], `stride` apart.
inline void combine_places(const Layer& layer, const int64_t* places, int64_t stride,
                           const float* bias, int n, float* x) {
  const float step = level_step(layer);
  for (int u = 0; u < n; ++u) x[u] = static_cast<float>(places[layer.digits.n_digits * stride + u]);
  for (int p = layer.digits.n_digits - 1; p >= 0; --p)
    for (int u = 0; u < n; ++u) x[u] = fma(x[u], 256.f, static_cast<float>(places[p * stride + u]));
  for (int u = 0; u < n; ++u) x[u] = fma(x[u], step, bias[u]);
}

// Floats x of a block's outputs for n chains, from their packed levels, rows `stride` apart.
inline void level_block(const Layer& layer, const int32_t* lanes, int64_t stride, int64_t n,
                        int64_t block, const LevelMemory& memory, const Sums& sums) {
  const int64_t left = layer.n_out - block * kBlock;
  const int n_units = static_cast<int>(left < kBlock ? left : kBlock);
  memset(memory.places, 0, sizeof(int64_t) * static_cast<size_t>(n * kMaxPlaces * kBlock));
  for (int64_t first = 0; first < layer.n_in; first += kLevelInputs) {
    const int64_t last = first + kLevelInputs < layer.n_in ? first + kLevelInputs : layer.n_in;
    split_rows(layer, block, first, last, memory.digits);
    for (int64_t c = 0; c < n; ++c) {
      const int32_t* row = lanes + c * stride + first / kLevelGroup * 2;
      const int64_t n_groups = ceil_div(last - first, kLevelGroup);
      int64_t* places = memory.places + c * kMaxPlaces * kBlock;
      if (layer.digits.n_digits == 2)
        add_levels<2>(row, n_groups, memory.digits, places);
      else
        add_levels<3>(row, n_groups, memory.digits, places);
    }
  }
  for (int64_t c = 0; c < n; ++c) {
    float x[kBlock], *out = reinterpret_cast<float*>(sums.of(c)) + block * kBlock % kSuper;
    combine_places(layer, memory.places + c * kMaxPlaces * kBlock, kBlock,
                   layer.bias + block * kBlock, n_units, x);
    for (int u = 0; u < n_units; ++u) out[slot_in_split_order(u)] = x[u];
  }
}

}  // namespace
}  // namespace ncg
