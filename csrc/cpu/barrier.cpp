#include "cpu/barrier.h"

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

}  // namespace ncg
