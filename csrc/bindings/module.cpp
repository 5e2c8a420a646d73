// ncg_fast._cpu, or ncg_fast._cuda: the ops on tensors of torch and the records of
// ncg_fast/backends/records.py, then the results to fill and the scratch memory (both allocated by
// ncg_fast/backends/launcher.py), then the number of threads, or the stream of the current device.
// The GIL is released.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>

#include "bindings/arguments.h"
#include "bindings/backend.h"

namespace py = pybind11;

namespace ncg {
namespace {

using backend::ops;

Call begin(const char* op, const char* checked = nullptr) {
  const Call call(op, checked);
  backend::require(call);
  return call;
}

// `memory`: None, or the scratch memory that the op takes for these sizes.
Run run(const Call& call, const Tensor& memory, int64_t context, const ScratchSizes& sizes = {}) {
  const int64_t n_bytes = backend::scratch_bytes(call.op, sizes);
  uint8_t* scratch = nullptr;
  if (n_bytes > 0)
    scratch = aligned(call, "scratch", call.write<uint8_t>({"scratch", memory}, n_bytes));
  return backend::run(call, scratch, context);
}

// 0 for sizes that the op will refuse.
int64_t scratch_bytes(const std::string& op, int64_t n_hidden, int64_t n_visible, int64_t n_rows,
                      int64_t n_chains, bool levels) {
  const auto within = [](int64_t n, int64_t most) { return n >= 0 && n <= most; };
  if (!(within(n_hidden, kMaxUnits) && within(n_visible, kMaxUnits) && within(n_rows, kMaxChains) &&
        within(n_chains, kMaxChains)))
    return 0;
  const StateFormat format = levels ? StateFormat::kLevels : StateFormat::kPacked;
  return backend::scratch_bytes(op.c_str(), {n_hidden, n_visible, n_rows, n_chains, format});
}

void pack_states(const Tensor& given, const Tensor& to, const Tensor& scratch, int64_t context) {
  const Call call = begin("pack_states");
  const Named from{"states", given};
  const int64_t n_chains = call.size(from, 0, 2, kMaxChains), n_units = call.size(from, 1, 2);
  if (given.dtype == torch_names.uint8)
    call.read<uint8_t>(from, given.count);
  else
    call.read<bool>(from, given.count);  // bytes, too
  uint64_t* out = packed_out(call, {"packed", to}, n_units, n_chains);
  ops().pack_states(static_cast<const uint8_t*>(given.data), n_chains, n_units, out,
                    run(call, scratch, context));
}

void unpack_states(const Tensor& given, int64_t n, const Tensor& to, const Tensor& scratch,
                   int64_t context) {
  const Call call = begin("unpack_states");
  const Named from{"packed", given};
  const int64_t n_units = call.size(from, 0, 2), n_chains = chains(call, n);
  const uint64_t* in = packed(call, from, n_units, n_chains);
  uint8_t* out = call.write<uint8_t>({"states", to}, product({n_chains, n_units}));
  ops().unpack_states(in, n_chains, n_units, out, run(call, scratch, context));
}

void pack_weights(const Tensor& weight, const Tensor& mask, int64_t n_digits,
                  int64_t weight_exponent, std::optional<int64_t> capacity, const Tensor& to_hidden,
                  const Tensor& to_visible, const Tensor& scratch, int64_t context) {
  const Call call = begin("pack_weights");
  const Named weights{"weight", weight}, forward{"to_hidden", to_hidden},
      back{"to_visible", to_visible};
  const int64_t n_hidden = call.size(weights, 0, 2), n_visible = call.size(weights, 1, 2);
  const auto n = static_cast<int>(call.integer("n_digits", n_digits, 2, 3));
  const int e = exponent(call, weight_exponent);
  if (capacity && !backend::kSparseDigits)
    call.refuse("capacity", "be None on this device", std::to_string(*capacity));
  const auto out = [&](Named digits, Direction d) {
    if (!capacity) return dense_digits(call, digits, d, n, e, Access::kWrite);
    const int64_t room = call.integer("capacity", *capacity, 0, kMaxInt);
    return sparse_digits(call, digits, d, room, n, e, Access::kWrite);
  };
  const DigitPair digits = written_pair(
      call, back, {out(forward, {n_hidden, n_visible}), out(back, {n_visible, n_hidden})}, n_hidden,
      n_visible);
  ops().pack_weights({call.read<float>(weights, weight.count), given_mask(call, mask, weight.count),
                      n_hidden, n_visible, digits.to_hidden, digits.to_visible},
                     run(call, scratch, context));
}

void scan_weights(const Tensor& weight, const Tensor& mask, const Tensor& found,
                  const Tensor& scratch, int64_t context) {
  const Call call = begin("scan_weights", "pack_weights");
  const Named weights{"weight", weight};
  const int64_t n_pairs = product({call.size(weights, 0, 2), call.size(weights, 1, 2)});
  const bool* on = call.read<bool>({"mask", mask}, n_pairs);
  ops().scan_weights({call.read<float>(weights, n_pairs), reinterpret_cast<const uint8_t*>(on),
                      n_pairs, call.write<int64_t>({"found", found}, 4)},
                     run(call, scratch, context));
}

// Runs an op that may be given a user's rows.
template <class Op>
void refusing_values(const Call& call, Named rows, Op op) {
  try {
    op();
  } catch (const std::domain_error&) {
    call.refuse(rows.name, "hold probabilities in [0, 1], or bytes 0 and 1", "other values");
  }
}

void mean(const Tensor& given, int64_t n, const records::Layer& of, const Tensor& to,
          const Tensor& scratch, int64_t context) {
  const Call call = begin("mean", "hidden_mean");
  const Named from{"states", given};
  const Layer to_units = layer(call, of, units_of(call, from));
  const States in = states_or_rows(call, from, to_units.n_in, chains(call, n));
  float* out = call.write<float>({"mean", to}, product({in.n_chains, to_units.n_out}));
  refusing_values(call, from, [&] { ops().mean(to_units, in, out, run(call, scratch, context)); });
}

void sample(const Tensor& given, int64_t n, const records::Layer& of, const records::Draw& drawn,
            int64_t stream, const Tensor& to, const Tensor& scratch, int64_t context) {
  const Call call = begin("sample", "sample_hidden");
  const Named from{"states", given};
  const Layer to_units = layer(call, of, units_of(call, from));
  const States in = states(call, from, to_units.n_in, chains(call, n));
  const Draw uniforms = draw(call, drawn, in.n_chains, stream);
  uint64_t* out = packed_out(call, {"packed", to}, to_units.n_out, in.n_chains);
  ops().sample(to_units, in, uniforms, out, run(call, scratch, context));
}

void gibbs_steps(const Tensor& visible, int64_t n, const records::Model& model, int64_t n_steps,
                 const records::Draw& drawn, const Tensor& clamped, const Tensor& visible_out,
                 const Tensor& hidden_out, const Tensor& scratch, int64_t context) {
  const Call call = begin("gibbs_steps");
  const Layers both = layers(call, model);
  const int64_t n_hidden = both.to_hidden.n_out, n_visible = both.to_visible.n_out,
                n_chains = chains(call, n);
  const Named from{"visible", visible};
  const States start = states(call, from, n_visible, n_chains);
  const uint64_t* clamps = nullptr;
  if (clamped) {  // their start is read as packed states
    packed(call, from, n_visible, n_chains);
    clamps = packed(call, {"clamped", clamped}, n_visible, n_chains);
  }
  ops().gibbs_steps(
      {both.to_hidden, both.to_visible, start, draw(call, drawn, n_chains), steps(call, n_steps),
       clamps, packed_out(call, {"visible_out", visible_out}, n_visible, n_chains),
       packed_out(call, {"hidden_out", hidden_out}, n_hidden, n_chains)},
      run(call, scratch, context));
}

ScratchSizes sizes_of(const Phases& both, int64_t n_hidden, int64_t n_visible) {
  const States &data = both.data.visible, &model = both.model.visible;
  return {n_hidden, n_visible, data.n_chains, model.n_chains, data.format};
}

ScratchSizes sizes_of(const Parameters& p) {  // without rows
  return {p.n_hidden, p.n_visible, 0, 0, StateFormat::kPacked};
}

void connection_gradient(const records::Phases& given, const Tensor& weight, const Tensor& mask,
                         const Tensor& difference, const Tensor& by_weight,
                         const Tensor& by_strength, const Tensor& by_visible,
                         const Tensor& by_hidden, const Tensor& scratch, int64_t context) {
  const Call call = begin("connection_gradient");
  const int64_t n_hidden = call.size({"hidden_data", given.hidden_data}, 1, 2),
                n_visible = call.size({"visible_model", given.visible_model}, 0, 2),
                pairs = product({n_hidden, n_visible});
  const Phases both = phases(call, given, n_hidden, n_visible);
  ops().connection_gradient(
      {both, n_hidden, n_visible, call.read_given<float>({"weight", weight}, pairs),
       given_mask(call, mask, pairs), call.write<float>({"difference", difference}, pairs),
       call.write<float>({"by_weight", by_weight}, mask ? pairs : 0),
       call.write<float>({"by_strength", by_strength}, weight ? pairs : 0),
       call.write<float>({"by_visible", by_visible}, n_visible),
       call.write<float>({"by_hidden", by_hidden}, n_hidden)},
      run(call, scratch, context, sizes_of(both, n_hidden, n_visible)));
}

void add_phase_sums(const Tensor& hidden, const Tensor& visible, const records::PhaseSums& to,
                    const Tensor& scratch, int64_t context) {
  const Call call = begin("phase_sums");
  const Named levels{"hidden", hidden}, given{"visible", visible};
  const int64_t n_hidden = call.size(levels, 1, 2), n_visible = units_of(call, given);
  const Phase one = phase(call, levels, given, n_hidden, n_visible);
  const SumNames names{"sums_products", "sums_visible", "sums_hidden"};
  const int64_t n = one.visible.n_chains;
  ops().phase_sums(
      {one, n_hidden, phase_sums(call, names, to, n_hidden, n_visible, Access::kWrite)},
      run(call, scratch, context, {n_hidden, n_visible, n, n, one.visible.format}));
}

void ncg_update(const records::Parameters& learned, const records::Phases& given,
                const records::Rates& by, const records::Offsets& centre, int64_t weight_exponent,
                int64_t n_labels, const Tensor& found, const Tensor& scratch, int64_t context) {
  const Call call = begin("ncg_update_");
  const Parameters p = parameters(call, learned, weight_exponent, n_labels);
  const Phases both = phases(call, given, p.n_hidden, p.n_visible);
  ops().ncg_update({p, both, rates(by), offsets(call, centre, p)},
                   call.write<double>({"found", found}, 3),
                   run(call, scratch, context, sizes_of(both, p.n_hidden, p.n_visible)));
}

void update_from_sums(const records::Parameters& learned, const records::PhaseSums& data,
                      const records::PhaseSums& model, int64_t n_rows, int64_t n_chains,
                      bool data_levels, const records::Rates& by, int64_t weight_exponent,
                      int64_t n_labels, const Tensor& found, const Tensor& scratch,
                      int64_t context) {
  const Call call = begin("update_from_sums_");
  const Parameters p = parameters(call, learned, weight_exponent, n_labels);
  const SumNames of_data{"data_products", "data_visible", "data_hidden"},
      of_model{"model_products", "model_visible", "model_hidden"};
  ops().update_from_sums(
      {p, phase_sums(call, of_data, data, p.n_hidden, p.n_visible, Access::kRead),
       phase_sums(call, of_model, model, p.n_hidden, p.n_visible, Access::kRead),
       call.integer("n_rows", n_rows, 1, kMaxChains),
       call.integer("n_chains", n_chains, 1, kMaxChains),
       data_levels ? StateFormat::kLevels : StateFormat::kPacked, rates(by)},
      call.write<double>({"found", found}, 3), run(call, scratch, context, sizes_of(p)));
}

void gradient_update(const records::Parameters& learned, const records::Gradients& of,
                     const records::Rates& by, int64_t weight_exponent, int64_t n_labels,
                     const Tensor& found, const Tensor& scratch, int64_t context) {
  const Call call = begin("gradient_update_");
  const Parameters p = parameters(call, learned, weight_exponent, n_labels);
  ops().gradient_update(by_gradients(p, gradients(call, of, p), rates(by)),
                        call.write<double>({"found", found}, 3),
                        run(call, scratch, context, sizes_of(p)));
}

void train_steps(const records::Parameters& learned, const records::Batch& batch,
                 const records::Rates& by, const Tensor& lr_factors, const records::Offsets& centre,
                 const records::Draw& drawn, int64_t weight_exponent, int64_t n_labels,
                 double least, double most, const Tensor& found, const Tensor& scratch,
                 int64_t context) {
  const Call call = begin("train_steps_");
  const Parameters p = parameters(call, learned, weight_exponent, n_labels);
  const Named rows{"visible_data", batch.visible_data}, kept{"chains", batch.chains};
  const int64_t n_rows = call.integer("n_rows", batch.n_rows, 1, kMaxChains);
  // CD starts at the rows: as many chains.
  const int64_t n_chains = batch.chains ? call.integer("n_chains", batch.n_chains, 1, kMaxChains)
                                        : call.integer("n_chains", batch.n_chains, n_rows, n_rows);
  const int64_t n_batches = call.integer("n_batches", call.size(rows, 0, 3, kMaxInt), 1, kMaxInt);
  const States data = first_batch(call, rows, p.n_visible, n_rows, n_batches);
  uint64_t* start = batch.chains ? packed_out(call, kept, p.n_visible, n_chains) : nullptr;
  const int64_t stride = batch.visible_data.count / n_batches * (data.are_levels() ? 4 : 8);
  ops().train_steps(
      {p, data, n_batches, stride, start, n_chains, steps(call, batch.n_steps), rates(by),
       call.read_given<float>({"lr_factors", lr_factors}, n_batches), offsets(call, centre, p),
       draw(call, drawn, n_chains), least, most},
      call.write<double>({"found", found}, 4),
      run(call, scratch, context, {p.n_hidden, p.n_visible, n_rows, n_chains, data.format}));
}

void free_energy(const Tensor& visible, int64_t n, const records::Layer& of,
                 const Tensor& visible_bias, const Tensor& energy, const Tensor& scratch,
                 int64_t context) {
  const Call call = begin("free_energy");
  const Named bias{"visible_bias", visible_bias};
  const int64_t n_visible = call.units(bias), n_chains = chains(call, n);
  const Layer to_hidden = layer(call, of, n_visible);
  const Named from{"visible", visible};
  const FreeEnergy op{to_hidden, states_or_rows(call, from, n_visible, n_chains),
                      call.read<float>(bias, n_visible),
                      call.write<double>({"energy", energy}, n_chains)};
  const Run on = run(call, scratch, context,
                     {to_hidden.n_out, n_visible, n_chains, n_chains, StateFormat::kPacked});
  refusing_values(call, from, [&] { ops().free_energy(op, on); });
}

void anneal(const Tensor& visible, int64_t n, const records::Model& model, const Tensor& base_bias,
            const Tensor& betas, const records::Draw& drawn, const Tensor& log_weights,
            const Tensor& scratch, int64_t context) {
  const Call call = begin("anneal");
  const Layers both = layers(call, model);
  const int64_t n_hidden = both.to_hidden.n_out, n_visible = both.to_visible.n_out,
                n_chains = chains(call, n);
  const Named ladder{"betas", betas};
  call.integer("n_betas", call.size(ladder, 0, 1), 2, kMaxInt);
  Draw uniforms = draw(call, drawn, n_chains);
  uniforms.beta = nullptr;  // the ladder has them
  ops().anneal(
      {both.to_hidden, both.to_visible, call.read<float>({"base_bias", base_bias}, n_visible),
       call.read<double>(ladder, betas.count), betas.count, n_chains, uniforms,
       packed_out(call, {"visible", visible}, n_visible, n_chains),
       call.write<double>({"log_weights", log_weights}, n_chains)},
      run(call, scratch, context, {n_hidden, n_visible, n_chains, n_chains, StateFormat::kPacked}));
}

void define(py::module_& m) {
  torch_names.load(backend::kMemory, backend::kManyDevices);
  m.doc() = "Kernels of ncg_fast on tensors of torch, see csrc/ops.h.";
  backend::define(m);
  m.def("scratch_bytes", &scratch_bytes);

  const auto release = py::call_guard<py::gil_scoped_release>();
  m.def("pack_states", &pack_states, release);
  m.def("unpack_states", &unpack_states, release);
  m.def("pack_weights", &pack_weights, release);
  m.def("scan_weights", &scan_weights, release);
  m.def("mean", &mean, release);
  m.def("sample", &sample, release);
  m.def("gibbs_steps", &gibbs_steps, release);
  m.def("connection_gradient", &connection_gradient, release);
  m.def("phase_sums", &add_phase_sums, release);
  m.def("ncg_update_", &ncg_update, release);
  m.def("update_from_sums_", &update_from_sums, release);
  m.def("gradient_update_", &gradient_update, release);
  m.def("train_steps_", &train_steps, release);
  m.def("free_energy", &free_energy, release);
  m.def("anneal", &anneal, release);
}

}  // namespace
}  // namespace ncg

// Names the module by the value of the macro.
#define NCG_FAST_DEFINE(name, m) PYBIND11_MODULE(name, m)
NCG_FAST_DEFINE(NCG_FAST_MODULE, m) { ncg::define(m); }
