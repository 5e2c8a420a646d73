// A barrier of threads: spins for microseconds, then sleeps.
#pragma once
#include <cstdint>

namespace ncg {

struct Barrier {
  int32_t n_arrived, round;
};

// Returns once n_workers threads have called it for this round.
void barrier_wait(Barrier* barrier, int n_workers);

}  // namespace ncg
