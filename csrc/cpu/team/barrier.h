// A barrier of threads, which spins for microseconds, then sleeps; and whether teams pay at
// present.
#pragma once
#include <cstdint>

namespace ncg {

struct Barrier {
  int32_t n_arrived, round;
};

// Returns once n_workers threads have called it for this round.
void barrier_wait(Barrier* barrier, int n_workers);

// Nanoseconds: of the clock, and that the calling thread had a core.
int64_t clock_time();
int64_t core_time();

// Whether teams are to be formed: not for a while after one that was slower than its caller alone,
// unless form_teams(true) was called.
bool teams_pay();
void form_teams(bool whether_they_pay_or_not);
// A team of n_workers began at `start` (clock_time) and has ended; its caller worked that long.
void team_ended(int64_t start, int64_t worked, int n_workers);

}  // namespace ncg
