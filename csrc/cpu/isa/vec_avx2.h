// Vectors of 8 floats or int32 on AVX2 and FMA. See vec_base.h for what each function means.
#pragma once
#include <immintrin.h>

#include "common/numerics.h"

namespace ncg {
namespace {

constexpr int kLanes = 8;
using F = __m256;
using I = __m256i;
using W = __m256i;
using M = __m256;

inline I first_lanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}
inline F load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, F a) { _mm256_storeu_ps(p, a); }
// Masked stores take many times as long as whole ones on some processors.
inline F load(const float* p, int n) {
  return n == kLanes ? load(p) : _mm256_maskload_ps(p, first_lanes(n));
}
inline void store(float* p, F a, int n) {
  if (n == kLanes) return store(p, a);
  _mm256_maskstore_ps(p, first_lanes(n), a);
}
inline I load(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const I*>(p)); }
inline void store(int32_t* p, I a) { _mm256_storeu_si256(reinterpret_cast<I*>(p), a); }
inline F splat(float a) { return _mm256_set1_ps(a); }
inline I splat(int32_t a) { return _mm256_set1_epi32(a); }
inline F mul(F a, F b) { return _mm256_mul_ps(a, b); }
inline F add(F a, F b) { return _mm256_add_ps(a, b); }
inline F sub(F a, F b) { return _mm256_sub_ps(a, b); }
inline F div(F a, F b) { return _mm256_div_ps(a, b); }
inline F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
inline F min(F a, F b) { return _mm256_min_ps(a, b); }
inline F max(F a, F b) { return _mm256_max_ps(a, b); }
inline F round_even(F a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline I to_int(F a) { return _mm256_cvtps_epi32(a); }
inline F to_float(I a) { return _mm256_cvtepi32_ps(a); }
inline F as_float(I a) { return _mm256_castsi256_ps(a); }
inline I as_bits(F a) { return _mm256_castps_si256(a); }
inline I add(I a, I b) { return _mm256_add_epi32(a, b); }
inline I sub(I a, I b) { return _mm256_sub_epi32(a, b); }
inline I bit_and(I a, I b) { return _mm256_and_si256(a, b); }
inline I bit_or(I a, I b) { return _mm256_or_si256(a, b); }
inline I bit_xor(I a, I b) { return _mm256_xor_si256(a, b); }
inline I max(I a, I b) { return _mm256_max_epi32(a, b); }
template <int kBits>
inline I shift_left(I a) {
  return _mm256_slli_epi32(a, kBits);
}
template <int kBits>
inline I shift_right(I a) {
  return _mm256_srli_epi32(a, kBits);
}
inline M less(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
inline M not_greater(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_NGT_UQ); }
inline M mask_or(M a, M b) { return _mm256_or_ps(a, b); }
inline M mask_and_not(M a, M b) { return _mm256_andnot_ps(b, a); }
inline uint32_t bits(M a) { return static_cast<uint32_t>(_mm256_movemask_ps(a)); }
inline F select(M m, F yes, F no) { return _mm256_blendv_ps(no, yes, m); }
inline I magnitude_where(M m, I a) {
  return _mm256_and_si256(a, _mm256_and_si256(as_bits(m), _mm256_set1_epi32(0x7FFFFFFF)));
}
inline I spread(uint32_t lane_bits, int32_t value) {
  const I lane = _mm256_set_epi32(128, 64, 32, 16, 8, 4, 2, 1);
  const I given = _mm256_and_si256(_mm256_set1_epi32(static_cast<int32_t>(lane_bits)), lane);
  return _mm256_and_si256(_mm256_cmpeq_epi32(given, lane), _mm256_set1_epi32(value));
}
constexpr int kWhereVectors = 4;
template <int kVectors>
inline void add_where(uint64_t lane_bits, I value, I* sum) {
  const I given = _mm256_set1_epi32(static_cast<int32_t>(lane_bits));
  const I first = _mm256_set_epi32(128, 64, 32, 16, 8, 4, 2, 1);
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const I lane = _mm256_slli_epi32(first, kLanes * v);
    const I on = _mm256_cmpeq_epi32(_mm256_and_si256(given, lane), lane);
    sum[v] = add(sum[v], _mm256_and_si256(on, value));
  }
}
inline M load_mask(const uint8_t* p, int n) {
  uint64_t bytes = 0;
  if (n == kLanes)
    memcpy(&bytes, p, 8);
  else
    memcpy(&bytes, p, static_cast<size_t>(n));
  const I wide = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(bytes)));
  return as_float(_mm256_cmpgt_epi32(wide, _mm256_setzero_si256()));
}
inline int count_bytes(const uint8_t* p) {
  const I off =
      _mm256_cmpeq_epi8(_mm256_loadu_si256(reinterpret_cast<const I*>(p)), _mm256_setzero_si256());
  return 4 * kLanes - __builtin_popcount(static_cast<uint32_t>(_mm256_movemask_epi8(off)));
}
inline I load_halves(const int16_t* p) { return _mm256_loadu_si256(reinterpret_cast<const I*>(p)); }
inline void store_halves(int16_t* p, I a) { _mm256_storeu_si256(reinterpret_cast<I*>(p), a); }
inline __m128i low_halves(I a) {
  const I order = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                   0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1);
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_shuffle_epi8(a, order), 0x08));
}
inline void store_low_halves(int16_t* p, I a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), low_halves(a));
}
inline void store_mask(uint8_t* p, M m, int n) {
  const __m128i halves = low_halves(_mm256_and_si256(as_bits(m), _mm256_set1_epi32(1)));
  const int64_t bytes = _mm_cvtsi128_si64(_mm_packus_epi16(halves, halves));
  if (n == kLanes)
    memcpy(p, &bytes, 8);
  else
    memcpy(p, &bytes, static_cast<size_t>(n));
}

inline void load_columns(const int32_t* p, int64_t stride, I out[4]) {
  I row[4];  // i and 4 + i
  for (int i = 0; i < 4; ++i)
    row[i] = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i * stride))),
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + (i + 4) * stride)), 1);
  const I low01 = _mm256_unpacklo_epi32(row[0], row[1]),
          high01 = _mm256_unpackhi_epi32(row[0], row[1]),
          low23 = _mm256_unpacklo_epi32(row[2], row[3]),
          high23 = _mm256_unpackhi_epi32(row[2], row[3]);
  out[0] = _mm256_unpacklo_epi64(low01, low23);
  out[1] = _mm256_unpackhi_epi64(low01, low23);
  out[2] = _mm256_unpacklo_epi64(high01, high23);
  out[3] = _mm256_unpackhi_epi64(high01, high23);
}
constexpr int kRowOutputs = 64, kPairsAtOnce = 1;
constexpr int kLevelUnits = 64, kLevelRows = 1;
inline I even_fours(I a, I b) { return _mm256_unpacklo_epi16(a, b); }
inline I odd_fours(I a, I b) { return _mm256_unpackhi_epi16(a, b); }
inline I dot2(I sum, I a, I b) { return add(sum, _mm256_madd_epi16(a, b)); }
inline I add_halves(I a, I b) { return _mm256_add_epi16(a, b); }
inline I sub_halves(I a, I b) { return _mm256_sub_epi16(a, b); }
inline I low_digit(I a) { return _mm256_srai_epi16(_mm256_slli_epi16(a, 8), 8); }
inline I high_digit(I a) { return _mm256_srai_epi16(a, 8); }
inline I halve(I a) { return _mm256_srai_epi32(a, 1); }
inline void in_order(F even, F odd, F out[2]) {
  out[0] = _mm256_permute2f128_ps(even, odd, 0x20);
  out[1] = _mm256_permute2f128_ps(even, odd, 0x31);
}
inline uint32_t in_order(uint32_t even, uint32_t odd) {
  return _pdep_u32(even, 0x0F0F) | _pdep_u32(odd, 0xF0F0);
}
inline uint32_t* append(uint32_t* to, uint64_t bits, uint32_t first) {
  for (; bits != 0; bits &= bits - 1) *to++ = first + static_cast<uint32_t>(__builtin_ctzll(bits));
  return to;
}
constexpr bool kAnyPower = false;
inline F times_power(F a, F power) {
  return mul(a, as_float(shift_left<23>(add(to_int(power), splat(127)))));
}
inline void transpose_quarters(I d[4]) {
  const I a = _mm256_permute2x128_si256(d[0], d[1], 0x20),
          b = _mm256_permute2x128_si256(d[2], d[3], 0x20),
          c = _mm256_permute2x128_si256(d[0], d[1], 0x31);
  d[3] = _mm256_permute2x128_si256(d[2], d[3], 0x31);
  d[0] = a;
  d[1] = b;
  d[2] = c;
}

inline W wide(uint64_t a) { return _mm256_set1_epi64x(static_cast<int64_t>(a)); }
inline W wide_evens(uint64_t base) {
  return _mm256_add_epi64(wide(base), _mm256_set_epi64x(6, 4, 2, 0));
}
inline W wide_mul(W a, W b) { return _mm256_mul_epu32(a, b); }
inline W wide_high(W a) { return _mm256_srli_epi64(a, 32); }
inline W wide_add(W a, W b) { return _mm256_add_epi64(a, b); }
inline W as_wide(I a) { return a; }
inline W wide_xor(W a, W b, W c) { return _mm256_xor_si256(_mm256_xor_si256(a, b), c); }
inline I join(W even, W odd) { return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA); }

}  // namespace
}  // namespace ncg
