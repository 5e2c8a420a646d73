// What becomes of a warp's pre-activations: means, levels, or Bernoulli draws.
#pragma once
#include "cuda/sampling/half_step.h"
#include "cuda/sampling/products.h"

namespace ncg::cuda {

// 32 chains by the tiles first_tile .. last_tile - 1 of a panel.
struct Piece {
  int64_t panel, chain;
  int first_tile, last_tile;
  __device__ bool has(int tile) const { return tile >= first_tile && tile < last_tile; }
};

// Draws of the eight units of one chain that a lane holds: bit 2 tile + i.
__device__ __forceinline__ uint32_t draw_row(const float (&x)[8], const Draw& draw, int64_t chain,
                                             int64_t unit) {
  const int64_t global = draw.chain_offset + chain;
  const uint32_t group = group_of(draw.unit_offset + unit);
  const Words words = philox(draw_counter(global, group, draw.step, draw.stream), draw.seed);
  float y[8];
  uint32_t on = 0, open = 0;
#pragma unroll
  for (int slot = 0; slot < 8; ++slot) {
    y[slot] = one_plus_exp_neg(x[slot]);
    const float u = static_cast<float>(words.word[slot / 2] >> 16 * (slot % 2) & 0xFFFF),
                s = mul(y[slot], 0x1p-16f);
    const bool surely = mul(add(u, 1.f), s) <= 1.f, maybe = mul(u, s) < 1.f;
    on |= static_cast<uint32_t>(surely) << slot;
    open |= static_cast<uint32_t>(maybe && !surely) << slot;
  }
#pragma unroll 1
  for (int slot = 0; open >> slot != 0; ++slot) {  // once in 65 536 draws
    if (!(open >> slot & 1)) continue;
    float threshold = y[0];
    uint32_t word = words.word[0];
#pragma unroll
    for (int i = 1; i < 8; ++i) {
      if (slot == i) {
        threshold = y[i];
        word = words.word[i / 2];
      }
    }
    const uint32_t first = word >> 16 * (slot % 2) & 0xFFFF;
    const uint32_t further = further_bits(draw.seed, global, group, slot, draw.step, draw.stream);
    on |= static_cast<uint32_t>(decide_open(first, further, threshold)) << slot;
  }
  return on;
}

// Where the quad lies that gather_quads leaves in a lane.
struct QuadPlace {
  int tile, quad, octet;  // of the panel, of the tile, of the warp's chains
  __device__ QuadPlace()
      : tile(lane_id() / 8),
        quad(lane_id() / 2 % 2),
        octet(lane_id() / 4 % 2 * 2 + lane_id() % 2) {}
};

// ORs what two lanes hold of 2 kKept quads and leaves half of them to each.
template <int kKept>
__device__ __forceinline__ void merge_parts(uint32_t (&part)[4 * kTiles], int partner) {
  const bool upper = lane_id() & partner;
#pragma unroll
  for (int i = 0; i < kKept; ++i) {
    const uint32_t low = part[i], high = part[i + kKept];
    part[i] = (upper ? high : low) | __shfl_xor_sync(~0u, upper ? low : high, partner);
  }
}

// From the parts that lanes hold of each quad, part [4 tile + octet], to one whole quad a lane.
__device__ __forceinline__ uint32_t gather_quads(uint32_t (&part)[4 * kTiles]) {
  merge_parts<8>(part, 16);
  merge_parts<4>(part, 8);
  merge_parts<2>(part, 4);
  merge_parts<1>(part, 1);
  return part[0];
}

// From the quads of the four octets, one a lane, to 32 chains of one unit: lane of octet j has unit
// j of the quad.
__device__ __forceinline__ uint32_t quads_to_unit(uint32_t quad) {
  const int lane = lane_id();
  uint32_t other = __shfl_xor_sync(~0u, quad, 1);
  quad = lane & 1 ? __byte_perm(quad, other, 0x3715) : __byte_perm(quad, other, 0x6240);
  other = __shfl_xor_sync(~0u, quad, 4);
  return lane & 4 ? __byte_perm(quad, other, 0x3276) : __byte_perm(quad, other, 0x5410);
}

// One chain's pre-activations as the draws take them.
__device__ __forceinline__ void adjust(float (&x)[8], const Outcome& o, int64_t chain, int64_t unit,
                                       int64_t n_out) {
  if (o.draw.beta == nullptr && o.rung == nullptr) return;
  const float beta = o.draw.beta != nullptr ? o.draw.beta[chain] : static_cast<float>(*o.rung),
              rest = add(1.f, -beta);
#pragma unroll
  for (int slot = 0; slot < 8; ++slot) {
    const int64_t at = unit + slot / 2 * kTile + slot % 2;
    if (o.base_bias == nullptr)
      x[slot] = mul(beta, x[slot]);
    else if (at < n_out)
      x[slot] = fma(beta, x[slot], mul(rest, o.base_bias[at]));
  }
}

// Means, levels or x itself of one chain.
__device__ __forceinline__ void store_row(const float (&x)[8], const Outcome& o, const Piece& piece,
                                          int64_t chain, int64_t unit, int64_t n_out,
                                          int64_t n_chains) {
  const int64_t stride = ceil_div(n_chains, kWord) * kWord;
#pragma unroll
  for (int slot = 0; slot < 8; ++slot) {
    const int64_t at = unit + slot / 2 * kTile + slot % 2;
    if (at >= n_out || !piece.has(slot / 2)) continue;
    if (chain < n_chains && o.preactivation != nullptr)
      o.preactivation[chain * n_out + at] = x[slot];
    if (o.mean == nullptr && o.planes == nullptr) continue;
    const float mean = div(1.f, one_plus_exp_neg(x[slot]));
    if (chain < n_chains && o.mean != nullptr) o.mean[chain * n_out + at] = mean;
    if (chain < stride && o.planes != nullptr) {
      const float level = round_even(mul(mean, static_cast<float>(kLevels)));
      const uint32_t k = chain < n_chains ? static_cast<uint32_t>(level) : 0;
      o.planes[at * stride + chain] = static_cast<uint8_t>(k);
      o.planes[(n_out + at) * stride + chain] = static_cast<uint8_t>(k >> 8);
    }
  }
}

// Stores what is wanted of a piece; the quad of draws in each lane goes to store(place, quad).
template <class Store>
__device__ __forceinline__ void settle(const Activations& x, const Piece& piece,
                                       const Outcome& outcome, int64_t n_out, int64_t n_chains,
                                       Store store) {
  const int row = lane_id() / 4, column = lane_id() % 4;
  const int64_t unit = piece.panel * kPanel + 2 * column;
  const bool has_values =
      outcome.preactivation != nullptr || outcome.mean != nullptr || outcome.planes != nullptr;
  uint32_t part[4 * kTiles] = {};
#pragma unroll
  for (int octet = 0; octet < kOctets; ++octet) {
    const int64_t chain = piece.chain + 8 * octet + row;
    float of_chain[8];
#pragma unroll
    for (int slot = 0; slot < 8; ++slot)
      of_chain[slot] = x[octet / 2][slot / 2][octet % 2 * 2 + slot % 2];
    if (has_values) store_row(of_chain, outcome, piece, chain, unit, n_out, n_chains);
    if (outcome.packed == nullptr || chain >= n_chains) continue;
    adjust(of_chain, outcome, chain, unit, n_out);
    const uint32_t on = draw_row(of_chain, outcome.draw, chain, unit);
#pragma unroll
    for (int slot = 0; slot < 8; ++slot)
      if (unit + slot / 2 * kTile + slot % 2 < n_out)
        part[slot / 2 * 4 + octet] |= (on >> slot & 1) << (row + 8 * (column % 2 * 2 + slot % 2));
  }
  if (outcome.packed == nullptr) return;
  uint32_t quad = gather_quads(part);
  const QuadPlace place;
  if (outcome.clamped != nullptr) {
    const int64_t words = ceil_div(n_chains, kWord),
                  at = piece.panel * (kPanel / 4) + place.tile * 2 + place.quad,
                  octet = piece.chain / 8 + place.octet;
    const uint32_t held = load_octet(outcome.clamped, n_out, words, at, octet),
                   start = load_octet(outcome.start, n_out, words, at, octet);
    quad = (quad & ~held) | (start & held);
  }
  store(place, quad);
}

}  // namespace ncg::cuda
