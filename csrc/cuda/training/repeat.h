// The same launches many times over, as one captured graph.
#pragma once
#include <cuda_runtime.h>

#include <utility>

#include "cuda/launch.h"

namespace ncg::cuda {

// Owns what `destroy` frees.
template <class Handle>
class Owned {
 public:
  explicit Owned(cudaError_t (*destroy)(Handle)) : destroy_(destroy) {}
  ~Owned() {
    if (handle_ != nullptr) destroy_(handle_);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;

  operator Handle() const { return handle_; }
  Handle* operator&() { return &handle_; }

 private:
  cudaError_t (*destroy_)(Handle);
  Handle handle_ = nullptr;
};

// launches(stream), n times. The first time they go to the stream itself, which also loads the
// kernels; the rest are launches of one graph, captured on a stream of its own because the caller's
// may be the default one, which cannot be captured. A stream that is being captured takes them as
// they are. A graph that still runs is freed when it ends.
template <class Launches>
void repeat(const char* op, int64_t n, cudaStream_t stream, const Launches& launches) {
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  check(op, cudaStreamIsCapturing(stream, &capture));
  constexpr int64_t kWorthAGraph = 3;
  const bool direct = capture != cudaStreamCaptureStatusNone || n < kWorthAGraph;
  for (int64_t i = 0; i < (direct ? n : 1); ++i) launches(stream);
  if (direct) return;

  Owned<cudaStream_t> aside(cudaStreamDestroy);
  Owned<cudaGraph_t> graph(cudaGraphDestroy);
  Owned<cudaGraphExec_t> ready(cudaGraphExecDestroy);
  check(op, cudaStreamCreateWithFlags(&aside, cudaStreamNonBlocking));
  check(op, cudaStreamBeginCapture(aside, cudaStreamCaptureModeThreadLocal));
  try {
    launches(aside);
  } catch (...) {
    cudaStreamEndCapture(aside, &graph);
    throw;
  }
  check(op, cudaStreamEndCapture(aside, &graph));
  check(op, cudaGraphInstantiate(&ready, graph, 0));
  for (int64_t i = 1; i < n; ++i) check(op, cudaGraphLaunch(ready, stream));
}

}  // namespace ncg::cuda
