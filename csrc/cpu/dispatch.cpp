#include "cpu/dispatch.h"

#include <atomic>
#include <cstring>

#ifdef NCG_FAST_X86
#include "cpu/isa/tiles.h"
#endif

namespace ncg {

extern const OpTable kBaseTable;
#ifdef NCG_FAST_X86
extern const OpTable kAvx2Table;
extern const OpTable kAvx512Table;
#ifdef NCG_FAST_AMX
extern const OpTable kAmxTable;
#endif
#endif

namespace {

#ifdef NCG_FAST_X86
// These ask CPUID and, for the wide registers, XGETBV.
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}
#ifdef NCG_FAST_AMX
bool has_amx() { return has_avx512() && tiles_permitted(); }
#endif
#endif

const InstructionSet* best() {
  const InstructionSet* found = instruction_sets();
  for (const InstructionSet* isa = found; isa->name != nullptr; ++isa)
    if (isa->supported) found = isa;
  return found;
}

// Ops read it without the GIL.
std::atomic<const InstructionSet*>& current() {
  static std::atomic<const InstructionSet*> set{best()};
  return set;
}

}  // namespace

const InstructionSet* instruction_sets() {
  static const InstructionSet sets[] = {{"base", &kBaseTable, true},
#ifdef NCG_FAST_X86
                                        {"avx2", &kAvx2Table, has_avx2()},
                                        {"avx512", &kAvx512Table, has_avx512()},
#ifdef NCG_FAST_AMX
                                        {"amx", &kAmxTable, has_amx()},
#endif
#endif
                                        {nullptr, nullptr, false}};
  return sets;
}

const InstructionSet& chosen() { return *current().load(); }

bool choose(const char* name) {
  for (const InstructionSet* isa = instruction_sets(); isa->name != nullptr; ++isa)
    if (isa->supported && std::strcmp(isa->name, name) == 0) {
      current() = isa;
      return true;
    }
  return false;
}

}  // namespace ncg
