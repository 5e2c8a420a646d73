// Vectors of 16 floats or int32 on AVX-512 (F, BW, DQ, VL, VNNI). See vec_base.h for what each
// function means.
#pragma once
#include <immintrin.h>

#include "common/numerics.h"

namespace ncg {
namespace {

constexpr int kLanes = 16;
using F = __m512;
using I = __m512i;
using W = __m512i;
using M = __mmask16;

inline F load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, F a) { _mm512_storeu_ps(p, a); }
inline F load(const float* p, int n) { return _mm512_maskz_loadu_ps(M((1u << n) - 1), p); }
inline void store(float* p, F a, int n) { _mm512_mask_storeu_ps(p, M((1u << n) - 1), a); }
inline I load(const int32_t* p) { return _mm512_loadu_si512(p); }
inline void store(int32_t* p, I a) { _mm512_storeu_si512(p, a); }
inline F splat(float a) { return _mm512_set1_ps(a); }
inline I splat(int32_t a) { return _mm512_set1_epi32(a); }
inline F mul(F a, F b) { return _mm512_mul_ps(a, b); }
inline F add(F a, F b) { return _mm512_add_ps(a, b); }
inline F sub(F a, F b) { return _mm512_sub_ps(a, b); }
inline F div(F a, F b) { return _mm512_div_ps(a, b); }
inline F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
inline F min(F a, F b) { return _mm512_min_ps(a, b); }
inline F max(F a, F b) { return _mm512_max_ps(a, b); }
inline F round_even(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT); }
inline I to_int(F a) { return _mm512_cvtps_epi32(a); }
inline F to_float(I a) { return _mm512_cvtepi32_ps(a); }
inline F as_float(I a) { return _mm512_castsi512_ps(a); }
inline I as_bits(F a) { return _mm512_castps_si512(a); }
inline I add(I a, I b) { return _mm512_add_epi32(a, b); }
inline I sub(I a, I b) { return _mm512_sub_epi32(a, b); }
inline I bit_and(I a, I b) { return _mm512_and_si512(a, b); }
inline I bit_or(I a, I b) { return _mm512_or_si512(a, b); }
inline I bit_xor(I a, I b) { return _mm512_xor_si512(a, b); }
inline I max(I a, I b) { return _mm512_max_epi32(a, b); }
template <int kBits>
inline I shift_left(I a) {
  return _mm512_slli_epi32(a, kBits);
}
template <int kBits>
inline I shift_right(I a) {
  return _mm512_srli_epi32(a, kBits);
}
inline M less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
inline M not_greater(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_NGT_UQ); }
inline M mask_or(M a, M b) { return a | b; }
inline M mask_and_not(M a, M b) { return M(a & ~b); }
inline uint32_t bits(M a) { return a; }
inline F select(M m, F yes, F no) { return _mm512_mask_blend_ps(m, no, yes); }
inline M load_mask(const uint8_t* p, int n) {
  const __m128i bytes = n == kLanes ? _mm_loadu_si128(reinterpret_cast<const __m128i*>(p))
                                    : _mm_maskz_loadu_epi8(M((1u << n) - 1), p);
  return _mm_test_epi8_mask(bytes, bytes);
}
inline int count_bytes(const uint8_t* p) {
  const I bytes = _mm512_loadu_si512(p);
  return __builtin_popcountll(_mm512_test_epi8_mask(bytes, bytes));
}
inline void store_mask(uint8_t* p, M m, int n) {
  _mm_mask_storeu_epi8(p, M((1u << n) - 1), _mm_maskz_set1_epi8(m, 1));
}
inline I magnitude_where(M m, I a) {
  return _mm512_maskz_and_epi32(m, a, _mm512_set1_epi32(0x7FFFFFFF));
}
inline I spread(uint32_t lane_bits, int32_t value) {
  return _mm512_maskz_set1_epi32(M(lane_bits), value);
}
constexpr int kWhereVectors = 4;
template <int kVectors>
inline void add_where(uint64_t lane_bits, I value, I* sum) {
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v)
    sum[v] = _mm512_mask_add_epi32(sum[v], M(lane_bits >> kLanes * v), sum[v], value);
}
inline void load_columns(const int32_t* p, int64_t stride, I out[4]) {
  I row[4];  // i, 4 + i, 8 + i and 12 + i
  for (int i = 0; i < 4; ++i) {
    const auto part = [=](int k) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + (i + 4 * k) * stride));
    };
    row[i] = _mm512_inserti32x4(_mm512_castsi128_si512(part(0)), part(1), 1);
    row[i] = _mm512_inserti32x4(_mm512_inserti32x4(row[i], part(2), 2), part(3), 3);
  }
  const I low01 = _mm512_unpacklo_epi32(row[0], row[1]),
          high01 = _mm512_unpackhi_epi32(row[0], row[1]),
          low23 = _mm512_unpacklo_epi32(row[2], row[3]),
          high23 = _mm512_unpackhi_epi32(row[2], row[3]);
  out[0] = _mm512_unpacklo_epi64(low01, low23);
  out[1] = _mm512_unpackhi_epi64(low01, low23);
  out[2] = _mm512_unpacklo_epi64(high01, high23);
  out[3] = _mm512_unpackhi_epi64(high01, high23);
}
constexpr int kRowOutputs = 64, kPairsAtOnce = 2;
constexpr int kLevelUnits = 64, kLevelRows = 2;
inline I load_halves(const int16_t* p) { return _mm512_loadu_si512(p); }
inline void store_halves(int16_t* p, I a) { _mm512_storeu_si512(p, a); }
inline void store_low_halves(int16_t* p, I a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a));
}
inline I even_fours(I a, I b) { return _mm512_unpacklo_epi16(a, b); }
inline I odd_fours(I a, I b) { return _mm512_unpackhi_epi16(a, b); }
// With the intrinsic GCC 12 copies every sum of a loop through other registers.
inline I dot2(I sum, I a, I b) {
  asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
}
inline I add_halves(I a, I b) { return _mm512_add_epi16(a, b); }
inline I sub_halves(I a, I b) { return _mm512_sub_epi16(a, b); }
inline I low_digit(I a) { return _mm512_srai_epi16(_mm512_slli_epi16(a, 8), 8); }
inline I high_digit(I a) { return _mm512_srai_epi16(a, 8); }
inline I halve(I a) { return _mm512_srai_epi32(a, 1); }
inline void in_order(F even, F odd, F out[2]) {
  const I first = _mm512_set_epi32(23, 22, 21, 20, 7, 6, 5, 4, 19, 18, 17, 16, 3, 2, 1, 0),
          second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
  out[0] = _mm512_permutex2var_ps(even, first, odd);
  out[1] = _mm512_permutex2var_ps(even, second, odd);
}
inline uint32_t in_order(uint32_t even, uint32_t odd) {
  return _pdep_u32(even, 0x0F0F0F0F) | _pdep_u32(odd, 0xF0F0F0F0);
}
inline uint32_t* append(uint32_t* to, uint64_t bits, uint32_t first) {
  I index = add(splat(static_cast<int32_t>(first)),
                _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i, bits >>= kLanes, index = add(index, splat(kLanes))) {
    _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(M(bits), index));
    to += __builtin_popcount(M(bits));
  }
  return to;
}
constexpr bool kAnyPower = true;
inline F times_power(F a, F power) { return _mm512_scalef_ps(a, power); }
inline void transpose_quarters(I d[4]) {
  const I low01 = _mm512_shuffle_i32x4(d[0], d[1], 0x44),
          high01 = _mm512_shuffle_i32x4(d[0], d[1], 0xEE),
          low23 = _mm512_shuffle_i32x4(d[2], d[3], 0x44),
          high23 = _mm512_shuffle_i32x4(d[2], d[3], 0xEE);
  d[0] = _mm512_shuffle_i32x4(low01, low23, 0x88);
  d[1] = _mm512_shuffle_i32x4(low01, low23, 0xDD);
  d[2] = _mm512_shuffle_i32x4(high01, high23, 0x88);
  d[3] = _mm512_shuffle_i32x4(high01, high23, 0xDD);
}

inline W wide(uint64_t a) { return _mm512_set1_epi64(static_cast<int64_t>(a)); }
inline W wide_evens(uint64_t base) {
  return _mm512_add_epi64(wide(base), _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0));
}
inline W wide_mul(W a, W b) { return _mm512_mul_epu32(a, b); }
inline W wide_high(W a) { return _mm512_srli_epi64(a, 32); }
inline W wide_add(W a, W b) { return _mm512_add_epi64(a, b); }
inline W as_wide(I a) { return a; }
inline W wide_xor(W a, W b, W c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
inline I join(W even, W odd) { return _mm512_mask_shuffle_epi32(even, 0xAAAA, odd, _MM_PERM_CCAA); }

}  // namespace
}  // namespace ncg
