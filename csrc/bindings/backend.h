// The back end that the module is compiled for; without a choice the CPU's, so that every header
// can be read alone.
#pragma once

#ifdef NCG_FAST_CUDA
#include "bindings/cuda.h"
#else
#include "bindings/cpu.h"
#endif
