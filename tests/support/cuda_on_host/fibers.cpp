#include "fibers.h"

#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
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

// Bytes of shared memory as a warpgroup's products see them.
enum Sight : uint8_t { kSeen, kShown, kUnseen };  // kShown: from the next barrier on

struct Products {
  std::vector<Product> begun;
  std::map<int32_t*, std::vector<int32_t>> sums;  // what they were before
  bool fenced = false, committed = false;
  int n = 0;
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
  std::vector<Copy> unseen;                 // copies that were waited for
  Products products;
};

struct Cluster {
  std::vector<Fiber> fibers;
  std::vector<Index> blocks;
  std::vector<std::vector<uint8_t>> shared, sight;
};

Cluster* cluster;
Fiber* self;
const std::function<void()>* body;
jmp_buf scheduler;
const char* mistake;  // of the fiber that ran last
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

// Ends a fiber that makes a mistake: no exception may leave it.
[[noreturn]] void fail(const char* what) {
  mistake = what;
  _longjmp(scheduler, 1);
}

// Until the fiber parks or ends.
void resume(Fiber& fiber, uint8_t* stack) {
  self = &fiber;
  threadIdx = {fiber.thread, 0, 0};
  const Index block = cluster->blocks[fiber.block];
  blockIdx = {block.x, block.y, block.z};
  if (_setjmp(scheduler)) {
    if (const char* what = std::exchange(mistake, nullptr)) throw std::runtime_error(what);
    return;
  }
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
  for (unsigned block = first->block; block <= (last - 1)->block; ++block)
    for (uint8_t& sight : cluster->sight[block])
      if (sight == kShown) sight = kSeen;
  return true;
}

// Marks where a copy went.
void set_sight(const Copy& copy, Sight sight) {
  const auto at = static_cast<uint8_t*>(copy.to) - shared_memory();
  memset(cluster->sight[self->block].data() + at, sight, copy.n_bytes);
}

int32_t product_of(const Product& p, size_t tile, int row, int column) {
  const std::vector<uint8_t>& sight = cluster->sight[self->block];
  int32_t sum = 0;
  for (size_t k = 0; k < 32; ++k) {
    const size_t at = p.b + tile * p.next + k / 16 * p.halves + column * 16 + k % 16;
    if (at >= sight.size()) fail("products read past the block's shared memory");
    if (sight[at] != kSeen) fail("products read copies that were not shown to them");
    sum += p.a[row][k] * static_cast<int8_t>(shared_memory()[at]);
  }
  return sum;
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
  mine.sight.assign(blocks.size(), std::vector<uint8_t>(shared, kSeen));
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
  for (size_t i = 0; i < mine.fibers.size(); ++i) {
    const Products& products = mine.fibers[i].products;
    if (!products.begun.empty()) throw std::runtime_error("products were not waited for");
    // A warpgroup is four warps of a block.
    const size_t first = i - i % n_threads % (4 * kLanes);
    if (products.n > 0 && (i % n_threads / (4 * kLanes) + 1) * 4 * kLanes > n_threads)
      throw std::runtime_error("products need four warps");
    if (products.n != mine.fibers[first].products.n)
      throw std::runtime_error("warps of a group began different products");
  }
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
    for (const Copy& copy : self->copies.front()) {
      memcpy(copy.to, copy.from, copy.n_bytes);
      set_sight(copy, kUnseen);
      self->unseen.push_back(copy);
    }
}
void show_copies() {
  for (const Copy& copy : self->unseen) set_sight(copy, kShown);
  self->unseen.clear();
}

void begin_products() { self->products.fenced = true; }
void add_product(const Product& product) {
  Products& all = self->products;
  if (!all.fenced) fail("products were added before they were begun");
  const auto [held, is_new] = all.sums.try_emplace(product.sums);
  if (is_new) held->second.assign(product.sums, product.sums + 4 * product.n_tiles);
  memset(product.sums, kPoison, 4 * product.n_tiles * sizeof(int32_t));
  all.begun.push_back(product);
  all.committed = false;
  ++all.n;
}
void commit_products() { self->products.committed = true; }
void wait_products() {
  Products& all = self->products;
  if (!all.begun.empty() && !all.committed)
    fail("products were waited for before they were committed");
  const int column = static_cast<int>(self->thread % 4) * 2;
  for (const Product& p : all.begun)
    for (size_t tile = 0; tile < p.n_tiles; ++tile)
      for (int i = 0; i < 4; ++i)
        all.sums[p.sums][4 * tile + i] += product_of(p, tile, i / 2, column + i % 2);
  for (const auto& [to, sums] : all.sums) memcpy(to, sums.data(), sums.size() * sizeof(int32_t));
  all.begun.clear();
  all.sums.clear();
  all.fenced = false;
}

uint8_t* shared_memory() { return cluster->shared[self->block].data(); }
void store_remote(unsigned rank, size_t offset, uint32_t value) {
  if (rank >= cluster->shared.size()) fail("a store went to a block that the cluster lacks");
  std::vector<uint8_t>& memory = cluster->shared[rank];
  if (offset + sizeof(value) > memory.size() - kGuard)
    fail("a store went past a block's shared memory");
  memcpy(memory.data() + offset, &value, sizeof(value));
}
unsigned cluster_rank() { return self->block; }

int compute_capability() {
  const char* wanted = std::getenv("ON_HOST_CAPABILITY");
  return wanted == nullptr ? 9 : std::atoi(wanted);
}

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
