// What the bindings ask of the CPU's back end; cuda.h answers the same.
#pragma once
#include <pybind11/pybind11.h>

#include <string>

#include "bindings/tensor.h"
#include "cpu/dispatch.h"
#include "cpu/team/barrier.h"
#include "ops.h"

#define NCG_FAST_MODULE _cpu

namespace ncg::backend {

constexpr char kMemory[] = "is_cpu";  // the attribute of tensors that the kernels reach
constexpr bool kManyDevices = false;  // of such memory
constexpr bool kSparseDigits = true;  // whether the kernels take them

inline void require(const Call&) {}  // throws where nothing runs

inline const OpTable& ops() { return *chosen().table; }

inline int64_t scratch_bytes(const char*, const ScratchSizes&) { return 0; }

// context: the number of threads.
inline Run run(const Call& call, uint8_t*, int64_t context) {
  return {static_cast<int>(call.integer("n_threads", context, 1, kMaxInt)), nullptr, nullptr};
}

// How a half step multiplies packed states where digits are dense.
inline std::string half_step_path(int64_t n_out, int64_t n_in, int64_t n_digits, int64_t n_chains,
                                  int64_t n_on) {
  if (n_digits != 2 && n_digits != 3)
    throw pybind11::value_error("half_step_path: n_digits must be 2 or 3, got " +
                                std::to_string(n_digits) + ". Pass one of these.");
  switch (ops().best_form({n_out, n_in, n_chains, n_on, static_cast<int>(n_digits)})) {
    case Form::kLists:
      return "lists";
    case Form::kIndex:
      return "tables";
    default:
      return "products";
  }
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
  using pybind11::arg;
  m.def("instruction_set", [] { return std::string(chosen().name); });
  m.def("instruction_sets", &names, arg("supported") = true);
  m.def("use_instruction_set", &use_instruction_set);
  m.def("form_teams", &form_teams);
  m.def("half_step_path", &half_step_path, arg("n_out"), arg("n_in"), arg("n_digits"),
        arg("n_chains"), arg("n_on"));
}

}  // namespace ncg::backend
