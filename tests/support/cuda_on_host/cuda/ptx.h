// Host twin of csrc/cuda/ptx.h: the instructions as the PTX manual describes them.
#pragma once
#include <cuda_runtime.h>

namespace ncg::cuda {

// Slots: 0-3 a, 4-5 b.
template <class A, class B>
void multiply_fragments(on_host::Lane* const* lanes) {
  const auto byte = [&](int lane, int slot, int at) { return lanes[lane]->in[slot] >> 8 * at; };
  for (int lane = 0; lane < on_host::kLanes; ++lane)
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      int32_t sum = 0;
      for (int k = 0; k < 32; ++k) {
        const int c = k % 16 / 4, upper = k / 16;
        const A a = static_cast<A>(byte(row % 8 * 4 + c, row / 8 + 2 * upper, k % 4));
        const B b = static_cast<B>(byte(column * 4 + c, 4 + upper, k % 4));
        sum += a * b;
      }
      lanes[lane]->out[i] = static_cast<uint32_t>(sum);
    }
}
template <class A, class B>
void mma(int32_t (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  on_host::Lane& mine = on_host::lane();
  for (int i = 0; i < 4; ++i) mine.in[i] = a[i];
  mine.in[4] = b0;
  mine.in[5] = b1;
  on_host::meet_warp(multiply_fragments<A, B>);
  for (int i = 0; i < 4; ++i) sum[i] += static_cast<int32_t>(mine.out[i]);
}
inline void mma_u8s8(int32_t (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  mma<uint8_t, int8_t>(sum, a, b0, b1);
}
inline void mma_u8u8(int32_t (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  mma<uint8_t, uint8_t>(sum, a, b0, b1);
}

// Products of warpgroups; ON_HOST_CAPABILITY says whether there are.
inline bool has_warpgroup_products() { return on_host::compute_capability() == 9; }
inline void begin_products() { on_host::begin_products(); }

// Slots in: 0-3 a; out: bytes 0 .. 31 of row lane / 4, then of row 8 + lane / 4.
inline void gather_rows(on_host::Lane* const* lanes) {
  for (int lane = 0; lane < on_host::kLanes; ++lane) {
    auto* rows = reinterpret_cast<uint8_t*>(lanes[lane]->out);
    for (int row = 0; row < 2; ++row)
      for (int k = 0; k < 32; ++k) {
        const int holder = lane / 4 * 4 + k % 16 / 4, slot = row + k / 16 * 2;
        rows[32 * row + k] = static_cast<uint8_t>(lanes[holder]->in[slot] >> k % 4 * 8);
      }
  }
}
template <size_t kTiles>
void multiply(int32_t (&sum)[kTiles][4], const uint32_t (&a)[4], uint64_t b) {
  on_host::Lane& mine = on_host::lane();
  for (int i = 0; i < 4; ++i) mine.in[i] = a[i];
  on_host::meet_warp(gather_rows);
  const auto field = [b](int at) { return (b >> at & 0x3FFF) * 16; };
  on_host::Product product{sum[0], kTiles, {}, field(0), field(16), field(32)};
  memcpy(product.a, mine.out, sizeof product.a);
  on_host::add_product(product);
}
inline void commit_products() { on_host::commit_products(); }
template <size_t kRows, size_t kTiles>
void end_products(int32_t (&)[kRows][kTiles][4]) {
  on_host::wait_products();
}

inline uint8_t* dynamic_shared() { return on_host::shared_memory(); }

inline uint32_t shared_address(const void* shared) {
  return static_cast<uint32_t>(static_cast<const uint8_t*>(shared) - on_host::shared_memory());
}

inline void load_matrices(uint32_t& first, uint32_t& second, const void* row) {
  on_host::Lane& mine = on_host::lane();
  mine.in[0] = reinterpret_cast<uint64_t>(row);
  on_host::meet_warp([](on_host::Lane* const* lanes) {
    for (int lane = 0; lane < on_host::kLanes; ++lane)
      for (int matrix = 0; matrix < 2; ++matrix) {
        const auto* from = reinterpret_cast<const uint8_t*>(lanes[8 * matrix + lane / 4]->in[0]);
        uint32_t four;
        memcpy(&four, from + lane % 4 * 4, 4);
        lanes[lane]->out[matrix] = four;
      }
  });
  first = static_cast<uint32_t>(mine.out[0]);
  second = static_cast<uint32_t>(mine.out[1]);
}

inline void copy_async(void* shared, const void* global) {
  on_host::begin_copy(shared, global, 16);
}
inline void commit_copies() { on_host::end_copy_group(); }
template <int kPending>
void wait_copies() {
  on_host::wait_copy_groups(kPending);
}

inline void show_copies() { on_host::show_copies(); }

inline uint32_t cluster_rank() { return on_host::cluster_rank(); }
inline void cluster_sync() { on_host::meet_cluster(); }
inline void store_remote(uint32_t* shared, uint32_t rank, uint32_t value) {
  const auto offset = reinterpret_cast<uint8_t*>(shared) - on_host::shared_memory();
  on_host::store_remote(rank, static_cast<size_t>(offset), value);
}

}  // namespace ncg::cuda
