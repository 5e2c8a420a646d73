// The op scan_weights: a warp takes a chunk after the other.
#include "common/fingerprint.h"
#include "common/layout.h"
#include "cuda/backend.h"
#include "cuda/launch.h"

namespace ncg::cuda {
namespace {

using Word = unsigned long long;  // as atomics take it
constexpr unsigned kThreads = 256, kWarps = kThreads / 32, kMostBlocks = 1024;

// A thread's part of the sums of a chunk, or of what is found.
struct Scan {
  Word magnitude = 0, n_on = 0, products = 0, pairs = 0;
};

__device__ __forceinline__ uint32_t word_at(const ScanWeights& op, int64_t at, Scan& scan) {
  if (at >= op.n_pairs || op.mask[at] == 0) return kOff;
  const uint32_t word = static_cast<uint32_t>(as_bits(op.weight[at])),
                 magnitude = word & 0x7FFFFFFFu;
  if (magnitude > scan.magnitude) scan.magnitude = magnitude;
  scan.n_on += 1;
  return word;
}

__device__ __forceinline__ Word warp_sum(Word value) {
  for (int other = 16; other > 0; other /= 2) value += __shfl_xor_sync(~0u, value, other);
  return value;
}

// found: zeros.
__global__ void __launch_bounds__(kThreads) scan_weights_kernel(ScanWeights op, Word* found) {
  const int64_t n_chunks = ceil_div(op.n_pairs, kChunk), stride = int64_t{gridDim.x} * kWarps;
  const int lane = threadIdx.x % 32;
  Scan scan;
  Word first = 0, second = 0;
  for (int64_t c = int64_t{blockIdx.x} * kWarps + threadIdx.x / 32; c < n_chunks; c += stride) {
    scan.products = scan.pairs = 0;
    for (int place = 2 * lane; place < kChunk; place += 64) {
      const int64_t at = c * kChunk + place;
      const uint32_t even = word_at(op, at, scan), odd = word_at(op, at + 1, scan);
      scan.pairs += Word{odd} << 32 | even;
      scan.products += Word{even + chunk_key(place)} * (odd + chunk_key(place + 1));
    }
    const Word one = first_word(c, warp_sum(scan.products));
    second += second_word(one, warp_sum(scan.pairs));
    first += one;
  }
  scan.n_on = warp_sum(scan.n_on);
  for (int other = 16; other > 0; other /= 2) {
    const Word magnitude = __shfl_xor_sync(~0u, scan.magnitude, other);
    if (magnitude > scan.magnitude) scan.magnitude = magnitude;
  }
  if (lane > 0) return;
  atomicMax(found, scan.magnitude);
  atomicAdd(found + 1, scan.n_on);
  atomicAdd(found + 2, first);
  atomicAdd(found + 3, second);
}

}  // namespace

void scan_weights(const ScanWeights& op, const Run& run) {
  constexpr char kOp[] = "scan_weights";
  const cudaStream_t stream = stream_of(run);
  check(kOp, cudaMemsetAsync(op.found, 0, 4 * sizeof(Word), stream));
  const int64_t blocks = ceil_div(ceil_div(op.n_pairs, kChunk), kWarps);
  const auto n_blocks = static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
  launch(kOp, scan_weights_kernel, dim3(n_blocks), kThreads, 0, stream, op,
         reinterpret_cast<Word*>(op.found));
}

}  // namespace ncg::cuda
