// The one way kernels are launched. The host twin is tests/support/cuda_on_host/cuda/launch.h.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace ncg::cuda {

// The attribute of torch.Tensor that tells the memory these kernels work in.
constexpr char kMemory[] = "is_cuda";

// Throws what Python sees as RuntimeError.
inline void check(const char* op, cudaError_t status) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // the next call begins afresh
  throw std::runtime_error(std::string(op) + ": the GPU must take the work, got \"" +
                           cudaGetErrorString(status) +
                           "\". Call torch.cuda.synchronize() to see whether an earlier kernel "
                           "failed, or use tensors on the CPU.");
}

// A cluster of n_blocks along x, `shared` bytes of dynamic shared memory a block. `cluster` must
// outlive the result.
inline cudaLaunchConfig_t cluster_config(cudaLaunchAttribute& cluster, unsigned n_blocks, dim3 grid,
                                         unsigned n_threads, size_t shared, cudaStream_t stream) {
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = n_blocks;
  cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(n_threads);
  config.dynamicSmemBytes = shared;
  config.stream = stream;
  config.attrs = &cluster;
  config.numAttrs = n_blocks > 1;
  return config;
}

template <class... Parameters>
cudaError_t allow_shared(void (*kernel)(Parameters...), size_t shared) {
  constexpr size_t kWithoutAsking = 48 * 1024;
  if (shared <= kWithoutAsking) return cudaSuccess;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(shared));
}

// Whether the current device, or the part of one that is lent, has room for such a cluster, and the
// kernel's code was made for clusters: of older PTX the driver makes code without them.
template <class... Parameters>
bool has_room_for_cluster(void (*kernel)(Parameters...), unsigned n_blocks, unsigned n_threads,
                          size_t shared) {
  cudaLaunchAttribute cluster{};
  const cudaLaunchConfig_t config =
      cluster_config(cluster, n_blocks, dim3(n_blocks), n_threads, shared, nullptr);
  cudaFuncAttributes code{};
  int n = 0;
  const bool known = cudaFuncGetAttributes(&code, kernel) == cudaSuccess && code.ptxVersion >= 90 &&
                     allow_shared(kernel, shared) == cudaSuccess &&
                     cudaOccupancyMaxActiveClusters(&n, kernel, &config) == cudaSuccess;
  if (!known) cudaGetLastError();  // the next call begins afresh
  return known && n > 0;
}

// All blocks of a cluster run together; n_blocks 1: no clusters. A grid without blocks is no work.
template <class... Parameters>
void launch_cluster(const char* op, void (*kernel)(Parameters...), unsigned n_blocks, dim3 grid,
                    unsigned n_threads, size_t shared, cudaStream_t stream,
                    const std::common_type_t<Parameters>&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  check(op, allow_shared(kernel, shared));
  cudaLaunchAttribute cluster{};
  const cudaLaunchConfig_t config =
      cluster_config(cluster, n_blocks, grid, n_threads, shared, stream);
  check(op, cudaLaunchKernelEx(&config, kernel, arguments...));
}

template <class... Parameters>
void launch(const char* op, void (*kernel)(Parameters...), dim3 grid, unsigned n_threads,
            size_t shared, cudaStream_t stream,
            const std::common_type_t<Parameters>&... arguments) {
  launch_cluster(op, kernel, 1, grid, n_threads, shared, stream, arguments...);
}

}  // namespace ncg::cuda
