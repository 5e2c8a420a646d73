// From the tensors and numbers of one call to the structures of ops.h, checked on the way.
#pragma once
#include "common/layout.h"
#include "common/numerics.h"
#include "ops.h"
#include "tensor_argument.h"

namespace ncg {

constexpr int64_t kMaxInt = INT32_MAX;
constexpr int64_t kMinExponent = -60, kMaxExponent = 129;  // as in ncg_fast/numerics.py

struct Named {
  const char* name;
  const Tensor& tensor;
};

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

inline int64_t digits_count(int64_t n_out, int64_t n_in, int n_digits) {
  return product({ceil_div(n_out, kPanel), n_digits, ceil_div(n_in, kBlock), kPanel * kBlock});
}
inline int n_digits(const Call& call, Named digits) {
  const int64_t n = call.size(digits.name, digits.tensor, 1, 5);
  return static_cast<int>(call.integer("n_digits", n, 2, 3));
}

inline bool is_sparse(const Tensor& digits) { return digits.dtype == torch_names.int32; }

// Sparse digits: their header, of this layer's sizes, and the room for connections. Offsets and
// inputs are looked at where they are used.
struct Sparse {
  const int32_t* words;
  int64_t capacity;
  int n_digits;
};
inline Sparse sparse(const Call& call, Named digits, int64_t n_out, int64_t n_in) {
  const int64_t count = call.size(digits.name, digits.tensor, 0, 1, INT64_MAX),
                room = count - SparseLayout{n_out}.words(0);
  if (room < 0 || room % 2 != 0 || room / 2 > kMaxInt)
    call.refuse(digits.name, "have whole connections behind its header and offsets",
                std::to_string(count) + " elements");
  const int32_t* words = call.read<int32_t>(digits.name, digits.tensor, count);
  const auto sizes = [](int64_t out, int64_t in) {
    return "(" + std::to_string(out) + ", " + std::to_string(in) + ")";
  };
  if (words[kSparseOut] != n_out || words[kSparseIn] != n_in)
    call.refuse(digits.name, "be of (n_out, n_in) = " + sizes(n_out, n_in) + " units",
                sizes(words[kSparseOut], words[kSparseIn]));
  const int n = words[kSparseDigits], held = words[kSparseCount];
  if (n != 2 && n != 3) call.refuse(digits.name, "have 2 or 3 digits", std::to_string(n));
  if (held < 0 || held > room / 2)
    call.refuse(
        digits.name, "hold all connections",
        (held < 0 ? "more" : std::to_string(held)) + " with room for " + std::to_string(room / 2));
  return {words, room / 2, n};
}

inline Layer layer(const Call& call, Named digits, Named bias, int64_t n_in, int64_t e) {
  const int64_t n_out = call.units(bias.name, bias.tensor);
  const float* biases = call.read<float>(bias.name, bias.tensor, n_out);
  if (is_sparse(digits.tensor)) {
    const Sparse s = sparse(call, digits, n_out, n_in);
    return {nullptr, biases, n_out, n_in, s.n_digits, exponent(call, e), s.words, s.capacity};
  }
  const int n = n_digits(call, digits);
  return {call.read<int8_t>(digits.name, digits.tensor, digits_count(n_out, n_in, n)),
          biases,
          n_out,
          n_in,
          n,
          exponent(call, e),
          nullptr,
          0};
}

inline Draw draw(const Call& call, int64_t seed, int64_t chain_offset, int64_t step) {
  return {static_cast<uint64_t>(call.integer("seed", seed, 0, INT64_MAX)),
          call.integer("chain_offset", chain_offset, 0, UINT32_MAX),
          call.integer("step", step, 0, int64_t{1} << 55), 0, nullptr};
}

inline Phases phases(const Call& call, const Tensor& hidden_data, const Tensor& visible_data,
                     const Tensor& hidden_model, const Tensor& visible_model, int64_t n_hidden,
                     int64_t n_visible) {
  const int64_t n_rows = call.size("hidden_data", hidden_data, 0, 2, kMaxChains);
  const int64_t n_chains = call.size("hidden_model", hidden_model, 0, 2, kMaxChains);
  return {call.read<int32_t>("hidden_data", hidden_data, product({n_rows, n_hidden})),
          states(call, {"visible_data", visible_data}, n_visible, n_rows),
          call.read<int32_t>("hidden_model", hidden_model, product({n_chains, n_hidden})),
          {packed(call, {"visible_model", visible_model}, n_visible, n_chains), n_visible, n_chains,
           false}};
}

// Where digits of both directions go: dense or sparse, the other pointers are null.
struct WrittenDigits {
  int8_t *to_hidden, *to_visible;
  int32_t *sparse_to_hidden, *sparse_to_visible;
  int64_t capacity;
  int n_digits;
};
inline WrittenDigits new_dense(const Call& call, Named forward, Named back, int64_t n_hidden,
                               int64_t n_visible, int n_digits) {
  return {
      call.write<int8_t>(forward.name, forward.tensor, digits_count(n_hidden, n_visible, n_digits)),
      call.write<int8_t>(back.name, back.tensor, digits_count(n_visible, n_hidden, n_digits)),
      nullptr,
      nullptr,
      0,
      n_digits};
}
inline WrittenDigits new_sparse(const Call& call, Named forward, Named back, int64_t n_hidden,
                                int64_t n_visible, int64_t capacity, int n_digits) {
  const SparseLayout there{n_hidden}, thence{n_visible};
  return {nullptr,
          nullptr,
          call.write<int32_t>(forward.name, forward.tensor, there.words(capacity)),
          call.write<int32_t>(back.name, back.tensor, thence.words(capacity)),
          capacity,
          n_digits};
}
inline WrittenDigits written_digits(const Call& call, Named forward, Named back, int64_t n_hidden,
                                    int64_t n_visible) {
  if (!is_sparse(forward.tensor))
    return new_dense(call, forward, back, n_hidden, n_visible, n_digits(call, forward));
  const Sparse there = sparse(call, forward, n_hidden, n_visible),
               thence = sparse(call, back, n_visible, n_hidden);
  const int n = there.n_digits;
  if (thence.n_digits != n)
    call.refuse(back.name, "have " + std::to_string(n) + " digits",
                std::to_string(thence.n_digits));
  return new_sparse(call, forward, back, n_hidden, n_visible, there.capacity, n);
}

// The tensors an update writes, as Python passes them.
struct Written {
  const Tensor &weight, &strength, &mask, &visible_bias, &hidden_bias, &to_hidden, &to_visible,
      &weight_velocity, &visible_velocity, &hidden_velocity;
};
inline Parameters parameters(const Call& call, const Written& w, int64_t e, int64_t n_labels) {
  const int64_t n_hidden = call.size("weight", w.weight, 0, 2),
                n_visible = call.size("weight", w.weight, 1, 2), pairs = w.weight.count;
  const Named forward{"to_hidden", w.to_hidden}, back{"to_visible", w.to_visible};
  const WrittenDigits digits = written_digits(call, forward, back, n_hidden, n_visible);
  return {call.write<float>("weight", w.weight, pairs),
          call.write_given<float>("connection_strength", w.strength, pairs),
          reinterpret_cast<uint8_t*>(call.write<bool>("mask", w.mask, pairs)),
          call.write<float>("visible_bias", w.visible_bias, n_visible),
          call.write<float>("hidden_bias", w.hidden_bias, n_hidden),
          digits.to_hidden,
          digits.to_visible,
          call.write_given<float>("weight_velocity", w.weight_velocity, pairs),
          call.write_given<float>("visible_velocity", w.visible_velocity, n_visible),
          call.write_given<float>("hidden_velocity", w.hidden_velocity, n_hidden),
          n_hidden,
          n_visible,
          call.integer("n_labels", n_labels, 0, n_visible),
          digits.n_digits,
          exponent(call, e),
          digits.sparse_to_hidden,
          digits.sparse_to_visible,
          digits.capacity};
}
inline double* result(const Call& call, const Tensor& out, int64_t count = 3) {
  return call.write<double>("result", out, count);
}
inline void report(const UpdateResult& found, double* result) {
  result[0] = static_cast<double>(found.max_abs);
  result[1] = static_cast<double>(found.switched_on);
  result[2] = static_cast<double>(found.switched_off);
}

}  // namespace ncg
