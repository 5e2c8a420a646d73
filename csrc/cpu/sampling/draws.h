// What becomes of pre-activations: probabilities, and Bernoulli draws. Units are in the lanes, one
// chain at a time, so that the first rounds of Philox are the same for all lanes.
#pragma once
#include <type_traits>

#include "cpu/sampling/chains.h"
#include "ops.h"

namespace ncg {
namespace {

inline const int16_t* rows_of(const Digits& digits) {
  return reinterpret_cast<const int16_t*>(digits.dense);
}

constexpr int kPair = 2 * kLanes;  // units of two vectors, in split order
constexpr int kDrawn = 4 * kPair;  // units whose draws are made together

// Where split order puts a unit.
inline int64_t slot_in_split_order(int64_t unit) {
  return unit / kPair * kPair + unit / 4 % 2 * kLanes + unit % kPair / 8 * 4 + unit % 4;
}

// Pre-activations of kSuper units from `unit` on, for a group of chains: of x_c the planes are sums
// of the lowest digits (of levels: places) up to the highest, in split order, plane by plane;
// without planes they are floats, and ready.
struct Sums {
  int32_t* data;
  int64_t chain_stride, plane_stride;
  int n_planes;
  float step;
  const float* bias;  // of the kSuper units, split order
  int32_t* of(int64_t chain) const { return data + chain * chain_stride; }
};

// Pre-activations number `at` and after of a chain.
template <int kPlanes>
[[gnu::always_inline]] inline F preactivation(const Sums& s, const int32_t* x, int at) {
  if constexpr (kPlanes == 0) {
    return load(reinterpret_cast<const float*>(x) + at);
  } else {
    F sum = to_float(load(x + (kPlanes - 1) * s.plane_stride + at));
#pragma GCC unroll 3
    for (int p = kPlanes - 2; p >= 0; --p)
      sum = fma(sum, splat(256.f), to_float(load(x + p * s.plane_stride + at)));
    return fma(sum, splat(s.step), load(s.bias + at));
  }
}

// Calls use(number of planes as a constant).
template <class Use>
inline void with_planes(int n_planes, Use use) {
  if (n_planes == 1) return use(std::integral_constant<int, 1>{});
  if (n_planes == 2) return use(std::integral_constant<int, 2>{});
  if (n_planes == 3) return use(std::integral_constant<int, 3>{});
  if (n_planes == 4) return use(std::integral_constant<int, 4>{});
  use(std::integral_constant<int, 0>{});
}

// 2^-16 (1 + exp(-x)): one_plus_exp_neg of numerics.h, exactly scaled, for x in [-80, 80].
[[gnu::always_inline]] inline F scaled_threshold_within(F x) {
  const F t = mul(x, splat(kMinusLog2E)), n = round_even(t), f = sub(t, n);
  F p = splat(exp2_coefficient(0) * 0x1p-16f);
#pragma GCC unroll 6
  for (int i = 1; i < 7; ++i) p = fma(p, f, splat(exp2_coefficient(i) * 0x1p-16f));
  return add(times_power(p, n), splat(0x1p-16f));
}

// Of any x; NaN counts as 80.
inline F scaled_threshold(F x) {
  return scaled_threshold_within(max(min(x, splat(80.f)), splat(-80.f)));
}

// For a draw that takes what is not greater than 1: beyond 80 the exponential vanishes beside the
// 1, and NaN may stay NaN.
[[gnu::always_inline]] inline F drawing_threshold(F x) {
  return scaled_threshold_within(max(splat(-80.f), kAnyPower ? x : min(x, splat(80.f))));
}

inline F mean_of(F x) { return div(splat(0x1p-16f), scaled_threshold(x)); }

// The keys of Philox4x32-10's rounds.
struct Keys {
  uint32_t of[10][2];
  explicit Keys(uint64_t seed) {
    uint32_t a = static_cast<uint32_t>(seed), b = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round, a += 0x9E3779B9u, b += 0xBB67AE85u) {
      of[round][0] = a;
      of[round][1] = b;
    }
  }
};

// What rounds 1 to 3 have in common for all units of a chain, see Philox::start.
struct ChainCounter {
  uint64_t x1, x3, x1_second, x2_third, x3_third;
  ChainCounter() = default;
  ChainCounter(const Keys& keys, const Words& counter) {
    constexpr uint64_t kA = 0xD2511F53u, kB = 0xCD9E8D57u;
    const auto high = [](uint64_t a) { return static_cast<uint32_t>(a >> 32); };
    const auto low = [](uint64_t a) { return static_cast<uint32_t>(a); };
    const uint64_t p0 = kA * counter.word[0], p1 = kB * counter.word[2];
    x1 = high(p1) ^ keys.of[0][0];
    x3 = low(p0) ^ keys.of[1][1];
    const uint64_t q1 = kB * (high(p0) ^ counter.word[3] ^ keys.of[0][1]);
    x1_second = low(q1) ^ keys.of[2][0];
    const uint64_t q0 = kA * (high(q1) ^ low(p1) ^ keys.of[1][0]);
    x2_third = high(q0) ^ keys.of[2][1];
    x3_third = low(q0);
  }
};

// Draws of kDrawn units of a chain in the making. Words are in the low halves of 64-bit lanes; what
// the high halves hold is of no account.
struct Philox {
  W x0[2], x1[2], x2[2], x3[2];

  // Rounds 1 to 3 of the groups from `group` on.
  [[gnu::always_inline]] void start(const ChainCounter& chain, uint32_t group) {
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      const W p0 =
          wide_mul(wide_xor(wide(chain.x1), wide_evens(group + i), wide(0)), wide(0xD2511F53u));
      const W p1 = wide_mul(wide_xor(wide_high(p0), wide(chain.x3), wide(0)), wide(0xCD9E8D57u));
      x0[i] = wide_xor(wide_high(p1), wide(chain.x1_second), wide(0));
      x1[i] = p1;
      x2[i] = wide_xor(p0, wide(chain.x2_third), wide(0));
      x3[i] = wide(chain.x3_third);
    }
  }
  // Rounds counted from 0.
  [[gnu::always_inline]] void round(const Keys& keys, int r) {
    const W key0 = wide(keys.of[r][0]), key1 = wide(keys.of[r][1]);
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      const W p0 = wide_mul(x0[i], wide(0xD2511F53u)), p1 = wide_mul(x2[i], wide(0xCD9E8D57u));
      x0[i] = wide_xor(wide_high(p1), x1[i], key0);
      x2[i] = wide_xor(wide_high(p0), x3[i], key1);
      x1[i] = p1;
      x3[i] = p0;
    }
  }
  // Two draws of 16 bits a lane, those of kPair units a vector, in the order of units.
  [[gnu::always_inline]] void finish(I draws[4]) const {
    draws[0] = join(x0[0], x0[1]);
    draws[1] = join(x1[0], x1[1]);
    draws[2] = join(x2[0], x2[1]);
    draws[3] = join(x3[0], x3[1]);
    transpose_quarters(draws);
  }
};

// Which of the lanes in `open`, bits of units, are on: by further bits. Split thresholds and draws.
__attribute__((noinline)) inline uint32_t decide_open_units(uint32_t open, const F scaled[2],
                                                            const F first[2], const Draw& draw,
                                                            int64_t chain, int64_t unit) {
  alignas(64) float thresholds[kPair], draws[kPair];
  for (int i = 0; i < 2; ++i) {
    store(thresholds + i * kLanes, mul(scaled[i], splat(65536.f)));
    store(draws + i * kLanes, first[i]);
  }
  uint32_t on = 0;
  for (; open != 0; open &= open - 1) {
    const int bit = __builtin_ctz(open);
    const int64_t slot = slot_in_split_order(bit), at = unit + bit;
    const uint32_t further =
        further_bits(draw.seed, chain, group_of(at), slot_of(at), draw.step, draw.stream);
    if (decide_open(static_cast<uint32_t>(draws[slot]), further, thresholds[slot]))
      on |= uint32_t{1} << bit;
  }
  return on;
}

// How a group of chains is drawn.
struct Drawing {
  Draw draw;
  Keys keys;
  int64_t first, n_chains;       // of the group
  const ChainCounter* counters;  // of its chains
  // Before a chain is drawn its x becomes fma(scale, x, shift), of each chain and each unit (split
  // order); null: x itself.
  const float *scale, *shift;

  int64_t chain(int64_t c) const { return draw.chain_offset + first + c; }
};

// Decides kPair units: u (1 + exp(-x)) < 1.
[[gnu::always_inline]] inline uint32_t decide(const F x[2], I draws, const Draw& draw,
                                              int64_t chain, int64_t unit) {
  const F one = splat(1.f), scaled[2] = {drawing_threshold(x[0]), drawing_threshold(x[1])},
          first[2] = {to_float(even_fours(draws, splat(0))), to_float(odd_fours(draws, splat(0)))};
  M on[2], open[2];
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    on[i] = not_greater(fma(first[i], scaled[i], scaled[i]), one);
    open[i] = mask_and_not(less(mul(first[i], scaled[i]), one), on[i]);
  }
  uint32_t found = in_order(bits(on[0]), bits(on[1]));
  if (__builtin_expect((bits(open[0]) | bits(open[1])) != 0, 0))
    found |=
        decide_open_units(in_order(bits(open[0]), bits(open[1])), scaled, first, draw, chain, unit);
  return found;
}

// Draws n_units <= kSuper units from `unit` on of each chain of the group into `out`. The rounds of
// the next draws stand between the exponentials of these: one after the other they would fill the
// scheduler with waiting instructions.
template <int kPlanes, bool kTempered>
inline void draw_units(const Sums& sums, const Drawing& d, int64_t unit, int64_t n_units,
                       const ChainBits& out) {
  const int pieces = static_cast<int>(ceil_div(n_units, kDrawn));
  const auto group_at = [&](int piece) {
    return group_of(d.draw.unit_offset + unit + piece * kDrawn);
  };
  I draws[4];
  Philox next;
  next.start(d.counters[0], group_at(0));
#pragma GCC unroll 7
  for (int round = 3; round < 10; ++round) next.round(d.keys, round);
  next.finish(draws);
  for (int64_t c = 0; c < d.n_chains; ++c) {
    for (int piece = 0; piece < pieces; ++piece) {
      const bool last = piece + 1 == pieces;
      next.start(d.counters[last && c + 1 < d.n_chains ? c + 1 : c],
                 group_at(last ? 0 : piece + 1));
#pragma GCC unroll 4
      for (int w = 0; w < 4; ++w) {
        const int at = piece * kDrawn + w * kPair;
        F x[2];
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i) {
          x[i] = preactivation<kPlanes>(sums, sums.of(c), at + i * kLanes);
          if (kTempered)
            x[i] = fma(splat(d.scale[c]), x[i], load(d.shift + unit + at + i * kLanes));
        }
        const uint32_t on = decide(x, draws[w], d.draw, d.chain(c), d.draw.unit_offset + unit + at);
        memcpy(out.at(c, unit + at), &on, kPair / 8);
        next.round(d.keys, 3 + 2 * w);
        if (w < 3) next.round(d.keys, 4 + 2 * w);
      }
      next.finish(draws);
    }
    if (n_units < kSuper) {  // padding is off
      uint64_t* words = out.of(c) + unit / 64;
      const uint64_t valid = (uint64_t{1} << n_units % 64) - 1;
      words[0] &= n_units < 64 ? valid : ~uint64_t{0};
      words[1] &= n_units < 64 ? 0 : valid;
    }
  }
}

inline void draw_units(const Sums& sums, const Drawing& d, int64_t unit, int64_t n_units,
                       const ChainBits& out) {
  with_planes(sums.n_planes, [&](auto planes) {
    constexpr int kPlanes = decltype(planes)::value;
    if (d.scale == nullptr)
      draw_units<kPlanes, false>(sums, d, unit, n_units, out);
    else
      draw_units<kPlanes, true>(sums, d, unit, n_units, out);
  });
}

// The first n lanes; all where there are more, none where n is negative.
inline void store_some(float* p, F a, int64_t n) {
  if (n >= kLanes)
    store(p, a);
  else if (n > 0)
    store(p, a, static_cast<int>(n));
}

// use(chain of the group, unit of the kSuper, x of kPair units in order) for n_units <= kSuper.
template <class Use>
inline void for_each_pair(const Sums& sums, int64_t n_chains, int64_t n_units, Use use) {
  with_planes(sums.n_planes, [&](auto planes) {
    constexpr int kPlanes = decltype(planes)::value;
    for (int64_t c = 0; c < n_chains; ++c)
      for (int at = 0; at < n_units; at += kPair) {
        F x[2];
        in_order(preactivation<kPlanes>(sums, sums.of(c), at),
                 preactivation<kPlanes>(sums, sums.of(c), at + kLanes), x);
        use(c, at, x);
      }
  });
}

}  // namespace
}  // namespace ncg
