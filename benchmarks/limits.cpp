// What one core can do at most: products of bytes from registers, or from tiles in the nearest
// cache; memory from a buffer. limits.py compiles it for the machine at hand, runs a function on
// each thread, and takes the time.
#include <cstdint>
#include <cstring>

#ifdef __AVX2__
#include <immintrin.h>
#endif
#ifdef __x86_64__
#include "cpu/isa/tiles.h"
#endif

namespace {

// Twelve accumulators hide the latency; the empty asm keeps the compiler from folding the loop.
constexpr int kAccumulators = 12;

#ifdef NCG_FAST_AMX
constexpr int kTileBytes = 16 * 64, kTilePairs = 7;  // whose bytes fill half of the nearest cache
#endif

}  // namespace

extern "C" {

#ifdef NCG_FAST_AMX
// n times 7 x 4 x 16 x 16 x 64 multiply-adds u8 x s8 -> s32: two by two tiles, each loaded for two
// products, as in csrc/cpu/isa/product_tiles.h.
void products_amx(int64_t n) {
  alignas(64) int8_t left[kTilePairs][2][kTileBytes], right[kTilePairs][2][kTileBytes];
  memset(left, 1, sizeof left);
  memset(right, 2, sizeof right);
  ncg::TileConfig config = {1};
  for (int t = 0; t < 8; ++t) {
    config[16 + 2 * t] = 64;
    config[48 + t] = 16;
  }
  ncg::ldtilecfg(config);
  ncg::tilezero<0>();
  ncg::tilezero<1>();
  ncg::tilezero<2>();
  ncg::tilezero<3>();
  for (int64_t i = 0; i < n; ++i) {
    for (int pair = 0; pair < kTilePairs; ++pair) {
      ncg::tileloadd<6>(right[pair][0], 64);
      ncg::tileloadd<4>(left[pair][0], 64);
      ncg::tdpbusd<0, 4, 6>();
      ncg::tileloadd<5>(left[pair][1], 64);
      ncg::tdpbusd<2, 5, 6>();
      ncg::tileloadd<7>(right[pair][1], 64);
      ncg::tdpbusd<1, 4, 7>();
      ncg::tdpbusd<3, 5, 7>();
    }
  }
  ncg::tilerelease();
}
#endif

#ifdef __AVX512VNNI__
// n times 12 x 64 multiply-adds u8 x s8 -> s32.
void products_avx512(int64_t n) {
  __m512i sums[kAccumulators] = {}, a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(2);
  for (int64_t i = 0; i < n; ++i) {
    for (auto& sum : sums) {
      sum = _mm512_dpbusd_epi32(sum, a, b);
      asm volatile("" : "+v"(sum));
    }
  }
}
#endif

#ifdef __AVX2__
// n times 12 x 32 multiply-adds u8 x s8 -> s32, without VNNI.
void products_avx2(int64_t n) {
  __m256i sums[kAccumulators] = {}, a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t i = 0; i < n; ++i) {
    for (auto& sum : sums) {
      asm volatile("" : "+x"(a));
      const __m256i pairs = _mm256_maddubs_epi16(a, b);
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
      asm volatile("" : "+x"(sum));
    }
  }
}
#endif

// Reads n_bytes n times.
void read_memory(const uint64_t* data, int64_t n_bytes, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    uint64_t sum = 0;
    for (int64_t word = 0; word < n_bytes / 8; ++word) sum += data[word];
    asm volatile("" : : "r"(sum) : "memory");
  }
}

// Reads and writes n_bytes in place, n times: the shape of an update.
void update_memory(float* data, int64_t n_bytes, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t word = 0; word < n_bytes / 4; ++word) data[word] = data[word] * 0.999f + 1e-3f;
    asm volatile("" : : : "memory");
  }
}
}
