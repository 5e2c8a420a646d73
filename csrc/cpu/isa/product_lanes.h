// Products of bytes in the lanes of vectors. The meaning of each name is here; product_tiles.h says
// the same for tiles.
#pragma once
#include "common/layout.h"
#include "cpu/isa/isa.h"
#include "cpu/isa/product.h"

namespace ncg {
namespace {

constexpr int kQuadGroup = 1;  // to whole groups of quads are chains of byte products padded
constexpr int kRows = 4;       // hidden units that a strip of G takes at a time
constexpr bool kBinaryPlanes = false;  // whether G of packed states is made of byte products, too
constexpr double kProductSpeed = 1;    // of digit products, in that of lanes

// While one lives, its thread may multiply.
struct ProductUnit {
  ProductUnit() {}
};

// Adds to out the sums of one digit: four units, kVectors vectors of chains. `digits` at the first
// unit's row of a block. Sums with states 0/1 are short: at most kShortBlocks blocks.
template <int kVectors, bool kAnyByte>
inline void add_products(const int8_t* digits, const uint8_t* in, int64_t n_quads,
                         int64_t quad_bytes, int32_t* out) {
  I sum[4][kVectors];
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = splat(0);
  int at = 0;  // of the quad in its block
  for (int64_t quad = 0; quad < n_quads; ++quad, in += quad_bytes) {
    I state[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      state[v] = load(reinterpret_cast<const int32_t*>(in) + v * kLanes);
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      int32_t four;
      memcpy(&four, digits + r * kBlock + at, 4);
      const I weight = splat(four);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        sum[r][v] =
            kAnyByte ? dot4(sum[r][v], state[v], weight) : dot4_short(sum[r][v], state[v], weight);
    }
    at += 4;
    if (at == kBlock) {
      at = 0;
      digits += kPanel * kBlock;
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      int32_t* to = out + r * kWord + v * kLanes;
      store(to, kAnyByte ? add(load(to), sum[r][v]) : widen(load(to), sum[r][v]));
    }
}

// Sums of one digit over 4 n_quads inputs, from a block's first on, for a whole tile,
// out[unit][chain].
template <bool kAnyByte>
inline void product_tile(const int8_t* digits, const uint8_t* in, int64_t n_quads, int width,
                         int n_units, const Next&, int32_t* out) {
  constexpr int kWide = kWideVectors * kLanes, kNarrow = kLaneGroup / kLanes;
  constexpr int64_t kQuads = int64_t{kShortBlocks} * (kBlock / 4);
  memset(out, 0, sizeof(int32_t) * kPanel * kWord);
  for (int64_t first = 0; first < n_quads; first += kQuads) {
    const int64_t count = n_quads - first < kQuads ? n_quads - first : kQuads;
    const int8_t* block = digits + first / (kBlock / 4) * (kPanel * kBlock);
    for (int r = 0; r < n_units; r += 4)
      for (int l = 0; l < width;) {
        const int8_t* row = block + r * kBlock;
        const uint8_t* states = in + 4 * (first * width + l);
        int32_t* sums = out + r * kWord + l;
        if (width - l >= kWide) {
          add_products<kWideVectors, kAnyByte>(row, states, count, 4 * width, sums);
          l += kWide;
        } else {
          add_products<kNarrow, kAnyByte>(row, states, count, 4 * width, sums);
          l += kLaneGroup;
        }
      }
  }
}

// sums[kRows][64] of one or more products, which share an int32.
inline void byte_sums(const ByteProduct* products, int n_products, int32_t* sums) {
  for (int u = 0; u < kBlock; u += kWideVectors * kLanes) {
    I sum[kRows][kWideVectors];
    for (int r = 0; r < kRows; ++r)
      for (int v = 0; v < kWideVectors; ++v) sum[r][v] = splat(0);
    for (int i = 0; i < n_products; ++i) {
      const ByteProduct& p = products[i];
      for (int64_t q = 0; q < p.n_quads; ++q) {
        I state[kWideVectors];
#pragma GCC unroll 4
        for (int v = 0; v < kWideVectors; ++v)
          state[v] =
              load(reinterpret_cast<const int32_t*>(p.visible) + q * kBlock + u + v * kLanes);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
          int32_t four;
          memcpy(&four, p.hidden + r * p.stride + 4 * q, 4);
          const I level = splat(four);
#pragma GCC unroll 4
          for (int v = 0; v < kWideVectors; ++v) sum[r][v] = dot4(sum[r][v], level, state[v]);
        }
      }
    }
    for (int r = 0; r < kRows; ++r)
      for (int v = 0; v < kWideVectors; ++v) store(sums + r * kBlock + u + v * kLanes, sum[r][v]);
  }
}

}  // namespace
}  // namespace ncg
