// Products of states and digits by one warp: 32 chains by the 32 units of a panel, whose units lie
// in four tiles of 8. Lane 4 r + c of a warp holds the chains r + 8 j, j < 4, and of each tile the
// units 2c and 2c + 1: eight units that one Philox block serves.
//
// Inside kernels states are quads: a word of 4 units, one a byte, by 8 chains (an octet), one a
// bit. Digits lie in shared memory as tiles of 8 units by 32 inputs.
#pragma once
#include "common/layout.h"
#include "common/numerics.h"
#include "cuda/ptx.h"
#include "ops.h"

namespace ncg::cuda {

constexpr int kWarp = 32;
constexpr int kTile = 8, kTiles = kPanel / kTile;    // units a tile, tiles a panel
constexpr int kInner = 32, kTileBytes = 8 * kInner;  // inputs a product takes
constexpr int kWarpChains = 32, kOctets = 4;         // chains of a warp: pairs of octets are rows
constexpr int kPairs = kOctets / 2;                  // of one product

__device__ __forceinline__ int lane_id() { return static_cast<int>(threadIdx.x) % kWarp; }

// Four octets of one quad, side by side.
struct alignas(16) Octets {
  uint32_t octet[kOctets];
};

// Byte i of word j becomes byte j of word i.
__device__ __forceinline__ void transpose_bytes(uint32_t (&w)[4]) {
  const uint32_t a = __byte_perm(w[0], w[1], 0x5140), b = __byte_perm(w[2], w[3], 0x5140),
                 c = __byte_perm(w[0], w[1], 0x7362), d = __byte_perm(w[2], w[3], 0x7362);
  w[0] = __byte_perm(a, b, 0x5410);
  w[1] = __byte_perm(a, b, 0x7632);
  w[2] = __byte_perm(c, d, 0x5410);
  w[3] = __byte_perm(c, d, 0x7632);
}

// The quad of units 4 quad .. by the eight octets of a word of packed states; 0 past the ends.
struct QuadWord {
  uint64_t unit[4];

  __device__ __forceinline__ void load(const uint64_t* packed, int64_t n_units, int64_t words,
                                       int64_t quad, int64_t word) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t at = 4 * quad + i;
      unit[i] = at < n_units && word < words ? packed[at * words + word] : 0;
    }
  }
  __device__ __forceinline__ Octets half(int which) const {
    Octets four;
#pragma unroll
    for (int i = 0; i < 4; ++i) four.octet[i] = static_cast<uint32_t>(unit[i] >> 32 * which);
    transpose_bytes(four.octet);
    return four;
  }
};

// One octet of a quad of packed states; 0 past the ends.
__device__ __forceinline__ uint32_t load_octet(const uint64_t* packed, int64_t n_units,
                                               int64_t words, int64_t quad, int64_t octet) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(packed);
  uint32_t bits = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int64_t unit = 4 * quad + i;
    if (unit < n_units && octet < 8 * words)
      bits |= uint32_t{bytes[unit * 8 * words + octet]} << 8 * i;
  }
  return bits;
}

// A tile is two matrices of 8 units by 16 inputs, 128 bytes without a gap: a warp reads one from
// all banks, and a warpgroup's products take them so. Where the inputs 16 half .. of a unit lie:
__device__ __forceinline__ int tile_offset(int row, int half) {
  return half * (kTileBytes / 2) + row * 16;
}

// What a warpgroup's products know of tiles that lie side by side: address, bytes from one half to
// the next and from one tile to the next, in units of 16; matrices are not swizzled.
__device__ __forceinline__ uint64_t tiles_descriptor(const uint8_t* tiles) {
  constexpr uint64_t kHalves = kTileBytes / 2 / 16, kNext = kTileBytes / 16;
  return (shared_address(tiles) >> 4 & 0x3FFF) | kHalves << 16 | kNext << 32;
}

// The B operand of a product from a tile.
__device__ __forceinline__ void load_tile(uint32_t (&b)[2], const uint8_t* tile) {
  const int lane = lane_id();
  load_matrices(b[0], b[1], tile + tile_offset(lane % 8, lane / 8 % 2));
}

// A operands of 32 chains by 32 inputs: eight quads, 16 bytes each.
__device__ __forceinline__ void load_states(uint32_t (&a)[kPairs][4], const Octets* quads) {
  const int row = lane_id() / 4, column = lane_id() % 4;
  const Octets lower = quads[column], upper = quads[column + 4];
#pragma unroll
  for (int pair = 0; pair < kPairs; ++pair)
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      a[pair][i] = (lower.octet[2 * pair + i] >> row) & 0x01010101u;
      a[pair][i + 2] = (upper.octet[2 * pair + i] >> row) & 0x01010101u;
    }
}

// The tiles of digit 0, then those of digit 1, ...
template <int kDigits>
using Sums = int32_t[kPairs][kDigits * kTiles][4];
using Activations = float[kPairs][kTiles][4];

// Adds the products of 32 inputs with one digit of one tile.
template <int kAll>
__device__ __forceinline__ void add_products(int32_t (&sums)[kPairs][kAll][4], int tile,
                                             const uint32_t (&a)[kPairs][4],
                                             const uint8_t* digits) {
  uint32_t b[2];
  load_tile(b, digits);
#pragma unroll
  for (int pair = 0; pair < kPairs; ++pair) mma_u8s8(sums[pair][tile], a[pair], b[0], b[1]);
}

// x = step (... + 256 sum_1 + sum_0) + bias, from the highest place down. place(p) is a float.
template <int kPlaces, class Place>
__device__ __forceinline__ float combine(float step, float bias, Place place) {
  float x = place(kPlaces - 1);
#pragma unroll
  for (int p = kPlaces - 2; p >= 0; --p) x = fma(x, 256.f, place(p));
  return fma(x, step, bias);
}

// x of a panel's units from the sums of each digit.
template <int kDigits>
__device__ __forceinline__ void activate(const Sums<kDigits>& sums, const Layer& layer,
                                         int64_t panel, float step, Activations& x) {
  const int64_t unit = panel * kPanel + 2 * (lane_id() % 4);
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t at = unit + tile * kTile + i % 2;
      const float bias = at < layer.n_out ? layer.bias[at] : 0.f;
#pragma unroll
      for (int pair = 0; pair < kPairs; ++pair)
        x[pair][tile][i] = combine<kDigits>(step, bias, [&](int p) {
          return static_cast<float>(sums[pair][p * kTiles + tile][i]);
        });
    }
}

}  // namespace ncg::cuda
