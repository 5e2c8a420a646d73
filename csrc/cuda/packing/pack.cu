// pack_states, unpack_states and pack_weights: one thread makes one element of the result.
#include "common/layout.h"
#include "common/numerics.h"
#include "cuda/backend.h"
#include "cuda/launch.h"

namespace ncg::cuda {
namespace {

constexpr unsigned kThreads = 256;

dim3 grid_for(int64_t n_elements) {
  return dim3(static_cast<unsigned>(ceil_div(n_elements, kThreads)));
}
__device__ int64_t element() { return int64_t{blockIdx.x} * kThreads + threadIdx.x; }

// Neighbouring threads read neighbouring units.
__global__ void __launch_bounds__(kThreads)
    pack_states_kernel(const uint8_t* states, int64_t n_chains, int64_t n_units, int64_t words,
                       uint64_t* packed) {
  const int64_t i = element(), unit = i % n_units, word = i / n_units;
  if (word >= words) return;
  uint64_t bits = 0;
  for (int b = 0; b < kWord; ++b) {
    const int64_t chain = word * kWord + b;
    if (chain < n_chains) bits |= uint64_t{states[chain * n_units + unit] & 1u} << b;
  }
  packed[unit * words + word] = bits;
}

__global__ void __launch_bounds__(kThreads)
    unpack_states_kernel(const uint64_t* packed, int64_t n_chains, int64_t n_units, int64_t words,
                         uint8_t* states) {
  const int64_t i = element(), unit = i % n_units, chain = i / n_units;
  if (chain >= n_chains) return;
  states[i] = packed[unit * words + chain / kWord] >> chain % kWord & 1;
}

// One direction of the layout: output o and input i are weight[o * out_stride + i * in_stride].
struct Packing {
  const float* weight;
  const uint8_t* mask;
  int64_t out_stride, in_stride;
  DigitLayout layout;
  float inverse_step;
  int8_t* digits;
};

__global__ void __launch_bounds__(kThreads) pack_weights_kernel(Packing p) {
  const int64_t i = element();
  const int64_t block = i / (kPanel * kBlock) % p.layout.blocks(),
                panel = i / (kPanel * kBlock) / p.layout.blocks();
  if (panel >= p.layout.panels()) return;
  const int at = static_cast<int>(i % (kPanel * kBlock));
  const int64_t output = panel * kPanel + at / kBlock, input = block * kBlock + at % kBlock;
  float w = 0;
  if (output < p.layout.n_out && input < p.layout.n_in) {
    const int64_t pair = output * p.out_stride + input * p.in_stride;
    if (p.mask == nullptr || p.mask[pair]) w = p.weight[pair];
  }
  const int n_digits = p.layout.n_digits;
  const float limit = digit_limit(n_digits);
  float q = round_even(mul(w, p.inverse_step));
  q = q < limit ? q : limit;
  q = q > -limit ? q : -limit;
  const int32_t bias = digit_bias(n_digits);
  const int32_t bytes = (static_cast<int32_t>(q) + bias) ^ bias;
  for (int d = 0; d < n_digits; ++d)
    p.digits[p.layout.tile(panel, d, block) + at] = static_cast<int8_t>(bytes >> 8 * d);
}

void pack_direction(const Packing& p, cudaStream_t stream) {
  const int64_t n = p.layout.panels() * p.layout.blocks() * kPanel * kBlock;
  launch("pack_weights", pack_weights_kernel, grid_for(n), kThreads, 0, stream, p);
}

}  // namespace

void pack_states(const uint8_t* states, int64_t n_chains, int64_t n_units, uint64_t* packed,
                 const Run& run) {
  const int64_t words = ceil_div(n_chains, kWord);
  launch("pack_states", pack_states_kernel, grid_for(n_units * words), kThreads, 0, stream_of(run),
         states, n_chains, n_units, words, packed);
}

void unpack_states(const uint64_t* packed, int64_t n_chains, int64_t n_units, uint8_t* states,
                   const Run& run) {
  const int64_t words = ceil_div(n_chains, kWord);
  launch("unpack_states", unpack_states_kernel, grid_for(n_units * n_chains), kThreads, 0,
         stream_of(run), packed, n_chains, n_units, words, states);
}

void pack_weights(const PackWeights& op, const Run& run) {
  const int64_t n_hidden = op.n_hidden, n_visible = op.n_visible;
  const Digits &forward = op.to_hidden, &back = op.to_visible;
  pack_direction({op.weight,
                  op.mask,
                  n_visible,
                  1,
                  {n_hidden, n_visible, forward.n_digits},
                  forward.inverse_step(),
                  forward.dense},
                 stream_of(run));
  pack_direction({op.weight,
                  op.mask,
                  1,
                  n_visible,
                  {n_visible, n_hidden, back.n_digits},
                  back.inverse_step(),
                  back.dense},
                 stream_of(run));
}

}  // namespace ncg::cuda
