// As op_arguments.h, of the ops that learn.
#pragma once
#include "op_arguments.h"

namespace ncg {

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

// What connection_gradient fills.
struct Gradients {
  const Tensor &difference, &by_weight, &by_strength, &by_visible, &by_hidden;
};
inline Gradient gradient(const Call& call, const Tensor& hidden_data, const Tensor& visible_data,
                         const Tensor& hidden_model, const Tensor& visible_model,
                         const Tensor& weight, const Tensor& mask, const Gradients& to) {
  const int64_t n_hidden = call.size("hidden_data", hidden_data, 1, 2),
                n_visible = call.size("visible_model", visible_model, 0, 2),
                pairs = product({n_hidden, n_visible});
  return {phases(call, hidden_data, visible_data, hidden_model, visible_model, n_hidden, n_visible),
          n_hidden,
          n_visible,
          call.read_given<float>("weight", weight, pairs),
          given_mask(call, mask, pairs),
          call.write<float>("result", to.difference, pairs),
          call.write<float>("result", to.by_weight, mask ? pairs : 0),
          call.write<float>("result", to.by_strength, weight ? pairs : 0),
          call.write<float>("result", to.by_visible, n_visible),
          call.write<float>("result", to.by_hidden, n_hidden)};
}

inline constexpr char kTrainStep[] = "train_step_", kTrainSteps[] = "train_steps_";

struct Range {
  double least, most;
};
// n of n_rows each; kept: persistent chains, or None.
inline TrainSteps train_steps(const Call& call, const Parameters& p, const Tensor& visible_data,
                              const Tensor& kept, int64_t n_rows, int64_t n_chains, int64_t n_steps,
                              const Rates& rates, int64_t seed, int64_t step, const Range& range,
                              int64_t n) {
  const int64_t rows = call.integer("n_rows", n_rows, 1, kMaxChains);
  // CD starts at the rows: as many chains.
  const int64_t chains =
      call.integer("n_chains", n_chains, kept ? 1 : rows, kept ? kMaxChains : rows);
  const int64_t n_batches = call.integer("n_batches", n, 1, kMaxInt);
  const States data =
      first_batch(call, {"visible_data", visible_data}, p.n_visible, rows, n_batches);
  uint64_t* start = kept ? packed_out(call, {"chains", kept}, p.n_visible, chains) : nullptr;
  const Draw first = draw(call, seed, 0, step);
  const int64_t stride = visible_data.count / n_batches * (data.levels ? 4 : 8);
  return {{p, data, start, chains, steps(call, n_steps), rates, first.seed, first.step},
          n_batches,
          stride,
          range.least,
          range.most};
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
