// ncg_fast._cpu: addresses and sizes in, kernels out. Checks are Python's (ncg_fast/checks.py); the
// GIL is released.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <tuple>

#include "cpu/dispatch.h"

namespace py = pybind11;

namespace {

using Address = std::uintptr_t;

template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

// Arguments that several ops share, in the order of the launcher (ncg_fast/cpu.py).
using StatesTuple = std::tuple<Address, int64_t, int64_t, bool>;  // data, n_units, n_chains, levels
using LayerTuple =
    std::tuple<Address, Address, int64_t, int64_t, int, int>;  // digits, bias, out, in, digits, e
using DrawTuple =
    std::tuple<uint64_t, int64_t, int64_t, uint32_t, Address>;  // seed, offset, step, stream, beta
using PhasesTuple = std::tuple<Address, StatesTuple, Address, StatesTuple>;
using RatesTuple = std::tuple<float, float, float, float>;
using ParametersTuple = std::tuple<Address, Address, Address, Address, Address, Address, Address,
                                   Address, Address, Address, int64_t, int64_t, int64_t, int, int>;

ncg::States states(const StatesTuple& t) {
  return {at<const void>(std::get<0>(t)), std::get<1>(t), std::get<2>(t), std::get<3>(t)};
}
ncg::Layer layer(const LayerTuple& t) {
  const auto [digits, bias, n_out, n_in, n_digits, exponent] = t;
  return {at<const int8_t>(digits), at<const float>(bias), n_out, n_in, n_digits, exponent};
}
ncg::Draw draw(const DrawTuple& t) {
  const auto [seed, offset, step, stream, beta] = t;
  return {seed, offset, step, stream, at<const float>(beta)};
}
ncg::Phases phases(const PhasesTuple& t) {
  return {at<const int32_t>(std::get<0>(t)), states(std::get<1>(t)),
          at<const int32_t>(std::get<2>(t)), states(std::get<3>(t))};
}
ncg::Rates rates(const RatesTuple& t) {
  return {std::get<0>(t), std::get<1>(t), std::get<2>(t), std::get<3>(t)};
}
ncg::Parameters parameters(const ParametersTuple& t) {
  const auto [w, s, a, b, c, to_hidden, to_visible, vw, vb, vc, n_hidden, n_visible, n_labels,
              n_digits, exponent] = t;
  return {at<float>(w),
          at<float>(s),
          at<uint8_t>(a),
          at<float>(b),
          at<float>(c),
          at<int8_t>(to_hidden),
          at<int8_t>(to_visible),
          at<float>(vw),
          at<float>(vb),
          at<float>(vc),
          n_hidden,
          n_visible,
          n_labels,
          n_digits,
          exponent};
}
std::tuple<float, int64_t, int64_t> result(const ncg::UpdateResult& r) {
  return {r.max_abs, r.switched_on, r.switched_off};
}

const ncg::OpTable& table() { return *ncg::chosen().table; }

py::list names(bool only_supported) {
  py::list found;
  for (const ncg::InstructionSet* isa = ncg::instruction_sets(); isa->name != nullptr; ++isa)
    if (isa->supported || !only_supported) found.append(isa->name);
  return found;
}

void use_instruction_set(const std::string& name) {
  if (ncg::choose(name.c_str())) return;
  const std::string here = py::str(py::str(", ").attr("join")(names(true)));
  throw py::value_error("use_instruction_set: name must be supported by this processor (" + here +
                        "), got \"" + name +
                        "\". Choose one of these, or leave NCG_FAST_ISA unset.");
}

}  // namespace

PYBIND11_MODULE(_cpu, m) {
  m.doc() = "CPU kernels of ncg_fast; addresses and sizes in, see csrc/ops.h.";
  m.def("instruction_set", [] { return std::string(ncg::chosen().name); });
  m.def(
      "instruction_sets", [](bool supported) { return names(supported); },
      py::arg("supported") = true);
  m.def("use_instruction_set", &use_instruction_set);

  const auto release = py::call_guard<py::gil_scoped_release>();
  m.def(
      "pack_states",
      [](Address from, int64_t n_chains, int64_t n_units, Address to) {
        table().pack_states(at<const uint8_t>(from), n_chains, n_units, at<uint64_t>(to));
      },
      release);
  m.def(
      "unpack_states",
      [](Address from, int64_t n_chains, int64_t n_units, Address to) {
        table().unpack_states(at<const uint64_t>(from), n_chains, n_units, at<uint8_t>(to));
      },
      release);
  m.def(
      "pack_weights",
      [](Address weight, Address mask, int64_t n_hidden, int64_t n_visible, int n_digits,
         int exponent, Address to_hidden, Address to_visible, int n_threads) {
        table().pack_weights({at<const float>(weight), at<const uint8_t>(mask), n_hidden, n_visible,
                              n_digits, exponent, at<int8_t>(to_hidden), at<int8_t>(to_visible)},
                             n_threads);
      },
      release);
  m.def(
      "mean",
      [](const LayerTuple& l, const StatesTuple& s, Address out, int n_threads) {
        table().mean(layer(l), states(s), at<float>(out), n_threads);
      },
      release);
  m.def(
      "sample",
      [](const LayerTuple& l, const StatesTuple& s, const DrawTuple& d, Address out,
         int n_threads) {
        table().sample(layer(l), states(s), draw(d), at<uint64_t>(out), n_threads);
      },
      release);
  m.def(
      "gibbs_steps",
      [](const LayerTuple& to_hidden, const LayerTuple& to_visible, const StatesTuple& visible,
         const DrawTuple& d, int64_t n_steps, Address clamped, Address visible_out,
         Address hidden_out, int n_threads) {
        table().gibbs_steps(
            {layer(to_hidden), layer(to_visible), states(visible), draw(d), n_steps,
             at<const uint64_t>(clamped), at<uint64_t>(visible_out), at<uint64_t>(hidden_out)},
            n_threads);
      },
      release);
  m.def(
      "connection_gradient",
      [](const PhasesTuple& p, int64_t n_hidden, int64_t n_visible, Address weight, Address mask,
         Address difference, Address by_weight, Address by_strength, Address by_visible,
         Address by_hidden, int n_threads) {
        table().connection_gradient(
            {phases(p), n_hidden, n_visible, at<const float>(weight), at<const uint8_t>(mask),
             at<float>(difference), at<float>(by_weight), at<float>(by_strength),
             at<float>(by_visible), at<float>(by_hidden)},
            n_threads);
      },
      release);
  m.def(
      "ncg_update",
      [](const ParametersTuple& p, const PhasesTuple& ph, const RatesTuple& r, int n_threads) {
        return result(table().ncg_update({parameters(p), phases(ph), rates(r)}, n_threads));
      },
      release);
  m.def(
      "train_step",
      [](const ParametersTuple& p, const StatesTuple& data, Address chains, int64_t n_chains,
         int64_t n_steps, const RatesTuple& r, uint64_t seed, int64_t step, int n_threads) {
        return result(table().train_step({parameters(p), states(data), at<uint64_t>(chains),
                                          n_chains, n_steps, rates(r), seed, step},
                                         n_threads));
      },
      release);
  m.def(
      "free_energy",
      [](const LayerTuple& l, const StatesTuple& s, Address visible_bias, Address out,
         int n_threads) {
        table().free_energy(layer(l), states(s), at<const float>(visible_bias), at<double>(out),
                            n_threads);
      },
      release);
  m.def(
      "anneal",
      [](const LayerTuple& to_hidden, const LayerTuple& to_visible, Address base_bias,
         Address betas, int64_t n_betas, int64_t n_chains, const DrawTuple& d, Address visible,
         Address log_weights, int n_threads) {
        table().anneal({layer(to_hidden), layer(to_visible), at<const float>(base_bias),
                        at<const double>(betas), n_betas, n_chains, draw(d), at<uint64_t>(visible),
                        at<double>(log_weights)},
                       n_threads);
      },
      release);
}
