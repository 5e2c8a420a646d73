#include "cpu/team/barrier.h"

#include <time.h>

#include <climits>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <sched.h>
#endif

namespace ncg {
namespace {

constexpr int kSpins = 1000;  // some 10 microseconds: a longer wait is another program's turn

// A team that lost time t against its caller alone is not formed again for 16 t: a seventeenth of
// the time is lost at most, however busy the computer.
constexpr int64_t kPause = 16;
int64_t alone_until = 0;
bool always = false;

int64_t nanoseconds(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return int64_t{time.tv_sec} * 1000000000 + time.tv_nsec;
}

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Sleeps while *word is `value`; may wake early.
void sleep_while(int32_t* word, int32_t value) {
#ifdef __linux__
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
#else
  (void)word;
  (void)value;
  sched_yield();
#endif
}

void wake_all(int32_t* word) {
#ifdef __linux__
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
#else
  (void)word;
#endif
}

}  // namespace

void barrier_wait(Barrier* barrier, int n_workers) {
  const int32_t round = __atomic_load_n(&barrier->round, __ATOMIC_RELAXED);
  if (__atomic_add_fetch(&barrier->n_arrived, 1, __ATOMIC_ACQ_REL) == n_workers) {
    __atomic_store_n(&barrier->n_arrived, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&barrier->round, round + 1, __ATOMIC_RELEASE);
    wake_all(&barrier->round);
    return;
  }
  for (int spin = 0; spin < kSpins; ++spin) {
    if (__atomic_load_n(&barrier->round, __ATOMIC_ACQUIRE) != round) return;
    pause_briefly();
  }
  while (__atomic_load_n(&barrier->round, __ATOMIC_ACQUIRE) == round)
    sleep_while(&barrier->round, round);
}

int64_t clock_time() { return nanoseconds(CLOCK_MONOTONIC); }
int64_t core_time() { return nanoseconds(CLOCK_THREAD_CPUTIME_ID); }

void form_teams(bool whether_they_pay_or_not) {
  __atomic_store_n(&always, whether_they_pay_or_not, __ATOMIC_RELAXED);
}

bool teams_pay() {
  return __atomic_load_n(&always, __ATOMIC_RELAXED) ||
         clock_time() >= __atomic_load_n(&alone_until, __ATOMIC_RELAXED);
}

void team_ended(int64_t start, int64_t worked, int n_workers) {
  // Alone the caller would have worked as long as all workers together, for which its own share
  // stands; what it did not work it waited, or another program had its core.
  const int64_t end = clock_time(), lost = end - start - n_workers * worked;
  if (lost > 0) __atomic_store_n(&alone_until, end + kPause * lost, __ATOMIC_RELAXED);
}

}  // namespace ncg
