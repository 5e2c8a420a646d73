// ncg_fast._cpu: the ops on tensors of torch, arguments as in ncg_fast/backends/reference.py, then the
// results to fill (allocated by ncg_fast/backends/launcher.py) and the number of threads. The GIL is
// released.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>

#include "cpu/barrier.h"
#include "cpu/dispatch.h"
#include "learning_arguments.h"

namespace py = pybind11;

namespace ncg {
namespace {

// --- the ops ---

const OpTable& table() { return *chosen().table; }

// One thread packs and unpacks.
void pack_states(const Tensor& from, const Tensor& to, int64_t /*n_threads*/) {
  const Call call{"pack_states"};
  const StatesToPack s = states_to_pack(call, from);
  table().pack_states(s.states, s.n_chains, s.n_units,
                      packed_out(call, {"result", to}, s.n_units, s.n_chains));
}

void unpack_states(const Tensor& from, int64_t n, const Tensor& to, int64_t /*n_threads*/) {
  const Call call{"unpack_states"};
  const int64_t n_units = call.size("packed", from, 0, 2), n_chains = chains(call, n);
  const uint64_t* in = packed(call, {"packed", from}, n_units, n_chains);
  table().unpack_states(in, n_chains, n_units,
                        call.write<uint8_t>("result", to, product({n_chains, n_units})));
}

void pack_weights(const Tensor& weight, const Tensor& mask, int64_t n_digits, int64_t e,
                  std::optional<int64_t> capacity, const Tensor& to_hidden,
                  const Tensor& to_visible, int64_t n_threads) {
  const Call call{"pack_weights"};
  table().pack_weights(
      weights_to_pack(call, weight, mask, n_digits, e, capacity, to_hidden, to_visible),
      threads(call, n_threads));
}

template <const Direction& d>
void mean(const Tensor& given, const Tensor& digits, const Tensor& bias, int64_t e, int64_t n,
          const Tensor& out, int64_t n_threads) {
  const Call call{d.op};
  const HalfStepArguments a = half_step_of(call, d, given, digits, bias, e, n);
  table().mean(a.layer, a.states,
               call.write<float>("result", out, product({a.states.n_chains, a.layer.n_out})),
               threads(call, n_threads));
}

template <const Direction& d>
void sample(const Tensor& given, const Tensor& digits, const Tensor& bias, int64_t e, int64_t n,
            int64_t seed, int64_t chain_offset, int64_t step, const Tensor& beta, const Tensor& out,
            int64_t n_threads) {
  const Call call{d.op};
  const HalfStepArguments a = half_step_of(call, d, given, digits, bias, e, n);
  Draw uniforms = draw(call, seed, chain_offset, step);
  uniforms.stream = d.stream;
  uniforms.beta = call.read_given<float>("beta", beta, a.states.n_chains);
  table().sample(a.layer, a.states, uniforms,
                 packed_out(call, {"result", out}, a.layer.n_out, a.states.n_chains),
                 threads(call, n_threads));
}

void gibbs_steps(const Tensor& visible, const Tensor& to_hidden, const Tensor& to_visible,
                 const Tensor& visible_bias, const Tensor& hidden_bias, int64_t e, int64_t n,
                 int64_t n_steps, int64_t seed, int64_t chain_offset, int64_t step,
                 const Tensor& beta, const Tensor& clamped, const Tensor& visible_out,
                 const Tensor& hidden_out, int64_t n_threads) {
  const Call call{"gibbs_steps"};
  const GibbsTensors tensors{visible, to_hidden, to_visible,  visible_bias, hidden_bias,
                             beta,    clamped,   visible_out, hidden_out};
  const Draw first = draw(call, seed, chain_offset, step);
  table().gibbs_steps(gibbs_of(call, tensors, e, n, n_steps, first), threads(call, n_threads));
}

void connection_gradient(const Tensor& hidden_data, const Tensor& visible_data,
                         const Tensor& hidden_model, const Tensor& visible_model,
                         const Tensor& weight, const Tensor& mask, const Tensor& difference,
                         const Tensor& by_weight, const Tensor& by_strength,
                         const Tensor& by_visible, const Tensor& by_hidden, int64_t n_threads) {
  const Call call{"connection_gradient"};
  table().connection_gradient(
      gradient(call, hidden_data, visible_data, hidden_model, visible_model, weight, mask,
               {difference, by_weight, by_strength, by_visible, by_hidden}),
      threads(call, n_threads));
}

void ncg_update(const Tensor& weight, const Tensor& strength, const Tensor& mask, const Tensor& b,
                const Tensor& c, const Tensor& to_hidden, const Tensor& to_visible,
                const Tensor& weight_velocity, const Tensor& visible_velocity,
                const Tensor& hidden_velocity, const Tensor& hidden_data,
                const Tensor& visible_data, const Tensor& hidden_model, const Tensor& visible_model,
                int64_t e, int64_t n_labels, float lr, float lr_strength, float momentum,
                float weight_decay, const Tensor& out, int64_t n_threads) {
  const Call call{"ncg_update_"};
  const Parameters p = parameters(call,
                                  {weight, strength, mask, b, c, to_hidden, to_visible,
                                   weight_velocity, visible_velocity, hidden_velocity},
                                  e, n_labels);
  const Phases both =
      phases(call, hidden_data, visible_data, hidden_model, visible_model, p.n_hidden, p.n_visible);
  double* found = result(call, out);
  report(table().ncg_update({p, both, {lr, lr_strength, momentum, weight_decay}},
                            threads(call, n_threads)),
         found);
}

template <const char* kOp>
void run_train_steps(const Tensor& weight, const Tensor& strength, const Tensor& mask,
                     const Tensor& b, const Tensor& c, const Tensor& to_hidden,
                     const Tensor& to_visible, const Tensor& weight_velocity,
                     const Tensor& visible_velocity, const Tensor& hidden_velocity,
                     const Tensor& visible_data, const Tensor& kept, int64_t n_rows, int64_t n,
                     int64_t n_steps, int64_t e, int64_t n_labels, float lr, float lr_strength,
                     float momentum, float weight_decay, int64_t seed, int64_t step, double least,
                     double most, int64_t n_batches, const Tensor& out, int64_t n_threads) {
  const Call call{kOp};
  const Parameters p = parameters(call,
                                  {weight, strength, mask, b, c, to_hidden, to_visible,
                                   weight_velocity, visible_velocity, hidden_velocity},
                                  e, n_labels);
  const TrainSteps op =
      train_steps(call, p, visible_data, kept, n_rows, n, n_steps,
                  {lr, lr_strength, momentum, weight_decay}, seed, step, {least, most}, n_batches);
  const int n_workers = threads(call, n_threads);
  double* found = result(call, out, 4);

  TrainStep batch = op.first;
  UpdateResult sum{};
  int64_t done = 0;
  while (done < op.n_batches) {
    const UpdateResult one = table().train_step(batch, n_workers);
    ++done;
    batch.visible_data.data = static_cast<const char*>(batch.visible_data.data) + op.batch_stride;
    batch.step += batch.n_steps;
    sum = {one.max_abs, sum.switched_on + one.switched_on, sum.switched_off + one.switched_off};
    const bool fit = p.sparse_to_hidden == nullptr || p.sparse_to_hidden[kSparseCount] >= 0;
    if (!(fit && one.max_abs >= op.least && one.max_abs <= op.most)) break;
  }
  report(sum, found);
  found[3] = static_cast<double>(done);
}

void free_energy(const Tensor& visible, const Tensor& to_hidden, const Tensor& visible_bias,
                 const Tensor& hidden_bias, int64_t e, int64_t n, const Tensor& out,
                 int64_t n_threads) {
  const Call call{"free_energy"};
  const FreeEnergy f =
      free_energy_of(call, visible, to_hidden, visible_bias, hidden_bias, e, n, out);
  table().free_energy(f.to_hidden, f.visible, f.visible_bias, f.energy, threads(call, n_threads));
}

void anneal(const Tensor& visible, const Tensor& to_hidden, const Tensor& to_visible,
            const Tensor& visible_bias, const Tensor& hidden_bias, const Tensor& base_bias,
            const Tensor& betas, int64_t e, int64_t n, int64_t seed, int64_t chain_offset,
            int64_t step, const Tensor& log_weights, int64_t n_threads) {
  const Call call{"anneal"};
  const AnnealTensors tensors{visible,     to_hidden, to_visible, visible_bias,
                              hidden_bias, base_bias, betas,      log_weights};
  const Draw uniforms = draw(call, seed, chain_offset, step);
  table().anneal(anneal_of(call, tensors, e, n, uniforms), threads(call, n_threads));
}

// --- which path a half step takes ---

// How it multiplies packed states where digits are dense.
std::string half_step_path(int64_t n_out, int64_t n_in, int64_t n_digits, int64_t n_chains,
                           int64_t n_on) {
  if (n_digits != 2 && n_digits != 3)
    throw py::value_error("half_step_path: n_digits must be 2 or 3, got " +
                          std::to_string(n_digits) + ". Pass one of these.");
  switch (table().best_form({n_out, n_in, n_chains, n_on, static_cast<int>(n_digits)})) {
    case Form::kLists:
      return "lists";
    case Form::kIndex:
      return "tables";
    default:
      return "products";
  }
}

// --- which instruction set runs them ---

py::list names(bool only_supported) {
  py::list found;
  for (const InstructionSet* isa = instruction_sets(); isa->name != nullptr; ++isa)
    if (isa->supported || !only_supported) found.append(isa->name);
  return found;
}

void use_instruction_set(const std::string& name) {
  if (choose(name.c_str())) return;
  const std::string here = py::str(py::str(", ").attr("join")(names(true)));
  throw py::value_error("use_instruction_set: name must be supported by this processor (" + here +
                        "), got \"" + name +
                        "\". Choose one of these, or leave NCG_FAST_ISA unset.");
}

void define(py::module_& m) {
  torch_names.load("is_cpu");
  sparse_digits = true;
  m.doc() = "CPU kernels of ncg_fast on tensors of torch, see csrc/ops.h.";
  m.def("instruction_set", [] { return std::string(chosen().name); });
  m.def("instruction_sets", &names, py::arg("supported") = true);
  m.def("use_instruction_set", &use_instruction_set);
  m.def("form_teams", &form_teams);
  m.def("half_step_path", &half_step_path, py::arg("n_out"), py::arg("n_in"), py::arg("n_digits"),
        py::arg("n_chains"), py::arg("n_on"));

  const auto release = py::call_guard<py::gil_scoped_release>();
  m.def("pack_states", &pack_states, release);
  m.def("unpack_states", &unpack_states, release);
  m.def("pack_weights", &pack_weights, release);
  m.def("hidden_mean", &mean<kHiddenMean>, release);
  m.def("visible_mean", &mean<kVisibleMean>, release);
  m.def("sample_hidden", &sample<kSampleHidden>, release);
  m.def("sample_visible", &sample<kSampleVisible>, release);
  m.def("gibbs_steps", &gibbs_steps, release);
  m.def("connection_gradient", &connection_gradient, release);
  m.def("ncg_update_", &ncg_update, release);
  m.def("train_step_", &run_train_steps<kTrainStep>, release);
  m.def("train_steps_", &run_train_steps<kTrainSteps>, release);
  m.def("free_energy", &free_energy, release);
  m.def("anneal", &anneal, release);
}

}  // namespace
}  // namespace ncg

PYBIND11_MODULE(_cpu, m) { ncg::define(m); }
