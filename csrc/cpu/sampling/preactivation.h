// x = bias + (W∘A) states for a group of chains: exact sums, of rows of weights or of connections.
#pragma once
#include "cpu/isa/products.h"
#include "cpu/sampling/connections.h"
#include "cpu/sampling/rows.h"
#include "cpu/scratch.h"

namespace ncg {
namespace {

constexpr int64_t kListedInputs = 16384;  // at a time
constexpr int64_t kTileChains = 32;       // of a group: from so many on, tiles pay
constexpr int64_t kTurnedBytes = kTiles ? 8 * 16 * 1024 : 0;

// A layer and the memory of a group of at most n_most chains, on which n_workers work together.
struct HalfStep {
  Layer layer;
  const float* bias;  // split order, padded to kSuper
  float step;
  int n_planes;
  Inputs in;  // of the group; what is counted is kept from one half step to the next
  List* lists;
  uint32_t* room;
  bool* fresh;
  uint64_t* packed;  // inputs of connections
  uint8_t* bytes;    // inputs of tiles, rows of whole words
  // Whole rows of x; null: kSuper outputs of each chain, in each worker's own memory.
  int32_t* x;
  char* own;
  int64_t own_bytes;

  bool sparse() const { return layer.digits.sparse != nullptr; }
  int64_t supers() const { return ceil_div(layer.n_out, kSuper); }
  int64_t n_units(int64_t super) const {
    const int64_t left = layer.n_out - super * kSuper;
    return left < kSuper ? left : kSuper;
  }
  int64_t byte_stride() const { return ceil_div(layer.n_in, 64) * 64; }
  // Of a chain's lists.
  int64_t room_words() const {
    const int64_t listed = layer.n_in < kListedInputs ? layer.n_in : kListedInputs;
    return (listed < layer.n_in ? layer.n_in : 0) + 2 * ceil_div(listed, 64) * 64 + kListRoom;
  }
  // Rows lie so that those of several chains do not meet in the same sets of a cache.
  Sums sums(const Worker& me, int64_t super) const {
    const float* from = bias + super * kSuper;
    const int64_t plane = x == nullptr ? kSuper : supers() * kSuper, row = n_planes * plane + 16;
    int32_t* at = x == nullptr ? reinterpret_cast<int32_t*>(own_memory(me)) : x + super * kSuper;
    return {at, row, plane, n_planes, step, from};
  }
  char* own_memory(const Worker& me) const { return own + me.id * own_bytes; }
  int64_t own_rows(int64_t n, int planes) const { return 4 * n * (planes * kSuper + 16); }
  // Of levels: the places as planes, of which connections and more inputs than kLevelInputs make
  // floats.
  Sums level_sums(const Worker& me, int64_t super) const {
    const int places = sparse() || !few_levels(layer.n_in) ? 0 : layer.digits.n_digits + 1;
    return {reinterpret_cast<int32_t*>(own_memory(me)),
            kMaxPlaces * kSuper + 16,
            kSuper,
            places,
            level_step(layer),
            bias + super * kSuper};
  }
};

// Call these outside parallel regions.
inline float* split_order(const float* values, int64_t n) {
  const int64_t padded = ceil_div(n, kSuper) * kSuper;
  float* split = scratch<float>(padded);
  memset(split, 0, sizeof(float) * static_cast<size_t>(padded));
  for (int64_t i = 0; i < n; ++i) split[slot_in_split_order(i)] = values[i];
  return split;
}

inline HalfStep make_half_step(const Layer& layer, const float* split_bias, int64_t n_most,
                               int n_workers, bool kept, bool levels) {
  HalfStep h{};
  h.layer = layer;
  h.bias = split_bias;
  h.step = layer.digits.step();
  h.n_planes = RowLayout{layer.n_out, layer.n_in, layer.digits.n_digits}.planes();
  h.in.now = make_bits(layer.n_in, n_most);
  if (h.sparse()) {
    h.packed = scratch<uint64_t>(layer.n_in * ceil_div(n_most, kWord));
    if (levels) h.room = scratch<uint32_t>(layer.n_in * level_lanes(n_most));
  } else {
    h.lists = scratch<List>(n_most);
    h.fresh = scratch<bool>(n_most);
    const int64_t room = h.room_words(), list = levels ? LevelList::words(layer.n_in) : 0;
    h.room = scratch<uint32_t>(n_most * (room > list ? room : list));
    if (kTiles && n_most >= kTileChains)
      h.bytes = scratch<uint8_t>(h.byte_stride() * (n_most + kTileChains));
    else if (kept)
      h.in.counted = make_bits(layer.n_in, n_most);
    if (kept || layer.n_in > kListedInputs)
      h.x = scratch<int32_t>(n_most * (h.n_planes * h.supers() * kSuper + 16));
  }
  const int64_t cut = levels ? level_bytes(layer.n_in, n_most) : 0;
  h.own_bytes = h.own_rows(n_most, levels ? kMaxPlaces : h.n_planes) +
                (cut > kTurnedBytes ? cut : kTurnedBytes);
  h.own = scratch<char>(h.own_bytes * n_workers);
  return h;
}

// Each calls use(sums, super) for the supers of a worker's share and ends with a barrier.
template <class Use>
inline void row_sums(const Worker& me, const HalfStep& h, int64_t n, bool first_of_group, Use use) {
  constexpr int64_t kBlocks = kSuper / kBlock, kPiece = kListedInputs / 64;
  const RowLayout layout{h.layer.n_out, h.layer.n_in, h.layer.digits.n_digits};
  const int64_t words = ceil_div(h.layer.n_in, 64);
  const uint32_t zero = static_cast<uint32_t>(h.layer.n_in);
  for (int64_t first = 0, last = 0; last < words; first = last) {
    last = first + kPiece < words ? first + kPiece : words;
    me.share(n, [&](int64_t c) {
      if (first == 0) h.fresh[c] = first_of_group || starts_fresh(h.in, c);
      h.lists[c] = make_list(h.in, c, h.fresh[c], h.fresh[c] && first == 0, first, last, zero,
                             h.room + c * h.room_words());
      if (h.in.counted.bits != nullptr)
        memcpy(h.in.counted.of(c) + first, h.in.now.of(c) + first,
               sizeof(uint64_t) * static_cast<size_t>(last - first));
    });
    me.share(h.supers(), [&](int64_t super) {
      const Sums sums = h.sums(me, super);
      for (int p = 0; p < h.n_planes; ++p)
        for (int64_t b = kBlocks * super; b < kBlocks * (super + 1) && b < layout.blocks(); ++b) {
          const int16_t* rows = rows_of(h.layer.digits) + layout.block(p, b);
          int32_t* x = sums.data + p * sums.plane_stride + b % kBlocks * kBlock;
          const bool digits = p + 1 < h.n_planes || h.n_planes == h.layer.digits.n_digits;
          for (int64_t c = 0; c < n; ++c, x += sums.chain_stride)
            if (digits)
              add_rows<true>(rows, h.lists[c], x);
            else
              add_rows<false>(rows, h.lists[c], x);
        }
      if (last == words) use(sums, super);
    });
  }
}

#ifdef NCG_FAST_TILES
// Sums in tiles, from nothing: each block's weights are turned once for all chains.
template <class Use>
inline void tile_sums(const Worker& me, const HalfStep& h, int64_t n, Use use) {
  constexpr int64_t kBlocks = kSuper / kBlock;
  const RowLayout layout{h.layer.n_out, h.layer.n_in, h.layer.digits.n_digits};
  const int64_t stride = h.byte_stride();
  me.share(n, [&](int64_t c) { state_bytes(h.in.now.of(c), stride / 64, h.bytes + c * stride); });
  me.share(h.supers(), [&](int64_t super) {
    const Sums sums = h.sums(me, super);
    uint8_t* turned = reinterpret_cast<uint8_t*>(h.own_memory(me) + h.own_rows(n, h.n_planes));
    for (int p = 0; p < h.n_planes; ++p)
      for (int64_t b = kBlocks * super; b < kBlocks * (super + 1) && b < layout.blocks(); ++b) {
        const int16_t* rows = rows_of(h.layer.digits) + layout.block(p, b);
        int32_t* x = sums.data + p * sums.plane_stride + b % kBlocks * kBlock;
        for (int64_t first = 0; first < stride; first += kTileInputs) {
          const int64_t left = stride - first, count = left < kTileInputs ? left : kTileInputs;
          turn_rows(rows, h.layer.n_in, first, count, turned);
          for (int64_t c = 0; c < n; c += kSide)
            for (int part = 0; part < kBlock / kTileRows; ++part)
              add_tiles(h.bytes + c * stride + first, stride, turned + 2 * part * kTile1K,
                        count / kTileBytes, first == 0, n - c,
                        x + c * sums.chain_stride + part * kTileRows, sums.chain_stride);
        }
      }
    use(sums, super);
  });
}
#endif

template <class Use>
inline void connection_sums(const Worker& me, const HalfStep& h, int64_t n, Use use) {
  to_packed(me, h.in.now, h.layer.n_in, n, h.packed);
  me.share(h.supers(), [&](int64_t super) {
    const Sums sums = h.sums(me, super);
    connection_sums(h.layer, super * kSuper, h.n_units(super), h.packed, n, sums);
    use(sums, super);
  });
}

// From the states in `in`, for n chains, of which `first_of_group` knows no sums.
template <class Use>
inline void preactivations(const Worker& me, const HalfStep& h, int64_t n, bool first_of_group,
                           Use use) {
  if (h.sparse()) return connection_sums(me, h, n, use);
#ifdef NCG_FAST_TILES
  if (h.bytes != nullptr) return tile_sums(me, h, n, use);
#endif
  row_sums(me, h, n, first_of_group, use);
}

// From the levels of the chains first .. first + n - 1.
template <class Use>
inline void level_preactivations(const Worker& me, const HalfStep& h, const States& states,
                                 int64_t first, int64_t n, Use use) {
  const int64_t words = LevelList::words(h.layer.n_in);
  int32_t* pairs = reinterpret_cast<int32_t*>(h.room);
  if (h.sparse())
    me.share(n, [&](int64_t c) { byte_pairs(states, first + c, n, c, pairs); });
  else
    me.share(n, [&](int64_t c) {
      list_levels(states, first + c, LevelList(h.room + c * words, h.layer.n_in));
    });
  me.share(h.supers(), [&](int64_t super) {
    const Sums sums = h.level_sums(me, super);
    for (int64_t u = 0; u < h.n_units(super); u += h.sparse() ? 1 : kLevelOutputs) {
      const int64_t unit = super * kSuper + u;
      char* memory = h.own_memory(me) + h.own_rows(n, kMaxPlaces);
      if (h.sparse())
        connection_levels(h.layer, unit, pairs, n, sums, slot_in_split_order(u));
      else if (h.layer.digits.n_digits == 2)
        level_outputs<2>(h.layer, h.room, words, n, unit, memory, sums);
      else
        level_outputs<3>(h.layer, h.room, words, n, unit, memory, sums);
    }
    use(sums, super);
  });
}

}  // namespace
}  // namespace ncg
