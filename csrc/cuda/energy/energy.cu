// Sums in float64: free_energy and the log-weights of anneal. One warp adds up one chain; its lanes
// take every 32nd unit and meet in a fixed order, so that a sum is the same in every run.
#include "cuda/backend.h"
#include "cuda/launch.h"
#include "cuda/sampling/half_step.h"
#include "cuda/sampling/products.h"
#include "cuda/scratch.h"

namespace ncg::cuda {
namespace {

constexpr int kWarps = 4;

__device__ double softplus(double x) { return (x > 0 ? x : 0) + log1p(exp(-fabs(x))); }

// Of one unit of one chain, in [0, 1].
__device__ double state_of(const States& states, int64_t chain, int64_t unit) {
  if (states.are_levels())
    return static_cast<const int32_t*>(states.data)[chain * states.n_units + unit] /
           double{kLevels};
  const int64_t words = ceil_div(states.n_chains, kWord);
  const uint64_t word = static_cast<const uint64_t*>(states.data)[unit * words + chain / kWord];
  return static_cast<double>(word >> chain % kWord & 1);
}

// The sum of term(i) for i < n, in lane 0.
template <class Term>
__device__ double warp_sum(int64_t n, Term term) {
  double sum = 0;
  for (int64_t i = lane_id(); i < n; i += kWarp) sum += term(i);
#pragma unroll
  for (int partner = kWarp / 2; partner > 0; partner /= 2)
    sum += __shfl_xor_sync(~0u, sum, partner);
  return sum;
}

__device__ int64_t chain_of_warp() { return int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp; }

// x: pre-activations (n_chains, n_hidden).
__global__ void __launch_bounds__(kWarps* kWarp)
    free_energy_kernel(States visible, const float* visible_bias, const float* x, int64_t n_hidden,
                       double* energy) {
  const int64_t chain = chain_of_warp();
  if (chain >= visible.n_chains) return;
  const double linear = warp_sum(
      visible.n_units, [&](int64_t j) { return visible_bias[j] * state_of(visible, chain, j); });
  const double soft =
      warp_sum(n_hidden, [&](int64_t i) { return softplus(double{x[chain * n_hidden + i]}); });
  if (lane_id() == 0) energy[chain] = -linear - soft;
}

// One rung from betas[t - 1] to betas[t]: log_weights gain log p_beta_t(v) - log p_beta_(t-1)(v).
__global__ void __launch_bounds__(kWarps* kWarp)
    rung_kernel(States visible, const float* visible_bias, const float* base_bias, const float* x,
                int64_t n_hidden, const double* betas, int64_t t, double* log_weights) {
  const int64_t chain = chain_of_warp();
  if (chain >= visible.n_chains) return;
  const double last = betas[t - 1], beta = betas[t];
  const double lift = warp_sum(visible.n_units, [&](int64_t j) {
    return (double{visible_bias[j]} - base_bias[j]) * state_of(visible, chain, j);
  });
  const double gain = warp_sum(n_hidden, [&](int64_t i) {
    const double one = x[chain * n_hidden + i];
    return softplus(beta * one) - softplus(last * one);
  });
  if (lane_id() != 0) return;
  const double before = t == 1 ? 0 : log_weights[chain];
  log_weights[chain] = before + (beta - last) * lift + gain;
}

dim3 grid_of(int64_t n_chains) { return dim3(static_cast<unsigned>(ceil_div(n_chains, kWarps))); }

}  // namespace

void free_energy(const FreeEnergy& op, const Run& run) {
  constexpr char kOp[] = "free_energy";
  const int64_t n_hidden = op.to_hidden.n_out, n_chains = op.visible.n_chains;
  const auto scratch = scratch_of<EnergyScratch>(
      run, {n_hidden, op.visible.n_units, n_chains, n_chains, op.visible.format});
  Outcome wanted{};
  wanted.preactivation = scratch.x;
  half_step(kOp, {op.to_hidden, op.visible, 0, nullptr, wanted}, stream_of(run));
  launch(kOp, free_energy_kernel, grid_of(n_chains), kWarps * kWarp, 0, stream_of(run), op.visible,
         op.visible_bias, scratch.x, n_hidden, op.energy);
}

void anneal(const Anneal& op, const Run& run) {
  constexpr char kOp[] = "anneal";
  const cudaStream_t stream = stream_of(run);
  const int64_t n_hidden = op.to_hidden.n_out, n_visible = op.to_visible.n_out,
                n_chains = op.n_chains;
  const auto scratch = scratch_of<EnergyScratch>(
      run, {n_hidden, n_visible, n_chains, n_chains, StateFormat::kPacked});
  const States v = packed_states(op.visible, n_visible, n_chains),
               h = packed_states(scratch.hidden, n_hidden, n_chains);
  for (int64_t t = 1; t < op.n_betas; ++t) {
    Outcome up{}, down{};
    up.preactivation = scratch.x;
    up.packed = scratch.hidden;
    down.packed = op.visible;
    down.base_bias = op.base_bias;
    up.rung = down.rung = op.betas + t;
    up.draw = op.draw.of_hidden(t);
    down.draw = op.draw.of_visible(t);
    half_step(kOp, {op.to_hidden, v, 0, nullptr, up}, stream);
    launch(kOp, rung_kernel, grid_of(n_chains), kWarps * kWarp, 0, stream, v, op.to_visible.bias,
           op.base_bias, scratch.x, n_hidden, op.betas, t, op.log_weights);
    half_step(kOp, {op.to_visible, h, 0, nullptr, down}, stream);
  }
}

}  // namespace ncg::cuda
