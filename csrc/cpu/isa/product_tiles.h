// Products of bytes in the tiles of AMX: states of chains on the left, rows of weights on the
// right.
#pragma once
#include "cpu/isa/isa.h"
#include "cpu/isa/tiles.h"

namespace ncg {
namespace {

constexpr bool kTiles = true;
constexpr int kTileRows = 16;          // chains; quads of inputs; rows of sums
constexpr int kTileBytes = 64;         // inputs; four inputs each of 16 outputs; 16 sums
constexpr int kSide = 2 * kTileRows;   // chains at a time
constexpr int64_t kTileInputs = 1024;  // whose weights of a block are turned at a time
constexpr int kTile1K = kTileRows * kTileBytes;

// While one lives, its thread may use tiles.
class ProductUnit {
 public:
  ProductUnit() {
    TileConfig config = {1};
    for (int t = 0; t < 8; ++t) {
      config[16 + 2 * t] = kTileBytes;
      config[48 + t] = kTileRows;
    }
    ldtilecfg(config);
  }
  ~ProductUnit() { tilerelease(); }
  ProductUnit(const ProductUnit&) = delete;
  ProductUnit& operator=(const ProductUnit&) = delete;
};

// Bytes 0 and 1 of 64 n_words states.
inline void state_bytes(const uint64_t* bits, int64_t n_words, uint8_t* bytes) {
  for (int64_t k = 0; k < n_words; ++k)
    _mm512_storeu_si512(bytes + 64 * k, _mm512_maskz_set1_epi8(bits[k], 1));
}

// Tiles of weights of inputs first .. first + n - 1 of a block: [64 inputs][4][2]: 16 outputs each,
// in split order, their low bytes, then their high ones. n_in rows are there.
inline void turn_rows(const int16_t* rows, int64_t n_in, int64_t first, int64_t n, uint8_t* tiles) {
  const I order = _mm512_set4_epi32(0x0F0D0E0C, 0x0B090A08, 0x07050604, 0x03010200),
          low = splat(0xFFFF);
  for (int64_t i = first; i < first + n; i += 4) {
    uint8_t* to =
        tiles + (i - first) / kTileBytes * 8 * kTile1K + (i - first) % kTileBytes / 4 * 64;
    for (int v = 0; v < 2; ++v) {
      I row[4];
      for (int k = 0; k < 4; ++k)
        row[k] = i + k < n_in ? load_halves(rows + (i + k) * kTileBytes + 32 * v) : splat(0);
      for (int odd = 0; odd < 2; ++odd, to += 2 * kTile1K) {
        const auto two = [&](const I& a, const I& b) {  // low bytes of both, then high ones
          return _mm512_shuffle_epi8(odd ? odd_fours(a, b) : even_fours(a, b), order);
        };
        const I a = two(row[0], row[1]), b = two(row[2], row[3]);
        _mm512_storeu_si512(to, bit_or(bit_and(a, low), shift_left<16>(b)));
        _mm512_storeu_si512(to + kTile1K, bit_or(shift_right<16>(a), _mm512_andnot_si512(low, b)));
      }
    }
  }
}

// x of 32 chains, rows `stride` apart, and 16 outputs: from 0, or += , low bytes + 256 high ones.
inline void add_tiles(const uint8_t* states, int64_t state_stride, const uint8_t* tiles,
                      int64_t n_blocks, bool fresh, int64_t n_chains, int32_t* x, int64_t stride) {
  tilezero<0>();
  tilezero<1>();
  tilezero<2>();
  tilezero<3>();
  for (int64_t b = 0; b < n_blocks; ++b, states += kTileBytes, tiles += 8 * kTile1K) {
    tileloadd<4>(states, state_stride);
    tileloadd<6>(tiles, kTileBytes);
    tdpbuud<0, 4, 6>();
    tileloadd<7>(tiles + kTile1K, kTileBytes);
    tdpbusd<1, 4, 7>();
    tileloadd<5>(states + kTileRows * state_stride, state_stride);
    tdpbuud<2, 5, 6>();
    tdpbusd<3, 5, 7>();
  }
  alignas(64) int32_t sums[4][kTileRows][kTileRows];
  tilestored<0>(sums[0], kTileBytes);
  tilestored<1>(sums[1], kTileBytes);
  tilestored<2>(sums[2], kTileBytes);
  tilestored<3>(sums[3], kTileBytes);
  for (int c = 0; c < kSide && c < n_chains; ++c) {
    const int half = 2 * (c / kTileRows), row = c % kTileRows;
    const I sum = add(load(sums[half][row]), shift_left<8>(load(sums[half + 1][row])));
    store(x + c * stride, fresh ? sum : add(load(x + c * stride), sum));
  }
}

}  // namespace
}  // namespace ncg
