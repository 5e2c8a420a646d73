// Pre-activations of real-valued states, given as levels: exact sums of digits times the low and
// the high byte of each level, place by place.
//
// With the digits d0 + d1 t + d2 t^2 of a weight and low + high t of a level, the places of a
// product are the coefficients of t. Values at t = 0, infinity, 1 and -1 give them with four
// products in place of six (Toom and Cook); with three where there are two digits, and where both
// bytes of all levels are equal, as they are for the greys k / 255 of an image: low - high is 0.
#pragma once
#include "cpu/sampling/user_rows.h"

namespace ncg {
namespace {

constexpr int64_t kLevelInputs = 8192;  // at a time, whose sums fit 32 bits
constexpr int kMaxPlaces = 4;           // and points
constexpr int kTablePairs = 32;         // of inputs, whose weights are near
constexpr int kLevelOutputs = 32;       // at a time
constexpr int kTableRow = kMaxPlaces * kLevelOutputs;

// Two inputs with levels, not both 0: where their weights are in the table of 64 inputs, and their
// low and their high bytes, two numbers of 16 bits each.
struct LevelPair {
  int32_t at, low, high;
};

// The pairs of a chain, those of 64 inputs from starts[i] to before starts[i + 1].
struct LevelList {
  uint32_t* starts;
  LevelPair* pairs;
  uint32_t* unequal;  // not 0: a level has two different bytes

  static int64_t words(int64_t n_in) {
    const int64_t tables = ceil_div(n_in, 2 * kTablePairs);
    return tables + 2 + (kTablePairs * tables + 1) * int64_t{sizeof(LevelPair) / 4};
  }
  LevelList(uint32_t* room, int64_t n_in)
      : starts(room + 1),
        pairs(reinterpret_cast<LevelPair*>(room + 2 + ceil_div(n_in, 2 * kTablePairs))),
        unequal(room) {}
};

inline void list_levels(const States& states, int64_t chain, const LevelList& list) {
  LevelPair* to = list.pairs;
  int32_t unequal = 0;
  for (int64_t first = 0, i = 0; first < states.n_units; first += 2 * kTablePairs, ++i) {
    int32_t levels[2 * kTablePairs];
    read_levels(states, chain, first, 2 * kTablePairs, levels);
    list.starts[i] = static_cast<uint32_t>(to - list.pairs);
    for (int pair = 0; pair < kTablePairs; ++pair) {
      const int32_t a = levels[2 * pair], b = levels[2 * pair + 1],
                    low = (a & 255) | (b & 255) << 16, high = (a >> 8 & 255) | (b >> 8 & 255) << 16;
      *to = {pair * kTableRow, low, high};
      to += (low | high) != 0;
      unequal |= low ^ high;
    }
    list.starts[i + 1] = static_cast<uint32_t>(to - list.pairs);
  }
  *list.unequal = static_cast<uint32_t>(unequal);
}

// Values at the points of the digits of 2 kLanes outputs, `at` from where each plane begins.
template <int kDigits>
inline void values_at_points(const int16_t* const planes[], int n_planes, int64_t at,
                             I values[kMaxPlaces]) {
  I d[3];
  for (int p = 0; p < n_planes; ++p) d[p] = load_halves(planes[p] + at);
  if (n_planes < kDigits) {
    const I both = d[kDigits - 2];
    d[kDigits - 2] = low_digit(both);
    d[kDigits - 1] = high_digit(sub_halves(both, d[kDigits - 2]));
  }
  values[0] = d[0];
  values[1] = d[kDigits - 1];
  const I ends = add_halves(d[0], d[kDigits - 1]);
  values[2] = kDigits == 2 ? ends : add_halves(ends, d[1]);
  if (kDigits == 3) values[3] = sub_halves(ends, d[1]);
}

// The pairs of inputs from `first` on whose bits are set in `used`: [pair][point][outputs].
template <int kDigits>
inline void fill_table(const int16_t* const planes[], int n_planes, int64_t first, uint32_t used,
                       int32_t* table) {
  for (; used != 0; used &= used - 1) {
    const int pair = __builtin_ctz(used);
    for (int u = 0; u < kLevelOutputs; u += 2 * kLanes) {
      I a[kMaxPlaces], b[kMaxPlaces];
      const int64_t at = (first + 2 * pair) * kBlock + u;
      values_at_points<kDigits>(planes, n_planes, at, a);
      values_at_points<kDigits>(planes, n_planes, at + kBlock, b);
#pragma GCC unroll 4
      for (int p = 0; p <= kDigits; ++p) {
        int32_t* to = table + pair * kTableRow + p * kLevelOutputs + u;
        store(to, even_fours(a[p], b[p]));
        store(to + kLanes, odd_fours(a[p], b[p]));
      }
    }
  }
}

// Of two levels at a point.
template <int kPoint>
inline I at_point(I low, I high) {
  if (kPoint < 2) return kPoint == 0 ? low : high;
  return kPoint == 2 ? add_halves(low, high) : sub_halves(low, high);
}

// x[point][kLevelOutputs] += products of pairs at kPoints points, which are `stride` apart.
template <int kPoints, int kPoint = 0>
inline void add_pairs(const LevelPair* pairs, const LevelPair* end, const int32_t* table,
                      int64_t stride, int32_t* x) {
  constexpr int kMost = kLanes / 4, kAtOnce = kPoints < kMost ? kPoints : kMost,
                kVectors = kLevelOutputs / kLanes;
  I sums[kAtOnce][kVectors];
#pragma GCC unroll 4
  for (int p = 0; p < kAtOnce; ++p)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[p][v] = load(x + p * stride + v * kLanes);
  for (const LevelPair* pair = pairs; pair < end; ++pair) {
    const int32_t* from = table + pair->at;
    const I low = splat(pair->low), high = splat(pair->high),
            factors[] = {at_point<kPoint>(low, high), at_point<kPoint + 1>(low, high),
                         at_point<kPoint + 2>(low, high), at_point<kPoint + 3>(low, high)};
#pragma GCC unroll 4
    for (int p = 0; p < kAtOnce; ++p)
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v)
        sums[p][v] = dot2(sums[p][v], load(from + p * kLevelOutputs + v * kLanes), factors[p]);
  }
#pragma GCC unroll 4
  for (int p = 0; p < kAtOnce; ++p)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) store(x + p * stride + v * kLanes, sums[p][v]);
  if constexpr (kPoints > kAtOnce)
    add_pairs<kPoints - kAtOnce, kPoint + kAtOnce>(pairs, end, table + kAtOnce * kLevelOutputs,
                                                   stride, x + kAtOnce * stride);
}

// From sums at the points to places, in place.
template <int kDigits>
inline void to_places(int64_t stride, int32_t* x) {
  for (int u = 0; u < kLevelOutputs; u += kLanes, x += kLanes) {
    const I zero = load(x), infinity = load(x + stride), one = load(x + 2 * stride);
    if (kDigits == 2) {
      store(x + stride, sub(sub(one, zero), infinity));
    } else {
      const I minus_one = load(x + 3 * stride);
      store(x + stride, sub(halve(sub(one, minus_one)), infinity));
      store(x + 2 * stride, sub(halve(add(one, minus_one)), zero));
    }
    store(x + kDigits * stride, infinity);
  }
}

// Of a level times the lowest digit.
inline float level_step(const Layer& layer) {
  const float step = layer.digits.step();
  return static_cast<float>(static_cast<double>(step) / kLevels);
}

// x of n units from places [n_digits + 1], `stride` apart: exact integers.
inline void combine_places(const Layer& layer, const double* places, int64_t stride,
                           const float* bias, int n, float* x) {
  const float step = level_step(layer);
  for (int u = 0; u < n; ++u) x[u] = static_cast<float>(places[layer.digits.n_digits * stride + u]);
  for (int p = layer.digits.n_digits - 1; p >= 0; --p)
    for (int u = 0; u < n; ++u) x[u] = fma(x[u], 256.f, static_cast<float>(places[p * stride + u]));
  for (int u = 0; u < n; ++u) x[u] = fma(x[u], step, bias[u]);
}

// Memory of a worker: a table, and places of a block where inputs are more than kLevelInputs.
inline bool few_levels(int64_t n_in) { return n_in <= kLevelInputs; }
inline int64_t level_bytes(int64_t n_in, int64_t n_chains) {
  return 4 * kTablePairs * kTableRow + (few_levels(n_in) ? 0 : 8 * kTableRow * n_chains);
}

// Sums of kLevelOutputs outputs from `unit` on for n chains, whose lists are `words` apart in
// `room`: the places as planes; of more inputs than kLevelInputs floats x.
template <int kDigits>
inline void level_outputs(const Layer& layer, uint32_t* room, int64_t words, int64_t n,
                          int64_t unit, char* memory, const Sums& sums) {
  constexpr int64_t kInputs = 2 * kTablePairs;
  const RowLayout layout{layer.n_out, layer.n_in, kDigits};
  const int16_t* planes[kDigits] = {};
  for (int p = 0; p < layout.planes(); ++p)
    planes[p] = rows_of(layer.digits) + layout.block(p, unit / kBlock) + unit % kBlock;
  int32_t* table = reinterpret_cast<int32_t*>(memory);
  double* places = reinterpret_cast<double*>(table + kTablePairs * kTableRow);
  const int64_t stride = sums.plane_stride;
  const auto x_of = [&](int64_t c) { return sums.of(c) + unit % kSuper; };
  const auto clear = [&](int64_t c) {
    for (int p = 0; p <= kDigits; ++p)
      for (int u = 0; u < kLevelOutputs; u += kLanes) store(x_of(c) + p * stride + u, splat(0));
  };
  const bool few = few_levels(layer.n_in);
  if (!few) memset(places, 0, sizeof(double) * static_cast<size_t>(kTableRow * n));
  for (int64_t c = 0; c < n; ++c) clear(c);
  for (int64_t first = 0; first < layer.n_in; first += kInputs) {
    const int64_t i = first / kInputs;
    uint32_t used = 0;
    for (int64_t c = 0; c < n && ~used != 0; ++c) {
      const LevelList list(room + c * words, layer.n_in);
      for (uint32_t k = list.starts[i]; k < list.starts[i + 1]; ++k)
        used |= uint32_t{1} << list.pairs[k].at / kTableRow;
    }
    fill_table<kDigits>(planes, layout.planes(), first, used, table);
    const bool carries =
        !few && ((first + kInputs) % kLevelInputs == 0 || first + kInputs >= layer.n_in);
    for (int64_t c = 0; c < n; ++c) {
      const LevelList list(room + c * words, layer.n_in);
      const LevelPair *from = list.pairs + list.starts[i], *to = list.pairs + list.starts[i + 1];
      if (from < to && (kDigits == 2 || *list.unequal == 0))
        add_pairs<3>(from, to, table, stride, x_of(c));
      else if (from < to)
        add_pairs<kDigits + 1>(from, to, table, stride, x_of(c));
      if (!carries) continue;
      to_places<kDigits>(stride, x_of(c));
      for (int p = 0; p <= kDigits; ++p)
        for (int u = 0; u < kLevelOutputs; ++u)
          places[c * kTableRow + p * kLevelOutputs + u] += x_of(c)[p * stride + u];
      clear(c);
    }
  }
  for (int64_t c = 0; c < n; ++c)
    if (few)
      to_places<kDigits>(stride, x_of(c));
    else
      combine_places(layer, places + c * kTableRow, kLevelOutputs, sums.bias + unit % kSuper,
                     kLevelOutputs, reinterpret_cast<float*>(x_of(c)));
}

}  // namespace
}  // namespace ncg
