// Products of bytes in the tiles of AMX. See product_lanes.h for what each name means.
#pragma once
#include "common/layout.h"
#include "cpu/isa/product.h"
#include "cpu/isa/tiles.h"

namespace ncg {
namespace {

constexpr int kTileRows = 16;   // of bytes along the inputs; quads of inputs; rows of sums
constexpr int kTileBytes = 64;  // inputs; four inputs each of 16 chains; 16 sums
constexpr int kSide = 2 * kTileRows;

constexpr int kQuadGroup = kTileRows;
constexpr int kRows = kSide;
constexpr bool kBinaryPlanes = true;
// From the rates of both measured on one processor, and where lists paid there: below 1 to 2 % of
// the inputs on, where they pay below 25 % in lanes.
constexpr double kProductSpeed = 10;

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

// Rows of bytes of outputs, 64 inputs a block: bytes from row to row, and from block to block.
struct Left {
  const void* rows;
  int64_t stride, block;
};

// Quads of inputs: rows of four bytes for each chain, 16 quads a block.
struct Right {
  const void* rows;
  int64_t stride;
};

// Lines to bring into the second cache at each block, of tiles of digits.
struct Ahead {
  const int8_t* lines;
  int64_t n_lines;
};

template <bool kSignedLeft, int kSum, int kLeft, int kRight>
inline void multiply() {
  if constexpr (kSignedLeft)
    tdpbsud<kSum, kLeft, kRight>();
  else
    tdpbusd<kSum, kLeft, kRight>();
}

// Tiles 0 to 3, [left][right], += the products over n_blocks. Four products take as long as the
// four loads of their tiles.
template <bool kSignedLeft, int kLefts, int kRights>
inline void add_blocks(const Left& left, const Right& right, int64_t n_blocks, const Ahead& ahead) {
  const char* a = static_cast<const char*>(left.rows);
  const char* b = static_cast<const char*>(right.rows);
  for (int64_t block = 0; block < n_blocks; ++block) {
    tileloadd<6>(b, right.stride);
    tileloadd<4>(a, left.stride);
    multiply<kSignedLeft, 0, 4, 6>();
    if constexpr (kLefts == 2) {
      tileloadd<5>(a + kTileRows * left.stride, left.stride);
      multiply<kSignedLeft, 2, 5, 6>();
    }
    if constexpr (kRights == 2) {
      tileloadd<7>(b + kTileBytes, right.stride);
      multiply<kSignedLeft, 1, 4, 7>();
      if constexpr (kLefts == 2) multiply<kSignedLeft, 3, 5, 7>();
    }
    for (int64_t i = 0; i < ahead.n_lines; ++i)
      __builtin_prefetch(ahead.lines + block * kPanel * kBlock + i * kTileBytes, 0, 2);
    a += left.block;
    b += kTileRows * right.stride;
  }
}

inline void clear_sums() {
  tilezero<0>();
  tilezero<1>();
  tilezero<2>();
  tilezero<3>();
}

// Rows of sums are 64 numbers.
template <int kLefts, int kRights>
inline void store_sums(int32_t* sums) {
  constexpr int64_t kStride = 64 * sizeof(int32_t);
  tilestored<0>(sums, kStride);
  if constexpr (kRights == 2) tilestored<1>(sums + kTileRows, kStride);
  if constexpr (kLefts == 2) tilestored<2>(sums + kTileRows * 64, kStride);
  if constexpr (kLefts == 2 && kRights == 2)
    tilestored<3>(sums + kTileRows * 64 + kTileRows, kStride);
}

template <int kLefts, int kRights>
inline void digit_sums(const Left& digits, const Right& states, int64_t n_blocks,
                       const Ahead& ahead, int32_t* sums) {
  clear_sums();
  add_blocks<true, kLefts, kRights>(digits, states, n_blocks, ahead);
  store_sums<kLefts, kRights>(sums);
}

// The part of chains l .. l+31 of those at work.
inline Ahead part_of(const Next& next, int l) {
  constexpr int kLines = kPanel * kBlock / kTileBytes;
  if (next.digits == nullptr) return {nullptr, 0};
  const int64_t lane = next.lane + l, end = lane + kSide;
  const int64_t first = kLines * lane / next.n_lanes,
                last = end < next.n_lanes ? kLines * end / next.n_lanes : kLines;
  return {next.digits + first * kTileBytes, last - first};
}

template <bool kAnyByte>
inline void product_tile(const int8_t* digits, const uint8_t* in, int64_t n_quads, int width,
                         int n_units, const Next& next, int32_t* out) {
  const Left left{digits, kBlock, kPanel * kBlock};
  const int64_t n_blocks = ceil_div(n_quads, kTileRows);
  for (int l = 0; l < width; l += kSide) {
    const Right right{in + 4 * l, 4 * width};
    const Ahead ahead = part_of(next, l);
    const bool two_lefts = n_units > kTileRows, two_rights = width - l > kTileRows;
    if (two_lefts && two_rights)
      digit_sums<2, 2>(left, right, n_blocks, ahead, out + l);
    else if (two_lefts)
      digit_sums<2, 1>(left, right, n_blocks, ahead, out + l);
    else if (two_rights)
      digit_sums<1, 2>(left, right, n_blocks, ahead, out + l);
    else
      digit_sums<1, 1>(left, right, n_blocks, ahead, out + l);
  }
}

inline void byte_sums(const ByteProduct* products, int n_products, int32_t* sums) {
  for (int u = 0; u < kBlock; u += kSide) {
    clear_sums();
    for (int i = 0; i < n_products; ++i) {
      const ByteProduct& p = products[i];
      add_blocks<false, 2, 2>({p.hidden, p.stride, kTileBytes}, {p.visible + 4 * u, 4 * kBlock},
                              p.n_quads / kTileRows, {nullptr, 0});
    }
    store_sums<2, 2>(sums + u);
  }
}

static_assert(kPanel == kSide && kBlock == kTileBytes && kWord == 64, "two tiles by two");

}  // namespace
}  // namespace ncg
