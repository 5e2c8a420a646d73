// Host twin of csrc/cuda/launch.h: a launch has run when it returns.
#pragma once
#include <cuda_runtime.h>

#include <type_traits>

namespace ncg::cuda {

constexpr char kMemory[] = "is_cpu";

inline void check(const char*, cudaError_t) {}

template <class... Parameters>
void launch_cluster(const char* op, void (*kernel)(Parameters...), unsigned n_blocks, dim3 grid,
                    unsigned n_threads, size_t shared, cudaStream_t,
                    const std::common_type_t<Parameters>&... arguments) {
  on_host::run(op, n_blocks, {grid.x, grid.y, grid.z}, n_threads, shared,
               [&] { kernel(arguments...); });
}

template <class... Parameters>
void launch(const char* op, void (*kernel)(Parameters...), dim3 grid, unsigned n_threads,
            size_t shared, cudaStream_t stream,
            const std::common_type_t<Parameters>&... arguments) {
  launch_cluster(op, kernel, 1, grid, n_threads, shared, stream, arguments...);
}

}  // namespace ncg::cuda
