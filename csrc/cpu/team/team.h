// The workers that share one op, in phases: each is divided among those who are there.
#pragma once
#include "cpu/isa/products.h"
#include "cpu/team/helpers.h"
#include "ops.h"

namespace ncg {
namespace {

struct Worker {
  const Seat* seat;
  bool shares;  // with the others of its op; else it works alone
  int id, n_workers;

  explicit Worker(const Seat& s)
      : seat(&s), shares(s.n_workers > 1), id(s.id), n_workers(s.n_workers) {}
  // For work that no other worker knows of.
  Worker alone() const {
    Worker one = *this;
    one.shares = false;
    one.id = 0;
    one.n_workers = 1;
    return one;
  }

  // use(i) for all of 0 .. n-1, before any worker goes on; each i by one of them, with what belongs
  // to its id.
  template <class Use>
  void share(int64_t n, Use use) const {
    const auto each = [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        if ((i - first) % kLookUp == 0) look_up(*seat);
        use(i);
      }
    };
    if (!shares) return each(0, n);
    if (n == 0) return;
    const uint32_t phase = seat->phase++;
    for (int64_t first, last; claim(*seat, phase, n, &first, &last);) {
      each(first, last);
      finish(*seat, last - first, n);
    }
    await_end(*seat, phase);
  }
  // use() by one worker, before any goes on.
  template <class Use>
  void once(Use use) const {
    share(1, [&](int64_t) { use(); });
  }
  // From here on the op writes what it changes, and lasts to its end.
  void commit() const { ncg::commit(*seat); }

 private:
  static constexpr int64_t kLookUp = 4;
};

// Runs body(worker) on the calling thread and on helpers that come while it lasts. All workers must
// go through the same phases; what a worker does outside of them is its own.
template <class Body>
inline void run_team(const Run& run, int n_workers, Body body) {
  const auto work = [](const void* given, const Seat& seat) {
    const ProductUnit unit;
    (*static_cast<const Body*>(given))(Worker(seat));
  };
  run_op(n_workers, run.poll, work, &body);
}

// Threads for a job of so many multiply-adds: a team gains little on fewer than 2^20, some 50
// microseconds.
inline int threads_for(double work, int n_threads) { return work > (1 << 20) ? n_threads : 1; }

}  // namespace
}  // namespace ncg
