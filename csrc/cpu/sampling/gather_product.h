// Digit sums of states of which few are on: for each chain the rows of its inputs are added up,
// with outputs in lanes, where a product would multiply all. The sums are the same integers.
#pragma once
#include "cpu/sampling/operand.h"

namespace ncg {
namespace {

constexpr int kHalf = kPanel / 2;
constexpr int kStripWords = 4;  // words of chains that share the making of rows

// Digits + 128 of a panel and the inputs of a chunk: the low half of lane l is output l, the high
// half output 16 + l. Sums of a whole chunk fit: 256 x 255 < 2^16.
struct Rows {
  alignas(64) int32_t of[kChunk][kHalf];
};

// From the digit's tiles of a chunk's blocks.
inline void make_rows(const int8_t* digits, int n_blocks, Rows& rows) {
  const I low = splat(0xFFFF), bytes = splat(0xFF00FF),
          offset = splat(static_cast<int32_t>(0x80808080));
  for (int b = 0; b < n_blocks; ++b)
    for (int l = 0; l < kHalf; l += kLanes)
      for (int quad = 0; quad < kBlock / 4; quad += 4) {
        const int32_t* from =
            reinterpret_cast<const int32_t*>(digits + (b * kPanel + l) * kBlock) + quad;
        I first[4], second[4];  // four inputs a lane, of outputs l .. and 16 + l ..
        load_columns(from, kBlock / 4, first);
        load_columns(from + kHalf * kBlock / 4, kBlock / 4, second);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          const I x = bit_xor(first[i], offset), y = bit_xor(second[i], offset);
          const I x02 = bit_and(x, bytes), x13 = bit_and(shift_right<8>(x), bytes);
          const I y02 = bit_and(y, bytes), y13 = bit_and(shift_right<8>(y), bytes);
          int32_t* row = rows.of[b * kBlock + 4 * (quad + i)] + l;
          store(row, bit_or(bit_and(x02, low), shift_left<16>(y02)));
          store(row + kHalf, bit_or(bit_and(x13, low), shift_left<16>(y13)));
          store(row + 2 * kHalf, bit_or(shift_right<16>(x02), sub(y02, bit_and(y02, low))));
          store(row + 3 * kHalf, bit_or(shift_right<16>(x13), sub(y13, bit_and(y13, low))));
        }
      }
}

// sums[32 outputs] += the digits of the n inputs in the list.
inline void add_rows(const Rows& rows, const uint8_t* list, int n, int32_t* sums) {
  constexpr int kVectors = kHalf / kLanes;
  I sum[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) sum[v] = splat(0);
#pragma GCC unroll 4
  for (int i = 0; i < n; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      sum[v] = add_halves(sum[v], load(rows.of[list[i]] + v * kLanes));
  const I offset = splat(-128 * n);
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    int32_t* to = sums + v * kLanes;
    store(to, add(load(to), add(bit_and(sum[v], splat(0xFFFF)), offset)));
    store(to + kHalf, add(load(to + kHalf), add(shift_right<16>(sum[v]), offset)));
  }
}

// x[lane][32 outputs] = place_0 + 256 place_1 + ..., as in preactivation.h, for n_lanes lanes of
// listed states from `first` on.
inline void gather_product(const Layer& layer, const Operand& in, int64_t panel, int64_t first,
                           int n_lanes, float* x) {
  Rows rows;
  alignas(64) int32_t sums[kStripWords * kWord * kPanel];
  const DigitLayout layout{layer.n_out, layer.n_in, layer.digits.n_digits};
  const size_t bytes = sizeof(int32_t) * static_cast<size_t>(kPanel * n_lanes);
  memset(x, 0, bytes);
  for (int d = layer.digits.n_digits - 1; d >= 0; --d) {
    memset(sums, 0, bytes);
    for (int64_t chunk = 0; chunk < in.chunks(); ++chunk) {
      make_rows(layer.digits.dense + layout.tile(panel, d, kChunk / kBlock * chunk),
                in.blocks_of(chunk), rows);
      for (int l = 0; l < n_lanes; ++l)
        add_rows(rows, in.list(chunk, first + l), in.n_on[chunk * in.n_lanes + first + l],
                 sums + kPanel * l);
    }
    for (int at = 0; at < kPanel * n_lanes; at += kLanes)
      store(x + at, fma(load(x + at), splat(256.f), to_float(load(sums + at))));
  }
}

}  // namespace
}  // namespace ncg
