// The op connection_gradient: G, A∘G, W∘G of tiles of pairs, and the gradients of the biases.
#include "cuda/backend.h"
#include "cuda/launch.h"
#include "cuda/update/bias_sums.h"
#include "cuda/update/tile_sums.h"

namespace ncg::cuda {
namespace {

constexpr char kOp[] = "connection_gradient";

// What a block needs; the first n_tiles blocks take pairs, the rest biases.
struct GradientWork {
  PhasePair both;
  int64_t n_tiles;
  const float* weight;
  const uint8_t* mask;
  float *phase_difference, *weight_gradient, *connection_gradient, *visible_gradient,
      *hidden_gradient;
};

__device__ __forceinline__ void bias_block(const GradientWork& work, int64_t block) {
  const int64_t unit = block * kTileWarps + threadIdx.x / 32, n_hidden = work.both.n_hidden;
  if (unit >= n_hidden + work.both.n_visible) return;
  const float gradient = bias_gradient(work.both, unit);
  if (threadIdx.x % 32 > 0) return;
  if (unit < n_hidden)
    work.hidden_gradient[unit] = gradient;
  else
    work.visible_gradient[unit - n_hidden] = gradient;
}

template <int kColumns, class Sum>
__global__ void __launch_bounds__(kTileThreads, 2) gradient_kernel(GradientWork work) {
  if (blockIdx.x >= work.n_tiles) return bias_block(work, blockIdx.x - work.n_tiles);
  using Memory = TileMemory<kColumns, Sum>;
  Memory& memory = *reinterpret_cast<Memory*>(dynamic_shared());
  const Tile tile = tile_of<kColumns>(blockIdx.x, work.both.n_visible);
  sum_tile<kColumns, Sum>(work.both, tile, memory);
  for (int i = threadIdx.x; i < kTileRows * kColumns; i += kTileThreads) {
    const int r = i / kColumns, c = i % kColumns;
    const int64_t row = tile.row + r, column = tile.column + c;
    if (row >= work.both.n_hidden || column >= work.both.n_visible) continue;
    const int64_t at = row * work.both.n_visible + column;
    const float g =
        difference(work.both.means.pair, memory.sums.data[r][c], memory.sums.model[r][c]);
    work.phase_difference[at] = g;
    if (work.mask != nullptr) work.weight_gradient[at] = work.mask[at] ? g : 0.f;
    if (work.weight != nullptr) work.connection_gradient[at] = mul(work.weight[at], g);
  }
}

template <int kColumns, class Sum>
void run(GradientWork work, cudaStream_t stream) {
  const int64_t n_hidden = work.both.n_hidden, n_visible = work.both.n_visible;
  work.n_tiles = ceil_div(n_hidden, kTileRows) * ceil_div(n_visible, kColumns);
  const int64_t blocks = work.n_tiles + ceil_div(n_hidden + n_visible, kTileWarps);
  launch(kOp, gradient_kernel<kColumns, Sum>, dim3(static_cast<unsigned>(blocks)), kTileThreads,
         sizeof(TileMemory<kColumns, Sum>), stream, work);
}

}  // namespace

void connection_gradient(const Gradient& op, const Run& run_on) {
  const cudaStream_t stream = stream_of(run_on);
  const States &data = op.phases.data.visible, &model = op.phases.model.visible;
  const auto scratch = scratch_of<PhaseScratch>(
      run_on, {op.n_hidden, op.n_visible, data.n_chains, model.n_chains, data.format});
  const PhasePair both = pair_planes(kOp, op.phases, op.n_hidden, scratch, stream);
  const GradientWork work{both,
                          0,
                          op.weight,
                          op.mask,
                          op.phase_difference,
                          op.weight_gradient,
                          op.connection_gradient,
                          op.visible_gradient,
                          op.hidden_gradient};
  if (!both.narrow())
    run<64, int64_t>(work, stream);
  else if (op.n_hidden * op.n_visible < kManyPairs)
    run<64, int32_t>(work, stream);
  else
    run<128, int32_t>(work, stream);
}

}  // namespace ncg::cuda
