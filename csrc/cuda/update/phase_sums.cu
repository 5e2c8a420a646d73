// The op phase_sums: the sums of tiles of pairs, and those of units, added to the given ones.
#include "cuda/backend.h"
#include "cuda/launch.h"
#include "cuda/update/bias_sums.h"
#include "cuda/update/tile_sums.h"

namespace ncg::cuda {
namespace {

constexpr char kOp[] = "phase_sums";
constexpr int kColumns = 64;

// What a block needs; the first n_tiles blocks take pairs, the rest units.
struct SumWork {
  PhasePair both;  // without a model
  int64_t n_tiles;
  PhaseSums sums;
};

// One warp a unit; hidden units come first.
__device__ __forceinline__ void add_units(const SumWork& work, int64_t block) {
  const PhasePair& both = work.both;
  const int64_t unit = block * kTileWarps + threadIdx.x / 32, i = unit - both.n_hidden;
  if (i >= both.n_visible) return;
  const int64_t sum = i < 0 ? hidden_sum(both.data, both.n_hidden, unit)
                            : visible_sum(both.data, both.n_visible, i);
  if (threadIdx.x % 32 == 0) (i < 0 ? work.sums.hidden[unit] : work.sums.visible[i]) += sum;
}

template <class Sum>
__global__ void __launch_bounds__(kTileThreads, 2) sums_kernel(SumWork work) {
  if (blockIdx.x >= work.n_tiles) return add_units(work, blockIdx.x - work.n_tiles);
  using Memory = TileMemory<kColumns, Sum>;
  Memory& memory = *reinterpret_cast<Memory*>(dynamic_shared());
  const Tile tile = tile_of<kColumns>(blockIdx.x, work.both.n_visible);
  sum_tile<kColumns, Sum>(work.both, tile, memory);
  for (int i = threadIdx.x; i < kTileRows * kColumns; i += kTileThreads) {
    const int r = i / kColumns, c = i % kColumns;
    const int64_t row = tile.row + r, column = tile.column + c;
    if (row < work.both.n_hidden && column < work.both.n_visible)
      work.sums.products[row * work.both.n_visible + column] += memory.sums.data[r][c];
  }
}

template <class Sum>
void run(const SumWork& work, cudaStream_t stream) {
  const int64_t n_units = work.both.n_hidden + work.both.n_visible;
  const int64_t blocks = work.n_tiles + ceil_div(n_units, kTileWarps);
  launch(kOp, sums_kernel<Sum>, dim3(static_cast<unsigned>(blocks)), kTileThreads,
         sizeof(TileMemory<kColumns, Sum>), stream, work);
}

}  // namespace

void phase_sums(const AddPhase& op, const Run& run_on) {
  const cudaStream_t stream = stream_of(run_on);
  const States& visible = op.phase.visible;
  const int64_t n_hidden = op.n_hidden, n_visible = visible.n_units, n = visible.n_chains;
  const auto scratch =
      scratch_of<PhaseScratch>(run_on, {n_hidden, n_visible, n, n, visible.format});
  const PhaseStates data =
      phase_planes(kOp, op.phase, n_hidden, scratch.hidden_data, scratch.visible_data, stream);
  const SumWork work{{data, {}, n_hidden, n_visible, {}},
                     ceil_div(n_hidden, kTileRows) * ceil_div(n_visible, kColumns),
                     op.sums};
  if (work.both.narrow())
    run<int32_t>(work, stream);
  else
    run<int64_t>(work, stream);
}

}  // namespace ncg::cuda
