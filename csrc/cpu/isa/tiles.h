// The instructions of AMX, and whether this process may use them. A tile holds 16 rows of 64 bytes
// at most; there are eight. Written in assembly: GCC 12's intrinsics hide from the compiler what
// they read. tests/support/amx_on_host/cpu/isa/tiles.h says the same in plain C++.
#pragma once

// Of a compiler that lacks the intrinsics the assembler lacks the instructions, too.
#if __has_include(<amxint8intrin.h>)
#define NCG_FAST_AMX 1
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace ncg {
namespace {

// The processor has AMX with bytes, the operating system saves its tiles, and permits this process
// to use them; that stays so for all of its threads.
inline bool tiles_permitted() {
  constexpr unsigned kOsSaves = 1u << 27, kAmx = (1u << 24) | (1u << 25);  // CPUID 1 and 7
  constexpr unsigned kTilesSaved = (1u << 17) | (1u << 18);                // of XCR0
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & kOsSaves) == 0) return false;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & kAmx) != kAmx) return false;
  asm("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  if ((a & kTilesSaved) != kTilesSaved) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

// Byte 0: the palette, 1. Bytes 16 + 2 t and 48 + t: tile t's bytes a row (16 bits), and rows.
using TileConfig = uint8_t[64];

inline void ldtilecfg(const TileConfig& config) { asm volatile("ldtilecfg %0" : : "m"(config)); }
inline void tilerelease() { asm volatile("tilerelease"); }

template <int kTile>
inline void tilezero() {
  asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
}
// Rows `stride` bytes apart.
template <int kTile>
inline void tileloadd(const void* rows, int64_t stride) {
  asm volatile("tileloadd (%0,%1), %%tmm%c2" : : "r"(rows), "r"(stride), "i"(kTile) : "memory");
}
template <int kTile>
inline void tilestored(void* rows, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1)" : : "r"(rows), "r"(stride), "i"(kTile) : "memory");
}
// kSum += kLeft kRight, rows of kRight each four rows of bytes: unsigned by unsigned bytes.
template <int kSum, int kLeft, int kRight>
inline void tdpbuud() {
  asm volatile("tdpbuud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kLeft), "i"(kRight));
}
// Unsigned by signed.
template <int kSum, int kLeft, int kRight>
inline void tdpbusd() {
  asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kLeft), "i"(kRight));
}

}  // namespace
}  // namespace ncg

#endif
