#include "fibers.h"

#include <csetjmp>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <ucontext.h>

#include "cuda_runtime.h"

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace on_host {
namespace {

constexpr size_t kStack = 64 * 1024, kGuard = 256;
constexpr uint8_t kPoison = 0xCB;

enum class At { kRunning, kWarp, kBlock, kCluster, kEnd };

struct Copy {
  void* to;
  const void* from;
  size_t n_bytes;
};

struct Fiber {
  unsigned thread, block;  // block: in its cluster
  At at = At::kRunning;
  bool begun = false;
  ucontext_t context;
  jmp_buf place;
  Lane lane;
  WarpInstruction instruction = nullptr;
  std::deque<std::vector<Copy>> copies{1};  // the last group is still open
};

struct Cluster {
  std::vector<Fiber> fibers;
  std::vector<Index> blocks;
  std::vector<std::vector<uint8_t>> shared;
};

Cluster* cluster;
Fiber* self;
const std::function<void()>* body;
jmp_buf scheduler;
std::vector<std::unique_ptr<uint8_t[]>> stacks;

void enter() {
  (*body)();
  self->at = At::kEnd;
  _longjmp(scheduler, 1);
}

void park(At at) {
  self->at = at;
  if (!_setjmp(self->place)) _longjmp(scheduler, 1);
}

// Until the fiber parks or ends.
void resume(Fiber& fiber, uint8_t* stack) {
  self = &fiber;
  threadIdx = {fiber.thread, 0, 0};
  const Index block = cluster->blocks[fiber.block];
  blockIdx = {block.x, block.y, block.z};
  if (_setjmp(scheduler)) return;
  if (fiber.begun) _longjmp(fiber.place, 1);
  fiber.begun = true;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = stack;
  fiber.context.uc_stack.ss_size = kStack;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, enter, 0);
  setcontext(&fiber.context);
}

// Where the 32 fibers stand together at a warp instruction, it is carried out.
bool meet(Fiber* warp) {
  Lane* lanes[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    if (warp[i].at != At::kWarp) return false;
    if (warp[i].instruction != warp[0].instruction)
      throw std::runtime_error("lanes of a warp meet at different instructions");
    lanes[i] = &warp[i].lane;
  }
  warp[0].instruction(lanes);
  for (int i = 0; i < kLanes; ++i) warp[i].at = At::kRunning;
  return true;
}

// Where all fibers from first to last stand at a barrier, they go on.
bool pass(Fiber* first, Fiber* last, At barrier) {
  for (Fiber* f = first; f != last; ++f)
    if (f->at != barrier) return false;
  for (Fiber* f = first; f != last; ++f) f->at = At::kRunning;
  return true;
}

// One turn of every warp; whether anything moved.
bool turn(unsigned n_threads) {
  Fiber* fibers = cluster->fibers.data();
  const size_t n = cluster->fibers.size();
  bool moved = false;
  for (size_t first = 0; first < n; first += kLanes) {
    do {
      for (size_t i = first; i < first + kLanes; ++i)
        if (fibers[i].at == At::kRunning) {
          resume(fibers[i], stacks[i].get());
          moved = true;
        }
    } while (meet(fibers + first));
  }
  for (size_t first = 0; first < n; first += n_threads)
    moved |= pass(fibers + first, fibers + first + n_threads, At::kBlock);
  return pass(fibers, fibers + n, At::kCluster) || moved;
}

void run_cluster(const std::vector<Index>& blocks, unsigned n_threads, size_t shared) {
  Cluster mine;
  mine.blocks = blocks;
  mine.fibers.resize(blocks.size() * n_threads);
  mine.shared.assign(blocks.size(), std::vector<uint8_t>(shared + kGuard, kPoison));
  for (size_t i = 0; i < mine.fibers.size(); ++i) {
    mine.fibers[i].thread = static_cast<unsigned>(i % n_threads);
    mine.fibers[i].block = static_cast<unsigned>(i / n_threads);
  }
  while (stacks.size() < mine.fibers.size()) stacks.emplace_back(new uint8_t[kStack]);
  cluster = &mine;
  while (turn(n_threads)) continue;
  for (const Fiber& fiber : mine.fibers)
    if (fiber.at != At::kEnd)
      throw std::runtime_error("a barrier was met by some threads and not by others");
  for (const std::vector<uint8_t>& memory : mine.shared)
    for (size_t i = shared; i < memory.size(); ++i)
      if (memory[i] != kPoison) throw std::runtime_error("a block wrote past its shared memory");
}

}  // namespace

Lane& lane() { return self->lane; }
void meet_warp(WarpInstruction instruction) {
  self->instruction = instruction;
  park(At::kWarp);
}
void meet_block() { park(At::kBlock); }
void meet_cluster() { park(At::kCluster); }

void begin_copy(void* to, const void* from, size_t n_bytes) {
  memset(to, kPoison, n_bytes);
  self->copies.back().push_back({to, from, n_bytes});
}
void end_copy_group() { self->copies.emplace_back(); }
void wait_copy_groups(size_t n_pending) {
  for (; self->copies.size() > n_pending + 1; self->copies.pop_front())
    for (const Copy& copy : self->copies.front()) memcpy(copy.to, copy.from, copy.n_bytes);
}

uint8_t* shared_memory() { return shared_memory_of(self->block); }
uint8_t* shared_memory_of(unsigned rank) { return cluster->shared.at(rank).data(); }
unsigned cluster_rank() { return self->block; }

void run(const char* op, unsigned n_blocks, Index grid, unsigned n_threads, size_t shared,
         const std::function<void()>& kernel) {
  static std::mutex one_at_a_time;
  const std::lock_guard<std::mutex> lock(one_at_a_time);
  if (n_threads % kLanes || n_threads > 1024 || grid.x % n_blocks || shared > 227 * 1024)
    throw std::runtime_error(std::string(op) + ": no GPU takes such a launch");
  body = &kernel;
  blockDim = {n_threads, 1, 1};
  gridDim = {grid.x, grid.y, grid.z};
  std::vector<Index> order;
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; x += n_blocks) order.push_back({x, y, z});
  std::shuffle(order.begin(), order.end(), std::mt19937(0));
  for (const Index& first : order) {
    std::vector<Index> blocks;
    for (unsigned rank = 0; rank < n_blocks; ++rank)
      blocks.push_back({first.x + rank, first.y, first.z});
    try {
      run_cluster(blocks, n_threads, shared);
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(std::string(op) + ": " + error.what());
    }
  }
}

}  // namespace on_host
