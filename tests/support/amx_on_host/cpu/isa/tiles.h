// csrc/cpu/isa/tiles.h in plain C++, for machines without AMX: found before it by the order of the
// include paths. What the processor would refuse ends the process with a message.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#define NCG_FAST_AMX 1

namespace ncg {
namespace {

inline bool tiles_permitted() { return true; }

using TileConfig = uint8_t[64];

constexpr int kTilesOfHost = 8;

struct HostTile {
  int rows, row_bytes;  // 0: not configured
  uint8_t bytes[16][64];
};

thread_local HostTile host_tiles[kTilesOfHost];

[[noreturn]] inline void refuse(const char* instruction, const char* rule, int tile) {
  std::fprintf(stderr, "%s: tile %d must %s.\n", instruction, tile, rule);
  std::abort();
}

inline HostTile& configured(const char* instruction, int tile) {
  HostTile& found = host_tiles[tile];
  if (found.rows == 0) refuse(instruction, "be configured", tile);
  return found;
}

inline void ldtilecfg(const TileConfig& config) {
  if (config[0] != 1) refuse("ldtilecfg", "have palette 1", -1);
  for (int t = 0; t < 16; ++t) {
    const int row_bytes = config[16 + 2 * t] + 256 * config[17 + 2 * t], rows = config[48 + t];
    if (rows > 16 || row_bytes > 64 || row_bytes % 4 != 0 || (rows == 0) != (row_bytes == 0))
      refuse("ldtilecfg", "have up to 16 rows of up to 64 bytes", t);
    if (t < kTilesOfHost)
      host_tiles[t] = {rows, row_bytes, {}};
    else if (rows != 0)
      refuse("ldtilecfg", "be one of eight", t);
  }
}

inline void tilerelease() {
  for (HostTile& tile : host_tiles) tile = {};
}

template <int kTile>
inline void tilezero() {
  HostTile& tile = configured("tilezero", kTile);
  memset(tile.bytes, 0, sizeof tile.bytes);
}

template <int kTile>
inline void tileloadd(const void* rows, int64_t stride) {
  HostTile& tile = configured("tileloadd", kTile);
  memset(tile.bytes, 0, sizeof tile.bytes);
  for (int r = 0; r < tile.rows; ++r)
    memcpy(tile.bytes[r], static_cast<const uint8_t*>(rows) + r * stride,
           static_cast<size_t>(tile.row_bytes));
}

template <int kTile>
inline void tilestored(void* rows, int64_t stride) {
  const HostTile& tile = configured("tilestored", kTile);
  for (int r = 0; r < tile.rows; ++r)
    memcpy(static_cast<uint8_t*>(rows) + r * stride, tile.bytes[r],
           static_cast<size_t>(tile.row_bytes));
}

template <class L, class R>
inline void multiply_add(const char* instruction, int sum_tile, int left_tile, int right_tile) {
  HostTile& sums = configured(instruction, sum_tile);
  const HostTile &left = configured(instruction, left_tile),
                 &right = configured(instruction, right_tile);
  if (sum_tile == left_tile || sum_tile == right_tile || left_tile == right_tile)
    refuse(instruction, "differ from the two others", sum_tile);
  if (sums.rows != left.rows || sums.row_bytes != right.row_bytes ||
      left.row_bytes != 4 * right.rows)
    refuse(instruction, "have the shape of the product", sum_tile);
  for (int m = 0; m < sums.rows; ++m) {
    int32_t row[16];
    memcpy(row, sums.bytes[m], sizeof row);
    for (int k = 0; k < right.rows; ++k)
      for (int n = 0; n < sums.row_bytes / 4; ++n)
        for (int i = 0; i < 4; ++i)
          row[n] +=
              static_cast<L>(left.bytes[m][4 * k + i]) * static_cast<R>(right.bytes[k][4 * n + i]);
    memcpy(sums.bytes[m], row, sizeof row);
  }
}

template <int kSum, int kLeft, int kRight>
inline void tdpbuud() {
  multiply_add<uint8_t, uint8_t>("tdpbuud", kSum, kLeft, kRight);
}
template <int kSum, int kLeft, int kRight>
inline void tdpbusd() {
  multiply_add<uint8_t, int8_t>("tdpbusd", kSum, kLeft, kRight);
}

}  // namespace
}  // namespace ncg
