// The ops ncg_update, update_from_sums and gradient_update: sums of both phases or gradients, W, S,
// mask, momentum, biases and the digits of both layouts in one pass, and what the update reports,
// reduced on the device.
#include <type_traits>

#include "cuda/backend.h"
#include "cuda/launch.h"
#include "cuda/update/bias_sums.h"
#include "cuda/update/centring.h"
#include "cuda/update/ncg_update.h"
#include "cuda/update/tile_sums.h"

namespace ncg::cuda {
namespace {

constexpr uint32_t kInfinityBits = 0x7F800000;

struct DeviceRates {
  float lr, lr_strength, momentum, minus_decay, inverse_step, limit;
};

// What a block needs. Of n_blocks blocks, in one launch or two, the first n_tiles take pairs, the
// rest biases.
template <class Source>
struct UpdateWork {
  Parameters parameters;
  Source source;  // PhasePair, CentredPhases, GivenSums or GivenGradients
  DeviceRates rates;
  Report report;
  int64_t n_tiles, n_blocks;
  int64_t first_block;  // of this launch
};

// Of the batch at hand, until the update is finished.
template <class Source>
__device__ __forceinline__ DeviceRates rates_now(const UpdateWork<Source>& work) {
  DeviceRates rates = work.rates;
  if (work.report.lr_factors != nullptr) {
    const float factor = work.report.lr_factors[work.report.progress->batch];
    rates.lr = mul(rates.lr, factor);
    rates.lr_strength = mul(rates.lr_strength, factor);
  }
  return rates;
}

// A thread's part of what an update reports. Values as integers without their sign: NaN > infinity
// > finite, so nothing bad is lost.
struct Found {
  uint32_t magnitude = 0;
  int32_t on = 0, off = 0;

  __device__ __forceinline__ void see(float value, uint32_t least) {
    const uint32_t bits = static_cast<uint32_t>(as_bits(value)) & 0x7FFFFFFFu;
    if (bits >= least && bits > magnitude) magnitude = bits;
  }
};

// What is read of a pair before anything of its row is written.
struct Pair {
  float weight, velocity, strength;
  bool there, learned, on;
};

__device__ __forceinline__ Pair load_pair(const Parameters& p, int row, int column) {
  Pair pair{};
  pair.there = row < p.n_hidden && column < p.n_visible;
  if (!pair.there) return pair;
  pair.learned = p.strength != nullptr && column < p.n_visible - p.n_labels;
  const int64_t at = int64_t{row} * p.n_visible + column;
  pair.weight = p.weight[at];
  pair.on = p.mask[at] != 0;
  if (p.weight_velocity != nullptr) pair.velocity = p.weight_velocity[at];
  if (pair.learned) pair.strength = p.strength[at];
  return pair;
}

// What a pair's weight and its strength ascend by.
struct Ascent {
  float of_weight, of_strength;
};

// Of a pair: its units, and its number.
struct Place {
  int row, column;
  int64_t pair;
};

template <class Source, int kColumns, class Sum>
__device__ __forceinline__ Ascent ascent_of(const Source& source, const Pair& pair,
                                            const TileSums<kColumns, Sum>& sums, int r, int c,
                                            const Place&) {
  const float g = difference(source.means.pair, sums.data[r][c], sums.model[r][c]);
  return {g, mul(pair.weight, g)};
}
template <int kColumns, class Sum>
__device__ __forceinline__ Ascent ascent_of(const CentredPhases& both, const Pair& pair,
                                            const TileSums<kColumns, Sum>& sums, int r, int c,
                                            const Place& at) {
  const float g = centred(difference(both.means.pair, sums.data[r][c], sums.model[r][c]),
                          both.differences[at.row], both.offsets.visible[at.column],
                          both.offsets.hidden[at.row], both.differences[both.n_hidden + at.column]);
  return {g, mul(pair.weight, g)};
}
template <int kColumns, class Sum>
__device__ __forceinline__ Ascent ascent_of(const GivenGradients& given, const Pair& pair,
                                            const TileSums<kColumns, Sum>&, int, int,
                                            const Place& at) {
  return {ascent(given.gradients.by_weight, at.pair),
          pair.learned ? ascent(given.gradients.by_strength, at.pair) : 0.f};
}

// The bytes of the pair's new digits.
__device__ __forceinline__ int32_t update_pair(const Parameters& p, const DeviceRates& rates,
                                               const Pair& pair, int64_t at, const Ascent& ascent,
                                               Found& found) {
  const float w = pair.weight, g = ascent.of_weight;
  float direction = rates.minus_decay != 0.f ? fma(rates.minus_decay, w, g) : g;
  if (p.weight_velocity != nullptr) {
    direction = pair.on ? fma(rates.momentum, pair.velocity, direction) : 0.f;
    p.weight_velocity[at] = direction;
  }
  const float moved = pair.on ? fma(rates.lr, direction, w) : w;
  p.weight[at] = moved;

  bool on = pair.on;
  if (pair.learned) {
    const float s = fma(rates.lr_strength, ascent.of_strength, pair.strength);
    found.see(s, kInfinityBits + 1);
    on = s > 0.5f || (on && !(s < 0.5f));
    p.mask[at] = on;
    found.on += on && !pair.on;
    found.off += pair.on && !on;
    p.strength[at] = s > 1.f ? 1.f : s < 0.f ? 0.f : s;
  }
  const float weight = on ? moved : 0.f;
  found.see(weight, 0);
  float q = round_even(mul(weight, rates.inverse_step));
  q = q < rates.limit ? q : rates.limit;
  q = q > -rates.limit ? q : -rates.limit;
  const int32_t bias = digit_bias(p.to_hidden.n_digits);
  return (static_cast<int32_t>(q) + bias) ^ bias;
}

// All pairs of a tile; the bytes of their digits take the place of the sums of the data.
template <int kColumns, class Sum, class Source>
__device__ __forceinline__ void update_pairs(const UpdateWork<Source>& work, const Tile& tile,
                                             TileSums<kColumns, Sum>& sums, Found& found) {
  const DeviceRates rates = rates_now(work);
  constexpr int kAtOnce = kColumns / 32;  // of a lane, whose loads overlap
  const int lane = threadIdx.x % 32;
  Terms<Source> terms;
  for (int r = threadIdx.x / 32; r < kTileRows; r += kTileWarps) {
    const int row = tile.row + r;
    Pair pairs[kAtOnce];
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j)
      pairs[j] = load_pair(work.parameters, row, tile.column + lane + 32 * j);
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      const int c = lane + 32 * j;
      const int column = tile.column + c;
      const Place at{row, column, int64_t{row} * work.parameters.n_visible + column};
      int32_t bytes = 0;
      if (pairs[j].there) {
        const Ascent ascent = ascent_of(work.source, pairs[j], sums, r, c, at);
        terms.add(work.source, tile, sums, r, c, pairs[j].on ? ascent.of_weight : 0.f);
        bytes = update_pair(work.parameters, rates, pairs[j], at.pair, ascent, found);
      }
      sums.data[r][c] = bytes;
    }
    terms.end_row(work.source, row);
  }
}

// Digits of 16 inputs of one output; cells of the inputs are `stride` apart.
template <class Cell>
__device__ __forceinline__ void put_digits(const DigitLayout& layout, int8_t* digits,
                                           int64_t output, int64_t input, const Cell* cells,
                                           int stride) {
  const int64_t panel = output / kPanel, block = input / kBlock;
  if (panel >= layout.panels() || block >= layout.blocks()) return;
  uint32_t bytes[16];
#pragma unroll
  for (int i = 0; i < 16; ++i) bytes[i] = static_cast<uint32_t>(cells[i * stride]);
  for (int d = 0; d < layout.n_digits; ++d) {
    const auto four = [&](int i) {
      return (bytes[i] >> 8 * d & 255) | (bytes[i + 1] >> 8 * d & 255) << 8 |
             (bytes[i + 2] >> 8 * d & 255) << 16 | (bytes[i + 3] >> 8 * d & 255) << 24;
    };
    int8_t* to = digits + layout.tile(panel, d, block) + output % kPanel * kBlock + input % kBlock;
    *reinterpret_cast<uint4*>(to) = {four(0), four(4), four(8), four(12)};
  }
}

template <int kColumns, class Sum>
__device__ __forceinline__ void write_digits(const Parameters& p, const Tile& tile,
                                             const TileSums<kColumns, Sum>& sums) {
  const DigitLayout to_hidden{p.n_hidden, p.n_visible, p.to_hidden.n_digits},
      to_visible{p.n_visible, p.n_hidden, p.to_visible.n_digits};
  constexpr int kAcross = kColumns / 16, kDown = kTileRows / 16;
  for (int i = threadIdx.x; i < kTileRows * kAcross; i += kTileThreads) {
    const int r = i / kAcross, c = i % kAcross * 16;
    put_digits(to_hidden, p.to_hidden.dense, tile.row + r, tile.column + c, &sums.data[r][c], 1);
  }
  for (int i = threadIdx.x; i < kColumns * kDown; i += kTileThreads) {
    const int r = i % kDown * 16, c = i / kDown;
    put_digits(to_visible, p.to_visible.dense, tile.column + c, tile.row + r, &sums.data[r][c],
               kColumns + 1);
  }
}

// One warp a unit.
template <class Source>
__device__ __forceinline__ void update_bias(const UpdateWork<Source>& work, int64_t block,
                                            Found& found) {
  const Parameters& p = work.parameters;
  const int64_t unit = block * kTileWarps + threadIdx.x / 32;
  if (unit >= p.n_hidden + p.n_visible) return;
  float direction = bias_gradient(work.source, unit);
  if (threadIdx.x % 32 > 0) return;
  const DeviceRates rates = rates_now(work);
  const bool hidden = unit < p.n_hidden;
  const int64_t i = hidden ? unit : unit - p.n_hidden;
  float* bias = hidden ? p.hidden_bias : p.visible_bias;
  float* velocity = hidden ? p.hidden_velocity : p.visible_velocity;
  if (velocity != nullptr) velocity[i] = direction = fma(rates.momentum, velocity[i], direction);
  bias[i] = fma(rates.lr, direction, bias[i]);
  found.see(bias[i], kInfinityBits);
}

// Of one thread, when all blocks have added what they found: what they found is reported, the tally
// is 0 again, the sequence of batches moves on.
__device__ __forceinline__ void finish_update(const Report& report) {
  Tally& tally = *report.tally;
  const double max_abs = as_float(static_cast<int32_t>(atomicExch(&tally.magnitude, 0u)));
  double on = static_cast<double>(atomicExch(&tally.on, 0ull)),
         off = static_cast<double>(atomicExch(&tally.off, 0ull));
  tally.n_done = 0;
  if (Progress* progress = report.progress) {
    if (progress->batch > 0) {
      on += report.found[1];
      off += report.found[2];
    }
    progress->step += report.n_steps;
    progress->batch += 1;
    if (!(max_abs >= report.least && max_abs <= report.most)) progress->stopped = 1;
    report.found[3] = static_cast<double>(progress->batch);
  }
  report.found[0] = max_abs;
  report.found[1] = on;
  report.found[2] = off;
}

// Of each of n_blocks blocks; the last one finishes.
__device__ __forceinline__ void add_found(const Report& report, Found found, int64_t n_blocks) {
  for (int other = 16; other > 0; other /= 2) {
    const uint32_t magnitude = __shfl_xor_sync(~0u, found.magnitude, other);
    found.magnitude = magnitude > found.magnitude ? magnitude : found.magnitude;
    found.on += __shfl_xor_sync(~0u, found.on, other);
    found.off += __shfl_xor_sync(~0u, found.off, other);
  }
  Tally& tally = *report.tally;
  if (threadIdx.x % 32 == 0) {
    atomicMax(&tally.magnitude, found.magnitude);
    if (found.on > 0) atomicAdd(&tally.on, static_cast<unsigned long long>(found.on));
    if (found.off > 0) atomicAdd(&tally.off, static_cast<unsigned long long>(found.off));
    __threadfence();
  }
  __syncthreads();
  if (threadIdx.x == 0 && atomicAdd(&tally.n_done, 1u) == n_blocks - 1) {
    __threadfence();
    finish_update(report);
  }
}

template <int kColumns, class Sum, class Source>
__global__ void __launch_bounds__(kTileThreads, 2) update_kernel(const UpdateWork<Source> work) {
  if (work.report.progress != nullptr && work.report.progress->stopped) return;
  Found found;
  const int64_t block = work.first_block + blockIdx.x;
  if (block < work.n_tiles) {
    using Memory = TileMemory<kColumns, Sum>;
    Memory& memory = *reinterpret_cast<Memory*>(dynamic_shared());
    const Tile tile = tile_of<kColumns>(block, work.source.n_visible);
    sum_tile<kColumns, Sum>(work.source, tile, memory);
    update_pairs<kColumns, Sum>(work, tile, memory.sums, found);
    __syncthreads();
    add_column_terms(work.source, tile, memory.sums);
    write_digits<kColumns, Sum>(work.parameters, tile, memory.sums);
  } else {
    update_bias(work, block - work.n_tiles, found);
  }
  add_found(work.report, found, work.n_blocks);
}

// Blocks first .. last - 1.
template <int kColumns, class Sum, class Source>
void run_blocks(const char* op, UpdateWork<Source> work, int64_t first, int64_t last,
                cudaStream_t stream) {
  work.first_block = first;
  launch(op, update_kernel<kColumns, Sum, Source>, dim3(static_cast<unsigned>(last - first)),
         kTileThreads, sizeof(TileMemory<kColumns, Sum>), stream, work);
}

template <int kColumns, class Sum, class Source>
void run(const char* op, UpdateWork<Source> work, cudaStream_t stream) {
  const int64_t n_hidden = work.source.n_hidden, n_visible = work.source.n_visible,
                of_units = ceil_div(n_hidden + n_visible, kTileWarps);
  work.n_tiles = ceil_div(n_hidden, kTileRows) * ceil_div(n_visible, kColumns);
  // At least one block: an update of nothing reports, too.
  work.n_blocks = work.n_tiles + of_units > 0 ? work.n_tiles + of_units : 1;
  if constexpr (std::is_same_v<Source, CentredPhases>) {
    launch(op, centring_kernel, dim3(static_cast<unsigned>(of_units)), kTileThreads, 0, stream,
           work.source, work.report.progress);
    run_blocks<kColumns, Sum>(op, work, 0, work.n_tiles, stream);
    run_blocks<kColumns, Sum>(op, work, work.n_tiles, work.n_blocks, stream);  // after all terms
  } else {
    run_blocks<kColumns, Sum>(op, work, 0, work.n_blocks, stream);
  }
}

template <class Source>
UpdateWork<Source> work_of(const Parameters& parameters, const Source& source, const Rates& rates,
                           const Report& report) {
  const Digits& digits = parameters.to_hidden;
  return {parameters,
          source,
          {rates.lr, rates.lr_strength, rates.momentum, -rates.weight_decay, digits.inverse_step(),
           digit_limit(digits.n_digits)},
          report,
          0,
          0,
          0};
}

// Of a single update, whose tally begins at 0.
Report report_to(const char* op, double* found, Tally* tally, cudaStream_t stream) {
  check(op, cudaMemsetAsync(tally, 0, sizeof(Tally), stream));
  return {found, tally, nullptr, 0, 0, 0};
}

template <class Source>
void run_planes(const char* op, const Parameters& parameters, const Source& both,
                const Rates& rates, const Report& report, cudaStream_t stream) {
  constexpr bool kWide = !std::is_same_v<Source, CentredPhases>;  // else registers spill
  const UpdateWork<Source> work = work_of(parameters, both, rates, report);
  if (!both.narrow())
    run<64, int64_t>(op, work, stream);
  else if (!kWide || both.n_hidden * both.n_visible < kManyPairs)
    run<64, int32_t>(op, work, stream);
  else if constexpr (kWide)
    run<128, int32_t>(op, work, stream);
}

}  // namespace

void update_from_planes(const char* op, const Parameters& parameters, const CentredPhases& both,
                        const Rates& rates, const Report& report, cudaStream_t stream) {
  if (both.offsets.given())
    run_planes(op, parameters, both, rates, report, stream);
  else
    run_planes<PhasePair>(op, parameters, both, rates, report, stream);
}

void ncg_update(const Update& op, double* found, const Run& run_on) {
  constexpr char kOp[] = "ncg_update_";
  const cudaStream_t stream = stream_of(run_on);
  const Parameters& p = op.parameters;
  const States &data = op.phases.data.visible, &model = op.phases.model.visible;
  const auto scratch = scratch_of<PhaseScratch>(
      run_on, {p.n_hidden, p.n_visible, data.n_chains, model.n_chains, data.format});
  const PhasePair both = pair_planes(kOp, op.phases, p.n_hidden, scratch, stream);
  update_from_planes(kOp, p, with_offsets(both, op.offsets, scratch), op.rates,
                     report_to(kOp, found, scratch.tally, stream), stream);
}

void update_from_sums(const UpdateFromSums& op, double* found, const Run& run_on) {
  constexpr char kOp[] = "update_from_sums_";
  const cudaStream_t stream = stream_of(run_on);
  const Parameters& p = op.parameters;
  const auto scratch = scratch_of<PhaseScratch>(run_on, {});
  const GivenSums given{op.data, op.model, p.n_hidden, p.n_visible,
                        phase_means(op.data_format, op.n_rows, op.n_chains)};
  const Report report = report_to(kOp, found, scratch.tally, stream);
  run<64, int64_t>(kOp, work_of(p, given, op.rates, report), stream);
}

void gradient_update(const UpdateByGradients& op, double* found, const Run& run_on) {
  constexpr char kOp[] = "gradient_update_";
  const cudaStream_t stream = stream_of(run_on);
  const Parameters& p = op.parameters;
  const auto scratch = scratch_of<PhaseScratch>(run_on, {});
  const GivenGradients given{op.gradients, p.n_hidden, p.n_visible};
  const Report report = report_to(kOp, found, scratch.tally, stream);
  run<64, int32_t>(kOp, work_of(p, given, op.rates, report), stream);
}

}  // namespace ncg::cuda
