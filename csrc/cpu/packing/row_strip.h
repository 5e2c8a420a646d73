// Rows of weights of both directions, written for a block of hidden units and a strip of visible
// ones at a time.
#pragma once
#include "common/layout.h"
#include "cpu/isa/isa.h"
#include "ops.h"

namespace ncg {
namespace {

constexpr int kStrip = 2 * kBlock;  // visible units

// q = round(w / step), saturated.
inline I quantise(F w, F inverse_step, F limit) {
  const F q = mul(w, inverse_step);
  return to_int(max(min(q, limit), sub(splat(0.f), limit)));
}

// Collects the integers of hidden units 64 hb .. and of a strip, two rows at a time.
class RowStrip {
 public:
  RowStrip(int64_t n_hidden, int64_t n_visible, const Digits& to_hidden, const Digits& to_visible)
      : hidden_{n_hidden, n_visible, to_hidden.n_digits},
        visible_{n_visible, n_hidden, to_visible.n_digits},
        to_hidden_(reinterpret_cast<int16_t*>(to_hidden.dense)),
        to_visible_(reinterpret_cast<int16_t*>(to_visible.dense)) {}

  // Where digits are sparse, nothing is written.
  void start(int64_t hb, int64_t strip) {
    hb_ = hb;
    first_ = strip * kStrip;
  }

  // q of rows 2 pair and 2 pair + 1 of the block, columns u .. of the strip; padding is 0.
  [[gnu::always_inline]] void put(int pair, int u, I q0, I q1) {
    if (to_hidden_ == nullptr) return;
    const int64_t row = hb_ * kBlock + 2 * pair, column = first_ + u;
    if (hidden_.planes() == 1 && visible_.planes() == 1 && row + 1 < visible_.n_in) {
      store(columns_[0][pair] + u, bit_or(bit_and(q0, splat(0xFFFF)), shift_left<16>(q1)));
      int16_t* out =
          to_visible_ + visible_.block(0, column / kBlock) + row * kBlock + column % kBlock;
      store_low_halves(out, q0);
      store_low_halves(out + kBlock, q1);
      return;
    }
    put_planes(pair, u, q0, q1);
  }

  // After all 32 pairs.
  void finish() {
    if (to_hidden_ == nullptr) return;
    const int64_t left = hidden_.n_in - first_, n = left < kStrip ? left : kStrip;
    for (int p = 0; p < hidden_.planes(); ++p) {
      int16_t* rows = to_hidden_ + hidden_.block(p, hb_);
      for (int64_t u = 0; u < n; u += 4)
        for (int pair = 0; pair < kBlock / 2; pair += kLanes) {
          I turned[4];
          load_columns(columns_[p][pair] + u, kStrip, turned);
          for (int64_t i = 0; i < 4 && u + i < n; ++i)
            store_halves(rows + (first_ + u + i) * kBlock + 2 * pair, turned[i]);
        }
      if (left <= kStrip) zero_row(rows + hidden_.n_in * kBlock);
    }
    if (hb_ + 1 == hidden_.blocks())
      for (int p = 0; p < visible_.planes(); ++p)
        for (int64_t b = first_ / kBlock; b < ceil_div(first_ + n, kBlock); ++b)
          zero_row(to_visible_ + visible_.block(p, b) + visible_.n_in * kBlock);
  }

 private:
  void put_planes(int pair, int u, I q0, I q1) {
    const int64_t row = hb_ * kBlock + 2 * pair, column = first_ + u;
    I planes0[3], planes1[3];
    split(q0, hidden_.planes(), planes0);
    split(q1, hidden_.planes(), planes1);
    for (int p = 0; p < hidden_.planes(); ++p)
      store(columns_[p][pair] + u,
            bit_or(bit_and(planes0[p], splat(0xFFFF)), shift_left<16>(planes1[p])));
    if (visible_.planes() != hidden_.planes()) {
      split(q0, visible_.planes(), planes0);
      split(q1, visible_.planes(), planes1);
    }
    for (int p = 0; p < visible_.planes(); ++p) {
      int16_t* out =
          to_visible_ + visible_.block(p, column / kBlock) + row * kBlock + column % kBlock;
      if (row < visible_.n_in) store_low_halves(out, planes0[p]);
      if (row + 1 < visible_.n_in) store_low_halves(out + kBlock, planes1[p]);
    }
  }

  // The low halves hold the planes of q.
  static void split(I q, int n_planes, I planes[3]) {
    for (int p = 0; p + 1 < n_planes; ++p) {
      planes[p] = sub(bit_xor(bit_and(q, splat(255)), splat(128)), splat(128));
      q = shift_right<8>(add(q, splat(128)));
    }
    planes[n_planes - 1] = q;
  }
  static void zero_row(int16_t* row) { memset(row, 0, sizeof(int16_t) * kBlock); }

  RowLayout hidden_, visible_;
  int16_t *to_hidden_, *to_visible_;
  int64_t hb_ = 0, first_ = 0;
  alignas(64) int32_t columns_[3][kBlock / 2][kStrip];  // [plane][pair of rows][column]
};

}  // namespace
}  // namespace ncg
