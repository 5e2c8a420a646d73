// Vectors of 4 floats or int32 in the compiler's own vector types: any processor. The meaning of
// each function is here; vec_avx2.h and vec_avx512.h say the same in instructions.
#pragma once
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "common/numerics.h"

namespace ncg {
namespace {

constexpr int kLanes = 4;  // of F and I
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
[[gnu::noinline]] inline F fma_by_lane(F a, F b, F c) {
  return F{__builtin_fmaf(a[0], b[0], c[0]), __builtin_fmaf(a[1], b[1], c[1]),
           __builtin_fmaf(a[2], b[2], c[2]), __builtin_fmaf(a[3], b[3], c[3])};
}
#ifdef __SSE2__
// Without the instruction a call of the library for each lane takes many times as long as this: the
// sum in float64, where products are exact. It is rounded twice, which differs from once only where
// the first rounding ends halfway between two floats, or below the normal ones.
inline F fma(F a, F b, F c) {
  const auto upper = [](F x) { return _mm_cvtps_pd(_mm_movehl_ps(x, x)); };
  const __m128d low = _mm_cvtps_pd(a) * _mm_cvtps_pd(b) + _mm_cvtps_pd(c),
                high = upper(a) * upper(b) + upper(c);
  const F found = _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
  const I rest = reinterpret_cast<I>(_mm_shuffle_ps(_mm_castpd_ps(low), _mm_castpd_ps(high), 0x88)),
          magnitude = reinterpret_cast<I>(found) & 0x7FFFFFFF;
  const M doubtful =
      ((rest & 0x1FFFFFFF) == 0x10000000) | ((magnitude < 0x00800000) & (magnitude != 0));
  if (__builtin_expect(_mm_movemask_ps(reinterpret_cast<F>(doubtful)) != 0, 0))
    return fma_by_lane(a, b, c);
  return found;
}
#else
inline F fma(F a, F b, F c) { return fma_by_lane(a, b, c); }
#endif
inline F select(M m, F yes, F no) { return m ? yes : no; }
inline F min(F a, F b) { return a < b ? a : b; }  // b where either is NaN
inline F max(F a, F b) { return a > b ? a : b; }
// Floats of 2^23 and more are whole. In float32 the sum with 2^23 is rounded to a whole number.
inline F round_even(F a) {
  const I sign = reinterpret_cast<I>(a) & INT32_MIN;
  const F magnitude = reinterpret_cast<F>(reinterpret_cast<I>(a) & 0x7FFFFFFF),
          whole = (magnitude + 0x1p23f) - 0x1p23f;
  return magnitude < 0x1p23f ? reinterpret_cast<F>(reinterpret_cast<I>(whole) | sign) : a;
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
inline M not_greater(F a, F b) { return ~(a > b); }  // true where either is NaN
inline M mask_or(M a, M b) { return a | b; }
inline M mask_and_not(M a, M b) { return a & ~b; }
inline uint32_t bits(M a) {  // bit i: lane i
  return static_cast<uint32_t>((a[0] & 1) | (a[1] & 2) | (a[2] & 4) | (a[3] & 8));
}
// The bits of |a|, a float, where true, else 0.
inline I magnitude_where(M m, I a) { return a & m & 0x7FFFFFFF; }
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
#ifdef __SSE2__
  if (n == kLanes) {
    int32_t bytes;
    memcpy(&bytes, p, kLanes);
    const __m128i zero = _mm_setzero_si128(),
                  halves = _mm_unpacklo_epi8(_mm_cvtsi32_si128(bytes), zero);
    return reinterpret_cast<I>(_mm_unpacklo_epi16(halves, zero)) != 0;
  }
#endif
  M m = {};
  for (int i = 0; i < n; ++i) m[i] = p[i] ? -1 : 0;
  return m;
}
// How many of 4 kLanes bytes are not 0.
inline int count_bytes(const uint8_t* p) {
#ifdef __SSE2__
  const __m128i off =
      _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), _mm_setzero_si128());
  return 4 * kLanes - __builtin_popcount(static_cast<uint32_t>(_mm_movemask_epi8(off)));
#else
  int n = 0;
  for (int i = 0; i < 4 * kLanes; ++i) n += p[i] != 0;
  return n;
#endif
}
inline void store_mask(uint8_t* p, M m, int n) {
  for (int i = 0; i < n; ++i) p[i] = m[i] ? 1 : 0;
}
// out[j] lane i = p[i * stride + j]
inline void load_columns(const int32_t* p, int64_t stride, I out[4]) {
  I row[4];
  for (int i = 0; i < 4; ++i) row[i] = load(p + i * stride);
  for (int j = 0; j < 4; ++j) out[j] = I{row[0][j], row[1][j], row[2][j], row[3][j]};
}
// Vectors of 2 kLanes int16, and of int32 lanes as pairs of them.
typedef int16_t H __attribute__((vector_size(16)));
// Outputs of a block that sums are made of at a time, from so many pairs of rows; and hidden units
// and rows of levels.
constexpr int kRowOutputs = 32, kPairsAtOnce = 1;
constexpr int kLevelUnits = 32, kLevelRows = 1;
inline I load_halves(const int16_t* p) {
  I a;
  memcpy(&a, p, 16);
  return a;
}
inline void store_halves(int16_t* p, I a) { memcpy(p, &a, 16); }
inline void store_low_halves(int16_t* p, I a) {
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<int16_t>(a[i]);
}
// Of each eight of a the first (the last) four, each followed by its neighbour of b.
inline I even_fours(I a, I b) {
  return reinterpret_cast<I>(__builtin_shuffle(reinterpret_cast<H>(a), reinterpret_cast<H>(b),
                                               H{0, 8, 1, 9, 2, 10, 3, 11}));
}
inline I odd_fours(I a, I b) {
  return reinterpret_cast<I>(__builtin_shuffle(reinterpret_cast<H>(a), reinterpret_cast<H>(b),
                                               H{4, 12, 5, 13, 6, 14, 7, 15}));
}
// sum + the products of both int16 of a lane
inline I dot2(I sum, I a, I b) {
#ifdef __SSE2__
  typedef int SseInts __attribute__((vector_size(16)));
  typedef short SseShorts __attribute__((vector_size(16)));
  const SseInts products =
      __builtin_ia32_pmaddwd128(reinterpret_cast<SseShorts>(a), reinterpret_cast<SseShorts>(b));
  return add(sum, reinterpret_cast<I>(products));
#else
  const I low = (shift_left<16>(a) >> 16) * (shift_left<16>(b) >> 16);
  return add(sum, add(low, (a >> 16) * (b >> 16)));
#endif
}
// Of each int16: sums modulo 2^16, the low byte with its sign, and what is above the low byte.
inline I add_halves(I a, I b) {
  typedef uint16_t N __attribute__((vector_size(16)));
  return reinterpret_cast<I>(reinterpret_cast<N>(a) + reinterpret_cast<N>(b));
}
inline I sub_halves(I a, I b) {
  typedef uint16_t N __attribute__((vector_size(16)));
  return reinterpret_cast<I>(reinterpret_cast<N>(a) - reinterpret_cast<N>(b));
}
inline I low_digit(I a) { return reinterpret_cast<I>((reinterpret_cast<H>(a) << 8) >> 8); }
inline I high_digit(I a) { return reinterpret_cast<I>(reinterpret_cast<H>(a) >> 8); }
inline I halve(I a) { return a >> 1; }  // of even numbers
// From split order, of each 2 kLanes first the even fours, then the odd ones, to the order of
// units.
inline void in_order(F even, F odd, F out[2]) {
  out[0] = even;
  out[1] = odd;
}
inline uint32_t in_order(uint32_t even, uint32_t odd) { return even | odd << 4; }
// Writes the numbers of the bits that are set, the lowest bit being number `first`; returns the
// end. May write up to kLanes numbers more.
inline uint32_t* append(uint32_t* to, uint64_t bits, uint32_t first) {
  for (; bits != 0; bits &= bits - 1) *to++ = first + static_cast<uint32_t>(__builtin_ctzll(bits));
  return to;
}
// Whether times_power takes powers of any size.
constexpr bool kAnyPower = false;
inline F times_power(F a, F power) {  // a 2^power, power whole, in [-126, 127]
  return mul(a, as_float(shift_left<23>(add(to_int(power), splat(127)))));
}
// Quarter w of vector p and quarter p of vector w change places, a quarter being four lanes, among
// as many vectors as have quarters.
inline void transpose_quarters(I*) {}

inline W wide(uint64_t a) { return W{a, a}; }
inline W wide_evens(uint64_t base) { return W{base, base + 2}; }
inline W wide_mul(W a, W b) {  // of the low halves, 64 bits
#ifdef __SSE2__
  return reinterpret_cast<W>(
      _mm_mul_epu32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
  return (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu);
#endif
}
inline W wide_high(W a) { return a >> 32; }
inline W wide_add(W a, W b) { return a + b; }
inline W as_wide(I a) { return reinterpret_cast<W>(a); }
inline W wide_xor(W a, W b, W c) { return a ^ b ^ c; }
// The low halves: those of `even` in the even lanes.
inline I join(W even, W odd) { return reinterpret_cast<I>((even & 0xFFFFFFFFu) | odd << 32); }

}  // namespace
}  // namespace ncg
