// Sparse digits of both directions, made from weights and mask by a team.
#pragma once
#include "common/layout.h"
#include "cpu/isa/isa.h"
#include "cpu/scratch.h"
#include "cpu/team/team.h"
#include "ops.h"

namespace ncg {
namespace {

struct SparsePair {
  PackWeights op;    // whose digits are sparse
  int64_t n_pieces;  // of the hidden units, each worked on by one worker at a time
  int32_t* columns;  // [n_pieces][n_visible]: connections of a piece, then where they go

  int32_t* to_hidden() const { return op.to_hidden.sparse; }
  int32_t* to_visible() const { return op.to_visible.sparse; }
  int64_t capacity() const { return op.to_hidden.capacity; }
  int32_t* connections_to_hidden() const {
    return to_hidden() + SparseLayout{op.n_hidden}.connections();
  }
  int32_t* connections_to_visible() const {
    return to_visible() + SparseLayout{op.n_visible}.connections();
  }
};

// Call outside parallel regions. Where digits are dense there is nothing to make.
inline SparsePair make_sparse_pair(const PackWeights& op, int n_workers) {
  const bool sparse = op.to_hidden.sparse != nullptr;
  const int64_t n_pieces = n_workers > 1 ? 2 * n_workers : 1;
  return {op, n_pieces, sparse ? scratch<int32_t>(op.n_visible * n_pieces) : nullptr};
}

// Bit u: whether pair at + u is connected, for n <= 64 pairs.
inline uint64_t connected(const uint8_t* mask, int64_t at, int n) {
  if (mask == nullptr) return n == kWord ? ~uint64_t{0} : (uint64_t{1} << n) - 1;
  uint64_t on = 0;
  for (int u = 0; u < n; u += kLanes) {
    const int left = n - u < kLanes ? n - u : kLanes;
    const uint64_t some = bits(load_mask(mask + at + u, left)) & ((uint64_t{1} << left) - 1);
    on |= some << u;
  }
  return on;
}

// use(visible unit of the first bit, bits) for the connections of a hidden unit.
template <class Use>
inline void for_each_word(const SparsePair& pair, int64_t unit, Use use) {
  for (int64_t first = 0; first < pair.op.n_visible; first += kWord) {
    const int64_t left = pair.op.n_visible - first;
    const int n = static_cast<int>(left < kWord ? left : kWord);
    use(first, connected(pair.op.mask, unit * pair.op.n_visible + first, n));
  }
}

// Offsets to_hidden from the number of connections of each unit; n_connections; the other words of
// both headers.
inline void add_up(const SparsePair& pair) {
  int32_t* offsets = pair.to_hidden() + kSparseHeader;
  int64_t n = 0;
  for (int64_t unit = 0; unit < pair.op.n_hidden; ++unit) {
    const int64_t count = offsets[unit];
    offsets[unit] = static_cast<int32_t>(n <= pair.capacity() ? n : 0);
    n += count;
  }
  const int32_t held = static_cast<int32_t>(n <= pair.capacity() ? n : -1);
  offsets[pair.op.n_hidden] = held;
  const int32_t n_hidden = static_cast<int32_t>(pair.op.n_hidden),
                n_visible = static_cast<int32_t>(pair.op.n_visible);
  const int32_t forward[] = {pair.op.to_hidden.n_digits, n_hidden, n_visible, held},
                back[] = {pair.op.to_hidden.n_digits, n_visible, n_hidden, held};
  memcpy(pair.to_hidden(), forward, sizeof forward);
  memcpy(pair.to_visible(), back, sizeof back);
}

// A hidden unit's connections, counted in its piece's columns, too. Their weights lie far apart:
// all are asked for before the first is used. A mask that another thread of the caller changes
// meanwhile gives a list without meaning, but no other length.
inline void list_row(const SparsePair& pair, int64_t unit, int32_t* columns) {
  const float inverse_step = pair.op.to_hidden.inverse_step(),
              limit = digit_limit(pair.op.to_hidden.n_digits);
  const float* weight = pair.op.weight + unit * pair.op.n_visible;
  const int32_t* offsets = pair.to_hidden() + kSparseHeader + unit;
  int32_t* const row = pair.connections_to_hidden() + 2 * int64_t{offsets[0]};
  int32_t* const end = pair.connections_to_hidden() + 2 * int64_t{offsets[1]};
  int32_t* out = row;
  for_each_word(pair, unit, [&](int64_t first, uint64_t on) {
    for (; on != 0 && out < end; on &= on - 1, out += 2) {
      const int64_t visible = first + __builtin_ctzll(on);
      __builtin_prefetch(weight + visible);
      *out = static_cast<int32_t>(visible);
    }
  });
  for (; out < end; out += 2) *out = 0;
  for (int32_t* at = row; at < end; at += 2) {
    const float q = mul(weight[*at], inverse_step), low = q < limit ? q : limit;
    at[1] = static_cast<int32_t>(round_even(low > -limit ? low : -limit));
    ++columns[*at];
  }
}

// Offsets to_visible, and in each piece's columns where its connections begin.
inline void add_up_columns(const SparsePair& pair) {
  int32_t* offsets = pair.to_visible() + kSparseHeader;
  int32_t n = 0;
  for (int64_t unit = 0; unit < pair.op.n_visible; ++unit) {
    offsets[unit] = n;
    for (int64_t piece = 0; piece < pair.n_pieces; ++piece) {
      int32_t& column = pair.columns[piece * pair.op.n_visible + unit];
      const int32_t count = column;
      column = n;
      n += count;
    }
  }
  offsets[pair.op.n_visible] = n;
}

// Zeroes what the n connections of both directions do not use.
inline void clear_rest(const Worker& me, const SparsePair& pair, int64_t n) {
  constexpr int64_t kPiece = 4096;  // connections
  me.share(ceil_div(pair.capacity() - n, kPiece), [&](int64_t piece) {
    const int64_t first = n + kPiece * piece, left = pair.capacity() - first;
    const size_t bytes = 8 * static_cast<size_t>(left < kPiece ? left : kPiece);
    memset(pair.connections_to_hidden() + 2 * first, 0, bytes);
    memset(pair.connections_to_visible() + 2 * first, 0, bytes);
  });
}

// use(hidden unit, columns of its piece) for all, piece by piece.
template <class Use>
inline void for_each_piece(const Worker& me, const SparsePair& pair, Use use) {
  me.share(pair.n_pieces, [&](int64_t piece) {
    const int64_t first = pair.op.n_hidden * piece / pair.n_pieces,
                  last = pair.op.n_hidden * (piece + 1) / pair.n_pieces;
    int32_t* columns = pair.columns + piece * pair.op.n_visible;
    for (int64_t unit = first; unit < last; ++unit) use(unit, columns);
  });
}

// Shares the work and ends with a barrier. Units of a later piece are higher: connections to a
// visible unit come in the order of hidden units.
inline void make_sparse(const Worker& me, const SparsePair& pair) {
  me.share(pair.n_pieces, [&](int64_t piece) {
    memset(pair.columns + piece * pair.op.n_visible, 0,
           sizeof(int32_t) * static_cast<size_t>(pair.op.n_visible));
  });
  me.share(pair.op.n_hidden, [&](int64_t unit) {
    int64_t n = 0;
    for_each_word(pair, unit, [&](int64_t, uint64_t on) { n += __builtin_popcountll(on); });
    pair.to_hidden()[kSparseHeader + unit] = static_cast<int32_t>(n);
  });
  me.once([&] { add_up(pair); });
  const int64_t n = pair.to_hidden()[kSparseCount];
  if (n < 0) {
    const auto clear = [&](int32_t* digits, int64_t n_out) {
      memset(digits + kSparseHeader, 0, sizeof(int32_t) * static_cast<size_t>(n_out + 1));
    };
    me.once([&] {
      clear(pair.to_hidden(), pair.op.n_hidden);
      clear(pair.to_visible(), pair.op.n_visible);
    });
    return clear_rest(me, pair, 0);
  }
  for_each_piece(me, pair, [&](int64_t unit, int32_t* columns) { list_row(pair, unit, columns); });
  me.once([&] { add_up_columns(pair); });
  for_each_piece(me, pair, [&](int64_t unit, int32_t* columns) {
    const int32_t* offsets = pair.to_hidden() + kSparseHeader + unit;
    for (int64_t i = offsets[0]; i < offsets[1]; ++i) {
      const int32_t* from = pair.connections_to_hidden() + 2 * i;
      int32_t* to = pair.connections_to_visible() + 2 * int64_t{columns[from[0]]++};
      to[0] = static_cast<int32_t>(unit);
      to[1] = from[1];
    }
  });
  clear_rest(me, pair, n);
}

}  // namespace
}  // namespace ncg
