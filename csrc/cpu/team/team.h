// The threads that share one op: contiguous shares of loops, and a barrier that soon sleeps, so
// that a thread which lost its core to another program is not waited for on a full core.
#pragma once
#include <omp.h>

#include <cstdint>

#include "cpu/isa/products.h"
#include "cpu/team/barrier.h"
#include "cpu/team/thread_sanitizer.h"

namespace ncg {
namespace {

struct Worker {
  Barrier* barrier;
  int id, n_workers;

  // All workers arrive before any goes on.
  void meet() const {
    if (n_workers > 1) barrier_wait(barrier, n_workers);
  }

  // use(i) for this worker's share of 0 .. n-1, then a barrier.
  template <class Use>
  void share(int64_t n, Use use) const {
    for (int64_t i = n * id / n_workers; i < n * (id + 1) / n_workers; ++i) use(i);
    meet();
  }
};

template <class Body>
inline void work(const Body& body, const Worker& me) {
  const ProductUnit unit;
  body(me);
}

// Runs body(worker) on each of n_threads threads, or as many as the system gives; on one where
// other programs have the cores. The threads are those of torch's OpenMP: others of our own would
// wait for a core on which torch's thread spins. ThreadSanitizer watches the body, not the fork and
// the join.
template <class Body>
NCG_FAST_NOT_WATCHED inline void run_team(int n_threads, Body body) {
  if (n_threads <= 1 || !teams_pay()) return work(body, Worker{nullptr, 0, 1});
  Barrier barrier{};
  int64_t worked = 0;  // by the caller
  int n_workers = 1;
  char fork, join;  // named for the sanitizer alone
  const int64_t start = clock_time();
  sent(&fork);
#pragma omp parallel num_threads(n_threads)
  {
    received(&fork);
    const Worker me{&barrier, omp_get_thread_num(), omp_get_num_threads()};
    const int64_t before = core_time();
    work(body, me);
    if (me.id == 0) {
      worked = core_time() - before;
      n_workers = me.n_workers;
    }
    sent(&join);
  }
  received(&join);
  team_ended(start, worked, n_workers);
}

// Threads for a job of so many multiply-adds: a team gains little on fewer than 2^20, some 50
// microseconds.
inline int threads_for(double work, int n_threads) { return work > (1 << 20) ? n_threads : 1; }

}  // namespace
}  // namespace ncg
