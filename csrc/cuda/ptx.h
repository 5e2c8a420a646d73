// Instructions that CUDA C++ has no name for, each as a small function. The host twin is
// tests/support/cuda_on_host/cuda/ptx.h, which include paths put first there.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

// The operands of one tile's sum.
#define NCG_SUMS(tile) \
  "+r"(sum[tile][0]), "+r"(sum[tile][1]), "+r"(sum[tile][2]), "+r"(sum[tile][3])

namespace ncg::cuda {

// Matrix products of one warp.
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

// Matrix products of a warpgroup, four warps together: sm_90a alone.

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
constexpr bool kWarpgroups = true;
#else
constexpr bool kWarpgroups = false;
#endif
__device__ __forceinline__ bool has_warpgroup_products() { return kWarpgroups; }

// Before the first of some products, and again when their registers have been written.
__device__ __forceinline__ void begin_products() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

// Begins sum += A B for A of 64 x 32 bytes, 16 rows a warp as in mma_u8s8, and B of 32 x 8 tiles,
// each of which takes a sum as in mma_u8s8. No register may be used before end_products.
// b: where B lies in shared memory, see tiles_descriptor in products.h.
__device__ __forceinline__ void multiply(int32_t (&sum)[8][4], const uint32_t (&a)[4], uint64_t b) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n64k32.s32.u8.s8 "
      "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,"
      "%24,%25,%26,%27,%28,%29,%30,%31}, {%32,%33,%34,%35}, %36, 1;"
      : NCG_SUMS(0), NCG_SUMS(1), NCG_SUMS(2), NCG_SUMS(3), NCG_SUMS(4), NCG_SUMS(5), NCG_SUMS(6),
        NCG_SUMS(7)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
#endif
}
__device__ __forceinline__ void multiply(int32_t (&sum)[12][4], const uint32_t (&a)[4],
                                         uint64_t b) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n96k32.s32.u8.s8 "
      "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,"
      "%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,"
      "%46,%47}, {%48,%49,%50,%51}, %52, 1;"
      : NCG_SUMS(0), NCG_SUMS(1), NCG_SUMS(2), NCG_SUMS(3), NCG_SUMS(4), NCG_SUMS(5), NCG_SUMS(6),
        NCG_SUMS(7), NCG_SUMS(8), NCG_SUMS(9), NCG_SUMS(10), NCG_SUMS(11)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
#endif
}

// What was begun runs on from here,
__device__ __forceinline__ void commit_products() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
// and has run from here on: the sums that are given may be used.
template <int kRows, int kTiles>
__device__ __forceinline__ void end_products(int32_t (&sums)[kRows][kTiles][4]) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll
  for (int row = 0; row < kRows; ++row)
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
      for (int i = 0; i < 4; ++i) asm volatile("" : "+r"(sums[row][tile][i])::"memory");
#endif
}

// Shared memory.

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

// Copies of this thread that have been waited for become visible to a warpgroup's products, after
// a barrier.
__device__ __forceinline__ void show_copies() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// Clusters of blocks, sm_90 and later.

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

#undef NCG_SUMS
