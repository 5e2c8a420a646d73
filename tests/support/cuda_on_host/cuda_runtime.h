// Stands in for CUDA's header of this name: the words of CUDA C++ that the kernels use.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "fibers.h"
#include "streams.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }

// The runtime: one device; see also streams.h.

inline const char* cudaGetErrorString(cudaError_t) { return "no error"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* n) {
  *n = 1;
  return cudaSuccess;
}
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
enum cudaDeviceAttr { cudaDevAttrComputeCapabilityMajor, cudaDevAttrMaxSharedMemoryPerBlockOptin };
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int) {
  *value = which == cudaDevAttrComputeCapabilityMajor ? on_host::compute_capability() : 227 * 1024;
  return cudaSuccess;
}
// Barriers and warps; all 32 lanes take part.

inline void __syncthreads() { on_host::meet_block(); }
inline void __syncwarp() {
  on_host::meet_warp([](on_host::Lane* const*) {});
}

template <class T>
T __shfl_xor_sync(uint32_t, T value, int mask) {
  static_assert(sizeof(T) <= 8, "a lane's value");
  on_host::Lane& mine = on_host::lane();
  memcpy(mine.in, &value, sizeof(T));
  mine.in[1] = static_cast<uint64_t>(mask);
  on_host::meet_warp([](on_host::Lane* const* lanes) {
    for (uint64_t i = 0; i < on_host::kLanes; ++i)
      lanes[i]->out[0] = lanes[i ^ lanes[i]->in[1]]->in[0];
  });
  memcpy(&value, mine.out, sizeof(T));
  return value;
}

inline uint32_t __ballot_sync(uint32_t, int predicate) {
  on_host::lane().in[0] = predicate != 0;
  on_host::meet_warp([](on_host::Lane* const* lanes) {
    uint64_t bits = 0;
    for (int i = 0; i < on_host::kLanes; ++i) bits |= lanes[i]->in[0] << i;
    for (int i = 0; i < on_host::kLanes; ++i) lanes[i]->out[0] = bits;
  });
  return static_cast<uint32_t>(on_host::lane().out[0]);
}

// Arithmetic.

inline uint32_t __byte_perm(uint32_t low, uint32_t high, uint32_t selector) {
  const uint64_t both = uint64_t{high} << 32 | low;
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i)
    result |= static_cast<uint32_t>(both >> 8 * (selector >> 4 * i & 7) & 0xFF) << 8 * i;
  return result;
}

inline int __popcll(uint64_t bits) { return __builtin_popcountll(bits); }

// Atomics: fibers take turns only where they meet.

template <class T>
T atomicAdd(T* to, T value) {
  const T before = *to;
  *to += value;
  return before;
}
template <class T>
T atomicMax(T* to, T value) {
  const T before = *to;
  *to = std::max(before, value);
  return before;
}
template <class T>
T atomicExch(T* to, T value) {
  const T before = *to;
  *to = value;
  return before;
}
inline void __threadfence() {}
