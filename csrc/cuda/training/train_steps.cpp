// The op train_steps: of each mini-batch the chains, then the update.
#include "cuda/backend.h"
#include "cuda/sampling/chains.h"
#include "cuda/training/repeat.h"
#include "cuda/update/ncg_update.h"

namespace ncg::cuda {

void train_steps(const TrainSteps& op, double* found, const Run& run) {
  constexpr char kOp[] = "train_steps_";
  const cudaStream_t stream = stream_of(run);
  const Parameters& p = op.parameters;
  const States& data = op.visible_data;
  const auto scratch = scratch_of<PhaseScratch>(
      run, {p.n_hidden, p.n_visible, data.n_chains, op.n_chains, data.format});
  uint64_t* visible = op.chains == nullptr ? scratch.visible : op.chains;
  const Chains chains{
      p.hidden_layer(),     p.visible_layer(), data,           op.batch_stride, op.chains,
      op.n_chains,          op.n_steps,        op.draw,        nullptr,         scratch.hidden_data,
      scratch.hidden_model, visible,           scratch.hidden, scratch.progress};
  const States model = packed_states(visible, p.n_visible, op.n_chains);
  PhasePair both{phase_of(data, scratch.visible_data, scratch.hidden_data),
                 phase_of(model, nullptr, scratch.hidden_model), p.n_hidden, p.n_visible,
                 phase_means(data.format, data.n_chains, op.n_chains)};
  if (!data.are_levels()) {
    both.data.progress = scratch.progress;
    both.data.batch_stride = op.batch_stride;
  }
  const Report report{found,   scratch.tally, scratch.progress, op.least,
                      op.most, op.n_steps,    op.lr_factors};

  check(kOp, cudaMemsetAsync(scratch.tally, 0, sizeof(Tally), stream));
  check(kOp, cudaMemsetAsync(scratch.progress, 0, sizeof(Progress), stream));
  repeat(kOp, op.n_batches, stream, [&](cudaStream_t on) {
    if (data.are_levels())
      level_planes(kOp, data.levels(), op.batch_stride, p.n_visible, data.n_chains,
                   scratch.visible_data, scratch.progress, on);
    run_chains(chains, on);
    update_from_planes(kOp, p, with_offsets(both, op.offsets, scratch), op.rates, report, on);
  });
}

}  // namespace ncg::cuda
