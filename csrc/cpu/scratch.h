// Memory of one op on the calling thread: taken piece by piece, given back all at once, kept for
// the next op.
#pragma once
#include <cstdint>

namespace ncg {

void scratch_reset();
// 64-byte aligned, uninitialised; throws std::bad_alloc. Call outside parallel regions.
void* scratch_bytes(int64_t bytes);

template <class T>
static inline T* scratch(int64_t count) {
  return static_cast<T*>(scratch_bytes(count * static_cast<int64_t>(sizeof(T))));
}

}  // namespace ncg
