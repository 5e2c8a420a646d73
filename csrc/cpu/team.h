// The threads that share one op: contiguous shares of loops, and a barrier that soon sleeps, so
// that a thread which lost its core to another program is not waited for on a full core.
#pragma once
#include <cstdint>

namespace ncg {

struct Barrier {
  int32_t n_arrived, round, n_workers;
};

// Returns once all workers have called it for this round.
void barrier_wait(Barrier* barrier);

// Must not throw.
using Job = void (*)(const void* body, Barrier* barrier, int id);

// Runs job at the same time for the ids 0 .. n_workers-1 of a barrier, n_workers <= n_threads, and
// returns when all have ended. The caller is 0. Helpers that do not start within microseconds,
// because other programs have their cores, are left out, and after teams that were slower than the
// caller alone there are none for a while. Several threads may call it at once; not after a fork.
void run_job(int n_threads, Job job, const void* body);

namespace {

struct Worker {
  Barrier* barrier;
  int id, n_workers;

  // All workers arrive before any goes on.
  void meet() const {
    if (n_workers > 1) barrier_wait(barrier);
  }

  // use(i) for this worker's share of 0 .. n-1, then a barrier.
  template <class Use>
  void share(int64_t n, Use use) const {
    for (int64_t i = n * id / n_workers; i < n * (id + 1) / n_workers; ++i) use(i);
    meet();
  }
};

// Runs body(worker) on each of n_threads threads, or as many as can start at once.
template <class Body>
inline void run_team(int n_threads, const Body& body) {
  if (n_threads <= 1) return body(Worker{nullptr, 0, 1});
  run_job(
      n_threads,
      [](const void* given, Barrier* barrier, int id) {
        (*static_cast<const Body*>(given))(Worker{barrier, id, barrier->n_workers});
      },
      &body);
}

// Threads for a job of so many multiply-adds: a team gains little on fewer than 10^6, some 50
// microseconds.
inline int threads_for(int64_t work, int n_threads) { return work > (1 << 20) ? n_threads : 1; }

}  // namespace
}  // namespace ncg
