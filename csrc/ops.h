// The ops: mathematics, shapes, memory and determinism. ncg_fast/backends/reference.py computes the same,
// slowly.
//
// v visible units, h hidden units, W weights, A mask, S connection strength (all n_hidden x
// n_visible, row-major), b, c visible and hidden bias. Formats: common/layout.h. Pointers are
// memory of the device that runs the op, 64-bit sizes, no ownership. Results are the same bits on
// every instruction set and thread count (free_energy and the log-weights of anneal: float64 sums,
// 1e-10 relative). Scratch memory is the calling thread's and is kept between calls.
#pragma once
#include <cstdint>

namespace ncg {

// States of one layer: packed bits, or levels (16-bit fixed point).
struct States {
  const void* data;
  int64_t n_units, n_chains;
  bool levels;
};

// One direction: x = bias + (W∘A) states, from digits with step 2^(exponent + 1 - 8 n_digits).
struct Layer {
  const int8_t* digits;  // null where they are sparse
  const float* bias;
  int64_t n_out, n_in;
  int n_digits, exponent;
  const int32_t* sparse;
  int64_t capacity;  // of sparse
};

// Which uniforms: a pure function of (seed, chain_offset + chain, unit, step, stream).
struct Draw {
  uint64_t seed;
  int64_t chain_offset, step;
  uint32_t stream;
  const float* beta;  // (n_chains,) inverse temperatures, or null for 1
};

// In what form packed states are multiplied: bytes, for products of bytes; lists of the inputs that
// are on, whose weights are added up; or an index into tables of sums.
enum class Form : uint8_t { kBytes, kLists, kIndex };

// What the form depends on, beside the instruction set: n_on of the n_in x n_chains inputs are on.
struct HalfStepSizes {
  int64_t n_out, n_in, n_chains, n_on;
  int n_digits;
};

struct PackWeights {
  const float* weight;
  const uint8_t* mask;  // or null: all connections
  int64_t n_hidden, n_visible;
  int n_digits, exponent;
  // Written: round(W∘A / step), half to even, saturated, as digits, or as sparse digits.
  int8_t *to_hidden, *to_visible;
  int32_t *sparse_to_hidden, *sparse_to_visible;
  int64_t capacity;  // of each sparse one
};

struct Gibbs {
  Layer to_hidden, to_visible;
  States visible;  // the start
  Draw draw;       // stream unused; sweep t draws at step + t
  int64_t n_steps;
  const uint64_t* clamped;             // packed, or null; units whose bit is set keep their start
  uint64_t *visible_out, *hidden_out;  // packed, written
};

struct Phases {
  const int32_t* hidden_data;   // levels (n_rows, n_hidden)
  States visible_data;          // n_rows
  const int32_t* hidden_model;  // levels (n_chains, n_hidden)
  States visible_model;         // n_chains, packed
};

// G_ij = <h_i v_j>_data - <h_i v_j>_model for all pairs. Exact sums; where rows and chains are
// equally many, one difference and one scale, else two sums and two scales, data first. Null
// outputs are not wanted.
struct Gradient {
  Phases phases;
  int64_t n_hidden, n_visible;
  const float* weight;
  const uint8_t* mask;
  float *phase_difference, *weight_gradient, *connection_gradient, *visible_gradient,
      *hidden_gradient;
};

struct Rates {
  float lr, lr_strength, momentum, weight_decay;
};

// The tensors an update writes.
struct Parameters {
  float *weight, *strength;  // strength null: the mask is fixed
  uint8_t* mask;
  float *visible_bias, *hidden_bias;
  int8_t *to_hidden, *to_visible;
  float *weight_velocity, *visible_velocity, *hidden_velocity;  // all null: no momentum
  int64_t n_hidden, n_visible, n_labels;
  int n_digits, exponent;
  int32_t *sparse_to_hidden, *sparse_to_visible;  // in place of to_hidden and to_visible
  int64_t capacity;
};

struct UpdateResult {
  float max_abs;  // of W; NaN or infinite where a weight or bias is, NaN where a strength is
  int64_t switched_on, switched_off;
};

// With d = G - weight_decay W (fma): velocity = A ? fma(momentum, velocity, d) : 0; W = A ? fma(lr,
// d or velocity, W) : W; S = fma(lr_strength, W_old G, S); A off where S < 1/2, on where S > 1/2; S
// clipped to [0, 1]; biases fma(lr, g, .). The last n_labels columns have no strength. Then digits
// of the new W∘A at the old exponent; without meaning where W is NaN.
struct Update {
  Parameters parameters;
  Phases phases;
  Rates rates;
};

// P(h|v) of the data, n_steps sweeps from data or chains, P(h|v) of the model, the update.
struct TrainStep {
  Parameters parameters;
  States visible_data;
  uint64_t* chains;  // packed, written; null: CD
  int64_t n_chains, n_steps;
  Rates rates;
  uint64_t seed;
  int64_t step;
};

// n_batches steps one after the other, their data batch_stride bytes apart, until max |W| leaves
// [least, most] or sparse digits lack the room.
struct TrainSteps {
  TrainStep first;
  int64_t n_batches, batch_stride;
  double least, most;
};

// log p_beta(v) = (1-beta) a.v + beta b.v + sum_i softplus(beta x_i); for t = 1..n_betas-1:
// log_weights gain log p_beta_t(v) - log p_beta_(t-1)(v), then one sweep at beta_t with step + t.
struct Anneal {
  Layer to_hidden, to_visible;
  const float* base_bias;  // a
  const double* betas;
  int64_t n_betas, n_chains;
  Draw draw;
  uint64_t* visible;    // packed, in and out
  double* log_weights;  // (n_chains,), written
};

struct OpTable {
  void (*pack_states)(const uint8_t* states, int64_t n_chains, int64_t n_units, uint64_t* packed);
  void (*unpack_states)(const uint64_t* packed, int64_t n_chains, int64_t n_units, uint8_t* states);
  void (*pack_weights)(const PackWeights&, int n_threads);
  // P(unit = 1 | states), float32 (n_chains, n_out)
  void (*mean)(const Layer&, const States&, float* mean, int n_threads);
  // one half step: unit = [u (1 + exp(-beta x)) < 1], packed
  void (*sample)(const Layer&, const States&, const Draw&, uint64_t* packed, int n_threads);
  void (*gibbs_steps)(const Gibbs&, int n_threads);
  void (*connection_gradient)(const Gradient&, int n_threads);
  UpdateResult (*ncg_update)(const Update&, int n_threads);
  UpdateResult (*train_step)(const TrainStep&, int n_threads);
  // F(v) = -b.v - sum_i softplus(x_i), float64 (n_chains,)
  void (*free_energy)(const Layer&, const States&, const float* visible_bias, double* energy,
                      int n_threads);
  void (*anneal)(const Anneal&, int n_threads);
  // the form that every half step with dense digits takes: the fastest
  Form (*best_form)(const HalfStepSizes&);
};

}  // namespace ncg
