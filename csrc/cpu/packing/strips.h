// Blocks of 64 visible units, cut into strips that are worked on together.
#pragma once
#include "common/layout.h"

namespace ncg {
namespace {

constexpr int kStrip = 16;  // blocks at most

// Strips as even as can be.
struct Strips {
  int64_t n_blocks;
  int64_t count() const { return ceil_div(n_blocks, kStrip); }
  int64_t first(int64_t strip) const { return n_blocks * strip / count(); }
};

}  // namespace
}  // namespace ncg
