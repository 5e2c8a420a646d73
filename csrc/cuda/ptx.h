// Instructions that CUDA C++ has no name for, each behind a small function. The host twin is
// tests/cuda_on_host/cuda/ptx.h, which include paths put first there.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace ncg::cuda {

// --- matrix products of one warp ---
//
// sum += A B for A of 16 x 32 bytes (rows by K), B of 32 x 8, sum of 16 x 8, with lane = 4 r + c:
// a[0], a[2]: row r, K 4c .. 4c + 3 and 16 + 4c ..; a[1], a[3]: the same of row r + 8; b0, b1:
// column r, K 4c .. and 16 + 4c ..; sum[0], sum[1]: row r, columns 2c and 2c + 1; sum[2], sum[3]:
// row r + 8.

__device__ __forceinline__ void mma_u8s8(int32_t (&sum)[4], const uint32_t (&a)[4], uint32_t b0,
                                         uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void mma_u8u8(int32_t (&sum)[4], const uint32_t (&a)[4], uint32_t b0,
                                         uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.u8.u8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// --- shared memory ---

// The block's dynamic shared memory. Kernels use no other: the host twin gives each block its own.
__device__ __forceinline__ uint8_t* dynamic_shared() {
  extern __shared__ __align__(16) uint8_t ncg_dynamic_shared[];
  return ncg_dynamic_shared;
}

__device__ __forceinline__ uint32_t shared_address(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// Two 8 x 16-byte matrices from shared memory: lanes 0-7 point at the rows of the first, 8-15 at
// those of the second; lane 4 r + c receives bytes 4c .. 4c + 3 of row r of each.
__device__ __forceinline__ void load_matrices(uint32_t& first, uint32_t& second, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
               : "=r"(first), "=r"(second)
               : "r"(shared_address(row))
               : "memory");
}

// Sixteen bytes to shared memory, begun; they are there after wait_copies and a barrier.
__device__ __forceinline__ void copy_async(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)),
               "l"(__cvta_generic_to_global(global))
               : "memory");
}
// Ends a group of copies of this thread.
__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Waits for all of this thread's groups but the kPending last ones.
template <int kPending>
__device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// --- clusters of blocks, sm_90 and later ---

__device__ __forceinline__ uint32_t cluster_rank() {
  uint32_t rank = 0;
#if __CUDA_ARCH__ >= 900
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
  return rank;
}

// All threads of all blocks of the cluster meet; what they wrote before is seen after.
__device__ __forceinline__ void cluster_sync() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release;" ::: "memory");
  asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#endif
}

// Stores to the place in another block's shared memory where `shared` lies in this one's.
__device__ __forceinline__ void store_remote(uint32_t* shared, uint32_t rank, uint32_t value) {
#if __CUDA_ARCH__ >= 900
  uint32_t there;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
               : "=r"(there)
               : "r"(shared_address(shared)), "r"(rank));
  asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(there), "r"(value) : "memory");
#endif
}

}  // namespace ncg::cuda
