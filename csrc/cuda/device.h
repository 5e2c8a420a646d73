// What the current device can do.
#pragma once
#include "cuda/launch.h"

namespace ncg::cuda {

inline int device_attribute(const char* op, cudaDeviceAttr which) {
  int device = 0, value = 0;
  check(op, cudaGetDevice(&device));
  check(op, cudaDeviceGetAttribute(&value, which, device));
  return value;
}

// 9: clusters and products of warpgroups; 10 and later: clusters.
inline int compute_capability(const char* op) {
  return device_attribute(op, cudaDevAttrComputeCapabilityMajor);
}

}  // namespace ncg::cuda
