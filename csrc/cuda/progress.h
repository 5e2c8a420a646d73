// Where a sequence of launches stands.
#pragma once
#include <cstdint>

namespace ncg::cuda {

// Lives in device memory, so that a captured sequence moves on by itself. Null: a single op.
struct Progress {
  int64_t step;     // added to Draw::step
  int64_t batch;    // times the stride of batches: added to pointers to data
  int32_t stopped;  // not 0: every kernel returns at once
};

}  // namespace ncg::cuda
