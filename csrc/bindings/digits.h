// Digits as arguments: dense or sparse, see common/layout.h.
#pragma once
#include "bindings/backend.h"
#include "bindings/tensor.h"
#include "common/layout.h"
#include "ops.h"

namespace ncg {

constexpr int64_t kMinExponent = -60, kMaxExponent = 129;  // as in ncg_fast/backends/numerics.py

inline int exponent(const Call& call, int64_t e) {
  return static_cast<int>(call.integer("weight_exponent", e, kMinExponent, kMaxExponent));
}

// The sizes of one direction.
struct Direction {
  int64_t n_out, n_in;
};

// Kernels load and store digits, and use scratch memory, by 16 bytes.
template <class Pointer>
inline Pointer aligned(const Call& call, const char* name, Pointer memory) {
  if (reinterpret_cast<uintptr_t>(memory) % 16 != 0)
    call.refuse(name, "begin at a multiple of 16 bytes", "a view that does not");
  return memory;
}

inline Digits dense_digits(const Call& call, Named digits, Direction d, int n_digits, int e,
                           Access access) {
  const int64_t count = backend::dense_count(d.n_out, d.n_in, n_digits);
  auto* memory = aligned(call, digits.name, call.memory<backend::Dense>(digits, count, access));
  return {reinterpret_cast<int8_t*>(memory), nullptr, 0, n_digits, e};
}

inline Digits sparse_digits(const Call& call, Named digits, Direction d, int64_t capacity,
                            int n_digits, int e, Access access) {
  const int64_t count = SparseLayout{d.n_out}.words(capacity);
  return {nullptr, call.memory<int32_t>(digits, count, access), capacity, n_digits, e};
}

// Sparse digits that are there: their header, of this direction's sizes, and the room for
// connections. Offsets and inputs are looked at where they are used.
inline Digits held_sparse_digits(const Call& call, Named digits, Direction d, int e,
                                 Access access) {
  const int64_t count = call.size(digits, 0, 1, INT64_MAX),
                room = count - SparseLayout{d.n_out}.words(0);
  if (room < 0 || room % 2 != 0 || room / 2 > kMaxInt)
    call.refuse(digits.name, "have whole connections after its header and offsets",
                std::to_string(count) + " elements");
  const int32_t* header = call.read<int32_t>(digits, count);
  const auto sizes = [](int64_t out, int64_t in) {
    return "(" + std::to_string(out) + ", " + std::to_string(in) + ")";
  };
  if (header[kSparseOut] != d.n_out || header[kSparseIn] != d.n_in)
    call.refuse(digits.name, "be of (n_out, n_in) = " + sizes(d.n_out, d.n_in) + " units",
                sizes(header[kSparseOut], header[kSparseIn]));
  const int n = header[kSparseDigits], held = header[kSparseCount];
  if (n != 2 && n != 3) call.refuse(digits.name, "have 2 or 3 digits", std::to_string(n));
  if (held < 0 || held > room / 2)
    call.refuse(
        digits.name, "hold all connections",
        (held < 0 ? "more" : std::to_string(held)) + " with room for " + std::to_string(room / 2));
  return sparse_digits(call, digits, d, room / 2, n, e, access);
}

// Digits of one direction that are there: sparse where their dtype says so and the back end takes
// them.
inline Digits held_digits(const Call& call, Named digits, Direction d, int64_t weight_exponent,
                          Access access = Access::kRead) {
  const int e = exponent(call, weight_exponent);
  if (backend::kSparseDigits && digits.tensor.dtype == torch_names.int32)
    return held_sparse_digits(call, digits, d, e, access);
  const int64_t n = call.integer("n_digits", backend::dense_n_digits(call, digits, d.n_in), 2, 3);
  return dense_digits(call, digits, d, static_cast<int>(n), e, access);
}

inline std::string format_of(const Digits& digits) {
  if (digits.sparse == nullptr) return "dense";
  return "sparse with a capacity of " + std::to_string(digits.capacity);
}

// Digits of both directions.
struct DigitPair {
  Digits to_hidden, to_visible;
};

inline void check_same_digits(const Call& call, const Digits& to_hidden, Named back,
                              const Digits& to_visible) {
  if (to_visible.n_digits != to_hidden.n_digits)
    call.refuse(back.name, "have " + std::to_string(to_hidden.n_digits) + " digits",
                std::to_string(to_visible.n_digits));
}

// Whether n bytes from a and m bytes from b on have some in common.
inline bool overlap(const void* a, int64_t n, const void* b, int64_t m) {
  const auto first = reinterpret_cast<uintptr_t>(a), other = reinterpret_cast<uintptr_t>(b);
  return first < other + static_cast<uintptr_t>(m) && other < first + static_cast<uintptr_t>(n);
}
inline int64_t sparse_bytes(const Digits& digits, int64_t n_out) {
  return SparseLayout{n_out}.words(digits.capacity) * static_cast<int64_t>(sizeof(int32_t));
}

// Those that are written: of one format and capacity, and of sparse ones one is read while the
// other is written.
inline DigitPair written_pair(const Call& call, Named back, const DigitPair& pair, int64_t n_hidden,
                              int64_t n_visible) {
  const Digits &there = pair.to_hidden, &thence = pair.to_visible;
  check_same_digits(call, there, back, thence);
  if ((there.sparse == nullptr) != (thence.sparse == nullptr) || there.capacity != thence.capacity)
    call.refuse(back.name, "be " + format_of(there), format_of(thence));
  if (there.sparse == nullptr) return pair;
  if (overlap(there.sparse, sparse_bytes(there, n_hidden), thence.sparse,
              sparse_bytes(thence, n_visible)))
    call.refuse(back.name, "have memory of its own", "a view of that of the other direction");
  return pair;
}

}  // namespace ncg
