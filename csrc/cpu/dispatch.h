// Which instruction set runs the ops.
#pragma once
#include "ops.h"

namespace ncg {

struct InstructionSet {
  const char* name;
  const OpTable* table;
  bool supported;  // by this processor and operating system
};

// All that were built, the plainest first; ends with a null name.
const InstructionSet* instruction_sets();

// The best supported one, until another is chosen.
const InstructionSet& chosen();

// Returns false, and changes nothing, where no supported instruction set has this name.
bool choose(const char* name);

}  // namespace ncg
