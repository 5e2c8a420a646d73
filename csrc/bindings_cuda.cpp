// ncg_fast._cuda: the ops on tensors of torch, arguments as in ncg_fast/backends/reference.py, then the
// results to fill and the scratch memory (allocated by ncg_fast/backends/launcher.py) and the stream, of the
// device that is current. The GIL is released.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include <cuda/launch.h>  // a search path chooses: see tests/cuda_on_host
#include "bindings_cuda.h"
#include "cuda/sampling.h"
#include "op_arguments.h"

namespace py = pybind11;

namespace ncg {
namespace {

// Why no tensor can be on a GPU here; empty where one can.
std::string missing() {
  int n_devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&n_devices);
  return status == cudaSuccess ? "" : cudaGetErrorString(status);
}

}  // namespace

Call begin(const char* op) {
  static const std::string reason = missing();
  if (!reason.empty())
    throw std::runtime_error(std::string(op) + ": needs a GPU, got \"" + reason +
                             "\". Use tensors on the CPU.");
  return {op};
}

namespace {

void pack_states(const Tensor& from, const Tensor& to, int64_t stream) {
  const Call call = begin("pack_states");
  const StatesToPack s = states_to_pack(call, from);
  cuda::pack_states(s.states, s.n_chains, s.n_units,
                    packed_out(call, {"result", to}, s.n_units, s.n_chains), on(stream));
}

void unpack_states(const Tensor& from, int64_t n, const Tensor& to, int64_t stream) {
  const Call call = begin("unpack_states");
  const int64_t n_units = call.size("packed", from, 0, 2), n_chains = chains(call, n);
  const uint64_t* in = packed(call, {"packed", from}, n_units, n_chains);
  cuda::unpack_states(in, n_chains, n_units,
                      call.write<uint8_t>("result", to, product({n_chains, n_units})), on(stream));
}

void pack_weights(const Tensor& weight, const Tensor& mask, int64_t n_digits, int64_t e,
                  std::optional<int64_t> capacity, const Tensor& to_hidden,
                  const Tensor& to_visible, int64_t stream) {
  const Call call = begin("pack_weights");
  cuda::pack_weights(
      weights_to_pack(call, weight, mask, n_digits, e, capacity, to_hidden, to_visible),
      on(stream));
}

template <const Direction& d>
void mean(const Tensor& given, const Tensor& digits, const Tensor& bias, int64_t e, int64_t n,
          const Tensor& out, int64_t stream) {
  const Call call = begin(d.op);
  const HalfStepArguments a = half_step_of(call, d, given, digits, bias, e, n);
  const int64_t count = product({a.states.n_chains, a.layer.n_out});
  cuda::mean(d.op, a.layer, a.states, call.write<float>("result", out, count), on(stream));
}

template <const Direction& d>
void sample(const Tensor& given, const Tensor& digits, const Tensor& bias, int64_t e, int64_t n,
            int64_t seed, int64_t chain_offset, int64_t step, const Tensor& beta, const Tensor& out,
            int64_t stream) {
  const Call call = begin(d.op);
  const HalfStepArguments a = half_step_of(call, d, given, digits, bias, e, n);
  Draw uniforms = draw(call, seed, chain_offset, step);
  uniforms.stream = d.stream;
  uniforms.beta = call.read_given<float>("beta", beta, a.states.n_chains);
  cuda::sample(d.op, a.layer, a.states, uniforms,
               packed_out(call, {"result", out}, a.layer.n_out, a.states.n_chains), on(stream));
}

void gibbs_steps(const Tensor& visible, const Tensor& to_hidden, const Tensor& to_visible,
                 const Tensor& visible_bias, const Tensor& hidden_bias, int64_t e, int64_t n,
                 int64_t n_steps, int64_t seed, int64_t chain_offset, int64_t step,
                 const Tensor& beta, const Tensor& clamped, const Tensor& visible_out,
                 const Tensor& hidden_out, int64_t stream) {
  const Call call = begin("gibbs_steps");
  const GibbsTensors tensors{visible, to_hidden, to_visible,  visible_bias, hidden_bias,
                             beta,    clamped,   visible_out, hidden_out};
  const Draw first = draw(call, seed, chain_offset, step);
  cuda::gibbs_steps(gibbs_of(call, tensors, e, n, n_steps, first), on(stream));
}

void free_energy(const Tensor& visible, const Tensor& to_hidden, const Tensor& visible_bias,
                 const Tensor& hidden_bias, int64_t e, int64_t n, const Tensor& out,
                 const Tensor& x, int64_t stream) {
  const Call call = begin("free_energy");
  const FreeEnergy f =
      free_energy_of(call, visible, to_hidden, visible_bias, hidden_bias, e, n, out);
  const int64_t count = product({f.visible.n_chains, f.to_hidden.n_out});
  cuda::free_energy(f.to_hidden, f.visible, f.visible_bias, call.write<float>("scratch", x, count),
                    f.energy, on(stream));
}

void anneal(const Tensor& visible, const Tensor& to_hidden, const Tensor& to_visible,
            const Tensor& visible_bias, const Tensor& hidden_bias, const Tensor& base_bias,
            const Tensor& betas, int64_t e, int64_t n, int64_t seed, int64_t chain_offset,
            int64_t step, const Tensor& log_weights, const Tensor& x, const Tensor& hidden,
            int64_t stream) {
  const Call call = begin("anneal");
  const AnnealTensors tensors{visible,     to_hidden, to_visible, visible_bias,
                              hidden_bias, base_bias, betas,      log_weights};
  const Anneal a = anneal_of(call, tensors, e, n, draw(call, seed, chain_offset, step));
  const int64_t n_hidden = a.to_hidden.n_out;
  cuda::anneal(a, call.write<float>("scratch", x, product({a.n_chains, n_hidden})),
               packed_out(call, {"scratch", hidden}, n_hidden, a.n_chains), on(stream));
}

}  // namespace
}  // namespace ncg

PYBIND11_MODULE(_cuda, m) {
  using namespace ncg;
  torch_names.load(cuda::kMemory);
  m.doc() = "CUDA kernels of ncg_fast on tensors of torch, see csrc/ops.h.";
  m.def("missing", &missing);

  const auto release = py::call_guard<py::gil_scoped_release>();
  m.def("pack_states", &pack_states, release);
  m.def("unpack_states", &unpack_states, release);
  m.def("pack_weights", &pack_weights, release);
  m.def("hidden_mean", &mean<kHiddenMean>, release);
  m.def("visible_mean", &mean<kVisibleMean>, release);
  m.def("sample_hidden", &sample<kSampleHidden>, release);
  m.def("sample_visible", &sample<kSampleVisible>, release);
  m.def("gibbs_steps", &gibbs_steps, release);
  m.def("free_energy", &free_energy, release);
  m.def("anneal", &anneal, release);
  define_training(m);
}
