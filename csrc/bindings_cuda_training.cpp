// The ops of ncg_fast._cuda that learn. Their scratch memory is one tensor of scratch_bytes bytes.
#include "bindings_cuda.h"
#include "cuda/training.h"
#include "learning_arguments.h"

namespace py = pybind11;

namespace ncg {
namespace {

// 0 for sizes that the op will refuse.
int64_t scratch_bytes(int64_t n_hidden, int64_t n_visible, int64_t n_rows, int64_t n_chains,
                      bool levels) {
  const auto beyond = [](int64_t n, int64_t most) { return n < 0 || n > most; };
  if (beyond(n_hidden, kMaxUnits) || beyond(n_visible, kMaxUnits) || beyond(n_rows, kMaxChains) ||
      beyond(n_chains, kMaxChains))
    return 0;
  cuda::TrainScratch unused;
  return cuda::lay_out(0, n_hidden, n_visible, n_rows, n_chains, levels, unused);
}

cuda::TrainScratch scratch_in(const Call& call, const Tensor& memory, int64_t n_hidden,
                              int64_t n_visible, const States& data, int64_t n_chains) {
  const int64_t n_rows = data.n_chains;
  uint8_t* start = call.write<uint8_t>(
      "scratch", memory, scratch_bytes(n_hidden, n_visible, n_rows, n_chains, data.levels));
  cuda::TrainScratch scratch;
  cuda::lay_out(reinterpret_cast<uintptr_t>(start), n_hidden, n_visible, n_rows, n_chains,
                data.levels, scratch);
  return scratch;
}

void connection_gradient(const Tensor& hidden_data, const Tensor& visible_data,
                         const Tensor& hidden_model, const Tensor& visible_model,
                         const Tensor& weight, const Tensor& mask, const Tensor& difference,
                         const Tensor& by_weight, const Tensor& by_strength,
                         const Tensor& by_visible, const Tensor& by_hidden, const Tensor& memory,
                         int64_t stream) {
  const Call call = begin("connection_gradient");
  const Gradient op = gradient(call, hidden_data, visible_data, hidden_model, visible_model, weight,
                               mask, {difference, by_weight, by_strength, by_visible, by_hidden});
  const cuda::TrainScratch scratch =
      scratch_in(call, memory, op.n_hidden, op.n_visible, op.phases.visible_data,
                 op.phases.visible_model.n_chains);
  cuda::connection_gradient(op, scratch, on(stream));
}

void ncg_update(const Tensor& weight, const Tensor& strength, const Tensor& mask, const Tensor& b,
                const Tensor& c, const Tensor& to_hidden, const Tensor& to_visible,
                const Tensor& weight_velocity, const Tensor& visible_velocity,
                const Tensor& hidden_velocity, const Tensor& hidden_data,
                const Tensor& visible_data, const Tensor& hidden_model, const Tensor& visible_model,
                int64_t e, int64_t n_labels, float lr, float lr_strength, float momentum,
                float weight_decay, const Tensor& out, const Tensor& memory, int64_t stream) {
  const Call call = begin("ncg_update_");
  const Parameters p = parameters(call,
                                  {weight, strength, mask, b, c, to_hidden, to_visible,
                                   weight_velocity, visible_velocity, hidden_velocity},
                                  e, n_labels);
  const Phases both =
      phases(call, hidden_data, visible_data, hidden_model, visible_model, p.n_hidden, p.n_visible);
  double* found = result(call, out);
  cuda::ncg_update({p, both, {lr, lr_strength, momentum, weight_decay}},
                   scratch_in(call, memory, p.n_hidden, p.n_visible, both.visible_data,
                              both.visible_model.n_chains),
                   found, on(stream));
}

template <const char* kOp>
void run_train_steps(const Tensor& weight, const Tensor& strength, const Tensor& mask,
                     const Tensor& b, const Tensor& c, const Tensor& to_hidden,
                     const Tensor& to_visible, const Tensor& weight_velocity,
                     const Tensor& visible_velocity, const Tensor& hidden_velocity,
                     const Tensor& visible_data, const Tensor& kept, int64_t n_rows, int64_t n,
                     int64_t n_steps, int64_t e, int64_t n_labels, float lr, float lr_strength,
                     float momentum, float weight_decay, int64_t seed, int64_t step, double least,
                     double most, int64_t n_batches, const Tensor& out, const Tensor& memory,
                     int64_t stream) {
  const Call call = begin(kOp);
  const Parameters p = parameters(call,
                                  {weight, strength, mask, b, c, to_hidden, to_visible,
                                   weight_velocity, visible_velocity, hidden_velocity},
                                  e, n_labels);
  const TrainSteps op =
      train_steps(call, p, visible_data, kept, n_rows, n, n_steps,
                  {lr, lr_strength, momentum, weight_decay}, seed, step, {least, most}, n_batches);
  double* found = result(call, out, 4);
  cuda::train_steps(
      kOp, op,
      scratch_in(call, memory, p.n_hidden, p.n_visible, op.first.visible_data, op.first.n_chains),
      found, on(stream));
}

}  // namespace

void define_training(py::module_& m) {
  m.def("scratch_bytes", &scratch_bytes);
  const auto release = py::call_guard<py::gil_scoped_release>();
  m.def("connection_gradient", &connection_gradient, release);
  m.def("ncg_update_", &ncg_update, release);
  m.def("train_step_", &run_train_steps<kTrainStep>, release);
  m.def("train_steps_", &run_train_steps<kTrainSteps>, release);
}

}  // namespace ncg
