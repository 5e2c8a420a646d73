// Vectors of 4 floats or int32 in the compiler's own vector types: any processor. The meaning of
// each function is here; vec_avx2.h and vec_avx512.h say the same in instructions.
#pragma once
#include "common/numerics.h"

namespace ncg {
namespace {

constexpr int kLanes = 4;        // of F and I
constexpr int kWideVectors = 4;  // vectors of the product's widest tile
typedef float F __attribute__((vector_size(16)));
typedef int32_t I __attribute__((vector_size(16)));
typedef uint32_t U __attribute__((vector_size(16)));
typedef uint64_t W
    __attribute__((vector_size(16)));  // two 32-bit words, each in the low half of 64 bits
typedef int32_t M __attribute__((vector_size(16)));  // -1 where true

inline F load(const float* p) {
  F a;
  memcpy(&a, p, 16);
  return a;
}
inline void store(float* p, F a) { memcpy(p, &a, 16); }
// The first n lanes; others are 0 and nothing outside is touched.
inline F load(const float* p, int n) {
  F a = {};
  memcpy(&a, p, 4 * static_cast<size_t>(n));
  return a;
}
inline void store(float* p, F a, int n) { memcpy(p, &a, 4 * static_cast<size_t>(n)); }
inline I load(const int32_t* p) {
  I a;
  memcpy(&a, p, 16);
  return a;
}
inline void store(int32_t* p, I a) { memcpy(p, &a, 16); }
inline F splat(float a) { return F{a, a, a, a}; }
inline I splat(int32_t a) { return I{a, a, a, a}; }
inline F mul(F a, F b) { return a * b; }
inline F add(F a, F b) { return a + b; }
inline F sub(F a, F b) { return a - b; }
inline F div(F a, F b) { return a / b; }
inline F fma(F a, F b, F c) {
  return F{__builtin_fmaf(a[0], b[0], c[0]), __builtin_fmaf(a[1], b[1], c[1]),
           __builtin_fmaf(a[2], b[2], c[2]), __builtin_fmaf(a[3], b[3], c[3])};
}
inline F select(M m, F yes, F no) { return m ? yes : no; }
inline F min(F a, F b) { return a < b ? a : b; }  // b where either is NaN
inline F max(F a, F b) { return a > b ? a : b; }
inline F round_even(F a) {
  return F{__builtin_rintf(a[0]), __builtin_rintf(a[1]), __builtin_rintf(a[2]),
           __builtin_rintf(a[3])};
}
inline I to_int(F a) {  // to nearest even
  return __builtin_convertvector(round_even(a), I);
}
inline F to_float(I a) { return __builtin_convertvector(a, F); }
inline F as_float(I a) { return reinterpret_cast<F>(a); }
inline I as_bits(F a) { return reinterpret_cast<I>(a); }
// Modulo 2^32, as on the other instruction sets: lanes beyond the last unit hold anything.
inline I add(I a, I b) {
  return reinterpret_cast<I>(reinterpret_cast<U>(a) + reinterpret_cast<U>(b));
}
inline I sub(I a, I b) {
  return reinterpret_cast<I>(reinterpret_cast<U>(a) - reinterpret_cast<U>(b));
}
inline I bit_and(I a, I b) { return a & b; }
inline I bit_or(I a, I b) { return a | b; }
inline I bit_xor(I a, I b) { return a ^ b; }
inline I max(I a, I b) { return a > b ? a : b; }
template <int kBits>
inline I shift_left(I a) {
  return reinterpret_cast<I>(reinterpret_cast<U>(a) << kBits);
}
template <int kBits>
inline I shift_right(I a) {  // logical
  return reinterpret_cast<I>(reinterpret_cast<U>(a) >> kBits);
}
inline M less(F a, F b) { return a < b; }
inline M less_equal(F a, F b) { return a <= b; }
inline M mask_or(M a, M b) { return a | b; }
inline M mask_and_not(M a, M b) { return a & ~b; }
inline uint32_t bits(M a) {  // bit i: lane i
  return static_cast<uint32_t>((a[0] & 1) | (a[1] & 2) | (a[2] & 4) | (a[3] & 8));
}
inline I spread(uint32_t lane_bits, int32_t value) {  // value where the lane's bit is set, else 0
  const int32_t b = static_cast<int32_t>(lane_bits);
  const I lane = {1, 2, 4, 8};
  return ((splat(b) & lane) == lane) & splat(value);
}
// sum[v] lane i += value where bit kLanes v + i is set.
constexpr int kWhereVectors = 4;
template <int kVectors>
inline void add_where(uint64_t lane_bits, I value, I* sum) {
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v)
    sum[v] =
        add(sum[v], bit_and(spread(static_cast<uint32_t>(lane_bits >> kLanes * v), -1), value));
}
inline M load_mask(const uint8_t* p, int n) {  // bytes 0/1 of the first n lanes
  M m = {};
  for (int i = 0; i < n; ++i) m[i] = p[i] ? -1 : 0;
  return m;
}
inline void store_mask(uint8_t* p, M m, int n) {
  for (int i = 0; i < n; ++i) p[i] = m[i] ? 1 : 0;
}
inline void store_low_bytes(int8_t* p, I a) {
  for (int i = 0; i < 4; ++i) p[i] = static_cast<int8_t>(a[i]);
}

typedef int16_t S16 __attribute__((vector_size(16)));
typedef uint16_t U16 __attribute__((vector_size(16)));

inline I add_halves(I a, I b) {  // two unsigned numbers of 16 bits a lane
  return reinterpret_cast<I>(reinterpret_cast<U16>(a) + reinterpret_cast<U16>(b));
}
// out[j] lane i = p[i * stride + j]
inline void load_columns(const int32_t* p, int64_t stride, I out[4]) {
  I row[4];
  for (int i = 0; i < 4; ++i) row[i] = load(p + i * stride);
  for (int j = 0; j < 4; ++j) out[j] = I{row[0][j], row[1][j], row[2][j], row[3][j]};
}
// When lists of the inputs that are on pay, see operand.h: the time to multiply by one state, in
// that of adding one row, and the time to make a row. Measured at 784 x 500, 5 to 512 chains.
constexpr double kProductCost = 1, kMakeCost = 10;

// Products of the even and of the odd bytes; all fit int16.
inline S16 even_products(I unsigned_bytes, I signed_bytes) {
  return reinterpret_cast<S16>(reinterpret_cast<U16>(unsigned_bytes) & 255) *
         (reinterpret_cast<S16>(reinterpret_cast<U16>(signed_bytes) << 8) >> 8);
}
inline S16 odd_products(I unsigned_bytes, I signed_bytes) {
  return reinterpret_cast<S16>(reinterpret_cast<U16>(unsigned_bytes) >> 8) *
         (reinterpret_cast<S16>(signed_bytes) >> 8);
}

// sum + the products of 0/1 by signed bytes, two to an int16: -256 to 254 a quad, so that the quads
// of kShortBlocks blocks, 112, reach no further than -28672.
constexpr int kShortBlocks = 7;
inline I dot4_short(I short_sum, I states, I digits) {
  return reinterpret_cast<I>(reinterpret_cast<S16>(short_sum) + even_products(states, digits) +
                             odd_products(states, digits));
}
// sum + both int16 of a lane
inline I widen(I sum, I short_sum) {
  return sum + (shift_left<16>(short_sum) >> 16) + (short_sum >> 16);
}
// sum + four products of any bytes a lane
inline I dot4(I sum, I unsigned_bytes, I signed_bytes) {
  const I even = reinterpret_cast<I>(even_products(unsigned_bytes, signed_bytes));
  return widen(widen(sum, even), reinterpret_cast<I>(odd_products(unsigned_bytes, signed_bytes)));
}

inline I load_bytes(const int8_t* p) { return I{p[0], p[1], p[2], p[3]}; }
// Beside kProductCost: the time to look a state up in tables of 2 and of 3 digits, and that to make
// them, which the words of chains share. Measured at 784 x 500, 50 to 512 chains.
constexpr double kTableCost[2][2] = {{2, 0}, {2, 0}};
// The table of all sums of kLookupBits addends, and its entry for the low kLookupBits bits of each
// lane of an index.
constexpr int kLookupBits = 1, kTableEntries = 4;
inline void store_table(int32_t* table, const int32_t* addends) { store(table, splat(*addends)); }
inline I lookup(const int32_t* table, I index) { return load(table) & -(index & 1); }

inline W wide(uint64_t a) { return W{a, a}; }
inline W wide_index(uint64_t base) { return W{base, base + 1}; }
inline W wide_mul(W a, W b) {
  return (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu);
}  // of the low halves, 64 bits
inline W wide_high(W a) { return a >> 32; }
inline W wide_xor(W a, W b, W c) { return a ^ b ^ c; }
inline I narrow(W low_lanes, W high_lanes) {  // the low halves
  return I{static_cast<int32_t>(low_lanes[0]), static_cast<int32_t>(low_lanes[1]),
           static_cast<int32_t>(high_lanes[0]), static_cast<int32_t>(high_lanes[1])};
}

}  // namespace
}  // namespace ncg
