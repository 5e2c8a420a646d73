// Where things lie in memory; ncg_fast/backends/formats.py states the same.
//
// packed states: uint64 [n_units][n_words]; bit c of word w is chain 64 w + c, bits past the last
// chain are 0.
//
// levels: int32 [n_chains][n_units]; k stands for the probability k / 65535.
//
// digits: int8 [panels][n_digits][blocks][32 outputs][64 inputs]; lowest digit first, padding 0.
//
// sparse digits: int32, one axis: n_digits, n_out, n_in, n_connections; offsets [n_out + 1];
// connections [capacity][2]: input and q, all digits in one. Output i has those from offsets[i] to
// before offsets[i + 1], inputs ascending; what is not used is 0. Of more connections than the
// capacity nothing is held: n_connections is -1 and all after it 0.
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

// Of the CPU: int16 [planes][blocks of 64 outputs][inputs + 1][64]. The weights of an input lie
// side by side; after the last input's come zeros. The highest plane holds all digits from its own
// up: of up to kExactInputs inputs the two highest digits make one, as float(256 C1 + C0) is what
// fma(C1, 256, C0) rounds to while C1 and C0 are exact floats and the integer fits int32.
constexpr int64_t kExactInputs = 65536;
struct RowLayout {
  int64_t n_out, n_in;
  int n_digits;
  constexpr int planes() const { return n_in <= kExactInputs ? n_digits - 1 : n_digits; }
  constexpr int64_t blocks() const { return ceil_div(n_out, kBlock); }
  // Numbers before a block's rows.
  constexpr int64_t block(int plane, int64_t b) const {
    return (plane * blocks() + b) * (n_in + 1) * kBlock;
  }
  constexpr int64_t count() const { return block(planes(), 0); }
};

constexpr int kSparseDigits = 0, kSparseOut = 1, kSparseIn = 2, kSparseCount = 3;
constexpr int kSparseHeader = 4;  // words

struct SparseLayout {
  int64_t n_out;
  constexpr int64_t connections() const { return kSparseHeader + n_out + 1; }
  constexpr int64_t words(int64_t capacity) const { return connections() + 2 * capacity; }
};

}  // namespace ncg
