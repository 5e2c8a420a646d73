// Half steps by tiles: a block makes one panel of 32 units for 32 chains a warp. Digits and states
// of 64 inputs are brought to shared memory while products of earlier ones run. Where that would
// leave most of the GPU idle, a cluster of blocks shares the inputs of a panel and adds up its
// sums.
#include "cuda/sampling/half_step.h"

#include "cuda/backend.h"
#include "cuda/device.h"
#include "cuda/sampling/outcome.h"
#include "cuda/sampling/products.h"
#include "cuda/sampling/split.h"

namespace ncg::cuda {
namespace {

constexpr int kMostWarps = 8, kGroupWarps = 4;         // of a block, of a warpgroup
constexpr int kStages = 4;                             // of digits
constexpr int kBlockTiles = kTiles * kBlock / kInner;  // tiles of a panel's digit by 64 inputs
constexpr int kBlockQuads = kBlock / 4, kInnerQuads = kInner / 4;

constexpr size_t digit_bytes(int n_digits) { return size_t{kBlockTiles} * kTileBytes * n_digits; }
constexpr size_t state_bytes(int n_warps) {
  return sizeof(Octets) * kBlockQuads * static_cast<size_t>(n_warps);
}

// kStages of digits [32 inputs][digit][tile], then two of quads [warp][quad].
template <int kDigits>
struct Stages {
  uint8_t* memory;
  int n_warps;

  __device__ uint8_t* digits(int64_t block) const {
    return memory + block % kStages * digit_bytes(kDigits);
  }
  __device__ Octets* quads(int64_t block) const {
    return reinterpret_cast<Octets*>(memory + kStages * digit_bytes(kDigits) +
                                     block % 2 * state_bytes(n_warps));
  }
  __device__ uint8_t* end() const {
    return memory + kStages * digit_bytes(kDigits) + 2 * state_bytes(n_warps);
  }
  __device__ static int tile(int digit, int inner, int tile) {
    return ((inner * kDigits + digit) * kTiles + tile) * kTileBytes;
  }

  // Begins the copies of one block of 64 inputs, those from `end` on have none. A quarter of a warp
  // writes to all banks.
  __device__ void copy_digits(const Layer& layer, int64_t panel, int64_t block, int64_t end) const {
    const DigitLayout layout{layer.n_out, layer.n_in, kDigits};
    constexpr int kChunks = kPanel * kBlock / 16;
    const int n = block < end ? kChunks * kDigits : 0;
    for (int i = static_cast<int>(threadIdx.x); i < n; i += kWarp * n_warps) {
      const int digit = i / kChunks, row = i / 32 % kTiles * kTile + i % kTile,
                chunk = i / kTile % 4;
      copy_async(
          digits(block) + tile(digit, chunk / 2, row / kTile) + tile_offset(row % kTile, chunk % 2),
          layer.digits.dense + layout.tile(panel, digit, block) + row * kBlock + chunk * 16);
    }
    commit_copies();
  }
};

// The quads of one block of inputs on their way to shared memory: 16 for each word of chains, one a
// thread.
struct QuadsOnTheWay {
  QuadWord states;

  __device__ void load(const States& from, int64_t first_word, int n_words, int64_t block) {
    const int at = static_cast<int>(threadIdx.x);
    if (at >= kBlockQuads * n_words) return;
    states.load(static_cast<const uint64_t*>(from.data), from.n_units,
                ceil_div(from.n_chains, kWord), block * kBlockQuads + at % kBlockQuads,
                first_word + at / kBlockQuads);
  }
  __device__ void store(Octets* quads, int n_words) const {
    const int at = static_cast<int>(threadIdx.x);
    if (at >= kBlockQuads * n_words) return;
    Octets* to = quads + at / kBlockQuads * 2 * kBlockQuads + at % kBlockQuads;
    to[0] = states.half(0);
    to[kBlockQuads] = states.half(1);
  }
};

// Adds the products of a block of inputs: each warp its own, or a warpgroup's that only begin.
template <int kDigits, bool kGroups>
__device__ __forceinline__ void multiply_block(Sums<kDigits>& sums, const Octets* quads,
                                               const uint8_t* digits) {
  uint32_t a[kBlock / kInner][kPairs][4];
#pragma unroll
  for (int inner = 0; inner < kBlock / kInner; ++inner)
    load_states(a[inner], quads + inner * kInnerQuads);
  if constexpr (kGroups) begin_products();
#pragma unroll
  for (int inner = 0; inner < kBlock / kInner; ++inner) {
    const uint8_t* tiles = digits + Stages<kDigits>::tile(0, inner, 0);
    if constexpr (kGroups) {
      // Row 16 warp + r of the product of a pair is row r of that pair of this warp.
      const uint64_t b = tiles_descriptor(tiles);
#pragma unroll
      for (int pair = 0; pair < kPairs; ++pair) multiply(sums[pair], a[inner][pair], b);
    } else {
#pragma unroll
      for (int tile = 0; tile < kDigits * kTiles; ++tile)
        add_products(sums, tile, a[inner], tiles + tile * kTileBytes);
    }
  }
  if constexpr (kGroups) commit_products();
}

// Sums of a warp from packed states. kGroups: by products of warpgroups.
template <int kDigits, bool kGroups>
__device__ __forceinline__ void add_packed(const HalfStep& work, const Stages<kDigits>& stages,
                                           int64_t panel, int64_t first_word, const Inputs& inputs,
                                           Sums<kDigits>& sums) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, n_words = stages.n_warps / 2;
  QuadsOnTheWay next;
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i)
    stages.copy_digits(work.layer, panel, inputs.first + i, inputs.last);
  next.load(work.states, first_word, n_words, inputs.first);
  next.store(stages.quads(inputs.first), n_words);
  for (int64_t block = inputs.first; block < inputs.last; ++block) {
    wait_copies<kStages - 2>();
    if constexpr (kGroups) show_copies();
    __syncthreads();  // this block's stage is there, that of the block before is free
    stages.copy_digits(work.layer, panel, block + kStages - 1, inputs.last);
    next.load(work.states, first_word, n_words, block + 1);
    multiply_block<kDigits, kGroups>(sums, stages.quads(block) + warp * kBlockQuads,
                                     stages.digits(block));
    next.store(stages.quads(block + 1), n_words);
    if constexpr (kGroups) end_products(sums);
  }
}

// The A operands of 16 chains by 32 inputs of levels: the low and the high bytes.
__device__ __forceinline__ void load_levels(uint32_t (&low)[4], uint32_t (&high)[4],
                                            const int32_t* levels, const States& from,
                                            int64_t chain, int64_t input) {
  const int row = lane_id() / 4, column = lane_id() % 4;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int64_t at = chain + row + i % 2 * 8, first = input + 4 * column + i / 2 * 16;
    low[i] = high[i] = 0;
#pragma unroll
    for (int k = 0; k < 4; ++k)
      if (at < from.n_chains && first + k < from.n_units) {
        const auto level = static_cast<uint32_t>(levels[at * from.n_units + first + k]);
        low[i] |= (level & 0xFF) << 8 * k;
        high[i] |= (level >> 8 & 0xFF) << 8 * k;
      }
  }
}

// Three digits of all tiles at once would not fit the registers.
template <int kDigits>
constexpr int kLevelTiles = kDigits == 2 ? kTiles : kTiles / 2;

// x of one pair of a warp's octets and of some tiles from levels: two byte planes, so the sum of
// place p is that of digit p and the low plane and of digit p - 1 and the high plane. Sums of up to
// 2^39 are held as 4096 upper + lower.
template <int kDigits>
__device__ void level_activations(const HalfStep& work, const Stages<kDigits>& stages,
                                  int64_t panel, int first_tile, int64_t chain, float step,
                                  float (&x)[kLevelTiles<kDigits>][4]) {
  constexpr int kCount = kLevelTiles<kDigits>;
  constexpr int kPlaces = kDigits + 1, kLowBits = 12;
  constexpr int64_t kFold = 32768 / kBlock;  // blocks whose products, up to 2 x 255 x 128, fit
  const Layer& layer = work.layer;
  const int64_t n_blocks = ceil_div(layer.n_in, kBlock);
  const auto* levels = static_cast<const int32_t*>(work.states.data);
  int32_t lower[kPlaces][kCount][4] = {}, upper[kPlaces][kCount][4] = {};
  for (int64_t block = 0; block < n_blocks; ++block) {
    __syncthreads();
    stages.copy_digits(layer, panel, block, n_blocks);
    wait_copies<0>();
    __syncthreads();
#pragma unroll 1
    for (int inner = 0; inner < kBlock / kInner; ++inner) {
      uint32_t low[4], high[4];
      load_levels(low, high, levels, work.states, chain, block * kBlock + inner * kInner);
#pragma unroll
      for (int d = 0; d < kDigits; ++d)
#pragma unroll
        for (int tile = 0; tile < kCount; ++tile) {
          uint32_t b[2];
          load_tile(b, stages.digits(block) + Stages<kDigits>::tile(d, inner, first_tile + tile));
          mma_u8s8(lower[d][tile], low, b[0], b[1]);
          mma_u8s8(lower[d + 1][tile], high, b[0], b[1]);
        }
    }
    if (block % kFold != kFold - 1 && block != n_blocks - 1) continue;
#pragma unroll
    for (int p = 0; p < kPlaces; ++p)
#pragma unroll
      for (int tile = 0; tile < kCount; ++tile)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          upper[p][tile][i] += lower[p][tile][i] >> kLowBits;
          lower[p][tile][i] &= (1 << kLowBits) - 1;
        }
  }
  const int64_t unit = panel * kPanel + 2 * (lane_id() % 4);
#pragma unroll
  for (int tile = 0; tile < kCount; ++tile)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t at = unit + (first_tile + tile) * kTile + i % 2;
      x[tile][i] = combine<kPlaces>(step, at < layer.n_out ? layer.bias[at] : 0.f, [&](int p) {
        return static_cast<float>(int64_t{upper[p][tile][i]} * (1 << kLowBits) + lower[p][tile][i]);
      });
    }
}

template <int kDigits, bool kLevelStates>
__global__ void __launch_bounds__(kMostWarps* kWarp, kDigits == 2 && !kLevelStates ? 2 : 1)
    half_step_kernel(HalfStep work, int n_split, float step) {
  if (work.progress != nullptr) {
    if (work.progress->stopped != 0) return;
    work.outcome.draw.step += work.progress->step;
    work.states.data =
        static_cast<const uint8_t*>(work.states.data) + work.progress->batch * work.batch_stride;
  }
  const Stages<kDigits> stages{dynamic_shared(), static_cast<int>(blockDim.x) / kWarp};
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t panels = ceil_div(work.layer.n_out, kPanel), tile = blockIdx.x / n_split;
  const int64_t panel = tile % panels, first_warp = tile / panels * stages.n_warps;
  const int64_t chain = (first_warp + warp) * kWarpChains;
  Activations x;
  if constexpr (kLevelStates) {
    constexpr int kCount = kLevelTiles<kDigits>;
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair)
#pragma unroll
      for (int first = 0; first < kTiles; first += kCount) {
        float some[kCount][4];
        level_activations<kDigits>(work, stages, panel, first, chain + 16 * pair, step, some);
#pragma unroll
        for (int tile = 0; tile < kCount; ++tile)
#pragma unroll
          for (int i = 0; i < 4; ++i) x[pair][first + tile][i] = some[tile][i];
      }
  } else {
    const Split split{n_split, static_cast<int>(blockIdx.x) % n_split,
                      reinterpret_cast<uint32_t*>(stages.end())};
    if (n_split > 1) cluster_sync();  // all blocks are there
    const Inputs inputs = split.inputs(ceil_div(work.layer.n_in, kBlock));
    Sums<kDigits> sums = {};
    if (has_warpgroup_products() && stages.n_warps % kGroupWarps == 0)
      add_packed<kDigits, true>(work, stages, panel, first_warp / 2, inputs, sums);
    else
      add_packed<kDigits, false>(work, stages, panel, first_warp / 2, inputs, sums);
    if (n_split > 1) split.add_up<kDigits>(sums);
    if (!split.finishes(warp)) return;
    activate<kDigits>(sums, work.layer, panel, step, x);
  }
  const int64_t n_chains = work.states.n_chains, words = ceil_div(n_chains, kWord);
  const int64_t n_out = work.layer.n_out;
  auto* to = reinterpret_cast<uint32_t*>(work.outcome.packed);
  settle(x, {panel, chain, 0, kTiles}, work.outcome, n_out, n_chains,
         [&](const QuadPlace& place, uint32_t quad) {
           const uint32_t chains = quads_to_unit(quad);
           const int64_t unit = panel * kPanel + place.tile * kTile + place.quad * 4 + place.octet;
           if (unit < n_out && chain < words * kWord)
             to[unit * words * 2 + chain / kWarpChains] = chains;
         });
}

struct Plan {
  int n_warps, n_split;
  int64_t n_tiles;

  size_t shared(int n_digits) const {
    return kStages * digit_bytes(n_digits) + 2 * state_bytes(n_warps) +
           split_bytes(n_digits, n_warps, n_split);
  }
};

bool clusters_fit(const char* op) {
  static AskedOnce asked;
  constexpr Plan kLargest{kGroupWarps, kMostSplit, 1};
  return asked(op, [&] {
    return has_room_for_cluster(half_step_kernel<3, false>, kMostSplit, kGroupWarps * kWarp,
                                kLargest.shared(3));
  });
}

// As many warps as there are chains for share a panel's digits while that leaves enough blocks for
// the whole GPU; at least a warpgroup where there are such products. Blocks that are too few even
// so share their inputs.
Plan plan_of(const char* op, const HalfStep& work, int64_t panels, int64_t words) {
  constexpr int64_t kEnough = 264, kFewestInputs = 8;  // blocks of a GPU, of inputs
  const int capability = compute_capability(op);
  const bool groups = !work.states.are_levels() && words > 1 && capability == 9;
  const auto tiles = [&](int n_warps) { return panels * ceil_div(2 * words, n_warps); };
  Plan plan{kMostWarps, 1, 0};
  while (plan.n_warps > (groups ? kGroupWarps : 2) &&
         (plan.n_warps >= 4 * words || tiles(plan.n_warps) < kEnough))
    plan.n_warps /= 2;
  plan.n_tiles = tiles(plan.n_warps);
  if (work.states.are_levels() || capability < 9 || plan.n_tiles * 2 > kEnough) return plan;
  const int64_t most = ceil_div(work.layer.n_in, kBlock) / kFewestInputs;
  if (most < 2 || !clusters_fit(op)) return plan;
  while (plan.n_split < kMostSplit && plan.n_split * 2 <= most &&
         plan.n_tiles * plan.n_split * 2 <= kEnough)
    plan.n_split *= 2;
  return plan;
}

template <int kDigits, bool kLevelStates>
void launch_half_step(const char* op, const HalfStep& work, cudaStream_t stream) {
  const Plan plan =
      plan_of(op, work, ceil_div(work.layer.n_out, kPanel), ceil_div(work.states.n_chains, kWord));
  const double step = work.layer.digits.step();
  launch_cluster(op, half_step_kernel<kDigits, kLevelStates>, static_cast<unsigned>(plan.n_split),
                 dim3(static_cast<unsigned>(plan.n_tiles * plan.n_split)),
                 static_cast<unsigned>(kWarp * plan.n_warps), plan.shared(kDigits), stream, work,
                 plan.n_split, static_cast<float>(kLevelStates ? step / kLevels : step));
}

}  // namespace

void half_step(const char* op, const HalfStep& work, cudaStream_t stream) {
  const bool two = work.layer.digits.n_digits == 2;
  if (work.states.are_levels())
    (two ? launch_half_step<2, true> : launch_half_step<3, true>)(op, work, stream);
  else
    (two ? launch_half_step<2, false> : launch_half_step<3, false>)(op, work, stream);
}

void mean(const Layer& layer, const States& states, float* mean, const Run& run) {
  Outcome wanted{};
  wanted.mean = mean;
  half_step("mean", {layer, states, 0, nullptr, wanted}, stream_of(run));
}

void sample(const Layer& layer, const States& states, const Draw& draw, uint64_t* packed,
            const Run& run) {
  Outcome wanted{};
  wanted.packed = packed;
  wanted.draw = draw;
  half_step("sample", {layer, states, 0, nullptr, wanted}, stream_of(run));
}

}  // namespace ncg::cuda
