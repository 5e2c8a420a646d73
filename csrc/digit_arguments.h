// Digits as arguments: dense or sparse, see common/layout.h.
#pragma once
#include "common/layout.h"
#include "tensor_argument.h"

namespace ncg {

constexpr int64_t kMaxInt = INT32_MAX;
inline bool sparse_digits = false;  // whether the module's kernels take them

struct Named {
  const char* name;
  const Tensor& tensor;
};

inline int64_t digits_count(int64_t n_out, int64_t n_in, int n_digits) {
  return product({ceil_div(n_out, kPanel), n_digits, ceil_div(n_in, kBlock), kPanel * kBlock});
}
inline int n_digits(const Call& call, Named digits) {
  const int64_t n = call.size(digits.name, digits.tensor, 1, 5);
  return static_cast<int>(call.integer("n_digits", n, 2, 3));
}
// Kernels load and store digits by 16 bytes.
template <class Digits>
inline Digits aligned(const Call& call, const char* name, Digits digits) {
  if (reinterpret_cast<uintptr_t>(digits) % 16 != 0)
    call.refuse(name, "begin at a multiple of 16 bytes", "a view that does not");
  return digits;
}
inline int8_t* digits_out(const Call& call, Named digits, int64_t n_out, int64_t n_in, int n) {
  const int64_t count = digits_count(n_out, n_in, n);
  return aligned(call, digits.name, call.write<int8_t>(digits.name, digits.tensor, count));
}

inline bool is_sparse(const Tensor& digits) {
  return sparse_digits && digits.dtype == torch_names.int32;
}

// Sparse digits: their header, of this layer's sizes, and the room for connections. Offsets and
// inputs are looked at where they are used.
struct Sparse {
  const int32_t* words;
  int64_t capacity;
  int n_digits;
};
inline Sparse sparse(const Call& call, Named digits, int64_t n_out, int64_t n_in) {
  const int64_t count = call.size(digits.name, digits.tensor, 0, 1, INT64_MAX),
                room = count - SparseLayout{n_out}.words(0);
  if (room < 0 || room % 2 != 0 || room / 2 > kMaxInt)
    call.refuse(digits.name, "have whole connections behind its header and offsets",
                std::to_string(count) + " elements");
  const int32_t* words = call.read<int32_t>(digits.name, digits.tensor, count);
  const auto sizes = [](int64_t out, int64_t in) {
    return "(" + std::to_string(out) + ", " + std::to_string(in) + ")";
  };
  if (words[kSparseOut] != n_out || words[kSparseIn] != n_in)
    call.refuse(digits.name, "be of (n_out, n_in) = " + sizes(n_out, n_in) + " units",
                sizes(words[kSparseOut], words[kSparseIn]));
  const int n = words[kSparseDigits], held = words[kSparseCount];
  if (n != 2 && n != 3) call.refuse(digits.name, "have 2 or 3 digits", std::to_string(n));
  if (held < 0 || held > room / 2)
    call.refuse(
        digits.name, "hold all connections",
        (held < 0 ? "more" : std::to_string(held)) + " with room for " + std::to_string(room / 2));
  return {words, room / 2, n};
}

// Where digits of both directions go: dense or sparse, the other pointers are null.
struct WrittenDigits {
  int8_t *to_hidden, *to_visible;
  int32_t *sparse_to_hidden, *sparse_to_visible;
  int64_t capacity;
  int n_digits;
};
inline WrittenDigits new_dense(const Call& call, Named forward, Named back, int64_t n_hidden,
                               int64_t n_visible, int n_digits) {
  return {digits_out(call, forward, n_hidden, n_visible, n_digits),
          digits_out(call, back, n_visible, n_hidden, n_digits),
          nullptr,
          nullptr,
          0,
          n_digits};
}
inline WrittenDigits new_sparse(const Call& call, Named forward, Named back, int64_t n_hidden,
                                int64_t n_visible, int64_t capacity, int n_digits) {
  const int64_t there = SparseLayout{n_hidden}.words(capacity),
                thence = SparseLayout{n_visible}.words(capacity);
  int32_t* to_hidden = call.write<int32_t>(forward.name, forward.tensor, there);
  int32_t* to_visible = call.write<int32_t>(back.name, back.tensor, thence);
  // One is read while the other is written.
  if (to_hidden < to_visible + thence && to_visible < to_hidden + there)
    call.refuse(back.name, "have memory of its own", "a view of that of the other direction");
  return {nullptr, nullptr, to_hidden, to_visible, capacity, n_digits};
}
inline WrittenDigits written_digits(const Call& call, Named forward, Named back, int64_t n_hidden,
                                    int64_t n_visible) {
  if (!is_sparse(forward.tensor))
    return new_dense(call, forward, back, n_hidden, n_visible, n_digits(call, forward));
  const Sparse there = sparse(call, forward, n_hidden, n_visible),
               thence = sparse(call, back, n_visible, n_hidden);
  const int n = there.n_digits;
  if (thence.n_digits != n)
    call.refuse(back.name, "have " + std::to_string(n) + " digits",
                std::to_string(thence.n_digits));
  return new_sparse(call, forward, back, n_hidden, n_visible, there.capacity, n);
}

}  // namespace ncg
