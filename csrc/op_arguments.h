// From the tensors and numbers of one call to the structures of ops.h, checked on the way.
#pragma once
#include <optional>

#include "common/numerics.h"
#include "digit_arguments.h"
#include "ops.h"

namespace ncg {

constexpr int64_t kMinExponent = -60, kMaxExponent = 129;  // as in ncg_fast/backends/numerics.py

inline int64_t words(int64_t n_chains) { return ceil_div(n_chains, kWord); }

inline bool is_levels(const Tensor& states) { return states.dtype == torch_names.int32; }

inline int64_t chains(const Call& call, int64_t n) {
  return call.integer("n_chains", n, 0, kMaxChains);
}
inline int64_t steps(const Call& call, int64_t n) { return call.integer("n_steps", n, 1, kMaxInt); }
inline int exponent(const Call& call, int64_t e) {
  return static_cast<int>(call.integer("weight_exponent", e, kMinExponent, kMaxExponent));
}
inline int threads(const Call& call, int64_t n) {
  return static_cast<int>(call.integer("n_threads", n, 1, kMaxInt));
}

struct StatesToPack {
  const uint8_t* states;
  int64_t n_chains, n_units;
};
inline StatesToPack states_to_pack(const Call& call, const Tensor& from) {
  const int64_t n_chains = call.size("states", from, 0, 2, kMaxChains),
                n_units = call.size("states", from, 1, 2);
  if (from.dtype == torch_names.uint8)
    call.read<uint8_t>("states", from, from.count);
  else
    call.read<bool>("states", from, from.count);  // bytes, too
  return {static_cast<const uint8_t*>(from.data), n_chains, n_units};
}

inline const uint8_t* given_mask(const Call& call, const Tensor& mask, int64_t count) {
  return reinterpret_cast<const uint8_t*>(call.read_given<bool>("mask", mask, count));
}

inline const uint64_t* packed(const Call& call, Named states, int64_t n_units, int64_t n_chains) {
  return call.read<uint64_t>(states.name, states.tensor, product({n_units, words(n_chains)}));
}
inline uint64_t* packed_out(const Call& call, Named states, int64_t n_units, int64_t n_chains) {
  return call.write<uint64_t>(states.name, states.tensor, product({n_units, words(n_chains)}));
}
// The first of several batches of packed states, or levels, one after the other.
inline States first_batch(const Call& call, Named s, int64_t n_units, int64_t n_chains,
                          int64_t n_batches) {
  const bool levels = is_levels(s.tensor);
  const int64_t count = product({n_batches, n_units, levels ? n_chains : words(n_chains)});
  if (levels) return {call.read<int32_t>(s.name, s.tensor, count), n_units, n_chains, true};
  return {call.read<uint64_t>(s.name, s.tensor, count), n_units, n_chains, false};
}
// Packed states, or levels.
inline States states(const Call& call, Named s, int64_t n_units, int64_t n_chains) {
  return first_batch(call, s, n_units, n_chains, 1);
}
inline int64_t inputs(const Call& call, Named s) {
  return call.size(s.name, s.tensor, is_levels(s.tensor) ? 1 : 0, 2, kMaxUnits);
}

inline PackWeights weights_to_pack(const Call& call, const Tensor& weight, const Tensor& mask,
                                   int64_t n_digits, int64_t e, std::optional<int64_t> capacity,
                                   const Tensor& to_hidden, const Tensor& to_visible) {
  const int64_t n_hidden = call.size("weight", weight, 0, 2),
                n_visible = call.size("weight", weight, 1, 2);
  const int n = static_cast<int>(call.integer("n_digits", n_digits, 2, 3));
  if (capacity && !sparse_digits)
    call.refuse("capacity", "be None on this device", std::to_string(*capacity));
  const Named there{"result", to_hidden}, back{"result", to_visible};
  const WrittenDigits out = capacity
                                ? new_sparse(call, there, back, n_hidden, n_visible,
                                             call.integer("capacity", *capacity, 0, kMaxInt), n)
                                : new_dense(call, there, back, n_hidden, n_visible, n);
  return {call.read<float>("weight", weight, weight.count),
          given_mask(call, mask, weight.count),
          n_hidden,
          n_visible,
          n,
          exponent(call, e),
          out.to_hidden,
          out.to_visible,
          out.sparse_to_hidden,
          out.sparse_to_visible,
          out.capacity};
}
inline Layer layer(const Call& call, Named digits, Named bias, int64_t n_in, int64_t e) {
  const int64_t n_out = call.units(bias.name, bias.tensor);
  const float* biases = call.read<float>(bias.name, bias.tensor, n_out);
  if (is_sparse(digits.tensor)) {
    const Sparse s = sparse(call, digits, n_out, n_in);
    return {nullptr, biases, n_out, n_in, s.n_digits, exponent(call, e), s.words, s.capacity};
  }
  const int n = n_digits(call, digits);
  const int8_t* dense = call.read<int8_t>(digits.name, digits.tensor, digits_count(n_out, n_in, n));
  return {aligned(call, digits.name, dense), biases, n_out, n_in, n, exponent(call, e), nullptr, 0};
}

inline Draw draw(const Call& call, int64_t seed, int64_t chain_offset, int64_t step) {
  return {static_cast<uint64_t>(call.integer("seed", seed, 0, INT64_MAX)),
          call.integer("chain_offset", chain_offset, 0, UINT32_MAX),
          call.integer("step", step, 0, int64_t{1} << 55), 0, nullptr};
}

// The two directions of a half step differ in names and stream.
struct Direction {
  const char *op, *states, *digits, *bias;
  uint32_t stream;
};
inline constexpr Direction kHiddenMean{"hidden_mean", "visible", "to_hidden", "hidden_bias", 0},
    kVisibleMean{"visible_mean", "hidden", "to_visible", "visible_bias", 0},
    kSampleHidden{"sample_hidden", "visible", "to_hidden", "hidden_bias", kHiddenStream},
    kSampleVisible{"sample_visible", "hidden", "to_visible", "visible_bias", kVisibleStream};

struct HalfStepArguments {
  Layer layer;
  States states;
};
inline HalfStepArguments half_step_of(const Call& call, const Direction& d, const Tensor& given,
                                      const Tensor& digits, const Tensor& bias, int64_t e,
                                      int64_t n) {
  const int64_t n_in = inputs(call, {d.states, given}), n_chains = chains(call, n);
  return {layer(call, {d.digits, digits}, {d.bias, bias}, n_in, e),
          states(call, {d.states, given}, n_in, n_chains)};
}

// Both directions' layers, and what gibbs_steps does with them; results are written.
struct GibbsTensors {
  const Tensor &visible, &to_hidden, &to_visible, &visible_bias, &hidden_bias, &beta, &clamped,
      &visible_out, &hidden_out;
};
inline Gibbs gibbs_of(const Call& call, const GibbsTensors& t, int64_t e, int64_t n,
                      int64_t n_steps, const Draw& first) {
  const Named b{"visible_bias", t.visible_bias}, c{"hidden_bias", t.hidden_bias};
  const int64_t n_visible = call.units(b.name, b.tensor), n_hidden = call.units(c.name, c.tensor),
                n_chains = chains(call, n);
  Draw uniforms = first;
  uniforms.beta = call.read_given<float>("beta", t.beta, n_chains);
  const uint64_t* clamps = nullptr;
  if (t.clamped) {  // their start is read as packed states
    packed(call, {"visible", t.visible}, n_visible, n_chains);
    clamps = packed(call, {"clamped", t.clamped}, n_visible, n_chains);
  }
  return {layer(call, {"to_hidden", t.to_hidden}, c, n_visible, e),
          layer(call, {"to_visible", t.to_visible}, b, n_hidden, e),
          states(call, {"visible", t.visible}, n_visible, n_chains),
          uniforms,
          steps(call, n_steps),
          clamps,
          packed_out(call, {"result", t.visible_out}, n_visible, n_chains),
          packed_out(call, {"result", t.hidden_out}, n_hidden, n_chains)};
}

struct FreeEnergy {
  Layer to_hidden;
  States visible;
  const float* visible_bias;
  double* energy;
};
inline FreeEnergy free_energy_of(const Call& call, const Tensor& visible, const Tensor& to_hidden,
                                 const Tensor& visible_bias, const Tensor& hidden_bias, int64_t e,
                                 int64_t n, const Tensor& out) {
  const int64_t n_visible = call.units("visible_bias", visible_bias), n_chains = chains(call, n);
  return {layer(call, {"to_hidden", to_hidden}, {"hidden_bias", hidden_bias}, n_visible, e),
          states(call, {"visible", visible}, n_visible, n_chains),
          call.read<float>("visible_bias", visible_bias, n_visible),
          call.write<double>("result", out, n_chains)};
}

struct AnnealTensors {
  const Tensor &visible, &to_hidden, &to_visible, &visible_bias, &hidden_bias, &base_bias, &betas,
      &log_weights;
};
inline Anneal anneal_of(const Call& call, const AnnealTensors& t, int64_t e, int64_t n,
                        const Draw& uniforms) {
  const Named b{"visible_bias", t.visible_bias}, c{"hidden_bias", t.hidden_bias};
  const int64_t n_visible = call.units(b.name, b.tensor), n_hidden = call.units(c.name, c.tensor),
                n_chains = chains(call, n);
  call.integer("n_betas", call.size("betas", t.betas, 0, 1), 2, kMaxInt);
  return {layer(call, {"to_hidden", t.to_hidden}, c, n_visible, e),
          layer(call, {"to_visible", t.to_visible}, b, n_hidden, e),
          call.read<float>("base_bias", t.base_bias, n_visible),
          call.read<double>("betas", t.betas, t.betas.count),
          t.betas.count,
          n_chains,
          uniforms,
          packed_out(call, {"visible", t.visible}, n_visible, n_chains),
          call.write<double>("result", t.log_weights, n_chains)};
}

}  // namespace ncg
