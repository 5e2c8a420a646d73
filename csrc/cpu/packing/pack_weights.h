// The op pack_weights.
#pragma once
#include "cpu/packing/row_strip.h"
#include "cpu/packing/sparse_digits.h"

namespace ncg {
namespace {

inline void pack_sparse(const PackWeights& op, const Run& run) {
  scratch_reset();
  const int n_workers = threads_for(op.n_hidden * op.n_visible, run.n_threads);
  const SparsePair pair = make_sparse_pair(op, n_workers);
  run_team(run, n_workers, [&](const Worker& me) { make_sparse(me, pair); });
}

void pack_weights(const PackWeights& p, const Run& run) {
  if (p.to_hidden.sparse != nullptr) return pack_sparse(p, run);
  const F inverse_step = splat(p.to_hidden.inverse_step()),
          limit = splat(digit_limit(p.to_hidden.n_digits));
  const auto q_of = [&](int64_t row, int64_t column) {
    const int64_t left = p.n_visible - column, at = row * p.n_visible + column;
    if (row >= p.n_hidden || left <= 0) return splat(0);
    const int n = static_cast<int>(left < kLanes ? left : kLanes);
    F w = load(p.weight + at, n);
    if (p.mask != nullptr) w = select(load_mask(p.mask + at, n), w, splat(0.f));
    return quantise(w, inverse_step, limit);
  };
  const int64_t strips = ceil_div(p.n_visible, kStrip);
  run_team(run, threads_for(8 * p.n_hidden * p.n_visible, run.n_threads), [&](const Worker& me) {
    RowStrip rows(p.n_hidden, p.n_visible, p.to_hidden, p.to_visible);
    me.share(ceil_div(p.n_hidden, kBlock) * strips, [&](int64_t task) {
      const int64_t hb = task / strips, strip = task % strips,
                    columns = ceil_div(p.n_visible, kBlock) * kBlock - strip * kStrip;
      rows.start(hb, strip);
      for (int pair = 0; pair < kBlock / 2; ++pair)
        for (int u = 0; u < kStrip && u < columns; u += kLanes) {
          const int64_t row = hb * kBlock + 2 * pair, column = strip * kStrip + u;
          rows.put(pair, u, q_of(row, column), q_of(row + 1, column));
        }
      rows.finish();
    });
  });
}

}  // namespace
}  // namespace ncg
