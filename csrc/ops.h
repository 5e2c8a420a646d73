// The ops: mathematics, shapes, memory and determinism. ncg_fast/backends/reference.py computes the
// same, slowly.
//
// v visible units, h hidden units, W weights, A mask, S connection strength (all n_hidden x
// n_visible, row-major), b, c visible and hidden bias. Formats: common/layout.h. Pointers are
// memory of the device that runs the op, 64-bit sizes, no ownership. Results are the same bits on
// every instruction set and thread count (free_energy and the log-weights of anneal: float64 sums,
// 1e-10 relative).
#pragma once
#include <cstdint>

#include "common/numerics.h"

namespace ncg {

// How states are held: as packed bits, as levels (16-bit fixed point), or as a user's rows
// (n_chains, n_units), of float32 or of bytes. Rows whose values are all 0 or 1 are taken as packed
// bits would be, others as levels round(65535 v).
enum class StateFormat : uint8_t { kPacked, kLevels, kFloats, kBytes };

// States of one layer.
struct States {
  const void* data;
  int64_t n_units, n_chains;
  StateFormat format;

  constexpr bool are_levels() const { return format == StateFormat::kLevels; }
  constexpr bool are_rows() const { return format > StateFormat::kLevels; }
  const uint64_t* packed() const { return static_cast<const uint64_t*>(data); }
  const int32_t* levels() const { return static_cast<const int32_t*>(data); }
  const float* floats() const { return static_cast<const float*>(data); }
  const uint8_t* bytes() const { return static_cast<const uint8_t*>(data); }
};

inline States packed_states(const uint64_t* data, int64_t n_units, int64_t n_chains) {
  return {data, n_units, n_chains, StateFormat::kPacked};
}

// The integers round(W∘A / step) of one direction, half to even, saturated; read, or written where
// an op says so.
struct Digits {
  int8_t* dense;     // or int16 rows, on the CPU: see common/layout.h
  int32_t* sparse;   // in place of dense, which is then null
  int64_t capacity;  // of sparse
  int n_digits, exponent;

  float step() const { return power_of_two(exponent + 1 - 8 * n_digits); }
  float inverse_step() const { return power_of_two(8 * n_digits - 1 - exponent); }
};

// One direction: x = bias + (W∘A) states.
struct Layer {
  Digits digits;
  const float* bias;
  int64_t n_out, n_in;
};

// Which uniforms: a pure function of (seed, chain_offset + chain, unit_offset + unit, step,
// stream).
struct Draw {
  uint64_t seed;
  int64_t chain_offset, unit_offset, step;  // unit_offset: a multiple of 32
  uint32_t stream;
  const float* beta;  // (n_chains,) inverse temperatures, or null for 1

  // Of sweep t: the hidden units may be a share of a larger machine's, the visible ones are all.
  constexpr Draw of_hidden(int64_t t) const {
    return {seed, chain_offset, unit_offset, step + t, kHiddenStream, beta};
  }
  constexpr Draw of_visible(int64_t t) const {
    return {seed, chain_offset, 0, step + t, kVisibleStream, beta};
  }
};

// How the CPU sums the weights of a half step: rows of the inputs that are on or changed, products
// in tiles, or connections.
enum class Way : uint8_t { kRows, kTiles, kConnections };

struct PackWeights {
  const float* weight;
  const uint8_t* mask;  // or null: all connections
  int64_t n_hidden, n_visible;
  Digits to_hidden, to_visible;  // written
};

// found, int64 (4,): max |W∘A| as the bits of a float without its sign (NaN > infinity > finite),
// the number of connections that are on, and 128 bits that tell whether any of W∘A or A has
// changed: common/fingerprint.h.
struct ScanWeights {
  const float* weight;
  const uint8_t* mask;
  int64_t n_pairs;
  int64_t* found;  // written
};

struct Gibbs {
  Layer to_hidden, to_visible;
  States visible;  // the start
  Draw draw;       // of sweep 0
  int64_t n_steps;
  const uint64_t* clamped;             // packed, or null; units whose bit is set keep their start
  uint64_t *visible_out, *hidden_out;  // packed, written
};

// What one phase is summed from.
struct Phase {
  const int32_t* hidden;  // levels (n_chains, n_hidden)
  States visible;
};

struct Phases {
  Phase data, model;  // the model's visible states are packed
};

// Exact sums of one phase over its rows or chains: of h_i v_j, v_j and h_i, hidden units in levels,
// visible ones in bits or in levels.
struct PhaseSums {
  int64_t *products, *visible, *hidden;
};

// The sums of a phase are added to those given.
struct AddPhase {
  Phase phase;
  int64_t n_hidden;
  PhaseSums sums;
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

// Of centred gradients; hidden null: gradients are not centred.
struct Offsets {
  const float* visible;  // (n_visible,), the mean of the data
  float* hidden;         // (n_hidden,), a moving mean of P(h|v), written

  bool given() const { return hidden != nullptr; }
};

// The tensors an update writes.
struct Parameters {
  float *weight, *strength;  // strength null: the mask is fixed
  uint8_t* mask;
  float *visible_bias, *hidden_bias;
  Digits to_hidden, to_visible;
  float *weight_velocity, *visible_velocity, *hidden_velocity;  // all null: no momentum
  int64_t n_hidden, n_visible, n_labels;

  Layer hidden_layer() const { return {to_hidden, hidden_bias, n_hidden, n_visible}; }
  Layer visible_layer() const { return {to_visible, visible_bias, n_visible, n_hidden}; }
};

// With d = G - weight_decay W (fma): velocity = A ? fma(momentum, velocity, d) : 0; W = A ? fma(lr,
// d or velocity, W) : W; S = fma(lr_strength, W_old G, S); A off where S < 1/2, on where S > 1/2; S
// clipped to [0, 1]; biases fma(lr, g, .). The last n_labels columns have no strength. Then digits
// of the new W∘A at the old exponent; without meaning where W is NaN.
//
// found, float64 (3,): max |W∘A| of the new A, NaN or infinite where a weight that is on or a bias
// is, NaN where a strength is; connections switched on; and off.
//
// With offsets mu and lambda, <.> being of data minus model: first lambda = fma(0.01, <h>_data -
// lambda, lambda); G' = fma(-lambda, <v>, fma(-<h>, mu, G)) takes the place of G, and g is <v> -
// (A∘G')^T lambda or <h> - (A∘G') mu, with exact sums of products rounded to multiples of 2^-28:
// the step of the centred machine, whose energy is E(v - mu, h - lambda).
struct Update {
  Parameters parameters;
  Phases phases;
  Rates rates;
  Offsets offsets;
};

// The same from the sums of both phases over n_rows and n_chains. Where the data were levels the
// model's visible bits count kLevels each.
struct UpdateFromSums {
  Parameters parameters;
  PhaseSums data, model;
  int64_t n_rows, n_chains;
  StateFormat data_format;
  Rates rates;
};

// The same from gradients of the loss, as torch holds them: -by_weight takes the place of A∘G,
// -by_strength that of W_old∘G, -by_visible and -by_hidden those of the biases' g. Where one is
// null its tensor, the velocity with it, stays as it is; without by_strength the mask does.
struct Gradients {
  const float *by_weight, *by_strength, *by_visible, *by_hidden;
};
struct UpdateByGradients {
  Parameters parameters;  // velocity and strength null where the gradient is
  Gradients gradients;
  Rates rates;  // without by_weight, no decay
};

// n_batches mini-batches one after the other, their data batch_stride bytes apart, each n_steps
// sweeps further: P(h|v) of the data, sweeps from data or chains, P(h|v) of the model, the update
// with lr and lr_strength times lr_factors[t] in batch t. They end early where max |W∘A| leaves
// [least, most] or sparse digits lack the room.
//
// found, float64 (4,): the last max |W∘A|, the sums of both counts, the number of batches done.
struct TrainSteps {
  Parameters parameters;
  States visible_data;  // of the first batch
  int64_t n_batches, batch_stride;
  uint64_t* chains;  // packed, written; null: CD
  int64_t n_chains, n_steps;
  Rates rates;
  const float* lr_factors;  // (n_batches,), or null for 1
  Offsets offsets;
  Draw draw;  // of the first sweep
  double least, most;
};

// F(v) = -b.v - sum_i softplus(x_i)
struct FreeEnergy {
  Layer to_hidden;
  States visible;
  const float* visible_bias;
  double* energy;  // (n_chains,), written
};

// log p_beta(v) = (1-beta) a.v + beta b.v + sum_i softplus(beta x_i); for t = 1..n_betas-1:
// log_weights gain log p_beta_t(v) - log p_beta_(t-1)(v), then one sweep at beta_t with step + t.
struct Anneal {
  Layer to_hidden, to_visible;
  const float* base_bias;  // a
  const double* betas;
  int64_t n_betas, n_chains;
  Draw draw;            // of sweep 0, without beta
  uint64_t* visible;    // packed, in and out
  double* log_weights;  // (n_chains,), written
};

// What the scratch memory of an op on a GPU depends on.
struct ScratchSizes {
  int64_t n_hidden, n_visible, n_rows, n_chains;
  StateFormat data_format;
};

// Where an op runs: on so many threads of the CPU, whose scratch memory is the calling thread's and
// kept between calls; or on a stream of a GPU, after which alone results are there. What poll
// throws ends an op of the CPU; whatever it would have changed is then as it was.
struct Run {
  int n_threads;
  void* stream;  // a cudaStream_t
  uint8_t* scratch;
  void (*poll)() = nullptr;
};

// One function for each registered op.
struct OpTable {
  void (*pack_states)(const uint8_t* states, int64_t n_chains, int64_t n_units, uint64_t* packed,
                      const Run&);
  void (*unpack_states)(const uint64_t* packed, int64_t n_chains, int64_t n_units, uint8_t* states,
                        const Run&);
  void (*pack_weights)(const PackWeights&, const Run&);
  void (*scan_weights)(const ScanWeights&, const Run&);
  // P(unit = 1 | states), float32 (n_chains, n_out). This and free_energy take rows on the CPU, and
  // throw std::domain_error, before they write, where a float is NaN or outside [0, 1] or a byte
  // more than 1.
  void (*mean)(const Layer&, const States&, float* mean, const Run&);
  // one half step: unit = [u (1 + exp(-beta x)) < 1], packed
  void (*sample)(const Layer&, const States&, const Draw&, uint64_t* packed, const Run&);
  void (*gibbs_steps)(const Gibbs&, const Run&);
  void (*connection_gradient)(const Gradient&, const Run&);
  void (*phase_sums)(const AddPhase&, const Run&);
  void (*ncg_update)(const Update&, double* found, const Run&);
  void (*update_from_sums)(const UpdateFromSums&, double* found, const Run&);
  void (*gradient_update)(const UpdateByGradients&, double* found, const Run&);
  void (*train_steps)(const TrainSteps&, double* found, const Run&);
  void (*free_energy)(const FreeEnergy&, const Run&);
  void (*anneal)(const Anneal&, const Run&);
  // Of the CPU alone: which way half steps of packed states take.
  Way (*half_step_way)(int64_t n_out, int64_t n_in, int64_t n_chains, bool sparse, int n_threads);
};

}  // namespace ncg
