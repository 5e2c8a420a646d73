// The table of one instruction set's kernels. Each including unit compiles all of them, with
// internal linkage only: the linker must never exchange a function of one instruction set for
// another's.
#pragma once
#include "cpu/energy/anneal.h"
#include "cpu/packing/pack_states.h"
#include "cpu/packing/pack_weights.h"
#include "cpu/packing/scan_weights.h"
#include "cpu/training/train_steps.h"
#include "cpu/update/connection_gradient.h"
#include "cpu/update/phase_sums.h"
#include "cpu/update/update_from_sums.h"

namespace ncg {
namespace {

constexpr OpTable kOpTable{pack_states, unpack_states, pack_weights,     scan_weights,
                           mean,        sample,        gibbs_steps,      connection_gradient,
                           phase_sums,  ncg_update,    update_from_sums, train_steps,
                           free_energy, anneal,        half_step_way};

}  // namespace
}  // namespace ncg
