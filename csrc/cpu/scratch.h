// Memory of one op on the calling thread: taken piece by piece, given back all at once, kept for
// the next op.
#pragma once
#include <cstdint>

namespace ncg {

void scratch_reset();
// 64-byte aligned, uninitialised; throws std::bad_alloc. Call outside parallel regions.
void* scratch_bytes(int64_t bytes);

// While one lives, the memory of the op that is under way is kept apart from that of others.
class ScratchAside {
 public:
  ScratchAside();
  ~ScratchAside();
  ScratchAside(const ScratchAside&) = delete;
  ScratchAside& operator=(const ScratchAside&) = delete;

 private:
  void* arena_;
};

template <class T>
static inline T* scratch(int64_t count) {
  return static_cast<T*>(scratch_bytes(count * static_cast<int64_t>(sizeof(T))));
}

}  // namespace ncg
