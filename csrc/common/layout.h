// Where things lie in memory; ncg_fast/reference.py states the same.
//
// packed states: uint64 [n_units][n_words]; bit c of word w is chain 64 w + c, bits past the last
// chain are 0.
//
// levels: int32 [n_chains][n_units]; k stands for the probability k / 65535.
//
// digits: int8 [panels][n_digits][blocks][32 outputs][64 inputs]; lowest digit first, padding 0.
#pragma once
#include <cstdint>

namespace ncg {

constexpr int kPanel = 32;  // output units a panel
constexpr int kBlock = 64;  // input units a block
constexpr int kWord = 64;   // chains a word

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct DigitLayout {
  int64_t n_out, n_in;
  int n_digits;
  constexpr int64_t panels() const { return ceil_div(n_out, kPanel); }
  constexpr int64_t blocks() const { return ceil_div(n_in, kBlock); }
  // Byte offset of the 32 x 64 tile of one digit.
  constexpr int64_t tile(int64_t panel, int digit, int64_t block) const {
    return ((panel * n_digits + digit) * blocks() + block) * (kPanel * kBlock);
  }
};

}  // namespace ncg
