// What the current device can do.
#pragma once
#include <atomic>

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

// The answer to one question, asked once of each device.
class AskedOnce {
 public:
  template <class Ask>
  bool operator()(const char* op, Ask ask) {
    int device = 0;
    check(op, cudaGetDevice(&device));
    std::atomic<int>& answer = known_[device % kDevices];
    if (answer == kUnknown) answer = ask() ? kYes : kNo;
    return answer == kYes;
  }

 private:
  static constexpr int kDevices = 64, kUnknown = 0, kYes = 1, kNo = 2;
  std::atomic<int> known_[kDevices] = {};
};

}  // namespace ncg::cuda
