// Centred gradients, one element at a time: as ops.h says of offsets.
#pragma once
#include "common/numerics.h"

namespace ncg {

constexpr float kOffsetRate = 0.01f;
// Terms of the biases' gradients are whole multiples of 1 / kTermOne, and at most kTermLimit such.
constexpr float kTermOne = 0x1p28f, kTermLimit = 2147483520.f;

NCG_HD float moved_offset(float offset, float mean) {
  return fma(kOffsetRate, add(mean, -offset), offset);
}
NCG_HD float centred(float g, float hidden, float visible_offset, float hidden_offset,
                     float visible) {
  return fma(-hidden_offset, visible, fma(-hidden, visible_offset, g));
}
NCG_HD int32_t bias_term(float product) {
  float q = round_even(mul(product, kTermOne));
  q = q < kTermLimit ? q : kTermLimit;
  q = q > -kTermLimit ? q : -kTermLimit;
  return static_cast<int32_t>(q);
}
// What a bias ascends by, from the difference of its means and the sum of its terms.
NCG_HD float bias_ascent(float difference, int64_t sum) {
  return add(difference, -mul(static_cast<float>(sum), 1.f / kTermOne));
}

}  // namespace ncg
