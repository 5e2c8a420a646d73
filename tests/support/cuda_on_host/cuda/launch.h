// Host twin of csrc/cuda/launch.h: a launch has run when it returns, unless its stream is captured.
#pragma once
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>
#include <type_traits>

namespace ncg::cuda {

constexpr char kMemory[] = "is_cpu";

inline void check(const char* op, cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(std::string(op) + ": no GPU would take this");
}

template <class... Parameters>
bool has_room_for_cluster(void (*)(Parameters...), unsigned, unsigned, size_t) {
  return true;
}

template <class... Parameters>
void launch_cluster(const char* op, void (*kernel)(Parameters...), unsigned n_blocks, dim3 grid,
                    unsigned n_threads, size_t shared, cudaStream_t stream,
                    const std::common_type_t<Parameters>&... arguments) {
  on_stream(stream, [=] {
    on_host::run(op, n_blocks, {grid.x, grid.y, grid.z}, n_threads, shared,
                 [&] { kernel(arguments...); });
  });
}

template <class... Parameters>
void launch(const char* op, void (*kernel)(Parameters...), dim3 grid, unsigned n_threads,
            size_t shared, cudaStream_t stream,
            const std::common_type_t<Parameters>&... arguments) {
  launch_cluster(op, kernel, 1, grid, n_threads, shared, stream, arguments...);
}

}  // namespace ncg::cuda
