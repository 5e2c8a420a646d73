// Sums over connections, from sparse digits: each q is added to the chains whose input is on, with
// chains in lanes. The sums are the integers that rows give.
//
// Offsets and inputs that lie outside are taken as the nearest ones inside: a damaged tensor gives
// results without meaning, from its own memory.
#pragma once
#include "cpu/sampling/levels.h"

namespace ncg {
namespace {

// Takes the lowest balanced digit off q.
inline int32_t take_digit(int32_t& q) {
  const int32_t digit = static_cast<int8_t>(q);
  q = static_cast<int32_t>(static_cast<uint32_t>(q) - static_cast<uint32_t>(digit)) >> 8;
  return digit;
}

struct Connections {
  const int32_t* first;  // input, q; input, q; ...
  int64_t n;
};

inline Connections connections_of(const Layer& layer, int64_t unit) {
  const auto within = [](int64_t a, int64_t low, int64_t high) {
    return a < low ? low : a < high ? a : high;
  };
  const int32_t* offsets = layer.digits.sparse + kSparseHeader + unit;
  const int64_t first = within(offsets[0], 0, layer.digits.capacity),
                last = within(offsets[1], first, layer.digits.capacity);
  const int32_t* all = layer.digits.sparse + SparseLayout{layer.n_out}.connections();
  return {all + 2 * first, layer.n_in == 0 ? 0 : last - first};
}

// Planes of sums of an output for 64 chains, whose words are `stride` apart: plane p < kPlanes - 1
// sums digit p, the last one all that is above. Rows of 64, kSuper rows a plane.
template <int kPlanes>
inline void add_connections(const Layer& layer, int64_t unit, const uint64_t* packed,
                            int64_t stride, int32_t* planes) {
  const Connections row = connections_of(layer, unit);
  const uint32_t last_input = static_cast<uint32_t>(layer.n_in - 1);
  constexpr int kWide = kWhereVectors * kLanes;
  for (int l = 0; l < kWord; l += kWide) {
    I sum[kPlanes][kWhereVectors];
#pragma GCC unroll 3
    for (int p = 0; p < kPlanes; ++p)
#pragma GCC unroll 4
      for (int v = 0; v < kWhereVectors; ++v) sum[p][v] = splat(0);
    for (int64_t i = 0; i < row.n; ++i) {
      const uint32_t given = static_cast<uint32_t>(row.first[2 * i]);
      const uint32_t input = given < last_input ? given : last_input;
      const uint64_t on = packed[input * stride] >> l;
      int32_t q = row.first[2 * i + 1];
#pragma GCC unroll 3
      for (int p = 0; p < kPlanes; ++p)
        add_where<kWhereVectors>(on, splat(p < kPlanes - 1 ? take_digit(q) : q), sum[p]);
    }
#pragma GCC unroll 3
    for (int p = 0; p < kPlanes; ++p)
#pragma GCC unroll 4
      for (int v = 0; v < kWhereVectors; ++v)
        store(planes + p * kSuper * kWord + l + v * kLanes, sum[p][v]);
  }
}

// Sums of n chains of one word from those of kSuper outputs, rows of 64 chains.
inline void turn_planes(const int32_t* planes, int64_t n, const Sums& sums, int64_t first) {
  for (int p = 0; p < sums.n_planes; ++p)
    for (int64_t c = 0; c < n; c += 4)
      for (int u = 0; u < kSuper; u += kLanes) {
        I chains[4];
        load_columns(planes + (p * kSuper + u) * kWord + c, kWord, chains);
        for (int64_t i = 0; i < 4 && c + i < n; ++i)
          store(sums.of(first + c + i) + p * sums.plane_stride + u, chains[i]);
      }
}

// Sums of kSuper outputs from `unit` on for n chains in `words` words.
inline void connection_sums(const Layer& layer, int64_t unit, int64_t n_units,
                            const uint64_t* packed, int64_t n, const Sums& sums) {
  const int64_t words = ceil_div(n, kWord);
  alignas(64) int32_t planes[3 * kSuper * kWord];
  for (int64_t w = 0; w < words; ++w) {
    for (int64_t u = 0; u < n_units; ++u)
      with_planes(sums.n_planes, [&](auto constant) {
        constexpr int kPlanes = decltype(constant)::value;
        if constexpr (kPlanes > 0)
          add_connections<kPlanes>(layer, unit + u, packed + w, words,
                                   planes + slot_in_split_order(u) * kWord);
      });
    const int64_t left = n - w * kWord;
    turn_planes(planes, left < kWord ? left : kWord, sums, w * kWord);
  }
}

// Levels of the inputs of n chains as pairs of bytes: int32 [n_in][lanes]; those of one chain, with
// the last one 0 in the lanes that are left.
inline int64_t level_lanes(int64_t n) { return ceil_div(n, kLanes) * kLanes; }
inline void byte_pairs(const States& states, int64_t chain, int64_t n, int64_t lane,
                       int32_t* pairs) {
  constexpr int64_t kInputs = 64;
  const int64_t last = lane + 1 < n ? n : level_lanes(n), stride = level_lanes(n);
  for (int64_t first = 0; first < states.n_units; first += kInputs) {
    int32_t levels[kInputs];
    read_levels(states, chain, first, kInputs, levels);
    for (int64_t i = 0; i < kInputs && first + i < states.n_units; ++i) {
      int32_t* row = pairs + (first + i) * stride;
      row[lane] = (levels[i] & 255) | (levels[i] >> 8 & 255) << 16;
      for (int64_t c = n; c < last; ++c) row[c] = 0;
    }
  }
}

// Floats x of an output for n chains, in `slot` of their sums.
inline void connection_levels(const Layer& layer, int64_t unit, const int32_t* pairs, int64_t n,
                              const Sums& sums, int64_t slot) {
  constexpr int64_t kConnections = 32768;  // whose products, two up to 255 x 128 each, fit int32
  const Connections row = connections_of(layer, unit);
  const uint32_t last_input = static_cast<uint32_t>(layer.n_in - 1);
  for (int64_t l = 0; l < n; l += kLanes) {
    double places[kMaxPlaces][kLanes] = {};
    for (int64_t first = 0; first < row.n; first += kConnections) {
      const int64_t last = first + kConnections < row.n ? first + kConnections : row.n;
      I sum[kMaxPlaces] = {splat(0), splat(0), splat(0), splat(0)};
      for (int64_t i = first; i < last; ++i) {
        const uint32_t given = static_cast<uint32_t>(row.first[2 * i]);
        const uint32_t input = given < last_input ? given : last_input;
        const I state = load(pairs + input * level_lanes(n) + l);
        int32_t q = row.first[2 * i + 1], lower = 0;
        for (int p = 0; p <= layer.digits.n_digits;
             ++p) {  // low byte by digit p, high byte by the one below
          const int32_t digit = p < layer.digits.n_digits ? take_digit(q) : 0;
          sum[p] = dot2(sum[p], state,
                        splat(static_cast<int32_t>((static_cast<uint32_t>(digit) & 0xFFFF) |
                                                   static_cast<uint32_t>(lower) << 16)));
          lower = digit;
        }
      }
      for (int p = 0; p <= layer.digits.n_digits; ++p) {
        alignas(64) int32_t lanes[kLanes];
        store(lanes, sum[p]);
        for (int i = 0; i < kLanes; ++i) places[p][i] += lanes[i];
      }
    }
    float bias[kLanes], x[kLanes];
    for (float& each : bias) each = layer.bias[unit];
    combine_places(layer, places[0], kLanes, bias, kLanes, x);
    for (int64_t i = 0; i < kLanes && l + i < n; ++i)
      reinterpret_cast<float*>(sums.of(l + i))[slot] = x[i];
  }
}

}  // namespace
}  // namespace ncg
