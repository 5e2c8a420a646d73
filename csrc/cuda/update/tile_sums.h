// <h v>_data and <h v>_model of tiles of pairs: exact sums over the chains of (16-bit hidden level)
// x (visible state), on int8 tensor cores.
#pragma once
#include "common/layout.h"
#include "common/numerics.h"
#include "cuda/ptx.h"
#include "cuda/update/phases.h"

namespace ncg::cuda {

constexpr int kTileRows = 64;  // hidden units a tile
constexpr int kTileThreads = 256, kTileWarps = kTileThreads / 32;
constexpr int kPartWords = 512;  // words of chains whose products of bytes fit int32
constexpr int64_t kManyPairs = int64_t{1} << 20;  // from here on tiles are 128 columns wide
static_assert(int64_t{255} * 255 * kWord * kPartWords <= INT32_MAX, "parts must fit");

// Hidden bytes (both planes) and visible bytes of 64 chains.
template <int kColumns>
struct Operands {
  uint4 hidden[2][kTileRows][4];
  uint4 visible[kColumns][4];
};

// Sums of all pairs of a tile, one more column than there are, so that columns lie in all banks.
template <int kColumns, class Sum>
struct TileSums {
  Sum data[kTileRows][kColumns + 1], model[kTileRows][kColumns + 1];
};

// The dynamic shared memory of a block.
template <int kColumns, class Sum>
struct TileMemory {
  Operands<kColumns> operands[2];
  TileSums<kColumns, Sum> sums;
};

// Narrow sums are of packed states alone, which the compiler then knows.
template <class Sum>
__device__ __forceinline__ bool has_levels(const PhaseStates& phase) {
  return sizeof(Sum) > sizeof(int32_t) && phase.levels;
}

struct Tile {
  int row, column;  // the first hidden and visible unit
};
template <int kColumns>
__device__ __forceinline__ Tile tile_of(int64_t index, int64_t n_visible) {
  const int64_t across = ceil_div(n_visible, kColumns);
  return {static_cast<int>(index / across) * kTileRows,
          static_cast<int>(index % across) * kColumns};
}

// Which 64 chains come next: first those of the data, once for each plane of real values.
struct Position {
  int phase, plane, word;
};

__device__ __forceinline__ PhaseStates phase_at(const PhasePair& both, const Position& at) {
  return at.phase == 0 ? both.data : both.model;
}
__device__ __forceinline__ Position first_position(const PhasePair& both) {
  return {both.data.words == 0 ? both.model.words == 0 ? 2 : 1 : 0, 0, 0};
}
template <class Sum>
__device__ __forceinline__ Position following(const PhasePair& both, Position at) {
  const PhaseStates now = phase_at(both, at);
  if (++at.word < now.words) return at;
  if (has_levels<Sum>(now) && at.plane == 0) return {at.phase, 1, 0};
  return {at.phase == 0 && both.model.words > 0 ? 1 : 2, 0, 0};
}

// Chains 16 k .. of one unit among 64 and one word of its planes, k = thread % 4: what a thread
// brings.
__device__ __forceinline__ const uint4* plane_part(const uint8_t* planes, int64_t row,
                                                   const PhaseStates& phase, int word) {
  return reinterpret_cast<const uint4*>(planes) + (row * phase.words + word) * 4 + threadIdx.x % 4;
}

// Begins to copy the hidden levels; those of units that are not there stay as they are, 0.
template <int kColumns>
__device__ __forceinline__ void begin_hidden(const PhasePair& both, const Tile& tile,
                                             const Position& at, Operands<kColumns>& to) {
  const PhaseStates now = phase_at(both, at);
  const int unit = threadIdx.x / 4;
  const int row = tile.row + unit;
  if (row < both.n_hidden)
    for (int p = 0; p < 2; ++p)
      copy_async(&to.hidden[p][unit][threadIdx.x % 4],
                 plane_part(now.hidden, p * both.n_hidden + row, now, at.word));
  commit_copies();
}

// The visible states on their way: bits in x, or bytes.
template <int kColumns>
struct Fetched {
  uint4 visible[kColumns / 64];
};

template <int kColumns, class Sum>
__device__ __forceinline__ Fetched<kColumns> fetch_visible(const PhasePair& both, const Tile& tile,
                                                           const Position& at) {
  const PhaseStates now = phase_at(both, at);
  Fetched<kColumns> found{};
#pragma unroll
  for (int j = 0; j < kColumns / 64; ++j) {
    const int column = tile.column + static_cast<int>(threadIdx.x) / 4 + 64 * j;
    if (column >= both.n_visible) continue;
    if (has_levels<Sum>(now))
      found.visible[j] = *plane_part(now.visible, at.plane * both.n_visible + column, now, at.word);
    else
      found.visible[j].x = reinterpret_cast<const uint16_t*>(
          now.visible_bits())[(static_cast<int64_t>(column) * now.words + at.word) * 4 +
                              threadIdx.x % 4];
  }
  return found;
}

// Four bits as four bytes.
__device__ __forceinline__ uint32_t spread(uint32_t bits) {
  return (bits & 15) * 0x204081u & 0x01010101u;
}

template <int kColumns>
__device__ __forceinline__ void put_visible(const Fetched<kColumns>& found, bool levels,
                                            Operands<kColumns>& to) {
#pragma unroll
  for (int j = 0; j < kColumns / 64; ++j) {
    uint4 bytes = found.visible[j];
    if (!levels) {
      const uint32_t bits = bytes.x;
      bytes = {spread(bits), spread(bits >> 4), spread(bits >> 8), spread(bits >> 12)};
    }
    to.visible[threadIdx.x / 4 + 64 * j][threadIdx.x % 4] = bytes;
  }
}

// Of a warp: 16 hidden units by half the columns, in tiles of 8; [.][.] as mma holds them.
template <int kColumns>
struct Accumulators {
  static constexpr int kTiles = kColumns / 16;
  int32_t low[kTiles][4], high[kTiles][4];  // sums of the low and of the high bytes
};

struct WarpPlace {
  int row, column;  // of this lane's first sum in the tile
  template <int kColumns>
  static __device__ __forceinline__ WarpPlace of_lane() {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    return {warp % 4 * 16 + lane / 4, warp / 4 * (kColumns / 2) + lane % 4 * 2};
  }
};

// Lane c of four takes chains 16 c .. 16 c + 15 of its units for two products of K = 32: any order
// of the chains gives the same sum, and this one reads 16 bytes at once.
template <int kColumns>
__device__ __forceinline__ void multiply(const Operands<kColumns>& from,
                                         Accumulators<kColumns>& sums) {
  const int c = threadIdx.x % 4, unit = threadIdx.x % 32 / 4;
  const WarpPlace place = WarpPlace::of_lane<kColumns>();
  const uint4 low[2] = {from.hidden[0][place.row][c], from.hidden[0][place.row + 8][c]},
              high[2] = {from.hidden[1][place.row][c], from.hidden[1][place.row + 8][c]};
  const uint32_t low_first[4] = {low[0].x, low[1].x, low[0].y, low[1].y},
                 low_second[4] = {low[0].z, low[1].z, low[0].w, low[1].w},
                 high_first[4] = {high[0].x, high[1].x, high[0].y, high[1].y},
                 high_second[4] = {high[0].z, high[1].z, high[0].w, high[1].w};
#pragma unroll
  for (int t = 0; t < Accumulators<kColumns>::kTiles; ++t) {
    const uint4 v = from.visible[place.column - 2 * c + 8 * t + unit][c];
    mma_u8u8(sums.low[t], low_first, v.x, v.y);
    mma_u8u8(sums.high[t], high_first, v.x, v.y);
    mma_u8u8(sums.low[t], low_second, v.z, v.w);
    mma_u8u8(sums.high[t], high_second, v.z, v.w);
  }
}

// Adds factor * (low + 256 high) to a lane's own sums in shared memory, and begins anew.
template <int kColumns, class Sum>
__device__ __forceinline__ void collect(Accumulators<kColumns>& sums, Sum factor,
                                        Sum (&to)[kTileRows][kColumns + 1]) {
  const WarpPlace place = WarpPlace::of_lane<kColumns>();
#pragma unroll
  for (int t = 0; t < Accumulators<kColumns>::kTiles; ++t)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      to[place.row + i / 2 * 8][place.column + 8 * t + i % 2] +=
          factor * (static_cast<Sum>(sums.low[t][i]) + 256 * static_cast<Sum>(sums.high[t][i]));
      sums.low[t][i] = sums.high[t][i] = 0;
    }
}

// Both sums of all pairs of a tile, seen by all threads.
template <int kColumns, class Sum>
__device__ __forceinline__ void sum_tile(const PhasePair& both, const Tile& tile,
                                         TileMemory<kColumns, Sum>& memory) {
  Accumulators<kColumns> sums{};
  for (int i = threadIdx.x; i < 2 * kTileRows * (kColumns + 1); i += kTileThreads)
    (&memory.sums.data[0][0])[i] = 0;
  for (int i = threadIdx.x; i < 2 * 2 * kTileRows * 4; i += kTileThreads)
    (&memory.operands[i / (2 * kTileRows * 4)].hidden[0][0][0])[i % (2 * kTileRows * 4)] = {};
  __syncthreads();
  Position at = first_position(both);
  Fetched<kColumns> next{};
  if (at.phase < 2) {
    begin_hidden(both, tile, at, memory.operands[0]);
    next = fetch_visible<kColumns, Sum>(both, tile, at);
  }
#pragma unroll 1
  for (int turn = 0; at.phase < 2; turn ^= 1) {
    Operands<kColumns>& operands = memory.operands[turn];
    put_visible(next, has_levels<Sum>(phase_at(both, at)), operands);
    wait_copies<0>();
    __syncthreads();  // from here on nobody reads the other turn's operands
    const Position then = following<Sum>(both, at);
    if (then.phase < 2) {
      begin_hidden(both, tile, then, memory.operands[turn ^ 1]);
      next = fetch_visible<kColumns, Sum>(both, tile, then);
    }
    multiply(operands, sums);
    if (then.word % kPartWords == 0) {
      if (at.phase == 0)
        collect(sums, static_cast<Sum>(1 << 8 * at.plane), memory.sums.data);
      else
        collect(sums, static_cast<Sum>(both.means.visible_one), memory.sums.model);
    }
    at = then;
  }
  __syncthreads();
}

// The same from sums that are given.
template <int kColumns, class Sum>
__device__ __forceinline__ void sum_tile(const GivenSums& given, const Tile& tile,
                                         TileMemory<kColumns, Sum>& memory) {
  for (int i = threadIdx.x; i < kTileRows * kColumns; i += kTileThreads) {
    const int r = i / kColumns, c = i % kColumns, row = tile.row + r, column = tile.column + c;
    if (row >= given.n_hidden || column >= given.n_visible) continue;
    const int64_t at = row * given.n_visible + column;
    memory.sums.data[r][c] = given.data.products[at];
    memory.sums.model[r][c] = given.model.products[at] * given.means.visible_one;
  }
  __syncthreads();
}

// Gradients that are given need no sums.
template <int kColumns, class Sum>
__device__ __forceinline__ void sum_tile(const GivenGradients&, const Tile&,
                                         TileMemory<kColumns, Sum>&) {}

}  // namespace ncg::cuda
