// The threads that share one op: contiguous shares of loops, and a barrier that soon sleeps, so
// that a thread which lost its core to another program is not waited for on a full core.
#pragma once
#include <omp.h>

#include <cstdint>

#include "cpu/barrier.h"
#include "cpu/thread_sanitizer.h"

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

// Runs body(worker) on each of n_threads threads, or as many as the system gives.
// ThreadSanitizer watches the body, not the fork and the join.
template <class Body>
NCG_FAST_NOT_WATCHED inline void run_team(int n_threads, Body body) {
  if (n_threads <= 1) return body(Worker{nullptr, 0, 1});
  Barrier barrier{};
  char fork, join;  // named for the sanitizer alone
  sent(&fork);
#pragma omp parallel num_threads(n_threads)
  {
    received(&fork);
    body(Worker{&barrier, omp_get_thread_num(), omp_get_num_threads()});
    sent(&join);
  }
  received(&join);
}

// Threads for a job of so many multiply-adds: a team costs about as much as 10^5 of them.
inline int threads_for(int64_t work, int n_threads) { return work > (1 << 18) ? n_threads : 1; }

}  // namespace
}  // namespace ncg
