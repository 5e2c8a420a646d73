// The table of one instruction set's kernels. Each including unit compiles all of them, with
// internal linkage only: the linker must never exchange a function of one instruction set for
// another's.
#pragma once
#include "cpu/anneal.h"
#include "cpu/pack_states.h"
#include "cpu/train_step.h"

namespace ncg {
namespace {

constexpr OpTable kOpTable{
    pack_states,         unpack_states, pack_weights, mean,        sample, gibbs_steps,
    connection_gradient, ncg_update,    train_step,   free_energy, anneal, best_form};

}  // namespace
}  // namespace ncg
