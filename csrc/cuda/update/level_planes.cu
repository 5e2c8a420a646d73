// Levels of chains as level planes of units: a transpose.
#include "cuda/launch.h"
#include "cuda/ptx.h"
#include "cuda/update/phases.h"

namespace ncg::cuda {
namespace {

constexpr int kThreads = 256, kUnits = 32;  // of a block, by 64 chains

struct LevelTile {
  uint16_t levels[kUnits][kWord + 2];
};

__global__ void __launch_bounds__(kThreads)
    level_planes_kernel(const int32_t* levels, int64_t batch_stride, int64_t n_units,
                        int64_t n_chains, uint8_t* planes, const Progress* progress) {
  if (progress != nullptr) {
    if (progress->stopped) return;
    levels += progress->batch * batch_stride / static_cast<int64_t>(sizeof(int32_t));
  }
  LevelTile& tile = *reinterpret_cast<LevelTile*>(dynamic_shared());
  const int64_t panels = ceil_div(n_units, kUnits), words = ceil_div(n_chains, kWord);
  const int64_t first = blockIdx.x % panels * kUnits, word = blockIdx.x / panels;
  for (int i = threadIdx.x; i < kUnits * kWord; i += kThreads) {
    const int64_t unit = first + i % kUnits, chain = word * kWord + i / kUnits;
    const bool there = unit < n_units && chain < n_chains;
    tile.levels[i % kUnits][i / kUnits] =
        there ? static_cast<uint16_t>(levels[chain * n_units + unit]) : uint16_t{0};
  }
  __syncthreads();
  constexpr int kFours = kWord / 4;
  for (int i = threadIdx.x; i < 2 * kUnits * kFours; i += kThreads) {
    const int four = i % kFours, plane = i / kFours / kUnits;
    const int64_t unit = first + i / kFours % kUnits;
    if (unit >= n_units) continue;
    uint32_t bytes = 0;
    for (int k = 0; k < 4; ++k)
      bytes |= (uint32_t{tile.levels[unit - first][4 * four + k]} >> 8 * plane & 255) << 8 * k;
    reinterpret_cast<uint32_t*>(planes)[((plane * n_units + unit) * words + word) * kFours + four] =
        bytes;
  }
}

}  // namespace

void level_planes(const char* op, const int32_t* levels, int64_t batch_stride, int64_t n_units,
                  int64_t n_chains, uint8_t* planes, const Progress* progress,
                  cudaStream_t stream) {
  const int64_t blocks = ceil_div(n_units, kUnits) * ceil_div(n_chains, kWord);
  launch(op, level_planes_kernel, dim3(static_cast<unsigned>(blocks)), kThreads, sizeof(LevelTile),
         stream, levels, batch_stride, n_units, n_chains, planes, progress);
}

PhaseStates phase_planes(const char* op, const Phase& phase, int64_t n_hidden, uint8_t* hidden,
                         uint8_t* visible, cudaStream_t stream) {
  const States& states = phase.visible;
  level_planes(op, phase.hidden, 0, n_hidden, states.n_chains, hidden, nullptr, stream);
  if (states.are_levels())
    level_planes(op, states.levels(), 0, states.n_units, states.n_chains, visible, nullptr, stream);
  return phase_of(states, visible, hidden);
}

PhasePair pair_planes(const char* op, const Phases& phases, int64_t n_hidden,
                      const PhaseScratch& scratch, cudaStream_t stream) {
  const States &data = phases.data.visible, &model = phases.model.visible;
  return {
      phase_planes(op, phases.data, n_hidden, scratch.hidden_data, scratch.visible_data, stream),
      phase_planes(op, phases.model, n_hidden, scratch.hidden_model, nullptr, stream), n_hidden,
      data.n_units, phase_means(data.format, data.n_chains, model.n_chains)};
}

}  // namespace ncg::cuda
