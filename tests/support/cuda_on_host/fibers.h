// Runs a CUDA kernel on the host: every thread is a fiber, barriers and warp instructions are
// meeting points. What a GPU leaves open is made hostile: shared memory starts as rubbish, blocks
// come in a shuffled order, copies are late. Threads that do not meet are reported.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>

namespace on_host {

struct Index {
  unsigned x = 1, y = 1, z = 1;
};

constexpr int kLanes = 32, kSlots = 12;

// What a lane brings to a warp instruction and takes from it.
struct Lane {
  uint64_t in[kSlots], out[kSlots];
};
using WarpInstruction = void (*)(Lane* const lanes[kLanes]);

// All lanes of the running thread's warp meet; the last to come carries out the instruction.
Lane& lane();
void meet_warp(WarpInstruction instruction);
void meet_block();
void meet_cluster();

// A copy that is carried out when its thread waits for it.
void begin_copy(void* to, const void* from, size_t n_bytes);
void end_copy_group();
void wait_copy_groups(size_t n_pending);
void show_copies();  // those waited for: products read them after the block's next barrier

// sums [tile][4] += the product of a lane's two rows of A, for each tile, with that tile's columns
// 2 (lane % 4) and the next of B, in shared memory: matrices of 8 columns by 16 bytes, `halves`
// bytes from one half of the 32 to the other, `next` from one tile to the next. It is carried out
// when its thread waits for it; until then the sums are rubbish.
struct Product {
  int32_t* sums;
  size_t n_tiles;
  uint8_t a[2][32];
  size_t b, halves, next;  // offsets in shared memory
};
void begin_products();
void add_product(const Product& product);
void commit_products();
void wait_products();

uint8_t* shared_memory();                                         // of the running block
void store_remote(unsigned rank, size_t offset, uint32_t value);  // in a block of its cluster
unsigned cluster_rank();

// Of the GPU that is stood in for: ON_HOST_CAPABILITY (9).
int compute_capability();

// Runs all blocks; throws std::runtime_error where threads do not meet or leave shared memory.
void run(const char* op, unsigned cluster, Index grid, unsigned n_threads, size_t shared,
         const std::function<void()>& kernel);

}  // namespace on_host
