// The arithmetic of the contract, one element at a time: what ncg_fast/backends/numerics.py states,
// as host and device code. Every float32 operation is one IEEE operation; compile hosts with
// -ffp-contract=off.
#pragma once
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define NCG_HD __host__ __device__ __forceinline__
#else
#define NCG_HD static inline
#endif

namespace ncg {

constexpr int kLevels = 65535;  // a probability p is held as round(65535 p)
constexpr uint32_t kHiddenStream = 0, kVisibleStream = 2;  // further bits: the stream one above

// 1 + exp(-x) = 1 + 2^n 2^f: degree-6 polynomial of 2^f, |f| <= 1/2, highest coefficient first.
constexpr float kMinusLog2E = -1.44269504f;
NCG_HD constexpr float exp2_coefficient(int i) {
  constexpr float kCoefficients[7] = {1.5403530e-4f, 1.3333558e-3f, 9.6181291e-3f, 5.5504109e-2f,
                                      2.4022651e-1f, 6.9314718e-1f, 1.0f};
  return kCoefficients[i];
}

NCG_HD float mul(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}
NCG_HD float add(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fadd_rn(a, b);
#else
  return a + b;
#endif
}
NCG_HD float fma(float a, float b, float c) {
#ifdef __CUDA_ARCH__
  return __fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}
NCG_HD float div(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}
NCG_HD float round_even(float a) {
#ifdef __CUDA_ARCH__
  return rintf(a);
#else
  return __builtin_rintf(a);
#endif
}
NCG_HD float as_float(int32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}
NCG_HD int32_t as_bits(float value) {
  int32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}

NCG_HD float one_plus_exp_neg(float x) {
  x = x < 80.f ? x : 80.f;
  x = x > -80.f ? x : -80.f;
  const float t = mul(x, kMinusLog2E), n = round_even(t), f = add(t, -n);
  float p = exp2_coefficient(0);
  for (int i = 1; i < 7; ++i) p = fma(p, f, exp2_coefficient(i));
  return add(mul(p, as_float((static_cast<int32_t>(n) + 127) * (1 << 23))), 1.f);
}

struct Words {
  uint32_t word[4];
};

// Philox4x32-10, Salmon et al. 2011.
NCG_HD Words philox(Words c, uint64_t seed) {
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c.word[0], p1 = uint64_t{0xCD9E8D57u} * c.word[2];
    c = {{static_cast<uint32_t>(p1 >> 32) ^ c.word[1] ^ k0, static_cast<uint32_t>(p1),
          static_cast<uint32_t>(p0 >> 32) ^ c.word[3] ^ k1, static_cast<uint32_t>(p0)}};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

// A block of eight 16-bit draws serves the units of one group: unit = 32 panel + 8 (slot / 2) + 2
// (group % 4) + slot % 2.
NCG_HD uint32_t group_of(int64_t unit) {
  return static_cast<uint32_t>(4 * (unit / 32) + unit % 8 / 2);
}
NCG_HD int slot_of(int64_t unit) { return static_cast<int>(2 * (unit / 8 % 4) + unit % 2); }

NCG_HD Words draw_counter(int64_t chain, uint32_t word1, int64_t step, uint32_t stream) {
  return {{static_cast<uint32_t>(chain), word1, static_cast<uint32_t>(step),
           static_cast<uint32_t>(static_cast<uint64_t>(step) >> 32) << 8 | stream}};
}

// The 24 bits that decide where the first 16 leave the outcome open.
NCG_HD uint32_t further_bits(uint64_t seed, int64_t chain, uint32_t group, int slot, int64_t step,
                             uint32_t stream) {
  const Words words = philox(draw_counter(chain, 2 * group + slot / 4, step, stream + 1), seed);
  // By constant indices: words stay in a GPU's registers.
  const uint64_t lower = words.word[0] | uint64_t{words.word[1]} << 32,
                 upper = words.word[2] | uint64_t{words.word[3]} << 32;
  const uint64_t pair = slot % 4 < 2 ? lower : upper;
  return static_cast<uint32_t>(pair >> 32 * (slot % 2)) >> 8;
}

// u (1 + exp(-x)) < 1 for u = (first + further 2^-24) 2^-16, given that the first 16 bits left it
// open.
NCG_HD bool decide_open(uint32_t first, uint32_t further, float one_plus_exp) {
  const float u = static_cast<float>(first), s = mul(one_plus_exp, 0x1p-16f);
  const float f = mul(static_cast<float>(further), 0x1p-24f);
  return mul(f, s) < fma(-u, s, 1.f);
}

// Largest |q| of n_digits balanced digits that pack_weights uses: 127/128 of the range.
NCG_HD float digit_limit(int n_digits) {
  return static_cast<float>((1 << (8 * n_digits - 1)) - (1 << (8 * n_digits - 8)));
}
// The bytes of (q + bias) ^ bias are the balanced base-256 digits of q, lowest first.
NCG_HD int32_t digit_bias(int n_digits) { return n_digits == 2 ? 0x8080 : 0x808080; }

// 2^power as a float, for power in [-126, 127].
NCG_HD float power_of_two(int power) { return as_float((power + 127) * (1 << 23)); }

}  // namespace ncg
