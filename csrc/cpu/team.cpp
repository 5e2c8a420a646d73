#include "cpu/team.h"

#include <time.h>

#include <climits>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <sched.h>
#endif

namespace ncg {
namespace {

// Polls before a sleep, some 10 and 50 microseconds: in a barrier a longer wait is another
// program's turn; a helper takes as long to wake up, and ops follow each other as fast.
constexpr int kBarrierPolls = 1000, kCallPolls = 4000;

// A team that lost time t against the caller alone is not formed again for 8 t: at most a ninth of
// the time is lost, however busy the machine.
constexpr int64_t kPause = 8;
int64_t alone_until = 0;  // nanoseconds of CLOCK_MONOTONIC

int64_t nanoseconds(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return int64_t{time.tv_sec} * 1000000000 + time.tv_nsec;
}

int32_t get(const int32_t* word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

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

void set(int32_t* word, int32_t value) {
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
#ifdef __linux__
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
#endif
}

// Returns whether *word was seen to differ from `value`.
bool poll_while(const int32_t* word, int32_t value, int polls) {
  for (; polls > 0; --polls) {
    if (get(word) != value) return true;
    pause_briefly();
  }
  return false;
}

void wait_while(int32_t* word, int32_t value, int polls) {
  if (poll_while(word, value, polls)) return;
  while (get(word) == value) sleep_while(word, value);
}

// What a helper does, and who says so: the caller calls, the helper joins, the caller gives it work
// or, while it has not joined, takes the call back; the helper ends idle.
enum : int32_t { kIdle, kCalled, kJoined, kWorking };

bool change(int32_t* state, int32_t from, int32_t to) {
  return __atomic_compare_exchange_n(state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

// A thread that lives as long as the process.
struct Helper {
  int32_t state = kIdle;
  Job job = nullptr;  // this and what follows: written by start(), after the helper joined
  const void* body = nullptr;
  Barrier* barrier = nullptr;
  int id = 0;

  void start(Job its_job, const void* its_body, Barrier* its_barrier, int its_id) {
    job = its_job;
    body = its_body;
    barrier = its_barrier;
    id = its_id;
    set(&state, kWorking);
  }

  void live() {
    for (;;) {
      wait_while(&state, kIdle, kCallPolls);
      if (!change(&state, kCalled, kJoined)) continue;
      wait_while(&state, kJoined, kCallPolls);
      job(body, barrier, id);
      set(&state, kIdle);
    }
  }
};

struct Pool {
  std::mutex lock;
  std::vector<Helper*> idle;
};

// Never destroyed: helpers sleep in it while the process ends.
Pool& pool() {
  static Pool* all = new Pool;
  return *all;
}

// Up to n helpers, new ones where too few are idle; fewer where the system gives no more threads.
std::vector<Helper*> take_helpers(int n) {
  std::vector<Helper*> taken;
  taken.reserve(static_cast<size_t>(n));
  const std::lock_guard<std::mutex> guard(pool().lock);
  while (static_cast<int>(taken.size()) < n) {
    if (!pool().idle.empty()) {
      taken.push_back(pool().idle.back());
      pool().idle.pop_back();
      continue;
    }
    Helper* helper = new Helper;
    try {
      std::thread(&Helper::live, helper).detach();
    } catch (const std::system_error&) {
      delete helper;
      break;
    }
    taken.push_back(helper);
  }
  return taken;
}

void give_back(const std::vector<Helper*>& helpers) {
  const std::lock_guard<std::mutex> guard(pool().lock);
  pool().idle.insert(pool().idle.end(), helpers.begin(), helpers.end());
}

// Returns those of the helpers that joined at once.
std::vector<Helper*> call(const std::vector<Helper*>& helpers) {
  for (Helper* helper : helpers) set(&helper->state, kCalled);
  std::vector<Helper*> joined;
  for (Helper* helper : helpers)
    if (poll_while(&helper->state, kCalled, kCallPolls) || !change(&helper->state, kCalled, kIdle))
      joined.push_back(helper);
  return joined;
}

}  // namespace

void barrier_wait(Barrier* barrier) {
  const int32_t round = __atomic_load_n(&barrier->round, __ATOMIC_RELAXED);
  if (__atomic_add_fetch(&barrier->n_arrived, 1, __ATOMIC_ACQ_REL) == barrier->n_workers) {
    __atomic_store_n(&barrier->n_arrived, 0, __ATOMIC_RELAXED);
    set(&barrier->round, round + 1);
    return;
  }
  wait_while(&barrier->round, round, kBarrierPolls);
}

void run_job(int n_threads, Job job, const void* body) {
  const int64_t start = nanoseconds(CLOCK_MONOTONIC);
  Barrier barrier{0, 0, 1};
  if (start < __atomic_load_n(&alone_until, __ATOMIC_RELAXED)) return job(body, &barrier, 0);

  const std::vector<Helper*> helpers = take_helpers(n_threads - 1), joined = call(helpers);
  barrier.n_workers = static_cast<int>(joined.size()) + 1;
  const int64_t called = nanoseconds(CLOCK_MONOTONIC), cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
  for (int id = 1; id < barrier.n_workers; ++id)
    joined[static_cast<size_t>(id - 1)]->start(job, body, &barrier, id);
  job(body, &barrier, 0);
  for (Helper* helper : joined) wait_while(&helper->state, kWorking, kBarrierPolls);
  give_back(helpers);

  // Alone the caller would have worked as long as all workers together, for which its own share
  // stands; what it did not work it slept, or another program had its core.
  const int64_t end = nanoseconds(CLOCK_MONOTONIC),
                worked = nanoseconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
  const int64_t lost = joined.empty() ? called - start : end - start - barrier.n_workers * worked;
  if (lost > 0) __atomic_store_n(&alone_until, end + kPause * lost, __ATOMIC_RELAXED);
}

}  // namespace ncg
