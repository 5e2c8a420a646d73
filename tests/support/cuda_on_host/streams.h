// Streams, and graphs that are captured from them: what a captured stream takes is kept with its
// arguments as they were, and runs at each launch of the graph.
#pragma once
#include <cstddef>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

enum cudaError_t { cudaSuccess, cudaErrorIllegalState };

using OnHostWork = std::vector<std::function<void()>>;
struct CUstream_st {
  bool captured = false;
  OnHostWork work;
};
using cudaStream_t = CUstream_st*;
using cudaGraph_t = OnHostWork*;
using cudaGraphExec_t = struct CUgraphExec_st*;
struct CUgraphExec_st {
  OnHostWork work;
};

// Runs at once, or is kept where the stream is captured.
template <class Work>
void on_stream(cudaStream_t stream, Work work) {
  if (stream != nullptr && stream->captured)
    stream->work.push_back(std::move(work));
  else
    work();
}

inline cudaError_t cudaMemsetAsync(void* memory, int value, size_t n_bytes, cudaStream_t stream) {
  on_stream(stream, [=] { memset(memory, value, n_bytes); });
  return cudaSuccess;
}

constexpr unsigned cudaStreamNonBlocking = 1;
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  return cudaSuccess;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}

enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone, cudaStreamCaptureStatusActive };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal };
inline cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const bool captured = stream != nullptr && stream->captured;
  *status = captured ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
inline cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream == nullptr || stream->captured) return cudaErrorIllegalState;
  stream->captured = true;
  return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (!stream->captured) return cudaErrorIllegalState;
  stream->captured = false;
  *graph = new OnHostWork(std::move(stream->work));
  return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned) {
  *ready = new CUgraphExec_st{*graph};
  return cudaSuccess;
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t stream) {
  for (const std::function<void()>& work : ready->work) on_stream(stream, work);
  return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready) {
  delete ready;
  return cudaSuccess;
}
