// The scratch memory of ops.
#pragma once
#include <string_view>

#include "common/layout.h"
#include "cuda/progress.h"
#include "ops.h"

namespace ncg::cuda {

// Pieces of memory, one after the other.
class Pieces {
 public:
  explicit Pieces(uint8_t* memory) : memory_(memory) {}

  template <class T>
  T* take(int64_t count) {
    constexpr int64_t kAlignment = 256;
    const int64_t at = n_bytes_, bytes = count * static_cast<int64_t>(sizeof(T));
    n_bytes_ += ceil_div(bytes, kAlignment) * kAlignment;
    return memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + at);
  }
  int64_t n_bytes() const { return n_bytes_; }

 private:
  uint8_t* memory_;  // null: they are only counted
  int64_t n_bytes_ = 0;
};

// Level planes: uint8 [2][n_units][64 words], plane 0 the low bytes of levels, chains contiguous,
// padding 0.
constexpr int64_t planes_size(int64_t n_units, int64_t n_chains) {
  return 2 * n_units * kWord * ceil_div(n_chains, kWord);
}

// What the blocks of one update found, and how many have; 0 before and after each.
struct Tally {
  unsigned long long on, off;
  uint32_t magnitude, n_done;
};

// Of the ops that sum phases.
struct PhaseScratch {
  Tally* tally;
  Progress* progress;
  uint8_t *hidden_data, *hidden_model, *visible_data;  // level planes; the last of real values only
  uint64_t *visible, *hidden;                          // packed
  // Of centred gradients, hidden units first: differences of means, and terms of the biases.
  float* differences;
  int64_t* terms;

  PhaseScratch(Pieces& memory, const ScratchSizes& s)
      : tally(memory.take<Tally>(1)),
        progress(memory.take<Progress>(1)),
        hidden_data(memory.take<uint8_t>(planes_size(s.n_hidden, s.n_rows))),
        hidden_model(memory.take<uint8_t>(planes_size(s.n_hidden, s.n_chains))),
        visible_data(memory.take<uint8_t>(
            s.data_format == StateFormat::kLevels ? planes_size(s.n_visible, s.n_rows) : 0)),
        visible(memory.take<uint64_t>(s.n_visible * ceil_div(s.n_chains, kWord))),
        hidden(memory.take<uint64_t>(s.n_hidden * ceil_div(s.n_chains, kWord))),
        differences(memory.take<float>(s.n_hidden + s.n_visible)),
        terms(memory.take<int64_t>(s.n_hidden + s.n_visible)) {}
};

// Of free_energy and anneal.
struct EnergyScratch {
  float* x;          // (n_chains, n_hidden)
  uint64_t* hidden;  // packed

  EnergyScratch(Pieces& memory, const ScratchSizes& s)
      : x(memory.take<float>(s.n_chains * s.n_hidden)),
        hidden(memory.take<uint64_t>(s.n_hidden * ceil_div(s.n_chains, kWord))) {}
};

template <class Scratch>
Scratch scratch_of(const Run& run, const ScratchSizes& sizes) {
  Pieces memory(run.scratch);
  return Scratch(memory, sizes);
}

// What the op takes; 0 where it needs none.
inline int64_t scratch_bytes(std::string_view op, const ScratchSizes& sizes) {
  Pieces memory(nullptr);
  if (op == "free_energy" || op == "anneal")
    EnergyScratch(memory, sizes);
  else if (op == "connection_gradient" || op == "phase_sums" || op == "ncg_update_" ||
           op == "update_from_sums_" || op == "gradient_update_" || op == "train_steps_")
    PhaseScratch(memory, sizes);
  return memory.n_bytes();
}

}  // namespace ncg::cuda
