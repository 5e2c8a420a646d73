// G = <h v>_data - <h v>_model from exact integer sums, kRows hidden units and a strip of visible
// ones at a time; and the op connection_gradient.
#pragma once
#include "cpu/phase_states.h"
#include "cpu/strips.h"

namespace ncg {
namespace {

constexpr int kTile = 4 * kBlock;   // pairs of four hidden units and a block: [4][64]
constexpr int kTableChains = 240;   // of one set of tables, which stays in the nearest cache
constexpr int64_t kChains = 32640;  // whole sets of tables; 65535 times as many still fit int32
constexpr int kPairs = kRows * kBlock;
// Of the model's visible bits as bytes: both phases then are one sum of products.
constexpr int kModelOne = kBinaryPlanes ? -1 : 1;
constexpr int64_t kPlanes = 65536;  // chains whose products of bytes, up to 255 x 128, fit int32
static_assert(kBinaryPlanes || kRows == 4, "tables are of four hidden units");
static_assert(kChains % kTableChains == 0 && kTableChains % kIndexChains == 0, "whole sets");

// Both phases, ready for sums, and the scales that turn sums into means.
struct PhaseSums {
  Phase data, model;
  int64_t n_hidden, n_visible;

  int64_t n_rows() const { return data.hidden.n_chains; }
  int64_t n_chains() const { return model.hidden.n_chains; }
  bool equal() const { return n_rows() == n_chains(); }
  bool real_valued() const { return data.planes.n_planes == 2; }
  int64_t visible_one() const { return real_valued() ? kLevels : 1; }  // what a visible 1 counts
  bool fits_int32() const { return !real_valued() && n_rows() <= kChains && n_chains() <= kChains; }
  static float scale(int64_t one, int64_t n) {
    return static_cast<float>(1.0 / (static_cast<double>(one) * n));
  }

  // Difference of the means of two sums.
  float difference(int64_t data_sum, int64_t model_sum, int64_t one) const {
    const float data_scale = scale(one, n_rows());
    if (equal()) return mul(static_cast<float>(data_sum - model_sum), data_scale);
    return add(mul(static_cast<float>(data_sum), data_scale),
               -mul(static_cast<float>(model_sum), scale(one, n_chains())));
  }
};

// For four hidden units: the sum of the levels of kLookupBits chains for each pattern of their
// bits.
struct Tables {
  alignas(64) int32_t of[4][kTableChains / kLookupBits][kTableEntries];
};

// out[4][64] += levels of the chains whose bit is set, for the 64 visible units of `index`.
inline void add_lookups(const Tables& tables, const int32_t* index, int n_groups, int32_t* out) {
  for (int u = 0; u < kBlock; u += kWideVectors * kLanes) {
    I sum[4][kWideVectors];
    for (int r = 0; r < 4; ++r)
      for (int v = 0; v < kWideVectors; ++v) sum[r][v] = load(out + r * kBlock + u + v * kLanes);
    const int32_t* word = index + u;
    I state[kWideVectors];
    int left = 0;  // groups in the index words
    for (int group = 0; group < n_groups; ++group, --left) {
      if (left == 0) {
        left = kIndexChains / kLookupBits;
#pragma GCC unroll 4
        for (int v = 0; v < kWideVectors; ++v) state[v] = load(word + v * kLanes);
        word += kBlock;
      }
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < kWideVectors; ++v)
          sum[r][v] = add(sum[r][v], lookup(tables.of[r][group], state[v]));
#pragma GCC unroll 4
      for (int v = 0; v < kWideVectors; ++v) state[v] = shift_right<kLookupBits>(state[v]);
    }
    for (int r = 0; r < 4; ++r)
      for (int v = 0; v < kWideVectors; ++v) store(out + r * kBlock + u + v * kLanes, sum[r][v]);
  }
}

// sums[block][4][64] of hidden units unit .. unit+3 and the visible blocks first .. last-1 over at
// most kChains chains from `chain` on.
inline void binary_sums(const Phase& phase, int64_t unit, int64_t first, int64_t last,
                        int64_t chain, int32_t* sums) {
  memset(sums, 0, sizeof(int32_t) * static_cast<size_t>((last - first) * kTile));
  const int64_t left = phase.hidden.n_chains - chain,
                end = chain + (left < kChains ? left : kChains);
  for (; chain < end; chain += kTableChains) {
    const int64_t chains = end - chain < kTableChains ? end - chain : kTableChains;
    const int n_groups = static_cast<int>(ceil_div(chains, kLookupBits));
    Tables tables;
    for (int r = 0; r < 4; ++r)
      for (int group = 0; group < n_groups; ++group)
        store_table(tables.of[r][group], phase.hidden.unit(unit + r) + chain + group * kLookupBits);
    for (int64_t b = first; b < last; ++b)
      add_lookups(tables, phase.visible.block(b) + chain / kIndexChains * kBlock, n_groups,
                  sums + (b - first) * kTile);
  }
}

// sums[4][64] in 64 bits, from tables.
inline void wide_binary_sums(const Phase& phase, int64_t unit, int64_t block, int64_t* sums) {
  for (int i = 0; i < kTile; ++i) sums[i] = 0;
  for (int64_t chain = 0; chain < phase.hidden.n_chains; chain += kChains) {
    alignas(64) int32_t part[kTile];
    binary_sums(phase, unit, block, block + 1, chain, part);
    for (int i = 0; i < kTile; ++i) sums[i] += part[i];
  }
}

// The same from planes.
inline void plane_sums(const BytePlanes& planes, int64_t unit, int64_t block, int64_t* sums) {
  const int less = planes.n_planes == 2 ? 128 : 0;
  for (int i = 0; i < kPairs; ++i) sums[i] = 0;
  for (int hp = 0; hp < 2; ++hp)
    for (int vp = 0; vp < planes.n_planes; ++vp)
      for (int64_t c = 0; c < planes.stride; c += kPlanes) {
        const int64_t chains = planes.stride - c < kPlanes ? planes.stride - c : kPlanes;
        const ByteProduct product = planes.product(unit, hp, vp, block, c, chains);
        alignas(64) int32_t part[kPairs];
        byte_sums(&product, 1, part);
        const int64_t place = planes.one * (int64_t{1} << (8 * (hp + vp)));
        for (int r = 0; r < kRows; ++r) {
          int64_t bytes = 0;
          for (int64_t i = 0; i < chains; ++i) bytes += product.hidden[r * product.stride + i];
          for (int u = 0; u < kBlock; ++u)
            sums[r * kBlock + u] += (part[r * kBlock + u] + less * bytes) * place;
        }
      }
}

inline void wide_sums(const Phase& phase, int64_t unit, int64_t block, int64_t* sums) {
  if (phase.planes.n_planes == 0)
    wide_binary_sums(phase, unit, block, sums);
  else
    plane_sums(phase.planes, unit, block, sums);
}

// phase_strip of sums that need 64 bits or real-valued data.
inline void wide_strip(const PhaseSums& s, int64_t unit, int64_t first, int64_t last, float* g) {
  const int64_t one = s.visible_one();
  for (int64_t b = first; b < last; ++b) {
    int64_t data[kPairs], model[kPairs];
    wide_sums(s.data, unit, b, data);
    wide_sums(s.model, unit, b, model);
    for (int i = 0; i < kPairs; ++i)
      g[(i / kTile * (last - first) + b - first) * kTile + i % kTile] =
          s.difference(data[i], model[i] * one, kLevels * one);
  }
}

// phase_strip from tables.
inline void lookup_strip(const PhaseSums& s, int64_t unit, int64_t first, int64_t last, float* g) {
  alignas(64) int32_t data[kStrip * kTile], model[kStrip * kTile];
  binary_sums(s.data, unit, first, last, 0, data);
  binary_sums(s.model, unit, first, last, 0, model);
  const F data_scale = splat(PhaseSums::scale(kLevels, s.n_rows())),
          model_scale = splat(PhaseSums::scale(kLevels, s.n_chains()));
  for (int64_t i = 0; i < (last - first) * kTile; i += kLanes) {
    const I d = load(data + i), m = load(model + i);
    store(g + i, s.equal() ? mul(to_float(sub(d, m)), data_scale)
                           : sub(mul(to_float(d), data_scale), mul(to_float(m), model_scale)));
  }
}

// phase_strip from planes: one sum for each plane of the hidden levels, or one for each phase, too.
inline void plane_strip(const PhaseSums& s, int64_t unit, int64_t first, int64_t last, float* g) {
  const F data_scale = splat(PhaseSums::scale(kLevels, s.n_rows())),
          model_scale = splat(PhaseSums::scale(kLevels, s.n_chains()));
  for (int64_t b = first; b < last; ++b) {
    alignas(64) int32_t sums[2][2][kPairs];  // [plane][phase]
    for (int plane = 0; plane < 2; ++plane) {
      const ByteProduct phases[2] = {
          s.data.planes.product(unit, plane, 0, b, 0, s.data.planes.stride),
          s.model.planes.product(unit, plane, 0, b, 0, s.model.planes.stride)};
      byte_sums(phases, s.equal() ? 2 : 1, sums[plane][0]);
      if (!s.equal()) byte_sums(phases + 1, 1, sums[plane][1]);
    }
    const auto mean = [&](int phase, int at, F scale) {
      const I low = load(sums[0][phase] + at), high = load(sums[1][phase] + at);
      return mul(to_float(add(low, shift_left<8>(high))), scale);
    };
    for (int i = 0; i < kPairs; i += kLanes) {
      F difference = mean(0, i, data_scale);
      if (!s.equal()) difference = add(difference, mean(1, i, model_scale));  // whose ones are -1
      store(g + (i / kTile * (last - first) + b - first) * kTile + i % kTile, difference);
    }
  }
}

// G of hidden units unit .. unit+kRows-1 and the visible blocks first .. last-1, at most kStrip:
// g[kRows / 4][block][4][64].
inline void phase_strip(const PhaseSums& s, int64_t unit, int64_t first, int64_t last, float* g) {
  if (!s.fits_int32())
    wide_strip(s, unit, first, last, g);
  else if (kBinaryPlanes)
    plane_strip(s, unit, first, last, g);
  else
    lookup_strip(s, unit, first, last, g);
}

inline int64_t hidden_sum(const HiddenLevels& hidden, int64_t unit) {
  int64_t sum = 0;
  for (int64_t c = 0; c < hidden.n_chains; ++c) sum += hidden.unit(unit)[c];
  return sum;
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

// Gradients of the biases, from the same levels and states.
inline void bias_gradients(const Worker& me, const PhaseSums& s, const States& data,
                           const States& model, float* visible, float* hidden) {
  me.share(s.n_hidden, [&](int64_t i) {
    hidden[i] = s.difference(hidden_sum(s.data.hidden, i), hidden_sum(s.model.hidden, i), kLevels);
  });
  const int64_t one = s.visible_one();
  me.share(s.n_visible, [&](int64_t j) {
    visible[j] = s.difference(visible_sum(data, j), visible_sum(model, j) * one, one);
  });
}

inline PhaseSums make_phase_sums(int64_t n_hidden, int64_t n_visible, int64_t n_rows,
                                 int64_t n_chains, bool real_valued) {
  return {make_phase(n_hidden, n_visible, n_rows, real_valued, 1),
          make_phase(n_hidden, n_visible, n_chains, false, kModelOne), n_hidden, n_visible};
}

// After the hidden levels are known.
inline void fill_visible(const Worker& me, const PhaseSums& s, const States& data,
                         const States& model) {
  fill_phase(me, data, s.data, s.n_hidden);
  fill_phase(me, model, s.model, s.n_hidden);
}

inline void fill_phases(const Worker& me, const PhaseSums& s, const Phases& phases) {
  fill_hidden(me, phases.hidden_data, s.n_hidden, s.data.hidden);
  fill_hidden(me, phases.hidden_model, s.n_hidden, s.model.hidden);
  fill_visible(me, s, phases.visible_data, phases.visible_model);
}

inline PhaseSums make_phase_sums(const Phases& phases, int64_t n_hidden, int64_t n_visible) {
  return make_phase_sums(n_hidden, n_visible, phases.visible_data.n_chains,
                         phases.visible_model.n_chains, phases.visible_data.levels);
}

// Writes G, A∘G and W∘G of four hidden units from `unit` on and the visible blocks first .. last-1.
inline void store_gradients(const Gradient& op, const float* g, int64_t unit, int64_t first,
                            int64_t last) {
  for (int64_t vb = first; vb < last; ++vb, g += kTile)
    for (int u = 0; u < kBlock; u += kLanes) {
      const int64_t column = vb * kBlock + u, left = op.n_visible - column;
      if (left <= 0) break;
      const int n = static_cast<int>(left < kLanes ? left : kLanes);
      for (int r = 0; r < 4 && unit + r < op.n_hidden; ++r) {
        const int64_t at = (unit + r) * op.n_visible + column;
        const F difference = load(g + r * kBlock + u);
        store(op.phase_difference + at, difference, n);
        if (op.mask != nullptr)
          store(op.weight_gradient + at, select(load_mask(op.mask + at, n), difference, splat(0.f)),
                n);
        if (op.weight != nullptr)
          store(op.connection_gradient + at, mul(load(op.weight + at, n), difference), n);
      }
    }
}

void connection_gradient(const Gradient& op, int n_threads) {
  scratch_reset();
  const PhaseSums sums = make_phase_sums(op.phases, op.n_hidden, op.n_visible);
  const Strips strips{ceil_div(op.n_visible, kBlock)};
  const int64_t work = op.n_hidden * op.n_visible * (sums.n_rows() + sums.n_chains());
  run_team(threads_for(work, n_threads), [&](const Worker& me) {
    fill_phases(me, sums, op.phases);
    bias_gradients(me, sums, op.phases.visible_data, op.phases.visible_model, op.visible_gradient,
                   op.hidden_gradient);
    me.share(ceil_div(op.n_hidden, kRows) * strips.count(), [&](int64_t task) {
      const int64_t rows = task / strips.count() * kRows, strip = task % strips.count();
      const int64_t first = strips.first(strip), last = strips.first(strip + 1);
      alignas(64) float g[kStrip * kPairs];
      phase_strip(sums, rows, first, last, g);
      for (int64_t i = 0; i < kRows; i += 4)
        store_gradients(op, g + i * (last - first) * kBlock, rows + i, first, last);
    });
  });
}

}  // namespace
}  // namespace ncg
