// Digits of 64 rows of weights, a strip at a time, written to both layouts; and the op
// pack_weights.
#pragma once
#include "common/layout.h"
#include "cpu/packing/sparse_digits.h"
#include "cpu/packing/strips.h"

namespace ncg {
namespace {

// Collects the integers q of hidden units 64 hb .. and a strip of visible blocks, four hidden rows
// at a time. Of sparse digits nothing is written.
class DigitStrip {
 public:
  DigitStrip(int64_t n_hidden, int64_t n_visible, const Digits& to_hidden, const Digits& to_visible)
      : hidden_{n_hidden, n_visible, to_hidden.n_digits},
        visible_{n_visible, n_hidden, to_visible.n_digits},
        to_hidden_(to_hidden.dense),
        to_visible_(to_visible.dense) {}

  void start(int64_t hb, int64_t first) {
    hb_ = hb;
    first_ = first;
  }

  // q of rows 64 hb + 4 quad .. + 3, lanes u .. of visible block vb: stores the rows' bytes, keeps
  // the columns' for finish().
  void put(int quad, int64_t vb, int u, const I q[4]) {
    if (to_hidden_ == nullptr) return;
    const I bias = splat(digit_bias(hidden_.n_digits)), low_byte = splat(255);
    I bytes[4];
    for (int r = 0; r < 4; ++r) bytes[r] = bit_xor(add(q[r], bias), bias);
    const int64_t row = hb_ * kBlock + 4 * quad, panel = row / kPanel;
    for (int d = 0; d < hidden_.n_digits; ++d) {
      if (panel < hidden_.panels()) {
        int8_t* out = to_hidden_ + hidden_.tile(panel, d, vb) + row % kPanel * kBlock + u;
        for (int r = 0; r < 4; ++r) store_low_bytes(out + r * kBlock, bytes[r]);
      }
      const I low = bit_or(bit_and(bytes[0], low_byte), shift_left<8>(bit_and(bytes[1], low_byte)));
      const I high = bit_or(shift_left<16>(bit_and(bytes[2], low_byte)), shift_left<24>(bytes[3]));
      store(columns_[vb - first_][d][quad] + u, bit_or(low, high));
      for (int r = 0; r < 4; ++r) bytes[r] = shift_right<8>(bytes[r]);
    }
  }

  // After all 16 quads of the blocks before `last`: the transposed layout.
  void finish(int64_t last) {
    if (to_visible_ == nullptr) return;
    for (int64_t vb = first_; vb < last; ++vb)
      for (int d = 0; d < hidden_.n_digits; ++d)
        for (int u = 0; u < kBlock; u += 4) {
          const int64_t row = vb * kBlock + u;
          if (row / kPanel >= visible_.panels()) break;
          int32_t* out = reinterpret_cast<int32_t*>(
              to_visible_ + visible_.tile(row / kPanel, d, hb_) + row % kPanel * kBlock);
          for (int quad = 0; quad < kQuads; quad += kLanes) {
            I rows[4];
            load_columns(columns_[vb - first_][d][quad] + u, kBlock, rows);
#pragma GCC unroll 4
            for (int i = 0; i < 4; ++i) store(out + i * kQuads + quad, rows[i]);
          }
        }
  }

 private:
  static constexpr int kQuads = kBlock / 4;

  DigitLayout hidden_, visible_;
  int8_t *to_hidden_, *to_visible_;
  int64_t hb_ = 0, first_ = 0;
  // [block][digit][quad][visible unit]: one byte each of four rows.
  alignas(64) int32_t columns_[kStrip][3][kQuads][kBlock];
};

// q = round(w / step), saturated.
inline I quantise(F w, F inverse_step, F limit) {
  const F q = mul(w, inverse_step);
  return to_int(max(min(q, limit), sub(splat(0.f), limit)));
}

inline void pack_sparse(const PackWeights& op, int n_threads) {
  scratch_reset();
  const int n_workers = threads_for(op.n_hidden * op.n_visible, n_threads);
  const SparsePair pair = make_sparse_pair(op, n_workers);
  run_team(n_workers, [&](const Worker& me) { make_sparse(me, pair); });
}

void pack_weights(const PackWeights& p, const Run& run) {
  if (p.to_hidden.sparse != nullptr) return pack_sparse(p, run.n_threads);
  const F inverse_step = splat(p.to_hidden.inverse_step()),
          limit = splat(digit_limit(p.to_hidden.n_digits));
  const Strips strips{ceil_div(p.n_visible, kBlock)};
  run_team(threads_for(8 * p.n_hidden * p.n_visible, run.n_threads), [&](const Worker& me) {
    DigitStrip digits(p.n_hidden, p.n_visible, p.to_hidden, p.to_visible);
    me.share(ceil_div(p.n_hidden, kBlock) * strips.count(), [&](int64_t task) {
      const int64_t hb = task / strips.count(), strip = task % strips.count();
      const int64_t first = strips.first(strip), last = strips.first(strip + 1);
      digits.start(hb, first);
      for (int quad = 0; quad < kBlock / 4; ++quad)
        for (int64_t column = first * kBlock; column < last * kBlock; column += kLanes) {
          I q[4];
          const int64_t left = p.n_visible - column;
          const int n = static_cast<int>(left < 0 ? 0 : left < kLanes ? left : kLanes);
          for (int r = 0; r < 4; ++r) {
            const int64_t row = hb * kBlock + 4 * quad + r, at = row * p.n_visible + column;
            q[r] = splat(0);
            if (row >= p.n_hidden || n == 0) continue;
            F w = load(p.weight + at, n);
            if (p.mask != nullptr) w = select(load_mask(p.mask + at, n), w, splat(0.f));
            q[r] = quantise(w, inverse_step, limit);
          }
          digits.put(quad, column / kBlock, static_cast<int>(column % kBlock), q);
        }
      digits.finish(last);
    });
  });
}

}  // namespace
}  // namespace ncg
