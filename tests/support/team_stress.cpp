// Ops of several callers at once, whose helpers come late, are held up, and are sent away by an
// exception of the caller: each phase reads what the phase before it wrote, without atomics.
#include <unistd.h>

#include <cstdio>
#include <stdexcept>
#include <thread>
#include <vector>

#include "cpu/team/team.h"

namespace {

struct Numbers {
  uint32_t state;
  uint32_t below(uint32_t n) {
    return (state = state * 1664525 + 1013904223) >> 8, state / 256 % n;
  }
};

constexpr int64_t kSizes[] = {1, 2, 3, 17, 200};

// Returns whether every element of the last phase is the number of phases.
bool op(Numbers& random) {
  const int n_workers = 1 + static_cast<int>(random.below(4));
  const int64_t n = kSizes[random.below(5)], n_phases = 1 + random.below(30);
  const bool breaks = random.below(8) == 0;
  const int64_t broken = random.below(static_cast<uint32_t>(n_phases)), seed = random.below(1000);
  std::vector<int64_t> values[2];
  values[0].assign(static_cast<size_t>(n), 0);
  values[1] = values[0];
  const ncg::Run run{n_workers, nullptr, nullptr, nullptr};
  try {
    ncg::run_team(run, n_workers, [&](const ncg::Worker& me) {
      for (int64_t t = 0; t < n_phases; ++t) {
        const int64_t* from = values[t % 2].data();
        int64_t* to = values[(t + 1) % 2].data();
        me.share(n, [&](int64_t i) {
          if (breaks && t == broken && me.id == 0) throw std::runtime_error("broken off");
          if ((i + t + seed) % 61 == 0) usleep(static_cast<unsigned>(seed));
          to[i] = from[(i * 7 + t) % n] + 1;
        });
        me.share(0, [](int64_t) {});
      }
    });
  } catch (const std::runtime_error&) {
    return breaks;
  }
  for (const int64_t value : values[n_phases % 2])
    if (value != n_phases) return false;
  return true;
}

}  // namespace

int main() {
  ncg::await_helpers(false);
  std::vector<std::thread> callers;
  int n_wrong[3] = {};
  for (uint32_t caller = 0; caller < 3; ++caller)
    callers.emplace_back([caller, &n_wrong] {
      Numbers random{caller};
      for (int i = 0; i < 400; ++i) {
        n_wrong[caller] += op(random) ? 0 : 1;
        if (random.below(10) == 0) usleep(1000);
      }
    });
  for (std::thread& caller : callers) caller.join();
  std::printf("%d wrong\n", n_wrong[0] + n_wrong[1] + n_wrong[2]);
}
