// Means over the rows of the data less means over the chains of the model, from exact sums: as
// ops.h says of G.
#pragma once
#include "ops.h"

namespace ncg {

// Of two sums that count `one` for a 1.
struct MeanDifference {
  float data_scale, model_scale;
  bool equal;  // as many rows as chains
};

static inline MeanDifference mean_difference(int64_t one, int64_t n_rows, int64_t n_chains) {
  const auto scale = [&](int64_t n) {
    return static_cast<float>(1.0 / (static_cast<double>(one) * static_cast<double>(n)));
  };
  return {scale(n_rows), scale(n_chains), n_rows == n_chains};
}

template <class Sum>
NCG_HD float difference(const MeanDifference& means, Sum data, Sum model) {
  if (means.equal) return mul(static_cast<float>(data - model), means.data_scale);
  return add(mul(static_cast<float>(data), means.data_scale),
             -mul(static_cast<float>(model), means.model_scale));
}

// Of G and of the gradients of the biases.
struct PhaseMeans {
  MeanDifference pair, visible, hidden;
  int visible_one;  // what a visible 1 of the data counts; the model's sums are multiplied by it
};

static inline PhaseMeans phase_means(StateFormat data, int64_t n_rows, int64_t n_chains) {
  const int one = data == StateFormat::kLevels ? kLevels : 1;
  return {mean_difference(int64_t{kLevels} * one, n_rows, n_chains),
          mean_difference(one, n_rows, n_chains), mean_difference(kLevels, n_rows, n_chains), one};
}

}  // namespace ncg
