// What the bindings ask of the CUDA back end, as cpu.h.
#pragma once
#include <cuda_runtime.h>
#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>

#include "bindings/tensor.h"
#include "common/layout.h"
#include "cuda/backend.h"
#include "cuda/launch.h"
#include "cuda/scratch.h"
#include "ops.h"

#define NCG_FAST_MODULE _cuda

namespace ncg::backend {

constexpr const char* kMemory = cuda::kMemory;
constexpr bool kManyDevices = true;
constexpr bool kSparseDigits = false;
constexpr bool kRows = false;

// Why no tensor can be on a GPU here; empty where one can.
inline std::string missing() {
  int n_devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&n_devices);
  return status == cudaSuccess ? "" : cudaGetErrorString(status);
}

inline void require(const Call& call) {
  static const std::string reason = missing();
  if (!reason.empty())
    throw std::runtime_error(std::string(call.op) + ": needs a GPU, got \"" + reason +
                             "\". Use tensors on the CPU.");
}

inline const OpTable& ops() { return cuda::kOpTable; }

inline int64_t scratch_bytes(const char* op, const ScratchSizes& sizes) {
  return cuda::scratch_bytes(op, sizes);
}

// context: the stream.
inline Run run(const Call&, uint8_t* scratch, int64_t context) {
  return {0, reinterpret_cast<void*>(context), scratch};
}

// Dense digits are panels.
using Dense = int8_t;
inline int64_t dense_count(int64_t n_out, int64_t n_in, int n_digits) {
  return product({ceil_div(n_out, kPanel), n_digits, ceil_div(n_in, kBlock), kPanel * kBlock});
}
inline int64_t dense_n_digits(const Call& call, Named digits, int64_t) {
  return call.size(digits, 1, 5);
}

inline void define(pybind11::module_& m) {
  m.def("dense_format", [] { return std::string("PANELS"); });  // of formats.py
  m.attr("takes_rows") = kRows;
  m.def("missing", &missing);
}

}  // namespace ncg::backend
