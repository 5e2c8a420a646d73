// What the products of bytes take, those of product_lanes.h and of product_tiles.h alike.
#pragma once
#include <cstdint>

namespace ncg {
namespace {

constexpr int kLaneGroup = 16;  // chains of states are padded to whole groups

// The digits that come after those being multiplied, all by the same n_lanes chains: while those
// from `lane` on are at work, their share of the next digits may be brought nearer.
struct Next {
  const int8_t* digits;  // or null: none
  int64_t lane, n_lanes;
};

// kRows hidden units by a block of visible ones over 4 n_quads chains: uint8 [kRows][chains] rows
// `stride` apart, by int8 [n_quads][64 units][4].
struct ByteProduct {
  const uint8_t* hidden;
  int64_t stride;
  const int8_t* visible;
  int64_t n_quads;
};

}  // namespace
}  // namespace ncg
