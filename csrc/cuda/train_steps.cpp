// The ops train_step_ and train_steps_: of each mini-batch the chains, then the update.
#include "cuda/chains.h"
#include "cuda/repeat.h"
#include "cuda/training.h"

namespace ncg::cuda {

void train_steps(const char* name, const TrainSteps& op, const TrainScratch& scratch,
                 double* result, cudaStream_t stream) {
  const TrainStep& step = op.first;
  const Parameters& p = step.parameters;
  const States& data = step.visible_data;
  uint64_t* visible = step.chains == nullptr ? scratch.visible : step.chains;
  const Chains chains{
      {p.to_hidden, p.hidden_bias, p.n_hidden, p.n_visible, p.n_digits, p.exponent},
      {p.to_visible, p.visible_bias, p.n_visible, p.n_hidden, p.n_digits, p.exponent},
      data,
      op.batch_stride,
      step.chains,
      step.n_chains,
      step.n_steps,
      {step.seed, 0, step.step, 0, nullptr},
      nullptr,
      scratch.hidden_data,
      scratch.hidden_model,
      visible,
      scratch.hidden,
      scratch.progress};
  const States model{visible, p.n_visible, step.n_chains, false};
  PhasePair both{phase_of(data, scratch.visible_data, scratch.hidden_data),
                 phase_of(model, nullptr, scratch.hidden_model), p.n_hidden, p.n_visible};
  if (!data.levels) {
    both.data.progress = scratch.progress;
    both.data.batch_stride = op.batch_stride;
  }
  const Report report{result, scratch.tally, scratch.progress, op.least, op.most, step.n_steps};

  check(name, cudaMemsetAsync(scratch.tally, 0, sizeof(Tally), stream));
  check(name, cudaMemsetAsync(scratch.progress, 0, sizeof(Progress), stream));
  repeat(name, op.n_batches, stream, [&](cudaStream_t on) {
    if (data.levels)
      level_planes(name, static_cast<const int32_t*>(data.data), op.batch_stride, p.n_visible,
                   data.n_chains, scratch.visible_data, scratch.progress, on);
    run_chains(chains, on);
    update_from_planes(name, p, both, step.rates, report, on);
  });
}

}  // namespace ncg::cuda
