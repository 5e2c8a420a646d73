// Levels of chains as level planes of units: a transpose; and the layout of training's scratch.
#include <type_traits>

#include "cuda/launch.h"
#include "cuda/ptx.h"
#include "cuda/training.h"

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

int64_t lay_out(uintptr_t memory, int64_t n_hidden, int64_t n_visible, int64_t n_rows,
                int64_t n_chains, bool levels, TrainScratch& scratch) {
  uintptr_t at = memory;
  const auto take = [&](auto*& part, int64_t count) {
    part = reinterpret_cast<std::remove_reference_t<decltype(part)>>(at);
    const int64_t bytes = count * static_cast<int64_t>(sizeof(*part));
    at += static_cast<uintptr_t>(ceil_div(bytes, kScratchAlignment) * kScratchAlignment);
  };
  take(scratch.tally, 1);
  take(scratch.progress, 1);
  take(scratch.hidden_data, planes_size(n_hidden, n_rows));
  take(scratch.hidden_model, planes_size(n_hidden, n_chains));
  take(scratch.visible_data, levels ? planes_size(n_visible, n_rows) : 0);
  take(scratch.visible, n_visible * ceil_div(n_chains, kWord));
  take(scratch.hidden, n_hidden * ceil_div(n_chains, kWord));
  return static_cast<int64_t>(at - memory);
}

PhasePair phase_planes(const char* op, const Phases& phases, int64_t n_hidden, int64_t n_visible,
                       const TrainScratch& scratch, cudaStream_t stream) {
  const States &data = phases.visible_data, &model = phases.visible_model;
  level_planes(op, phases.hidden_data, 0, n_hidden, data.n_chains, scratch.hidden_data, nullptr,
               stream);
  level_planes(op, phases.hidden_model, 0, n_hidden, model.n_chains, scratch.hidden_model, nullptr,
               stream);
  if (data.levels)
    level_planes(op, static_cast<const int32_t*>(data.data), 0, n_visible, data.n_chains,
                 scratch.visible_data, nullptr, stream);
  return {phase_of(data, scratch.visible_data, scratch.hidden_data),
          phase_of(model, nullptr, scratch.hidden_model), n_hidden, n_visible};
}

}  // namespace ncg::cuda
