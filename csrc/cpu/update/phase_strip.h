// Sums of h v over the rows of both phases, a block of hidden units and a strip of visible ones at
// a time: for each visible unit the levels of the rows in which it is on are added up.
#pragma once
#include <new>

#include "cpu/packing/row_strip.h"
#include "cpu/update/phases.h"

namespace ncg {
namespace {

constexpr int64_t kPieceRows = 128;  // whose levels of a block stay near
constexpr int kTile = kBlock * kStrip;

// Rows whose pairs of levels are added up: with both, the data's and the model's factors.
struct PhaseRows {
  const uint32_t* rows;
  int64_t both, data, model;  // how many of each, one after the other
};

// A pair of int16: of the data's level and of the model's.
constexpr int32_t factors(int data, int model) {
  return static_cast<int32_t>((static_cast<uint32_t>(data) & 0xFFFF) | static_cast<uint32_t>(model)
                                                                           << 16);
}

// sums[64] of a block, from `start` on or from what is there.
inline void add_level_rows(const int32_t* block, const PhaseRows& list, const I* start,
                           int model_sign, int32_t* sums) {
  constexpr int kVectors = kLevelUnits / kLanes;
  const I of_both = splat(factors(1, -1)), of_data = splat(factors(1, 0)),
          of_model = splat(factors(0, model_sign));
  const int64_t whole = list.both / kLevelRows * kLevelRows, data = list.both + list.data,
                all = data + list.model;
  for (int part = 0; part < kBlock; part += kLevelUnits) {
    I sum[kLevelRows][kVectors];
#pragma GCC unroll 4
    for (int u = 0; u < kLevelRows; ++u)
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v)
        sum[u][v] = u > 0 ? splat(0) : start != nullptr ? *start : load(sums + part + v * kLanes);
    for (int64_t i = 0; i < whole; i += kLevelRows)
#pragma GCC unroll 4
      for (int u = 0; u < kLevelRows; ++u) {
        const int32_t* row = block + uint64_t{list.rows[i + u]} * kBlock + part;
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v)
          sum[u][v] = dot2(sum[u][v], load(row + v * kLanes), of_both);
      }
    for (int64_t i = whole; i < all; ++i) {
      const I coefficient = i < list.both ? of_both : i < data ? of_data : of_model;
      const int32_t* row = block + uint64_t{list.rows[i]} * kBlock + part;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v)
        sum[0][v] = dot2(sum[0][v], load(row + v * kLanes), coefficient);
    }
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 4
      for (int u = 1; u < kLevelRows; ++u) sum[0][v] = add(sum[0][v], sum[u][v]);
      store(sums + part + v * kLanes, sum[0][v]);
    }
  }
}

// A worker's strip of visible units: the rows in which each is on, and sums.
class PhaseStrip {
 public:
  // Memory for one worker. Call outside parallel regions.
  PhaseStrip(const PhasePair& phases, bool wide)
      : phases_(phases),
        means_(phases.means()),
        rows_(scratch<uint32_t>(kStrip * (phases.n_rows() + phases.n_chains()) + 2 * kLanes)),
        ends_(scratch<int64_t>(pieces() * kStrip * 3)),
        tiles_(scratch<int32_t>(2 * kTile)),
        wide_(wide ? scratch<int64_t>(2 * kTile) : nullptr) {}

  // G of a block of hidden units: g[64][kStrip]; without meaning where there is no unit.
  void difference(int64_t strip, int64_t block, float* g) {
    choose(strip);
    if (wide_ != nullptr) {
      add_wide(block);
      for (int u = 0; u < kStrip; ++u)
        for (int i = 0; i < kBlock; ++i) {
          const int64_t data = wide_[u * kBlock + i], model = wide_[kTile + u * kBlock + i];
          g[i * kStrip + u] = ncg::difference(means_.pair, data, model * means_.visible_one);
        }
      return;
    }
    for (int64_t piece = 0; piece < pieces(); ++piece) add_piece(block, piece, piece == 0);
    const F data_scale = splat(means_.pair.data_scale),
            model_scale = splat(means_.pair.model_scale);
    const int64_t left = phases_.levels.n_hidden - block * kBlock;
    const int n_units = static_cast<int>(left < kBlock ? left : kBlock);
    for (int u = 0; u < kStrip; u += kLanes)
      for (int i = 0; i < n_units; i += 4) {
        I data[4], model[4];
        load_columns(tiles_ + u * kBlock + i, kBlock, data);
        if (!phases_.joint()) load_columns(tiles_ + kTile + u * kBlock + i, kBlock, model);
        for (int r = 0; r < 4; ++r) {
          F mean = mul(to_float(data[r]), data_scale);
          if (!phases_.joint()) mean = sub(mean, mul(to_float(model[r]), model_scale));
          store(g + (i + r) * kStrip + u, mean);
        }
      }
  }

  // Adds the sums of the data to rows of n_visible from the block's first unit on.
  void add_data(int64_t strip, int64_t block, int64_t n_visible, int64_t* products) {
    choose(strip);
    add_wide(block);
    const int64_t hidden_left = phases_.levels.n_hidden - block * kBlock,
                  visible_left = n_visible - strip * kStrip;
    for (int64_t i = 0; i < kBlock && i < hidden_left; ++i)
      for (int64_t u = 0; u < kStrip && u < visible_left; ++u)
        products[(block * kBlock + i) * n_visible + strip * kStrip + u] += wide_[u * kBlock + i];
  }

 private:
  int64_t pieces() const { return ceil_div(phases_.levels.n_rows, kPieceRows); }

  void choose(int64_t strip) {
    if (strip == strip_) return;
    strip_ = strip;
    memset(on_, 0, sizeof on_);
    uint32_t* end = rows_;
    int64_t* to = ends_;
    for (int64_t piece = 0; piece < pieces(); ++piece)
      for (int64_t u = 0; u < kStrip; ++u, to += 3)
        for (int part = 0; part < 3; ++part) {
          const uint32_t* begin = end;
          if (there(u))
            for (int64_t w = 2 * piece; w < 2 * piece + 2 && w * kWord < phases_.levels.n_rows;
                 ++w) {
              const uint64_t data = word(phases_.data, strip * kStrip + u, w),
                             model = word(phases_.model, strip * kStrip + u, w),
                             both = phases_.joint() ? data & model : 0,
                             on = part == 0 ? both : (part == 1 ? data : model) & ~both;
              end = append(end, on, static_cast<uint32_t>(kWord * w));
            }
          to[part] = end - rows_;
          if (part > 0) on_[part - 1][u] += end - begin;
        }
  }

  // Whether the strip's visible unit u is one of the machine's.
  bool there(int64_t u) const { return strip_ * kStrip + u < phases_.data.n_units; }

  // Of a unit; 0 past the last unit or row, and where states are levels.
  static uint64_t word(const States& states, int64_t unit, int64_t w) {
    const int64_t words = ceil_div(states.n_chains, kWord);
    if (states.are_levels() || unit >= states.n_units || w >= words) return 0;
    return states.packed()[unit * words + w];
  }

  // Sums of a piece's rows: data minus model, or each in a tile of its own. `first`: from the
  // centres of all rows on.
  void add_piece(int64_t block, int64_t piece, bool first) {
    const int32_t* levels = phases_.levels.of(block, 0);
    const bool joint = phases_.joint();
    for (int64_t u = 0; u < kStrip; ++u) {
      if (!there(u)) {
        memset(tiles_ + u * kBlock, 0, sizeof(int32_t) * kBlock);
        memset(tiles_ + kTile + u * kBlock, 0, sizeof(int32_t) * kBlock);
        continue;
      }
      const int64_t* ends = ends_ + (piece * kStrip + u) * 3;
      const int64_t begin = piece == 0 && u == 0 ? 0 : ends[-1];
      const PhaseRows list{rows_ + begin, ends[0] - begin, ends[1] - ends[0], ends[2] - ends[1]};
      const auto centre = [](int64_t n) { return splat(static_cast<int32_t>(n * kCentre)); };
      int32_t* sums = tiles_ + u * kBlock;
      if (joint) {
        const I start = centre(on_[0][u] - on_[1][u]);
        add_level_rows(levels, list, first ? &start : nullptr, -1, sums);
      } else {
        const I data = centre(on_[0][u]), model = centre(on_[1][u]);
        add_level_rows(levels, {list.rows, 0, list.data, 0}, first ? &data : nullptr, 1, sums);
        add_level_rows(levels, {list.rows + list.data, 0, 0, list.model}, first ? &model : nullptr,
                       1, sums + kTile);
      }
    }
  }

  // Both tiles in 64 bits.
  void add_wide(int64_t block) {
    memset(wide_, 0, sizeof(int64_t) * 2 * kTile);
    const bool joint = phases_.joint();
    for (int64_t piece = 0; piece < pieces(); ++piece) {
      memset(tiles_, 0, sizeof(int32_t) * 2 * kTile);
      add_piece(block, piece, false);
      for (int i = 0; i < (joint ? 1 : 2) * kTile; ++i) wide_[i] += tiles_[i];
      if (phases_.data.are_levels()) add_level_piece(block, piece);
    }
    for (int u = 0; u < kStrip; ++u)
      for (int i = 0; i < kBlock; ++i) {
        wide_[u * kBlock + i] += (on_[0][u] - (joint ? on_[1][u] : 0)) * kCentre;
        if (!joint) wide_[kTile + u * kBlock + i] += on_[1][u] * kCentre;
      }
  }

  // The data's share of a piece of real-valued rows: 128 products of a level and a byte fit int32.
  void add_level_piece(int64_t block, int64_t piece) {
    const States& data = phases_.data;
    const int64_t end = (piece + 1) * kPieceRows, last = end < data.n_chains ? end : data.n_chains;
    for (int64_t u = 0; u < kStrip && strip_ * kStrip + u < data.n_units; ++u) {
      constexpr int kVectors = kBlock / kLanes;
      I low[kVectors], high[kVectors];
      for (int v = 0; v < kVectors; ++v) low[v] = high[v] = splat(0);
      int64_t total = 0;
      for (int64_t row = piece * kPieceRows; row < last; ++row) {
        const int32_t level = data.levels()[row * data.n_units + strip_ * kStrip + u];
        if (level == 0) continue;
        total += level;
        const int32_t* pairs = phases_.levels.of(block, row);
        for (int v = 0; v < kVectors; ++v) {
          low[v] = dot2(low[v], load(pairs + v * kLanes), splat(level & 255));
          high[v] = dot2(high[v], load(pairs + v * kLanes), splat(level >> 8 & 255));
        }
      }
      for (int v = 0; v < kVectors; ++v) {
        alignas(64) int32_t lanes[2][kLanes];
        store(lanes[0], low[v]);
        store(lanes[1], high[v]);
        for (int i = 0; i < kLanes; ++i)
          wide_[u * kBlock + v * kLanes + i] +=
              lanes[0][i] + int64_t{256} * lanes[1][i] + total * kCentre;
      }
    }
  }

  PhasePair phases_;
  PhaseMeans means_;
  uint32_t* rows_;  // of all units and pieces, one list after the other
  int64_t* ends_;   // [piece][unit][3]: where the rows of both phases end, of data, of model alone
  int32_t* tiles_;  // [2][unit][64 hidden]
  int64_t* wide_;
  int64_t strip_ = -1;
  int64_t on_[2][kStrip];  // rows of one phase alone in which a unit is on
};

// One for each worker. Call outside parallel regions.
inline PhaseStrip* make_phase_strips(const PhasePair& phases, int n_workers, bool wide) {
  PhaseStrip* strips = scratch<PhaseStrip>(n_workers);
  for (int i = 0; i < n_workers; ++i) new (strips + i) PhaseStrip(phases, wide);
  return strips;
}

// use(block of hidden units, strip of visible ones) for a worker's share, strip after strip; ends
// with a barrier.
template <class Use>
inline void for_each_tile(const Worker& me, int64_t n_hidden, int64_t n_visible, Use use) {
  const int64_t blocks = ceil_div(n_hidden, kBlock);
  me.share(blocks * ceil_div(n_visible, kStrip),
           [&](int64_t task) { use(task % blocks, task / blocks); });
}

}  // namespace
}  // namespace ncg
