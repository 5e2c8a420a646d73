// One cluster of eight blocks runs all sweeps of its chains: each block keeps the digits of its
// share of the hidden and of the visible units, makes their states, and stores them to every block.
#include "cuda/sampling/chains_cluster.h"

#include "cuda/device.h"
#include "cuda/sampling/outcome.h"
#include "cuda/sampling/products.h"

namespace ncg::cuda {
namespace {

constexpr char kOp[] = "gibbs_steps";
constexpr int kWarps = 8, kInnerQuads = kInner / 4;

// One direction as a block sees it: the digits of its tiles [tile][32 inputs][digit].
struct Share {
  Layer layer;
  uint8_t* digits;
  int first_tile, last_tile;  // of the layer's tiles of 8 units
  int n_inner;                // inputs by 32

  __device__ int pieces() const {
    return first_tile < last_tile ? (last_tile - 1) / kTiles - first_tile / kTiles + 1 : 0;
  }
};

__device__ Share share_of(const Layer& layer, int tiles, int inner, uint8_t* digits) {
  const int all = static_cast<int>(ceil_div(layer.n_out, kTile));
  const int first = static_cast<int>(cluster_rank()) * tiles;
  return {layer, digits, first, first + tiles < all ? first + tiles : all, inner};
}

// Begins the copies of a share's digits.
template <int kDigits>
__device__ void copy_share(const Share& share) {
  const DigitLayout layout{share.layer.n_out, share.layer.n_in, kDigits};
  constexpr int kChunks = kTileBytes / 16;
  const int n = (share.last_tile - share.first_tile) * share.n_inner * kDigits * kChunks;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += kWarps * kWarp) {
    const int half = i % 2, row = i / 2 % kTile, digit = i / kChunks % kDigits,
              inner = i / (kChunks * kDigits) % share.n_inner,
              own = i / (kChunks * kDigits) / share.n_inner;
    const int tile = share.first_tile + own;
    const int8_t* from =
        share.layer.digits.dense + layout.tile(tile / kTiles, digit, inner / (kBlock / kInner)) +
        (tile % kTiles * kTile + row) * kBlock + inner % (kBlock / kInner) * kInner + half * 16;
    copy_async(share.digits + i / kChunks * kTileBytes + tile_offset(row, half), from);
  }
}

// States of the cluster's chains, [32 chains][quad].
struct StateQuads {
  Octets* octets;
  int n_quads;  // 32 chains each

  __device__ Octets* of(int group) const { return octets + group * n_quads; }
  __device__ void load(const uint64_t* packed, int64_t n_units, int64_t words, int64_t first_word,
                       int n_words) const {
    for (int i = static_cast<int>(threadIdx.x); i < n_words * n_quads; i += kWarps * kWarp) {
      const int word = i / n_quads, quad = i % n_quads;
      QuadWord states;
      states.load(packed, n_units, words, quad, first_word + word);
      of(2 * word)[quad] = states.half(0);
      of(2 * word + 1)[quad] = states.half(1);
    }
  }
  // The blocks of the cluster share the work.
  __device__ void store(uint64_t* packed, int64_t n_units, int64_t words, int64_t first_word,
                        int n_words) const {
    const int first = static_cast<int>(cluster_rank() * kWarps * kWarp + threadIdx.x);
    for (int i = first; i < n_words * n_quads; i += kClusterBlocks * kWarps * kWarp) {
      const int word = i / n_quads, quad = i % n_quads;
      Octets low = of(2 * word)[quad], high = of(2 * word + 1)[quad];
      transpose_bytes(low.octet);
      transpose_bytes(high.octet);
#pragma unroll
      for (int j = 0; j < 4; ++j)
        if (4 * quad + j < n_units && first_word + word < words)
          packed[(4 * quad + j) * words + first_word + word] =
              low.octet[j] | uint64_t{high.octet[j]} << 32;
    }
  }
};

// x of a piece of a share for one group of 32 chains.
template <int kDigits>
__device__ void share_activations(const Share& share, const Octets* states, const Piece& piece,
                                  float step, Activations& x) {
  Sums<kDigits> sums = {};
  const int tile_bytes = share.n_inner * kDigits * kTileBytes;
  const uint8_t* digits =
      share.digits + (static_cast<int>(piece.panel) * kTiles - share.first_tile) * tile_bytes;
#pragma unroll 1
  for (int inner = 0; inner < share.n_inner; ++inner) {
    uint32_t a[kPairs][4];
    load_states(a, states + inner * kInnerQuads);
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      if (!piece.has(tile)) continue;
#pragma unroll
      for (int d = 0; d < kDigits; ++d)
        add_products(sums, d * kTiles + tile, a,
                     digits + tile * tile_bytes + (inner * kDigits + d) * kTileBytes);
    }
  }
  activate<kDigits>(sums, share.layer, piece.panel, step, x);
}

// One half step of the cluster's chains: draws go to `to` in every block.
template <int kDigits>
__device__ void share_half_step(const Share& share, const StateQuads& from, const StateQuads& to,
                                int64_t first_chain, int n_groups, int64_t n_chains, float step,
                                const Outcome& outcome) {
  const int n_items = share.pieces() * n_groups;
  for (int item = static_cast<int>(threadIdx.x) / kWarp; item < n_items; item += kWarps) {
    const int panel = share.first_tile / kTiles + item / n_groups, group = item % n_groups;
    const int first = share.first_tile - panel * kTiles, last = share.last_tile - panel * kTiles;
    const Piece piece{panel, first_chain + group * kWarpChains, first > 0 ? first : 0,
                      last < kTiles ? last : kTiles};
    Activations x;
    share_activations<kDigits>(share, from.of(group), piece, step, x);
    settle(x, piece, outcome, share.layer.n_out, n_chains,
           [&](const QuadPlace& place, uint32_t quad) {
             if (!piece.has(place.tile)) return;
             const int at = panel * (kPanel / 4) + place.tile * 2 + place.quad;
             uint32_t* octet = &to.of(group)[at].octet[place.octet];
#pragma unroll
             for (uint32_t rank = 0; rank < kClusterBlocks; ++rank) store_remote(octet, rank, quad);
           });
  }
}

template <int kDigits>
__global__ void __launch_bounds__(kWarps* kWarp, 1)
    chains_kernel(Chains c, ClusterPlan plan, bool from_hidden, float step) {
  if (c.progress != nullptr) {
    if (c.progress->stopped != 0) return;
    c.draw.step += c.progress->step;
    c.data.data = static_cast<const uint8_t*>(c.data.data) + c.progress->batch * c.batch_stride;
  }
  const int64_t words = ceil_div(c.n_chains, kWord), n_visible = c.to_visible.n_out,
                n_hidden = c.to_hidden.n_out;
  const int64_t first_word = int64_t{blockIdx.x / kClusterBlocks} * plan.n_words,
                first_chain = first_word * kWord;
  const int n_groups = 2 * plan.n_words;
  const StateQuads visible{reinterpret_cast<Octets*>(dynamic_shared()),
                           plan.visible_inner * kInnerQuads};
  const StateQuads hidden{visible.of(n_groups), plan.hidden_inner * kInnerQuads};
  auto* digits = reinterpret_cast<uint8_t*>(hidden.of(n_groups));
  const Share to_hidden = share_of(c.to_hidden, plan.hidden_tiles, plan.visible_inner, digits);
  digits += plan.hidden_tiles * plan.visible_inner * kDigits * kTileBytes;
  const Share to_visible = share_of(c.to_visible, plan.visible_tiles, plan.hidden_inner, digits);
  copy_share<kDigits>(to_hidden);
  copy_share<kDigits>(to_visible);
  commit_copies();
  const auto* start = static_cast<const uint64_t*>(c.data.data);
  if (from_hidden)
    hidden.load(c.hidden_out, n_hidden, words, first_word, plan.n_words);
  else
    visible.load(c.persistent != nullptr ? c.persistent : start, n_visible, words, first_word,
                 plan.n_words);
  wait_copies<0>();
  cluster_sync();

  Outcome outcome{};
  for (int64_t t = 0; t < c.n_steps; ++t) {
    outcome.packed = c.hidden_out;  // draws are wanted
    if (t > 0 || !from_hidden) {
      outcome.planes = t == 0 && c.persistent == nullptr ? c.data_planes : nullptr;
      outcome.draw = c.draw.of_hidden(t);
      outcome.clamped = nullptr;
      outcome.base_bias = nullptr;
      share_half_step<kDigits>(to_hidden, visible, hidden, first_chain, n_groups, c.n_chains, step,
                               outcome);
      cluster_sync();
    }
    outcome.planes = nullptr;
    outcome.draw = c.draw.of_visible(t);
    outcome.clamped = c.clamped;
    outcome.start = start;
    outcome.base_bias = c.base_bias;
    share_half_step<kDigits>(to_visible, hidden, visible, first_chain, n_groups, c.n_chains, step,
                             outcome);
    cluster_sync();
  }
  if (c.model_planes != nullptr) {
    outcome = {};
    outcome.planes = c.model_planes;
    share_half_step<kDigits>(to_hidden, visible, hidden, first_chain, n_groups, c.n_chains, step,
                             outcome);
  }
  visible.store(c.persistent != nullptr ? c.persistent : c.visible_out, n_visible, words,
                first_word, plan.n_words);
  hidden.store(c.hidden_out, n_hidden, words, first_word, plan.n_words);
}

// Whether the current device has room for a cluster whose blocks take `most` bytes.
bool has_room(size_t most) {
  static AskedOnce asked;
  return asked(kOp, [&] {
    return has_room_for_cluster(chains_kernel<2>, kClusterBlocks, kWarps * kWarp, most);
  });
}

}  // namespace

ClusterPlan plan_cluster(const Chains& c) {
  constexpr int kClusters = 16;          // at once on an H100: more chains go two words a cluster
  constexpr int64_t kLargest = 1 << 14;  // units; far more than fit
  const int64_t n_hidden = c.to_hidden.n_out, n_visible = c.to_visible.n_out;
  if (n_hidden > kLargest || n_visible > kLargest) return {};
  if (compute_capability(kOp) < 9) return {};
  const auto most =
      static_cast<size_t>(device_attribute(kOp, cudaDevAttrMaxSharedMemoryPerBlockOptin));
  if (!has_room(most)) return {};
  const auto parts = [](int64_t n, int64_t size) { return static_cast<int>(ceil_div(n, size)); };
  ClusterPlan plan{};
  plan.hidden_tiles = parts(n_hidden, kTile * kClusterBlocks);
  plan.visible_tiles = parts(n_visible, kTile * kClusterBlocks);
  plan.hidden_inner = parts(n_hidden, kInner);
  plan.visible_inner = parts(n_visible, kInner);
  const int tiles = plan.hidden_tiles * plan.visible_inner + plan.visible_tiles * plan.hidden_inner;
  const int quads = (plan.hidden_inner + plan.visible_inner) * kInnerQuads;
  for (plan.n_words = c.n_chains > kClusters * kWord ? 2 : 1; plan.n_words > 0; --plan.n_words) {
    plan.shared = size_t{kTileBytes} * static_cast<size_t>(tiles * c.to_hidden.digits.n_digits) +
                  sizeof(Octets) * static_cast<size_t>(quads * 2 * plan.n_words);
    if (plan.shared <= most) return plan;
  }
  return {};
}

void run_cluster(const Chains& c, const ClusterPlan& plan, bool from_hidden, cudaStream_t stream) {
  const int n_digits = c.to_hidden.digits.n_digits;
  const auto clusters = static_cast<unsigned>(ceil_div(ceil_div(c.n_chains, kWord), plan.n_words));
  launch_cluster(kOp, n_digits == 2 ? chains_kernel<2> : chains_kernel<3>, kClusterBlocks,
                 dim3(clusters * kClusterBlocks), kWarps * kWarp, plan.shared, stream, c, plan,
                 from_hidden, c.to_hidden.digits.step());
}

}  // namespace ncg::cuda
