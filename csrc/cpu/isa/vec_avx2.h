// Vectors of 8 floats or int32 on AVX2 and FMA. See vec_base.h for what each function means.
#pragma once
#include <immintrin.h>

#include "common/numerics.h"

namespace ncg {
namespace {

constexpr int kLanes = 8;
constexpr int kWideVectors = 2;
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
inline M less_equal(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
inline M mask_or(M a, M b) { return _mm256_or_ps(a, b); }
inline M mask_and_not(M a, M b) { return _mm256_andnot_ps(b, a); }
inline uint32_t bits(M a) { return static_cast<uint32_t>(_mm256_movemask_ps(a)); }
inline F select(M m, F yes, F no) { return _mm256_blendv_ps(no, yes, m); }
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
inline void store_low_bytes(int8_t* p, I a) {
  const __m256i order =
      _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8, 12, -1,
                       -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const I packed = _mm256_shuffle_epi8(a, order);
  const int32_t halves[2] = {_mm256_extract_epi32(packed, 0), _mm256_extract_epi32(packed, 4)};
  memcpy(p, halves, 8);
}
inline void store_mask(uint8_t* p, M m, int n) {
  int8_t bytes[8];
  store_low_bytes(bytes, _mm256_and_si256(as_bits(m), _mm256_set1_epi32(1)));
  if (n == kLanes)
    memcpy(p, bytes, 8);
  else
    memcpy(p, bytes, static_cast<size_t>(n));
}

inline I add_halves(I a, I b) { return _mm256_add_epi16(a, b); }
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
constexpr double kProductCost = 0.43, kMakeCost = 4;

// Pairs of u8 x s8 are added in int16 with saturation: u is split in two, so that none saturates.
inline I dot4(I sum, I unsigned_bytes, I signed_bytes) {
  const I low = bit_and(unsigned_bytes, _mm256_set1_epi8(127));
  const I high = bit_and(_mm256_srli_epi16(unsigned_bytes, 7), _mm256_set1_epi8(1));
  const I low_pairs = _mm256_maddubs_epi16(low, signed_bytes),
          high_pairs = _mm256_maddubs_epi16(high, signed_bytes);
  return add(add(sum, _mm256_madd_epi16(low_pairs, _mm256_set1_epi16(1))),
             _mm256_madd_epi16(high_pairs, _mm256_set1_epi16(128)));
}
constexpr int kShortBlocks = 7;  // see vec_base.h; maddubs adds two products, which fit
inline I dot4_short(I sum, I states, I digits) {
  return _mm256_add_epi16(sum, _mm256_maddubs_epi16(states, digits));
}
inline I widen(I sum, I short_sum) {
  return add(sum, _mm256_madd_epi16(short_sum, _mm256_set1_epi16(1)));
}

inline I load_bytes(const int8_t* p) {
  return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
constexpr double kTableCost[2][2] = {{0.247, 0.22}, {0.336, 0.25}};
constexpr int kLookupBits = 3, kTableEntries = 8;
inline void store_table(int32_t* table, const int32_t* addends) {
  const I bit0 = _mm256_set_epi32(-1, 0, -1, 0, -1, 0, -1, 0),
          bit1 = _mm256_set_epi32(-1, -1, 0, 0, -1, -1, 0, 0),
          bit2 = _mm256_set_epi32(-1, -1, -1, -1, 0, 0, 0, 0);
  const I low = add(bit_and(splat(addends[0]), bit0), bit_and(splat(addends[1]), bit1));
  store(table, add(low, bit_and(splat(addends[2]), bit2)));
}
inline I lookup(const int32_t* table, I index) {
  return _mm256_permutevar8x32_epi32(load(table), index);
}

inline W wide(uint64_t a) { return _mm256_set1_epi64x(static_cast<int64_t>(a)); }
inline W wide_index(uint64_t base) {
  return _mm256_add_epi64(wide(base), _mm256_set_epi64x(3, 2, 1, 0));
}
inline W wide_mul(W a, W b) { return _mm256_mul_epu32(a, b); }
inline W wide_high(W a) { return _mm256_srli_epi64(a, 32); }
inline W wide_xor(W a, W b, W c) { return _mm256_xor_si256(_mm256_xor_si256(a, b), c); }
inline I narrow(W low_lanes, W high_lanes) {
  const I even = _mm256_set_epi32(6, 4, 2, 0, 6, 4, 2, 0);
  const I low = _mm256_permutevar8x32_epi32(low_lanes, even),
          high = _mm256_permutevar8x32_epi32(high_lanes, even);
  return _mm256_blend_epi32(low, high, 0xF0);
}

}  // namespace
}  // namespace ncg
