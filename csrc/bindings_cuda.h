// What the files of bindings of ncg_fast._cuda share.
#pragma once
#include <cuda_runtime.h>
#include <pybind11/pybind11.h>

#include "tensor_argument.h"

namespace ncg {

inline cudaStream_t on(int64_t stream) { return reinterpret_cast<cudaStream_t>(stream); }

// The checks of one call, on a machine that has a GPU.
Call begin(const char* op);

void define_training(pybind11::module_& m);

}  // namespace ncg
