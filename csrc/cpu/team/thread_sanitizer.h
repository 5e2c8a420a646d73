// What ThreadSanitizer must be told: libgomp, which is not instrumented, orders the start and the
// end of a team. In other builds these are empty.
#pragma once

#ifdef __SANITIZE_THREAD__
#define NCG_FAST_NOT_WATCHED __attribute__((no_sanitize("thread")))
extern "C" void __tsan_acquire(void* object);
extern "C" void __tsan_release(void* object);
#else
#define NCG_FAST_NOT_WATCHED
#endif

namespace ncg {
namespace {

// What this thread did so far happens before whatever follows received(object) on another.
inline void sent([[maybe_unused]] void* object) {
#ifdef __SANITIZE_THREAD__
  __tsan_release(object);
#endif
}
inline void received([[maybe_unused]] void* object) {
#ifdef __SANITIZE_THREAD__
  __tsan_acquire(object);
#endif
}

}  // namespace
}  // namespace ncg
