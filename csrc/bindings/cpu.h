// What the bindings ask of the CPU's back end; cuda.h answers the same.
#pragma once
#include <pybind11/pybind11.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "bindings/tensor.h"
#include "common/layout.h"
#include "cpu/dispatch.h"
#include "cpu/team/helpers.h"
#include "ops.h"

#define NCG_FAST_MODULE _cpu

namespace ncg::backend {

constexpr char kMemory[] = "is_cpu";  // the attribute of tensors that the kernels reach
constexpr bool kManyDevices = false;  // of such memory
constexpr bool kSparseDigits = true;  // whether the kernels take them
constexpr bool kRows = true;          // as states, and those of a user

inline void require(const Call&) {}  // throws where nothing runs

inline const OpTable& ops() { return *chosen().table; }

inline int64_t scratch_bytes(const char*, const ScratchSizes&) { return 0; }

// Lets Python handle signals, as it does between two of its own instructions.
inline void handle_signals() {
  const pybind11::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
}

// context: the number of threads. Python handles signals on its main thread alone, which is also
// the process's, unless Python was started within another program.
inline Run run(const Call& call, uint8_t*, int64_t context) {
  const bool main_thread = getpid() == static_cast<pid_t>(syscall(SYS_gettid));
  return {static_cast<int>(call.integer("n_threads", context, 1, kMaxInt)), nullptr, nullptr,
          main_thread ? &handle_signals : nullptr};
}

// Dense digits are rows.
using Dense = int16_t;
inline int64_t dense_count(int64_t n_out, int64_t n_in, int n_digits) {
  const RowLayout layout{n_out, n_in, n_digits};
  return product({layout.planes(), layout.blocks(), n_in + 1, kBlock});
}
inline int64_t dense_n_digits(const Call& call, Named digits, int64_t n_in) {
  return call.size(digits, 0, 4) + (n_in <= kExactInputs ? 1 : 0);
}

inline std::string half_step_way(int64_t n_out, int64_t n_in, int64_t n_chains, bool sparse,
                                 int n_threads) {
  constexpr const char* kNames[] = {"rows", "tiles", "sparse"};
  return kNames[static_cast<int>(ops().half_step_way(n_out, n_in, n_chains, sparse, n_threads))];
}

inline pybind11::list names(bool only_supported) {
  pybind11::list found;
  for (const InstructionSet* isa = instruction_sets(); isa->name != nullptr; ++isa)
    if (isa->supported || !only_supported) found.append(isa->name);
  return found;
}

inline void use_instruction_set(const std::string& name) {
  if (choose(name.c_str())) return;
  const std::string here = pybind11::str(pybind11::str(", ").attr("join")(names(true)));
  throw pybind11::value_error("use_instruction_set: name must be supported by this processor (" +
                              here + "), got \"" + name +
                              "\". Choose one of these, or leave NCG_FAST_ISA unset.");
}

inline void define(pybind11::module_& m) {
  m.def("dense_format", [] { return std::string("ROWS"); });  // of formats.py
  m.attr("takes_rows") = kRows;

  using pybind11::arg;
  m.def("instruction_set", [] { return std::string(chosen().name); });
  m.def("instruction_sets", &names, arg("supported") = true);
  m.def("use_instruction_set", &use_instruction_set);
  m.def("await_helpers", &await_helpers);
  m.def("half_step_way", &half_step_way, arg("n_out"), arg("n_in"), arg("n_chains"), arg("sparse"),
        arg("n_threads"));
}

}  // namespace ncg::backend
