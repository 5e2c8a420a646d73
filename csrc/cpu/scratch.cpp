#include "cpu/scratch.h"

#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

namespace ncg {
namespace {

constexpr int64_t kAlign = 64;

struct Arena {
  std::vector<char*> blocks;
  int64_t size = 0;   // of the last block
  int64_t used = 0;   // of the last block
  int64_t total = 0;  // taken since the last reset

  void grow(int64_t bytes) {
    void* block = std::aligned_alloc(kAlign, static_cast<size_t>(bytes));
    if (block == nullptr) throw std::bad_alloc();
    blocks.push_back(static_cast<char*>(block));
    size = bytes;
    used = 0;
  }
  void release() {
    for (char* block : blocks) std::free(block);
    blocks.clear();
    size = used = 0;
  }
  void swap(Arena& other) {
    blocks.swap(other.blocks);
    std::swap(size, other.size);
    std::swap(used, other.used);
    std::swap(total, other.total);
  }
  ~Arena() { release(); }
};

thread_local Arena arena;

}  // namespace

ScratchAside::ScratchAside() : arena_(new Arena) { static_cast<Arena*>(arena_)->swap(arena); }
ScratchAside::~ScratchAside() {
  Arena* const kept = static_cast<Arena*>(arena_);
  kept->swap(arena);
  delete kept;
}

void scratch_reset() {
  if (arena.blocks.size() > 1) {  // one block that holds what the last op took
    const int64_t total = arena.total;
    arena.release();
    arena.grow(total);
  }
  arena.used = arena.total = 0;
}

void* scratch_bytes(int64_t bytes) {
  bytes = (bytes + kAlign - 1) / kAlign * kAlign;
  if (arena.used + bytes > arena.size || arena.blocks.empty())
    arena.grow(bytes > 65536 ? bytes : 65536);
  void* piece = arena.blocks.back() + arena.used;
  arena.used += bytes;
  arena.total += bytes;
  return piece;
}

}  // namespace ncg
