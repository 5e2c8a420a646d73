// The choice between a cluster and tiles, and sweeps by tiles.
#include "cuda/sampling/chains.h"

#include "cuda/backend.h"
#include "cuda/sampling/chains_cluster.h"
#include "cuda/sampling/half_step.h"

namespace ncg::cuda {
namespace {

constexpr char kOp[] = "gibbs_steps";

// From data: planes, and in CD the first draw, which has the same pre-activations.
void first_half_step(const Chains& c, cudaStream_t stream) {
  Outcome wanted{};
  wanted.planes = c.data_planes;
  if (c.persistent == nullptr) {
    wanted.packed = c.hidden_out;
    wanted.draw = c.draw.of_hidden(0);
  }
  if (wanted.planes != nullptr || wanted.packed != nullptr)
    half_step(kOp, {c.to_hidden, c.data, c.batch_stride, c.progress, wanted}, stream);
}

void run_tiles(const Chains& c, cudaStream_t stream) {
  uint64_t* visible = c.persistent != nullptr ? c.persistent : c.visible_out;
  const States v = packed_states(visible, c.to_visible.n_out, c.n_chains),
               h = packed_states(c.hidden_out, c.to_hidden.n_out, c.n_chains);
  first_half_step(c, stream);
  for (int64_t t = 0; t < c.n_steps; ++t) {
    Outcome wanted{};
    if (t > 0 || c.persistent != nullptr) {
      wanted.packed = c.hidden_out;
      wanted.draw = c.draw.of_hidden(t);
      half_step(kOp, {c.to_hidden, v, 0, c.progress, wanted}, stream);
    }
    wanted.packed = visible;
    wanted.draw = c.draw.of_visible(t);
    wanted.clamped = c.clamped;
    wanted.start = c.data.packed();
    wanted.base_bias = c.base_bias;
    half_step(kOp, {c.to_visible, h, 0, c.progress, wanted}, stream);
  }
  if (c.model_planes == nullptr) return;
  Outcome wanted{};
  wanted.planes = c.model_planes;
  half_step(kOp, {c.to_hidden, v, 0, c.progress, wanted}, stream);
}

}  // namespace

void run_chains(const Chains& c, cudaStream_t stream) {
  const ClusterPlan plan = plan_cluster(c);
  if (!plan.fits()) return run_tiles(c, stream);
  const bool by_tiles = c.data.are_levels() || c.persistent != nullptr;  // the first half step
  if (by_tiles) first_half_step(c, stream);
  run_cluster(c, plan, by_tiles && c.persistent == nullptr, stream);
}

void gibbs_steps(const Gibbs& g, const Run& run) {
  run_chains(
      {g.to_hidden, g.to_visible, g.visible, 0, nullptr, g.visible.n_chains, g.n_steps, g.draw,
       g.clamped, nullptr, nullptr, g.visible_out, g.hidden_out, nullptr, g.base_bias},
      stream_of(run));
}

}  // namespace ncg::cuda
