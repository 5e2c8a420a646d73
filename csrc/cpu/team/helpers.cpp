#include "cpu/team/helpers.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <strings.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "cpu/scratch.h"

namespace ncg {
namespace {

constexpr int64_t kPollTime = 50'000'000;  // ns between two calls of poll
constexpr int64_t kCallerSpin = 20'000;    // ns that the caller waits for others' pieces awake
constexpr int64_t kHelperSpin = 200'000;   // and a helper for work
constexpr int64_t kTurn = 200'000;         // and has its core before others may have it

struct Ended {};  // thrown on helpers

std::atomic<bool> awaited{false};
std::atomic<uint32_t> n_forks{0};  // that made this process of others
const int watched = pthread_atfork(nullptr, nullptr, [] { ++n_forks; });

int64_t now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// A number that threads wait for to change: awake for a while, then asleep.
class Bell {
 public:
  uint32_t value() const { return value_.load(std::memory_order_acquire); }
  void ring(uint32_t value, int most = INT_MAX) {
    value_.store(value, std::memory_order_seq_cst);
    if (n_asleep_.load(std::memory_order_seq_cst) > 0) futex(FUTEX_WAKE_PRIVATE, most);
  }
  void wait(uint32_t old, int64_t awake) {
    if (awake > 0) {
      const int64_t until = now() + awake;
      do {
        for (int i = 0; i < 32; ++i) {
          if (value() != old) return;
#if defined(__x86_64__)
          __builtin_ia32_pause();
#endif
        }
        sched_yield();  // to a thread of torch, say
      } while (now() < until);
    }
    n_asleep_.fetch_add(1, std::memory_order_seq_cst);
    while (value_.load(std::memory_order_seq_cst) == old) futex(FUTEX_WAIT_PRIVATE, old);
    n_asleep_.fetch_sub(1, std::memory_order_relaxed);
  }

 private:
  void futex(int what, uint32_t number) {
    syscall(SYS_futex, &value_, what, number, nullptr, nullptr, 0);
  }
  std::atomic<uint32_t> value_{0};
  std::atomic<int> n_asleep_{0};
};

}  // namespace

struct Helpers {
  // The op. Who has entered may read it.
  Work work;
  const void* body;
  int n_workers;
  uint32_t first_phase;
  std::atomic<int> n_joined;

  // The number of the op, odd while it is open, and how many helpers are inside.
  alignas(64) std::atomic<uint64_t> gate{0};
  // The phase, and how many of its parts are claimed; how many are done.
  alignas(64) std::atomic<uint64_t> claims{0};
  alignas(64) std::atomic<int64_t> n_done{0};
  alignas(64) Bell op, phase, left;

  std::vector<pthread_t> threads;
  std::atomic<bool> quit{false};
  const uint32_t born = n_forks;
  // The caller's.
  bool busy = false;
  void (*poll)() = nullptr;
  int64_t next_poll = 0;

  static uint32_t high(uint64_t word) { return static_cast<uint32_t>(word >> 32); }
  static uint32_t low(uint64_t word) { return static_cast<uint32_t>(word); }

  // Into the op of this number; 0: into any.
  uint32_t enter(uint32_t number) {
    uint64_t seen = gate.load(std::memory_order_acquire);
    while (high(seen) % 2 == 1 && (number == 0 || high(seen) == number))
      if (gate.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) return high(seen);
    return 0;
  }
  void leave() {
    const uint64_t after = gate.fetch_sub(1, std::memory_order_acq_rel) - 1;
    if (high(after) % 2 == 0 && low(after) == 0) left.ring(left.value() + 1);
  }
  bool open(uint32_t number) const { return high(gate.load(std::memory_order_relaxed)) == number; }

  void help();
  void grow(int n);
  void begin();
  void end();
  void next_phase();
};

namespace {

int64_t helper_spin() {
  static const int64_t found = [] {
    const char* policy = getenv("OMP_WAIT_POLICY");
    return policy != nullptr && strcasecmp(policy, "passive") == 0 ? int64_t{0} : kHelperSpin;
  }();
  return found;
}

// The helpers of a thread, which end with it.
struct Owner {
  Helpers* helpers = nullptr;

  Helpers& get() {
    if (helpers == nullptr || helpers->born != n_forks) helpers = new Helpers;  // others: not here
    return *helpers;
  }
  ~Owner() {
    if (helpers == nullptr || helpers->born != n_forks) return;
    helpers->quit = true;
    helpers->op.ring(helpers->op.value() + 1);
    for (const pthread_t thread : helpers->threads) pthread_join(thread, nullptr);
    delete helpers;
  }
};
thread_local Owner owner;

}  // namespace

void Helpers::help() {
  for (;;) {
    const uint32_t heard = op.value();
    if (quit) return;
    if (const uint32_t number = enter(0)) {
      const int id = 1 + n_joined.fetch_add(1, std::memory_order_relaxed);
      try {
        if (id < n_workers) work(body, Seat{this, id, n_workers, number, first_phase, now()});
        leave();
      } catch (const Ended&) {
      }
    }
    op.wait(heard, helper_spin());
  }
}

// As many as the system gives. Signals are for the threads of Python.
void Helpers::grow(int n) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (static_cast<int>(threads.size()) < n) {
    const auto start = [](void* given) -> void* {
      static_cast<Helpers*>(given)->help();
      return nullptr;
    };
    pthread_t thread;
    if (pthread_create(&thread, nullptr, start, this) != 0) break;
    threads.push_back(thread);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Helpers::begin() {
  first_phase = phase.value();
  if (n_workers <= 1) return;
  grow(n_workers - 1);
  n_joined.store(0, std::memory_order_relaxed);
  gate.store(uint64_t{high(gate.load(std::memory_order_relaxed)) + 1} << 32,
             std::memory_order_release);
  op.ring(op.value() + 1, n_workers - 1);
  const int all = n_workers - 1, most = static_cast<int>(threads.size());
  while (awaited && n_joined < (all < most ? all : most)) sched_yield();
}

// Returns once no helper is inside. A phase that was broken off counts as done.
void Helpers::end() {
  busy = false;
  if (n_workers <= 1) return;
  gate.fetch_add(uint64_t{1} << 32, std::memory_order_acq_rel);
  if (born != n_forks) return;
  for (uint32_t seen = left.value(); low(gate.load(std::memory_order_acquire)) != 0;
       seen = left.value())
    left.wait(seen, kCallerSpin);
  if (low(claims.load(std::memory_order_relaxed)) == 0) return;
  n_done.store(0, std::memory_order_relaxed);
  next_phase();
}

void Helpers::next_phase() {
  const uint32_t next = phase.value() + 1;
  claims.store(uint64_t{next} << 32, std::memory_order_release);
  phase.ring(next);
}

void await_helpers(bool whether) { awaited = whether; }

void run_op(int n_workers, void (*poll)(), Work work, const void* body) {
  Helpers& helpers = owner.get();
  if (helpers.busy) return work(body, Seat{nullptr, 0, 1, 0, 0, 0});  // within poll of another op
  struct End {
    Helpers& helpers;
    ~End() { helpers.end(); }
  } end{helpers};
  helpers.work = work;
  helpers.body = body;
  helpers.n_workers = n_workers;
  helpers.poll = poll;
  helpers.busy = true;
  if (poll != nullptr) helpers.next_poll = now() + kPollTime;
  helpers.begin();
  work(body, Seat{&helpers, 0, n_workers, 0, helpers.first_phase, 0});
}

// Another thread that wants this core, as torch's do for a while after each of its ops, has it
// while nobody waits for this one.
static void take_turns(const Seat& seat) {
  const int64_t time = now();
  if (time - seat.turn < kTurn) return;
  sched_yield();
  seat.turn = now();
}

bool claim(const Seat& seat, uint32_t phase, int64_t n, int64_t* first, int64_t* last) {
  if (seat.id > 0) take_turns(seat);
  std::atomic<uint64_t>& claims = seat.helpers->claims;
  uint64_t seen = claims.load(std::memory_order_acquire);
  while (Helpers::high(seen) == phase && Helpers::low(seen) < n) {
    const int64_t next = Helpers::low(seen), rest = n - next, fair = rest / (2 * seat.n_workers),
                  count = fair > 1 ? fair : 1;
    if (!claims.compare_exchange_weak(seen, seen + static_cast<uint64_t>(count),
                                      std::memory_order_acq_rel, std::memory_order_acquire))
      continue;
    *first = next;
    *last = next + count;
    return true;
  }
  return false;
}

void finish(const Seat& seat, int64_t count, int64_t n) {
  Helpers& helpers = *seat.helpers;
  if (helpers.n_done.fetch_add(count, std::memory_order_acq_rel) + count < n) return;
  helpers.n_done.store(0, std::memory_order_relaxed);
  helpers.next_phase();
}

void await_end(const Seat& seat, uint32_t phase) {
  Helpers& helpers = *seat.helpers;
  if (seat.id == 0) return helpers.phase.wait(phase, kCallerSpin);
  if (helpers.phase.value() != phase) return look_up(seat);
  helpers.leave();
  helpers.phase.wait(phase, helper_spin());
  if (helpers.enter(seat.op) == 0) throw Ended();
}

void look_up(const Seat& seat) {
  Helpers* const helpers = seat.helpers;
  if (helpers == nullptr) return;
  if (seat.id > 0) {
    if (helpers->open(seat.op)) return;
    helpers->leave();
    throw Ended();
  }
  if (helpers->poll == nullptr || now() < helpers->next_poll) return;
  const ScratchAside aside;  // a handler of signals may call ops
  helpers->poll();
  if (helpers->born != n_forks && helpers->n_workers > 1)
    throw std::runtime_error("ncg_fast: a handler of signals must not fork within an op");
  helpers->next_poll = now() + kPollTime;
}

void commit(const Seat& seat) {
  if (seat.helpers != nullptr && seat.id == 0) seat.helpers->poll = nullptr;
}

}  // namespace ncg
