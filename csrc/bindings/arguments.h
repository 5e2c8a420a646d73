// From the tensors, numbers and records of one call to the structures of ops.h, checked on the way.
#pragma once
#include <optional>

#include "bindings/digits.h"
#include "bindings/records.h"
#include "common/numerics.h"
#include "ops.h"

namespace ncg {

inline int64_t words(int64_t n_chains) { return ceil_div(n_chains, kWord); }

inline int64_t chains(const Call& call, int64_t n) {
  return call.integer("n_chains", n, 0, kMaxChains);
}
inline int64_t steps(const Call& call, int64_t n) { return call.integer("n_steps", n, 1, kMaxInt); }

inline const uint8_t* given_mask(const Call& call, const Tensor& mask, int64_t count) {
  return reinterpret_cast<const uint8_t*>(call.read_given<bool>({"mask", mask}, count));
}

// States.

inline StateFormat format_of(const Tensor& states) {
  return states.dtype == torch_names.int32 ? StateFormat::kLevels : StateFormat::kPacked;
}
inline const uint64_t* packed(const Call& call, Named states, int64_t n_units, int64_t n_chains) {
  return call.read<uint64_t>(states, product({n_units, words(n_chains)}));
}
inline uint64_t* packed_out(const Call& call, Named states, int64_t n_units, int64_t n_chains) {
  return call.write<uint64_t>(states, product({n_units, words(n_chains)}));
}
// The first of several batches, one after the other.
inline States first_batch(const Call& call, Named s, int64_t n_units, int64_t n_chains,
                          int64_t n_batches) {
  const StateFormat format = format_of(s.tensor);
  if (format == StateFormat::kLevels)
    call.read<int32_t>(s, product({n_batches, n_units, n_chains}));
  else
    call.read<uint64_t>(s, product({n_batches, n_units, words(n_chains)}));
  return {s.tensor.data, n_units, n_chains, format};
}
inline States states(const Call& call, Named s, int64_t n_units, int64_t n_chains) {
  return first_batch(call, s, n_units, n_chains, 1);
}
// These may be a user's rows.
inline States states_or_rows(const Call& call, Named s, int64_t n_units, int64_t n_chains) {
  const int64_t count = product({n_chains, n_units});
  if (backend::kRows && s.tensor.dtype == torch_names.float32)
    return {call.read<float>(s, count), n_units, n_chains, StateFormat::kFloats};
  if (backend::kRows && s.tensor.dtype == torch_names.uint8)
    return {call.read<uint8_t>(s, count), n_units, n_chains, StateFormat::kBytes};
  if (backend::kRows && s.tensor.dtype == torch_names.bool8)
    return {call.read<bool>(s, count), n_units, n_chains, StateFormat::kBytes};
  return states(call, s, n_units, n_chains);
}
// Only packed states have units first.
inline int64_t units_of(const Call& call, Named s) {
  return call.size(s, s.tensor.dtype == torch_names.int64 ? 0 : 1, 2);
}

// Layers and draws.

inline Layer layer(const Call& call, Named digits, Named bias, int64_t n_in, int64_t e) {
  const int64_t n_out = call.units(bias);
  const float* biases = call.read<float>(bias, n_out);
  return {held_digits(call, digits, {n_out, n_in}, e), biases, n_out, n_in};
}
inline Layer layer(const Call& call, const records::Layer& of, int64_t n_in) {
  return layer(call, {"digits", of.digits}, {"bias", of.bias}, n_in, of.weight_exponent);
}

// Both directions.
struct Layers {
  Layer to_hidden, to_visible;
};
inline Layers layers(const Call& call, const records::Model& of) {
  const Named b{"visible_bias", of.visible_bias}, c{"hidden_bias", of.hidden_bias},
      back{"to_visible", of.to_visible};
  const int64_t n_visible = call.units(b), n_hidden = call.units(c), e = of.weight_exponent;
  const Layers both{layer(call, {"to_hidden", of.to_hidden}, c, n_visible, e),
                    layer(call, back, b, n_hidden, e)};
  check_same_digits(call, both.to_hidden.digits, back, both.to_visible.digits);
  return both;
}

inline Draw draw(const Call& call, const records::Draw& of, int64_t n_chains,
                 int64_t stream = kHiddenStream) {
  if (stream != kHiddenStream && stream != kVisibleStream)
    call.refuse("stream",
                "be " + std::to_string(kHiddenStream) + " or " + std::to_string(kVisibleStream),
                std::to_string(stream));
  const int64_t unit_offset = call.integer("unit_offset", of.unit_offset, 0, kMaxUnits - 1);
  if (unit_offset % kPanel != 0)
    call.refuse("unit_offset", "be a multiple of " + std::to_string(kPanel),
                std::to_string(unit_offset));
  return {static_cast<uint64_t>(call.integer("seed", of.seed, 0, INT64_MAX)),
          call.integer("chain_offset", of.chain_offset, 0, UINT32_MAX),
          unit_offset,
          call.integer("step", of.step, 0, int64_t{1} << 55),
          static_cast<uint32_t>(stream),
          call.read_given<float>({"beta", of.beta}, n_chains)};
}

// The two phases.

inline Phase phase(const Call& call, Named hidden, Named visible, int64_t n_hidden,
                   int64_t n_visible) {
  const int64_t n = call.size(hidden, 0, 2, kMaxChains);
  return {call.read<int32_t>(hidden, product({n, n_hidden})), states(call, visible, n_visible, n)};
}
inline Phases phases(const Call& call, const records::Phases& of, int64_t n_hidden,
                     int64_t n_visible) {
  const Named visible{"visible_model", of.visible_model};
  const Phases both{phase(call, {"hidden_data", of.hidden_data}, {"visible_data", of.visible_data},
                          n_hidden, n_visible),
                    phase(call, {"hidden_model", of.hidden_model}, visible, n_hidden, n_visible)};
  packed(call, visible, n_visible, both.model.visible.n_chains);  // no levels
  return both;
}

// Named by their record: data_products, ...
struct SumNames {
  const char *products, *visible, *hidden;
};
inline PhaseSums phase_sums(const Call& call, const SumNames& names, const records::PhaseSums& of,
                            int64_t n_hidden, int64_t n_visible, Access access) {
  const auto sums = [&](const char* name, const Tensor& tensor, int64_t count) {
    return call.memory<int64_t>({name, tensor}, count, access);
  };
  return {sums(names.products, of.products, product({n_hidden, n_visible})),
          sums(names.visible, of.visible, n_visible), sums(names.hidden, of.hidden, n_hidden)};
}

// What learns.

inline Rates rates(const records::Rates& of) {
  return {of.lr, of.lr_strength, of.momentum, of.weight_decay};
}

// Both or none.
inline Offsets offsets(const Call& call, const records::Offsets& of, const Parameters& p) {
  if (!of.visible && !of.hidden) return {};
  return {call.read<float>({"offsets_visible", of.visible}, p.n_visible),
          call.write<float>({"offsets_hidden", of.hidden}, p.n_hidden)};
}

// Lists of connections are made of the weights and the mask: no other tensor may lie in them.
inline void check_own_memory(const Call& call, const records::Parameters& of, const DigitPair& pair,
                             int64_t n_hidden, int64_t n_visible) {
  if (pair.to_hidden.sparse == nullptr) return;
  const auto check = [&](Named named, int64_t size) {
    const void* data = named.tensor.data;
    const int64_t n = named.tensor.count * size;
    if (overlap(data, n, pair.to_hidden.sparse, sparse_bytes(pair.to_hidden, n_hidden)) ||
        overlap(data, n, pair.to_visible.sparse, sparse_bytes(pair.to_visible, n_visible)))
      call.refuse(named.name, "have memory of its own", "a view of digits");
  };
  check({"mask", of.mask}, 1);
  check({"weight", of.weight}, 4);
  check({"connection_strength", of.connection_strength}, 4);
  check({"visible_bias", of.visible_bias}, 4);
  check({"hidden_bias", of.hidden_bias}, 4);
  check({"weight_velocity", of.weight_velocity}, 4);
  check({"visible_velocity", of.visible_velocity}, 4);
  check({"hidden_velocity", of.hidden_velocity}, 4);
}

inline Parameters parameters(const Call& call, const records::Parameters& of, int64_t e,
                             int64_t n_labels) {
  const Named weight{"weight", of.weight}, back{"to_visible", of.to_visible};
  const int64_t n_hidden = call.size(weight, 0, 2), n_visible = call.size(weight, 1, 2),
                pairs = of.weight.count;
  const DigitPair digits{
      held_digits(call, {"to_hidden", of.to_hidden}, {n_hidden, n_visible}, e, Access::kWrite),
      held_digits(call, back, {n_visible, n_hidden}, e, Access::kWrite)};
  const DigitPair pair = written_pair(call, back, digits, n_hidden, n_visible);
  check_own_memory(call, of, pair, n_hidden, n_visible);
  return {call.write<float>(weight, pairs),
          call.write_given<float>({"connection_strength", of.connection_strength}, pairs),
          reinterpret_cast<uint8_t*>(call.write<bool>({"mask", of.mask}, pairs)),
          call.write<float>({"visible_bias", of.visible_bias}, n_visible),
          call.write<float>({"hidden_bias", of.hidden_bias}, n_hidden),
          pair.to_hidden,
          pair.to_visible,
          call.write_given<float>({"weight_velocity", of.weight_velocity}, pairs),
          call.write_given<float>({"visible_velocity", of.visible_velocity}, n_visible),
          call.write_given<float>({"hidden_velocity", of.hidden_velocity}, n_hidden),
          n_hidden,
          n_visible,
          call.integer("n_labels", n_labels, 0, n_visible)};
}

inline Gradients gradients(const Call& call, const records::Gradients& of, const Parameters& p) {
  const int64_t pairs = product({p.n_hidden, p.n_visible});
  return {call.read_given<float>({"by_weight", of.by_weight}, pairs),
          call.read_given<float>({"by_strength", of.by_strength}, pairs),
          call.read_given<float>({"by_visible", of.by_visible}, p.n_visible),
          call.read_given<float>({"by_hidden", of.by_hidden}, p.n_hidden)};
}

// What has no gradient stays.
inline UpdateByGradients by_gradients(Parameters p, const Gradients& g, Rates rates) {
  if (g.by_weight == nullptr) {
    p.weight_velocity = nullptr;
    rates.weight_decay = 0;
  }
  if (g.by_strength == nullptr) p.strength = nullptr;
  if (g.by_visible == nullptr) p.visible_velocity = nullptr;
  if (g.by_hidden == nullptr) p.hidden_velocity = nullptr;
  return {p, g, rates};
}

}  // namespace ncg
