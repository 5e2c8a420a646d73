// Pre-activations from sparse digits: each connection's q is added to the chains whose input is on,
// with chains in lanes. The sums are the integers that dense digits give.
//
// Offsets and inputs that lie outside are taken as the nearest ones inside: a damaged tensor gives
// results without meaning, from its own memory.
#pragma once
#include "cpu/sampling/operand.h"

namespace ncg {
namespace {

// Connections of an output whose digits are added up together. A digit's sum is then at most 2^23,
// exact in float32, and one of 16-bit q below 65536 x 32512 < 2^31: in int32. fma(C1, 256, C0) of
// the sums of two digits rounds the integer 256 C1 + C0 once, and that integer is the sum of q,
// which to_float rounds to the same. So the two highest places are one.
constexpr int64_t kShortRow = 65536;

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

// Takes the lowest balanced digit off q.
inline int32_t take_digit(int32_t& q) {
  const int32_t digit = static_cast<int8_t>(q);
  q = static_cast<int32_t>(static_cast<uint32_t>(q) - static_cast<uint32_t>(digit)) >> 8;
  return digit;
}

// x of kVectors vectors of chains from lane `shift` of each input's word on; place p < kPlaces - 1
// sums digit p, the last one all that is above.
template <int kPlaces, int kVectors>
inline void add_connections(const Connections& row, const uint64_t* packed, int64_t words,
                            uint32_t last_input, int shift, F step, F bias, float* x) {
  I sum[kPlaces][kVectors];
#pragma GCC unroll 3
  for (int p = 0; p < kPlaces; ++p)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[p][v] = splat(0);
  for (int64_t i = 0; i < row.n; ++i) {
    const uint32_t given = static_cast<uint32_t>(row.first[2 * i]);
    const uint32_t input = given < last_input ? given : last_input;
    const uint64_t on = packed[input * words] >> shift;
    int32_t q = row.first[2 * i + 1];
#pragma GCC unroll 3
    for (int p = 0; p < kPlaces; ++p)
      add_where<kVectors>(on, splat(p < kPlaces - 1 ? take_digit(q) : q), sum[p]);
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    F sums = to_float(sum[kPlaces - 1][v]);
#pragma GCC unroll 3
    for (int p = kPlaces - 2; p >= 0; --p) sums = fma(sums, splat(256.f), to_float(sum[p][v]));
    store(x + v * kLanes, fma(sums, step, bias));
  }
}

// x of one output for the chains of a word.
template <int kPlaces>
inline void sparse_row(const Layer& layer, const Operand& in, int64_t word, int64_t unit,
                       const Connections& row, float* x) {
  constexpr int kWide = kWhereVectors * kLanes;
  const uint64_t* packed = *in.packed + word;
  const F step = splat(layer.digits.step()), bias = splat(layer.bias[unit]);
  const uint32_t last_input = static_cast<uint32_t>(layer.n_in - 1);
  const int width = in.width(word);
  for (int l = 0; l < width;) {
    if (width - l >= kWide) {
      add_connections<kPlaces, kWhereVectors>(row, packed, in.words(), last_input, l, step, bias,
                                              x + l);
      l += kWide;
    } else {
      add_connections<kPlaces, kLaneGroup / kLanes>(row, packed, in.words(), last_input, l, step,
                                                    bias, x + l);
      l += kLaneGroup;
    }
  }
}

inline void sparse_row(const Layer& layer, const Operand& in, int64_t word, int64_t unit,
                       float* x) {
  const Connections row = connections_of(layer, unit);
  const int n_places = row.n > kShortRow ? layer.digits.n_digits : layer.digits.n_digits - 1;
  if (n_places == 1)
    sparse_row<1>(layer, in, word, unit, row, x);
  else if (n_places == 2)
    sparse_row<2>(layer, in, word, unit, row, x);
  else
    sparse_row<3>(layer, in, word, unit, row, x);
}

// Levels: places[p][lane] += the sums of all digit d and byte plane p - d, for kLanes chains from
// lane l of the word on.
inline void sparse_level_places(const Layer& layer, const Operand& in, int64_t word, int l,
                                const Connections& row, int64_t places[4][kLanes]) {
  constexpr int64_t kConnections = 65536;  // whose products, up to 255 x 128 each, fit int32
  const uint32_t last_input = static_cast<uint32_t>(layer.n_in - 1);
  for (int64_t first = 0; first < row.n; first += kConnections) {
    const int64_t last = first + kConnections < row.n ? first + kConnections : row.n;
    I sum[2][3];
    for (int plane = 0; plane < 2; ++plane)
      for (int d = 0; d < 3; ++d) sum[plane][d] = splat(0);
    for (int64_t i = first; i < last; ++i) {
      const uint32_t given = static_cast<uint32_t>(row.first[2 * i]);
      const uint32_t input = given < last_input ? given : last_input;
      const int64_t at = 4 * (int64_t{input} / 4 * in.width(word) + l);
      I state[2];
      for (int plane = 0; plane < 2; ++plane)
        state[plane] = load(reinterpret_cast<const int32_t*>(in.word_bytes(plane, word) + at));
      int32_t q = row.first[2 * i + 1];
      for (int d = 0; d < layer.digits.n_digits;
           ++d) {  // a digit among zeros, for the quad's other inputs
        const uint32_t byte = static_cast<uint8_t>(take_digit(q));
        const I weight = splat(static_cast<int32_t>(byte << 8 * (input % 4)));
        for (int plane = 0; plane < 2; ++plane)
          sum[plane][d] = dot4(sum[plane][d], state[plane], weight);
      }
    }
    for (int plane = 0; plane < 2; ++plane)
      for (int d = 0; d < layer.digits.n_digits; ++d) {
        alignas(64) int32_t lanes[kLanes];
        store(lanes, sum[plane][d]);
        for (int i = 0; i < kLanes; ++i) places[plane + d][i] += lanes[i];
      }
  }
}

}  // namespace
}  // namespace ncg
