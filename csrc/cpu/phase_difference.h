// G = <h v>_data - <h v>_model from exact integer sums, 4 x 64 pairs at a time; and the op
// connection_gradient.
#pragma once
#include "common/layout.h"
#include "cpu/half_step.h"

namespace ncg {
namespace {

// Hidden levels as byte planes along the chains: uint8 [n_hidden][2][stride].
struct HiddenPlanes {
  uint8_t* bytes;
  int64_t n_chains, stride;  // stride: chains padded to whole words
  uint8_t* plane(int64_t unit, int p) const { return bytes + (2 * unit + p) * stride; }
};

// Visible states along the chains, 64 units a block: int8 [n_planes][blocks][stride / 4][64
// units][4 chains]. Packed: one plane of 0/1, or 0/-1. Levels: low and high byte, each less 128;
// padding 0.
struct VisiblePlanes {
  int8_t* bytes;
  int64_t n_units, n_chains, stride;
  int n_planes;
  int8_t* block(int p, int64_t b) const {
    return bytes + (p * ceil_div(n_units, kBlock) + b) * kBlock * stride;
  }
};

inline HiddenPlanes make_hidden_planes(int64_t n_hidden, int64_t n_chains) {
  const int64_t stride = ceil_div(n_chains, kWord) * kWord;
  return {scratch<uint8_t>(2 * n_hidden * stride), n_chains, stride};
}

inline VisiblePlanes make_visible_planes(int64_t n_visible, int64_t n_chains, bool levels) {
  const int64_t stride = ceil_div(n_chains, kWord) * kWord;
  const int n_planes = levels ? 2 : 1;
  const int64_t bytes = n_planes * ceil_div(n_visible, kBlock) * kBlock * stride;
  return {scratch<int8_t>(bytes), n_visible, n_chains, stride, n_planes};
}

// Levels of a tile's means, round(65535 p), as planes. Lanes past the last chain hold what their
// tile held.
inline void store_levels(const Tile& tile, const HiddenPlanes& planes) {
  for (int r = 0; r < tile.n_units; ++r)
    for (int l = 0; l < tile.width; l += kLanes) {
      const F p = mean_of(load(tile.x + r * kWord + l));
      const I level = to_int(mul(p, splat(static_cast<float>(kLevels))));
      int8_t* low = reinterpret_cast<int8_t*>(planes.plane(tile.unit + r, 0)) + tile.chain + l;
      store_low_bytes(low, level);
      store_low_bytes(low + planes.stride, shift_right<8>(level));
    }
}

// The rest share the work and end with a barrier.

inline void fill_hidden_planes(const Worker& me, const int32_t* levels, int64_t n_hidden,
                               const HiddenPlanes& planes) {
  me.share(n_hidden, [&](int64_t unit) {
    for (int64_t c = 0; c < planes.stride; ++c) {
      const int32_t k = c < planes.n_chains ? levels[c * n_hidden + unit] : 0;
      planes.plane(unit, 0)[c] = static_cast<uint8_t>(k);
      planes.plane(unit, 1)[c] = static_cast<uint8_t>(k >> 8);
    }
  });
}

// `one`: 1 for data, -1 for the model's states where one sum holds both phases.
inline void fill_visible_planes(const Worker& me, const States& states, int8_t one,
                                const VisiblePlanes& planes) {
  const int64_t blocks = ceil_div(planes.n_units, kBlock), words = planes.stride / kWord;
  int32_t quads[16];
  for (int i = 0; i < 16; ++i) {
    int8_t bytes[4];
    for (int c = 0; c < 4; ++c) bytes[c] = (i >> c & 1) ? one : int8_t{0};
    memcpy(&quads[i], bytes, 4);
  }
  me.share(blocks, [&](int64_t b) {
    if (states.levels) {
      const int32_t* levels = static_cast<const int32_t*>(states.data);
      for (int p = 0; p < 2; ++p)
        for (int64_t c = 0; c < planes.stride; ++c)
          for (int u = 0; u < kBlock; ++u) {
            const int64_t unit = b * kBlock + u;
            const bool real = c < planes.n_chains && unit < planes.n_units;
            planes.block(p, b)[(c / 4 * kBlock + u) * 4 + c % 4] =
                real ? static_cast<int8_t>((levels[c * planes.n_units + unit] >> (8 * p) & 255) -
                                           128)
                     : int8_t{0};
          }
      return;
    }
    const uint64_t* packed = static_cast<const uint64_t*>(states.data);
    int32_t* out = reinterpret_cast<int32_t*>(planes.block(0, b));
    for (int u = 0; u < kBlock; ++u)
      for (int64_t w = 0; w < words; ++w) {
        const int64_t unit = b * kBlock + u;
        uint64_t word = unit < planes.n_units ? packed[unit * words + w] : 0;
        for (int q = 0; q < kWord / 4; ++q, word >>= 4)
          out[(w * (kWord / 4) + q) * kBlock + u] = quads[word & 15];
      }
  });
}

// out[r][u] += sum over chains of hidden byte x visible byte, four hidden rows, 64 visible units.
template <bool kAnyByte>
inline void phase_product(const uint8_t* hidden, int64_t row_stride, const int8_t* visible,
                          int64_t n_quads, int32_t* out) {
  for (int u = 0; u < kBlock; u += kWideVectors * kLanes) {
    I sum[4][kWideVectors];
    for (int r = 0; r < 4; ++r)
      for (int v = 0; v < kWideVectors; ++v) sum[r][v] = load(out + r * kBlock + u + v * kLanes);
    for (int64_t q = 0; q < n_quads; ++q) {
      I state[kWideVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kWideVectors; ++v)
        state[v] = load(reinterpret_cast<const int32_t*>(visible) + q * kBlock + u + v * kLanes);
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) {
        int32_t four;
        memcpy(&four, hidden + r * row_stride + 4 * q, 4);
        const I level = splat(four);
#pragma GCC unroll 4
        for (int v = 0; v < kWideVectors; ++v)
          sum[r][v] =
              kAnyByte ? dot4_wide(sum[r][v], level, state[v]) : dot4(sum[r][v], level, state[v]);
      }
    }
    for (int r = 0; r < 4; ++r)
      for (int v = 0; v < kWideVectors; ++v) store(out + r * kBlock + u + v * kLanes, sum[r][v]);
  }
}

// Both phases, ready for sums, and the scales that turn sums into means.
struct PhaseSums {
  HiddenPlanes hidden_data, hidden_model;
  VisiblePlanes visible_data, visible_model;
  int64_t n_hidden, n_visible;

  bool equal() const { return hidden_data.n_chains == hidden_model.n_chains; }
  bool levels() const { return visible_data.n_planes == 2; }
  int64_t visible_one() const { return levels() ? kLevels : 1; }  // what a visible 1 counts
  bool fits_int32() const { return equal() && !levels() && hidden_data.n_chains <= 16384; }
  static float scale(int64_t one, int64_t n) {
    return static_cast<float>(1.0 / (static_cast<double>(one) * n));
  }

  // Difference of the means of two sums.
  float difference(int64_t data, int64_t model, int64_t one) const {
    const float data_scale = scale(one, hidden_data.n_chains);
    if (equal()) return mul(static_cast<float>(data - model), data_scale);
    const float model_scale = scale(one, hidden_model.n_chains);
    return add(mul(static_cast<float>(data), data_scale),
               -mul(static_cast<float>(model), model_scale));
  }
};

// 64-bit sums over one phase of four rows (fewer at the edge) and 64 visible units.
inline void wide_phase(const HiddenPlanes& h, const VisiblePlanes& v, int64_t unit, int64_t block,
                       int64_t sums[256]) {
  constexpr int64_t kChunk = 65536;  // chains whose bytes' products fit int32
  for (int i = 0; i < 256; ++i) sums[i] = 0;
  for (int hp = 0; hp < 2; ++hp)
    for (int vp = 0; vp < v.n_planes; ++vp)
      for (int64_t c = 0; c < h.stride; c += kChunk) {
        const int64_t chains = h.stride - c < kChunk ? h.stride - c : kChunk;
        alignas(64) int32_t part[256] = {};
        const uint8_t* hidden = h.plane(unit, hp) + c;
        const int8_t* visible = v.block(vp, block) + c * kBlock;
        if (v.n_planes == 2)
          phase_product<true>(hidden, 2 * h.stride, visible, chains / 4, part);
        else
          phase_product<false>(hidden, 2 * h.stride, visible, chains / 4, part);
        for (int r = 0; r < 4; ++r) {
          int64_t bytes = 0;  // level planes are less 128
          if (v.n_planes == 2)
            for (int64_t i = c; i < c + chains && i < h.n_chains; ++i)
              bytes += h.plane(unit + r, hp)[i];
          for (int u = 0; u < kBlock; ++u)
            sums[r * kBlock + u] +=
                (part[r * kBlock + u] + 128 * bytes) * (int64_t{1} << (8 * (hp + vp)));
        }
      }
}

// G of hidden units unit .. unit+3 and the 64 visible units of a block. Hidden planes are padded to
// whole fours.
inline void phase_tile(const PhaseSums& s, int64_t unit, int64_t block, float g[256]) {
  if (s.fits_int32()) {
    alignas(64) int32_t sums[2][256] = {};
    for (int p = 0; p < 2; ++p) {
      const int64_t quads = ceil_div(s.hidden_data.n_chains, 4);
      phase_product<false>(s.hidden_data.plane(unit, p), 2 * s.hidden_data.stride,
                           s.visible_data.block(0, block), quads, sums[p]);
      phase_product<false>(s.hidden_model.plane(unit, p), 2 * s.hidden_model.stride,
                           s.visible_model.block(0, block), quads, sums[p]);
    }
    const F scale = splat(PhaseSums::scale(kLevels, s.hidden_data.n_chains));
    for (int i = 0; i < 256; i += kLanes)
      store(g + i, mul(to_float(add(load(sums[0] + i), shift_left<8>(load(sums[1] + i)))), scale));
    return;
  }
  int64_t data[256], model[256];
  wide_phase(s.hidden_data, s.visible_data, unit, block, data);
  wide_phase(s.hidden_model, s.visible_model, unit, block, model);
  const int64_t one = s.visible_one();
  for (int i = 0; i < 256; ++i) g[i] = s.difference(data[i], model[i] * one, kLevels * one);
}

inline int64_t hidden_sum(const HiddenPlanes& h, int64_t unit) {
  int64_t low = 0, high = 0;
  for (int64_t c = 0; c < h.n_chains; ++c) {
    low += h.plane(unit, 0)[c];
    high += h.plane(unit, 1)[c];
  }
  return low + 256 * high;
}

inline int64_t visible_sum(const States& states, int64_t unit) {
  int64_t sum = 0;
  if (states.levels) {
    const int32_t* levels = static_cast<const int32_t*>(states.data);
    for (int64_t c = 0; c < states.n_chains; ++c) sum += levels[c * states.n_units + unit];
    return sum;
  }
  const int64_t words = ceil_div(states.n_chains, kWord);
  const uint64_t* packed = static_cast<const uint64_t*>(states.data) + unit * words;
  for (int64_t w = 0; w < words; ++w) sum += __builtin_popcountll(packed[w]);
  return sum;
}

// Gradients of the biases, from the same planes and states.
inline void bias_gradients(const Worker& me, const PhaseSums& s, const States& data,
                           const States& model, float* visible, float* hidden) {
  me.share(s.n_hidden, [&](int64_t i) {
    hidden[i] = s.difference(hidden_sum(s.hidden_data, i), hidden_sum(s.hidden_model, i), kLevels);
  });
  const int64_t one = s.visible_one();
  me.share(s.n_visible, [&](int64_t j) {
    visible[j] = s.difference(visible_sum(data, j), visible_sum(model, j) * one, one);
  });
}

inline PhaseSums make_phase_sums(int64_t n_hidden, int64_t n_visible, int64_t n_rows,
                                 int64_t n_chains, bool levels) {
  const int64_t padded = ceil_div(n_hidden, 4) * 4;
  return {make_hidden_planes(padded, n_rows),
          make_hidden_planes(padded, n_chains),
          make_visible_planes(n_visible, n_rows, levels),
          make_visible_planes(n_visible, n_chains, false),
          n_hidden,
          n_visible};
}

inline void fill_visible(const Worker& me, const PhaseSums& s, const States& data,
                         const States& model) {
  fill_visible_planes(me, data, 1, s.visible_data);
  fill_visible_planes(me, model, s.fits_int32() ? int8_t{-1} : int8_t{1}, s.visible_model);
}

inline void fill_phases(const Worker& me, const PhaseSums& s, const Phases& phases) {
  fill_hidden_planes(me, phases.hidden_data, s.n_hidden, s.hidden_data);
  fill_hidden_planes(me, phases.hidden_model, s.n_hidden, s.hidden_model);
  fill_visible(me, s, phases.visible_data, phases.visible_model);
}

inline PhaseSums make_phase_sums(const Phases& phases, int64_t n_hidden, int64_t n_visible) {
  return make_phase_sums(n_hidden, n_visible, phases.visible_data.n_chains,
                         phases.visible_model.n_chains, phases.visible_data.levels);
}

void connection_gradient(const Gradient& op, int n_threads) {
  scratch_reset();
  const PhaseSums sums = make_phase_sums(op.phases, op.n_hidden, op.n_visible);
  const int64_t quads = ceil_div(op.n_hidden, 4), blocks = ceil_div(op.n_visible, kBlock);
  const int64_t work =
      op.n_hidden * op.n_visible * (sums.hidden_data.n_chains + sums.hidden_model.n_chains);
  run_team(threads_for(work, n_threads), [&](const Worker& me) {
    fill_phases(me, sums, op.phases);
    bias_gradients(me, sums, op.phases.visible_data, op.phases.visible_model, op.visible_gradient,
                   op.hidden_gradient);
    me.share(quads * blocks, [&](int64_t task) {
      const int64_t quad = task / blocks, block = task % blocks;
      alignas(64) float g[256];
      phase_tile(sums, 4 * quad, block, g);
      for (int64_t i = 4 * quad; i < 4 * quad + 4 && i < op.n_hidden; ++i)
        for (int64_t j = block * kBlock; j < (block + 1) * kBlock && j < op.n_visible; ++j) {
          const int64_t at = i * op.n_visible + j;
          const float value = g[(i % 4) * kBlock + j % kBlock];
          op.phase_difference[at] = value;
          if (op.mask != nullptr) op.weight_gradient[at] = op.mask[at] ? value : 0.f;
          if (op.weight != nullptr) op.connection_gradient[at] = mul(op.weight[at], value);
        }
    });
  });
}

}  // namespace
}  // namespace ncg
