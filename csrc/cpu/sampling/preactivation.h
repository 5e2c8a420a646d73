// x = bias + (W∘A) states, tile by tile: exact digit products, then float32 from the highest place
// down.
#pragma once
#include "cpu/sampling/gather_product.h"
#include "cpu/sampling/lookup_product.h"
#include "cpu/sampling/sparse_product.h"

namespace ncg {
namespace {

// Pre-activations of up to 32 units and 64 chains, x[unit][chain].
struct Tile {
  int64_t unit, chain;
  int n_units, n_chains, width;  // width: lanes that hold numbers, a multiple of 16
  alignas(64) float x[kPanel * kWord];
};

// x = step place_0 + ... with places in float32, highest first, one fma each.
template <class Place>
inline void combine(const Layer& layer, Tile& tile, int n_places, float step, Place place) {
  for (int r = 0; r < tile.n_units; ++r)
    for (int l = 0; l < tile.width; l += kLanes) {
      F x = place(n_places - 1, r * kWord + l);
      for (int p = n_places - 2; p >= 0; --p) x = fma(x, splat(256.f), place(p, r * kWord + l));
      store(tile.x + r * kWord + l, fma(x, splat(step), splat(layer.bias[tile.unit + r])));
    }
}

// Where the next panel has a digit's tiles from `block` on, and which chains of `in` are at work.
inline Next next_panel(const Layer& layer, const Operand& in, const Tile& tile, int digit,
                       int64_t block) {
  const DigitLayout layout{layer.n_out, layer.n_in, layer.digits.n_digits};
  const int64_t panel = tile.unit / kPanel + 1;
  const int8_t* digits =
      panel < layout.panels() ? layer.digits.dense + layout.tile(panel, digit, block) : nullptr;
  return {digits, tile.chain, in.n_lanes};
}

inline void packed_tile(const Layer& layer, const Operand& in, int64_t panel, int64_t word,
                        Tile& tile) {
  alignas(64) int32_t sums[3][kPanel * kWord];
  const DigitLayout layout{layer.n_out, layer.n_in, layer.digits.n_digits};
  for (int d = 0; d < layer.digits.n_digits; ++d)
    product_tile<false>(layer.digits.dense + layout.tile(panel, d, 0), in.word_bytes(0, word),
                        ceil_div(layer.n_in, 4), tile.width, tile.n_units,
                        next_panel(layer, in, tile, d, 0), sums[d]);
  const float step = layer.digits.step();
  combine(layer, tile, layer.digits.n_digits, step,
          [&](int p, int at) { return to_float(load(sums[p] + at)); });
}

inline F to_floats(const int64_t* sums) {
  alignas(64) float floats[kLanes];
  for (int i = 0; i < kLanes; ++i) floats[i] = static_cast<float>(sums[i]);
  return load(floats);
}

// Of a level times the lowest digit.
inline float level_step(const Layer& layer) {
  const float step = layer.digits.step();
  return static_cast<float>(static_cast<double>(step) / kLevels);
}

// Levels: two byte planes; the sum of place p is that of all digit d and plane p - d, in 64 bits.
inline void level_tile(const Layer& layer, const Operand& in, int64_t panel, int64_t word,
                       Tile& tile) {
  constexpr int64_t kInputs = 65536;  // whose products, up to 255 x 128 each, fit int32
  alignas(64) int32_t sums[kPanel * kWord];
  alignas(64) int64_t places[4][kPanel * kWord] = {};
  const DigitLayout layout{layer.n_out, layer.n_in, layer.digits.n_digits};
  for (int plane = 0; plane < 2; ++plane)
    for (int d = 0; d < layer.digits.n_digits; ++d)
      for (int64_t first = 0; first < layer.n_in; first += kInputs) {
        const int64_t count = layer.n_in - first < kInputs ? layer.n_in - first : kInputs;
        product_tile<true>(layer.digits.dense + layout.tile(panel, d, first / kBlock),
                           in.word_bytes(plane, word) + first * tile.width, ceil_div(count, 4),
                           tile.width, tile.n_units, next_panel(layer, in, tile, d, first / kBlock),
                           sums);
        for (int r = 0; r < tile.n_units; ++r)
          for (int l = 0; l < tile.width; ++l)
            places[d + plane][r * kWord + l] += sums[r * kWord + l];
      }
  combine(layer, tile, layer.digits.n_digits + 1, level_step(layer),
          [&](int p, int at) { return to_floats(places[p] + at); });
}

inline void sparse_tile(const Layer& layer, const Operand& in, int64_t word, Tile& tile) {
  for (int r = 0; r < tile.n_units; ++r)
    sparse_row(layer, in, word, tile.unit + r, tile.x + r * kWord);
}

inline void sparse_level_tile(const Layer& layer, const Operand& in, int64_t word, Tile& tile) {
  const F step = splat(level_step(layer));
  for (int r = 0; r < tile.n_units; ++r) {
    const Connections row = connections_of(layer, tile.unit + r);
    for (int l = 0; l < tile.width; l += kLanes) {
      int64_t places[4][kLanes] = {};
      sparse_level_places(layer, in, word, l, row, places);
      F x = to_floats(places[layer.digits.n_digits]);
      for (int p = layer.digits.n_digits - 1; p >= 0; --p)
        x = fma(x, splat(256.f), to_floats(places[p]));
      store(tile.x + r * kWord + l, fma(x, step, splat(layer.bias[tile.unit + r])));
    }
  }
}

// From products [lane][32 outputs] of gather_product.
inline void gathered_tile(const Layer& layer, const float* products, Tile& tile) {
  const F step = splat(layer.digits.step());
  for (int l = 0; l < tile.width; l += kLanes)
    for (int r = 0; r < tile.n_units; r += 4) {
      I columns[4];
      load_columns(reinterpret_cast<const int32_t*>(products + l * kPanel + r), kPanel, columns);
      for (int i = 0; i < 4 && r + i < tile.n_units; ++i)
        store(tile.x + (r + i) * kWord + l,
              fma(as_float(columns[i]), step, splat(layer.bias[tile.unit + r + i])));
    }
}

inline Tile make_tile(const Layer& layer, const Operand& in, int64_t panel, int64_t word) {
  Tile tile;
  tile.unit = panel * kPanel;
  tile.chain = word * kWord;
  const int64_t units = layer.n_out - tile.unit, chains = in.n_chains - tile.chain;
  tile.n_units = static_cast<int>(units < kPanel ? units : kPanel);
  tile.n_chains = static_cast<int>(chains < kWord ? chains : kWord);
  tile.width = in.width(word);
  return tile;
}

// Words of chains at a time, at most `most`, so that no worker is without a strip.
inline int64_t strip_words(const Worker& me, int64_t n_tiles, int64_t most) {
  const int64_t fair = n_tiles / me.n_workers;
  return fair < 1 ? 1 : fair < most ? fair : most;
}

// From products [32 outputs][64] of lookup_product.
inline void looked_up_tile(const Layer& layer, const float* products, Tile& tile) {
  const F step = splat(layer.digits.step());
  for (int r = 0; r < tile.n_units; ++r)
    for (int l = 0; l < tile.width; l += kLanes)
      store(tile.x + r * kWord + l,
            fma(load(products + r * kWord + l), step, splat(layer.bias[tile.unit + r])));
}

// for_each_tile where up to kWords words share the making of rows or tables: multiply(panel, first,
// last, products) of the words first .. last-1, then finish(layer, products of a word, tile).
template <int kWords, class Multiply, class Finish, class Use>
inline void for_each_strip_tile(const Worker& me, const Layer& layer, const Operand& in,
                                Multiply multiply, Finish finish, Use use) {
  const int64_t panels = ceil_div(layer.n_out, kPanel), words = in.words();
  const int64_t strip = strip_words(me, panels * words, kWords), strips = ceil_div(words, strip);
  me.share(panels * strips, [&](int64_t task) {
    const int64_t panel = task / strips, first = task % strips * strip;
    const int64_t last = first + strip < words ? first + strip : words;
    alignas(64) float products[kWords * kWord * kPanel];
    multiply(panel, first, last, products);
    for (int64_t word = first; word < last; ++word) {
      Tile tile = make_tile(layer, in, panel, word);
      finish(layer, products + (word - first) * kWord * kPanel, tile);
      use(tile);
    }
  });
}

// for_each_tile of listed states.
template <class Use>
inline void for_each_gathered_tile(const Worker& me, const Layer& layer, const Operand& in,
                                   Use use) {
  const auto multiply = [&](int64_t panel, int64_t first, int64_t last, float* products) {
    const int64_t n_lanes = (last - 1 - first) * kWord + in.width(last - 1);
    gather_product(layer, in, panel, first * kWord, static_cast<int>(n_lanes), products);
  };
  for_each_strip_tile<kStripWords>(me, layer, in, multiply, gathered_tile, use);
}

// for_each_tile of indexed states.
template <class Use>
inline void for_each_looked_up_tile(const Worker& me, const Layer& layer, const Operand& in,
                                    Use use) {
  const auto multiply = [&](int64_t panel, int64_t first, int64_t last, float* products) {
    lookup_product(layer, in, panel, first, last, products);
  };
  for_each_strip_tile<kTableWords>(me, layer, in, multiply, looked_up_tile, use);
}

// Calls use(tile) for every tile, panels shared out over the threads so that weights stay in one
// core's cache; ends with a barrier.
template <class Use>
inline void for_each_tile(const Worker& me, const Layer& layer, const Operand& in, Use use) {
  if (*in.form == Form::kLists) return for_each_gathered_tile(me, layer, in, use);
  if (*in.form == Form::kIndex) return for_each_looked_up_tile(me, layer, in, use);
  const int64_t panels = ceil_div(layer.n_out, kPanel), words = in.words();
  me.share(panels * words, [&](int64_t task) {
    const int64_t panel = task / words, word = task % words;
    Tile tile = make_tile(layer, in, panel, word);
    const bool sparse = layer.digits.sparse != nullptr;
    if (in.n_planes == 1)
      sparse ? sparse_tile(layer, in, word, tile) : packed_tile(layer, in, panel, word, tile);
    else
      sparse ? sparse_level_tile(layer, in, word, tile) : level_tile(layer, in, panel, word, tile);
    use(tile);
  });
}

inline int half_step_threads(const Layer& layer, int64_t n_chains, int n_threads) {
  return threads_for(layer.n_out * layer.n_in * n_chains, n_threads);
}

}  // namespace
}  // namespace ncg
