// States of one layer as the right-hand side of the product of a half step: bytes, four inputs a
// lane, or, where few are on, the lists of those.
#pragma once
#include "common/layout.h"
#include "cpu/isa/isa.h"
#include "cpu/isa/products.h"
#include "cpu/sampling/sum_tables.h"
#include "cpu/scratch.h"
#include "cpu/team/team.h"
#include "ops.h"

namespace ncg {
namespace {

constexpr int kChunk = 256;     // inputs a list, whose numbers are bytes
constexpr int kTableWords = 8;  // words of chains that share the making of tables

// kBytes: uint8 [n_planes][words][n_quads][width of the word][4]: word w holds chains 64 w ...,
// inputs come in quads. Packed states give one plane of 0/1, levels two: low and high byte.
//
// kLists: in the same memory, uint8 [chunks][n_lanes][inputs of the chunk]: the first
// n_on[chunk][lane] entries number the inputs of the chunk that are on.
//
// kIndex: there as well, int32 [words][index words][64], for sum_tables.h.
//
// Or, for sparse digits, the packed states as they are.
struct Operand {
  uint8_t* bytes;
  uint16_t* n_on;
  Form* form;               // written by expand
  const uint64_t** packed;  // for sparse digits, else null: where expand writes the states' address
  int64_t n_out, n_in, n_chains, n_lanes, n_quads;
  int n_digits, n_planes;

  int64_t words() const { return ceil_div(n_chains, kWord); }
  int width(int64_t word) const {
    const int64_t left = n_lanes - kWord * word;
    return static_cast<int>(left < kWord ? left : kWord);
  }
  uint8_t* word_bytes(int plane, int64_t word) const {
    return bytes + 4 * n_quads * (n_lanes * plane + kWord * word);
  }
  int64_t blocks() const { return n_quads / (kBlock / 4); }
  int64_t chunks() const { return ceil_div(blocks(), kChunk / kBlock); }
  int blocks_of(int64_t chunk) const {
    const int64_t left = blocks() - kChunk / kBlock * chunk;
    return static_cast<int>(left < kChunk / kBlock ? left : kChunk / kBlock);
  }
  uint8_t* list(int64_t chunk, int64_t lane) const {
    return bytes + kChunk * chunk * n_lanes + kBlock * blocks_of(chunk) * lane;
  }
  int64_t index_words() const { return ceil_div(n_in, kIndexBits); }
  int32_t* index(int64_t word) const {
    return reinterpret_cast<int32_t*>(bytes) + word * index_words() * kWord;
  }
};

inline int64_t padded_chains(int64_t n_chains) {
  return ceil_div(n_chains, kLaneGroup) * kLaneGroup;
}

// For the states of the layer's inputs.
inline Operand make_operand(const Layer& layer, int64_t n_chains,
                            StateFormat format = StateFormat::kPacked) {
  const bool levels = format == StateFormat::kLevels;
  Operand in;
  in.n_out = layer.n_out;
  in.n_in = layer.n_in;
  in.n_digits = layer.digits.n_digits;
  in.n_chains = n_chains;
  in.n_lanes = padded_chains(n_chains);
  in.n_quads = ceil_div(layer.n_in, kBlock) * (kBlock / 4);
  in.n_planes = levels ? 2 : 1;
  in.form = scratch<Form>(1);
  *in.form = Form::kBytes;
  in.packed = layer.digits.sparse == nullptr ? nullptr : scratch<const uint64_t*>(1);
  const bool as_they_are = layer.digits.sparse != nullptr && !levels;
  in.bytes = as_they_are ? nullptr : scratch<uint8_t>(4 * in.n_quads * in.n_lanes * in.n_planes);
  in.n_on = as_they_are || levels ? nullptr : scratch<uint16_t>(in.chunks() * in.n_lanes);
  return in;
}

// Time by tables of sums, see kTableCost. Sums of 16-bit numbers must fit int32.
inline double table_cost(const HalfStepSizes& s) {
  if (kBinaryPlanes || s.n_in >= 1 << 16) return kProductCost;
  const int64_t most = ceil_div(s.n_chains, kWord), words = most < kTableWords ? most : kTableWords;
  const double* cost = kTableCost[s.n_digits - 2];
  return cost[0] + cost[1] / static_cast<double>(words);
}

// The form in which states take the least time. Lists are of the rows of the inputs that are on;
// rows belong to whole panels.
Form best_form(const HalfStepSizes& s) {
  const int64_t padded = ceil_div(s.n_out, kPanel) * kPanel;
  const double inputs = static_cast<double>(s.n_in);
  const double adding =
      (static_cast<double>(s.n_on) + kMakeCost * inputs) * static_cast<double>(padded);
  const double by_tables = table_cost(s);
  const bool tables = by_tables < kProductCost;
  const double cost = (tables ? by_tables : kProductCost) / kProductSpeed;
  const int64_t n_lanes = padded_chains(s.n_chains);
  if (adding < cost * inputs * static_cast<double>(n_lanes * s.n_out)) return Form::kLists;
  return tables ? Form::kIndex : Form::kBytes;
}

inline int64_t count_on(const uint64_t* packed, int64_t n_words) {
  int64_t n_on = 0;
  for (int64_t i = 0; i < n_words; ++i) n_on += __builtin_popcountll(packed[i]);
  return n_on;
}

// Bit j of word i becomes bit i of word j.
inline void transpose_bits(uint64_t bits[64]) {
  uint64_t low = 0xFFFFFFFF;
  for (int half = 32; half > 0; half /= 2, low ^= low << half)
    for (int first = 0; first < 64; first += 2 * half)
      for (int i = first; i < first + half; ++i) {
        const uint64_t moved = ((bits[i] >> half) ^ bits[i + half]) & low;
        bits[i] ^= moved << half;
        bits[i + half] ^= moved;
      }
}

// These share the work and end with a barrier.
inline void list_packed(const Worker& me, const uint64_t* packed, int64_t n_units,
                        const Operand& in) {
  const int64_t words = in.words();
  me.share(in.chunks() * words, [&](int64_t task) {
    const int64_t chunk = task / words, word = task % words;
    const int blocks = in.blocks_of(chunk);
    uint64_t bits[kChunk / kBlock][kBlock];
    for (int b = 0; b < blocks; ++b) {
      for (int i = 0; i < kBlock; ++i) {
        const int64_t unit = kChunk * chunk + kBlock * b + i;
        bits[b][i] = unit < n_units ? packed[unit * words + word] : 0;
      }
      transpose_bits(bits[b]);
    }
    for (int l = 0; l < in.width(word); ++l) {
      uint8_t* list = in.list(chunk, kWord * word + l);
      int n = 0;
      for (int b = 0; b < blocks; ++b)
        for (uint64_t left = bits[b][l]; left != 0; left &= left - 1)
          list[n++] = static_cast<uint8_t>(kBlock * b + __builtin_ctzll(left));
      in.n_on[chunk * in.n_lanes + kWord * word + l] = static_cast<uint16_t>(n);
    }
  });
}

inline void bytes_packed(const Worker& me, const uint64_t* packed, int64_t n_units,
                         const Operand& in) {
  const int64_t words = in.words();
  me.share(words * in.n_quads, [&](int64_t task) {
    const int64_t word = task / in.n_quads, quad = task % in.n_quads;
    uint64_t row[4];
    for (int i = 0; i < 4; ++i)
      row[i] = 4 * quad + i < n_units ? packed[(4 * quad + i) * words + word] : 0;
    const int width = in.width(word);
    int32_t* out = reinterpret_cast<int32_t*>(in.word_bytes(0, word)) + quad * width;
    for (int l = 0; l < width; l += kLanes) {
      const I low = bit_or(spread(static_cast<uint32_t>(row[0] >> l), 1),
                           spread(static_cast<uint32_t>(row[1] >> l), 1 << 8));
      const I high = bit_or(spread(static_cast<uint32_t>(row[2] >> l), 1 << 16),
                            spread(static_cast<uint32_t>(row[3] >> l), 1 << 24));
      store(out + l, bit_or(low, high));
    }
  });
}

// The 30 bits from number 30 w on of 64 columns: out[64], from packed rows of columns `word`.
inline void index_word(const uint64_t* packed, int64_t n_units, int64_t words, int64_t word,
                       int64_t w, int32_t* out) {
  const int64_t first = w * kIndexBits, left = n_units - first;
  const int n = static_cast<int>(left < kIndexBits ? left : kIndexBits);
  for (int l = 0; l < kWord; l += kLanes) {
    I bits = splat(0);
    for (int i = 0; i < n; ++i) {
      const uint64_t row = packed[(first + i) * words + word];
      bits = bit_or(bits, spread(static_cast<uint32_t>(row >> l), 1 << i));
    }
    store(out + l, bits);
  }
}

inline void index_packed(const Worker& me, const uint64_t* packed, int64_t n_units,
                         const Operand& in) {
  const int64_t n = in.index_words();
  me.share(in.words() * n, [&](int64_t task) {
    const int64_t word = task / n, w = task % n;
    index_word(packed, n_units, in.words(), word, w, in.index(word) + w * kWord);
  });
}

inline void expand_packed(const Worker& me, const uint64_t* packed, int64_t n_units,
                          const Operand& in) {
  if (in.packed != nullptr) {
    if (me.id == 0) *in.packed = packed;
    return me.meet();
  }
  const int64_t n_on = count_on(packed, n_units * in.words());
  const Form form = best_form({in.n_out, n_units, in.n_chains, n_on, in.n_digits});
  if (me.id == 0) *in.form = form;  // read by all after the barrier
  if (form == Form::kLists)
    list_packed(me, packed, n_units, in);
  else if (form == Form::kIndex)
    index_packed(me, packed, n_units, in);
  else
    bytes_packed(me, packed, n_units, in);
}

inline void expand_levels(const Worker& me, const int32_t* levels, int64_t n_units,
                          const Operand& in) {
  if (me.id == 0) *in.form = Form::kBytes;
  const int64_t words = in.words();
  me.share(words * in.n_quads, [&](int64_t task) {
    const int64_t word = task / in.n_quads, quad = task % in.n_quads;
    const int width = in.width(word);
    uint8_t* low = in.word_bytes(0, word) + 4 * quad * width;
    uint8_t* high = in.word_bytes(1, word) + 4 * quad * width;
    for (int l = 0; l < width; ++l)
      for (int i = 0; i < 4; ++i) {
        const int64_t chain = kWord * word + l, unit = 4 * quad + i;
        const int32_t k =
            chain < in.n_chains && unit < n_units ? levels[chain * n_units + unit] : 0;
        low[4 * l + i] = static_cast<uint8_t>(k);
        high[4 * l + i] = static_cast<uint8_t>(k >> 8);
      }
  });
}

inline void expand(const Worker& me, const States& states, const Operand& in) {
  if (states.are_levels())
    expand_levels(me, states.levels(), states.n_units, in);
  else
    expand_packed(me, states.packed(), states.n_units, in);
}

}  // namespace
}  // namespace ncg
