// The stand-in for a GPU, tried on kernels whose results are known.
#include <cuda/launch.h>
#include <cuda/ptx.h>
#include <pybind11/pybind11.h>

#include <random>

namespace ncg::cuda {
namespace {

constexpr int kRows = 16, kInner = 32, kColumns = 8;
struct Matrices {
  uint8_t a[kRows][kInner], b[kInner][kColumns];
  int32_t sum[kRows][kColumns];
  bool is_signed;  // b
};

// Registers filled by the tables of the PTX manual for m16n8k32: byte i of register j.
void product_kernel(Matrices* m) {
  const int group = threadIdx.x >> 2, in_group = threadIdx.x % 4;
  uint32_t a[4] = {}, b[2] = {};
  for (int i = 0; i < 16; ++i) {
    const int row = i < 4 || (i >= 8 && i < 12) ? group : group + 8;
    const int column = in_group * 4 + (i & 3) + (i >= 8 ? 16 : 0);
    a[i / 4] |= uint32_t{m->a[row][column]} << 8 * (i % 4);
  }
  for (int i = 0; i < 8; ++i) {
    const int row = in_group * 4 + (i & 3) + (i >= 4 ? 16 : 0);
    b[i / 4] |= uint32_t{m->b[row][group]} << 8 * (i % 4);
  }
  int32_t c[4] = {1, 1, 1, 1};
  if (m->is_signed)
    mma_u8s8(c, a, b[0], b[1]);
  else
    mma_u8u8(c, a, b[0], b[1]);
  for (int i = 0; i < 4; ++i) m->sum[i < 2 ? group : group + 8][in_group * 2 + (i & 1)] = c[i];
}

// How many sums of random matrices differ from a plain loop's.
int wrong_products(bool is_signed) {
  std::mt19937 random(1);
  Matrices m{};
  m.is_signed = is_signed;
  for (auto& row : m.a)
    for (uint8_t& x : row) x = static_cast<uint8_t>(random());
  for (auto& row : m.b)
    for (uint8_t& x : row) x = static_cast<uint8_t>(random());
  launch("product", product_kernel, 1, 32, 0, nullptr, &m);
  int wrong = 0;
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < kColumns; ++j) {
      int want = 1;
      for (int k = 0; k < kInner; ++k) {
        const int b = is_signed ? static_cast<int8_t>(m.b[k][j]) : m.b[k][j];
        want += m.a[i][k] * b;
      }
      wrong += m.sum[i][j] != want;
    }
  return wrong;
}

// Products of a warpgroup: A of 64 x 32 in registers by the tables of the PTX manual, B of 32 x 64
// in shared memory as matrices of 8 columns by 16 bytes. Each step can be left out.
struct GroupMatrices {
  uint8_t a[64][32];
  alignas(16) int8_t b[64][32];  // columns
  int32_t sum[64][64];
  bool shown, begun, committed, ended;
  int n_warps;  // that take part
};
void group_kernel(GroupMatrices* m) {
  constexpr int kHalves = 128, kNext = 256;
  const int warp = threadIdx.x / 32, group = threadIdx.x % 32 >> 2, in_group = threadIdx.x % 4;
  uint8_t* shared = dynamic_shared();
  for (unsigned i = threadIdx.x; i < 128; i += blockDim.x)
    copy_async(shared + i / 16 * kNext + i / 8 % 2 * kHalves + i % 8 * 16,
               m->b[i / 16 * 8 + i % 8] + i / 8 % 2 * 16);
  commit_copies();
  wait_copies<0>();
  if (m->shown) show_copies();
  __syncthreads();
  uint32_t a[4] = {};
  for (int i = 0; i < 16; ++i) {
    const int row = 16 * warp + group + (i / 4 % 2) * 8, k = in_group * 4 + i % 4 + i / 8 * 16;
    a[i / 4] |= uint32_t{m->a[row][k]} << 8 * (i % 4);
  }
  int32_t d[1][8][4];
  for (auto& tile : d[0])
    for (int32_t& x : tile) x = 1;
  const uint64_t b =
      shared_address(shared) / 16 | uint64_t{kHalves / 16} << 16 | uint64_t{kNext / 16} << 32;
  if (m->begun) begin_products();
  if (warp < m->n_warps) {
    multiply(d[0], a, b);
    multiply(d[0], a, b);
  }
  if (m->committed) commit_products();
  if (m->ended) end_products(d);
  for (int i = 0; i < 32; ++i)
    m->sum[16 * warp + group + (i / 2 % 2) * 8][i / 4 * 8 + in_group * 2 + i % 2] =
        d[0][i / 4][i % 4];
}

// How many sums differ from a plain loop's, with all steps or some left out.
int wrong_group_products(bool shown, bool begun, bool committed, bool ended, int n_warps,
                         int n_threads) {
  static GroupMatrices m;
  std::mt19937 random(1);
  for (auto& row : m.a)
    for (uint8_t& x : row) x = static_cast<uint8_t>(random());
  for (auto& column : m.b)
    for (int8_t& x : column) x = static_cast<int8_t>(random());
  m.shown = shown;
  m.begun = begun;
  m.committed = committed;
  m.ended = ended;
  m.n_warps = n_warps;
  launch("group", group_kernel, 1, static_cast<unsigned>(n_threads), 8 * 256, nullptr, &m);
  int wrong = 0;
  for (int i = 0; i < 64; ++i)
    for (int j = 0; j < 64; ++j) {
      int want = 1;
      for (int k = 0; k < 32; ++k) want += 2 * m.a[i][k] * m.b[j][k];
      wrong += m.sum[i][j] != want;
    }
  return wrong;
}

void divergent_kernel(int) {
  if (threadIdx.x != 3) __syncthreads();
}
void divergent_barrier() { launch("divergent", divergent_kernel, 1, 64, 0, nullptr, 0); }

void two_instructions_kernel(int) {
  if (threadIdx.x % 2)
    __syncwarp();
  else
    __ballot_sync(~0u, 1);
}
void divergent_warp() { launch("divergent", two_instructions_kernel, 1, 32, 0, nullptr, 0); }

void overrun_kernel(int n) {
  if (threadIdx.x == 0) dynamic_shared()[n] = 1;
}
void shared_overrun() { launch("overrun", overrun_kernel, 1, 32, 16, nullptr, 16); }

// Every thread of every block tells all blocks of its cluster its number; all add them up.
void cluster_kernel(uint32_t* sums) {
  auto* told = reinterpret_cast<uint32_t*>(dynamic_shared());
  const unsigned n = blockDim.x, all = 4 * n, mine = cluster_rank() * n + threadIdx.x;
  for (unsigned rank = 0; rank < 4; ++rank) store_remote(told + mine, rank, blockIdx.x * n + 1);
  cluster_sync();
  uint32_t sum = 0;
  for (unsigned i = 0; i < all; ++i) sum += told[i];
  sums[blockIdx.x * n + threadIdx.x] = sum;
}
int wrong_cluster_sums() {
  constexpr unsigned kThreads = 32, kBlocks = 8;
  uint32_t sums[kThreads * kBlocks];
  launch_cluster("cluster", cluster_kernel, 4, kBlocks, kThreads, 4 * 4 * kThreads, nullptr, sums);
  int wrong = 0;
  for (unsigned i = 0; i < kThreads * kBlocks; ++i) {
    const unsigned first = i / kThreads / 4 * 4;  // of the cluster
    uint32_t want = 0;
    for (unsigned b = first; b < first + 4; ++b) want += kThreads * (b * kThreads + 1);
    wrong += sums[i] != want;
  }
  return wrong;
}

void remote_overrun_kernel(unsigned rank, int at) {
  store_remote(reinterpret_cast<uint32_t*>(dynamic_shared()) + at, rank, 1);
}
void remote_overrun(unsigned rank, int at) {
  launch_cluster("remote", remote_overrun_kernel, 2, 2, 32, 64, nullptr, rank, at);
}

// What a thread sees of its copies: before it waits, with the last group pending, after all.
struct Seen {
  alignas(16) uint8_t from[32];
  int before, pending, after;
};
void copy_kernel(Seen* seen) {
  uint8_t* to = dynamic_shared();
  if (threadIdx.x != 0) return;
  for (int group = 0; group < 2; ++group) {
    copy_async(to + 16 * group, seen->from + 16 * group);
    commit_copies();
  }
  const auto arrived = [&] {
    return (memcmp(to, seen->from, 16) == 0) + 2 * (memcmp(to + 16, seen->from + 16, 16) == 0);
  };
  seen->before = arrived();
  wait_copies<1>();
  seen->pending = arrived();
  wait_copies<0>();
  seen->after = arrived();
}
pybind11::tuple copies_arrive() {
  Seen seen{};
  launch("copy", copy_kernel, 1, 32, 32, nullptr, &seen);
  return pybind11::make_tuple(seen.before, seen.pending, seen.after);
}

// 32-bit words of the lane's row of each of two matrices, 16-byte rows 0, 1, ... of shared memory.
void matrices_kernel(int* wrong) {
  auto* words = reinterpret_cast<uint32_t*>(dynamic_shared());
  for (unsigned i = threadIdx.x; i < 64; i += 32) words[i] = i;
  __syncthreads();
  uint32_t first, second;
  load_matrices(first, second, words + threadIdx.x % 16 * 4);
  if (first != threadIdx.x || second != 32 + threadIdx.x) ++*wrong;
}
int wrong_matrices() {
  int wrong = 0;
  launch("matrices", matrices_kernel, 1, 32, 256, nullptr, &wrong);
  return wrong;
}

}  // namespace
}  // namespace ncg::cuda

PYBIND11_MODULE(_selftest, m) {
  using namespace ncg::cuda;
  m.def("wrong_products", &wrong_products);
  m.def("wrong_group_products", &wrong_group_products);
  m.def("divergent_barrier", &divergent_barrier);
  m.def("divergent_warp", &divergent_warp);
  m.def("shared_overrun", &shared_overrun);
  m.def("wrong_cluster_sums", &wrong_cluster_sums);
  m.def("remote_overrun", &remote_overrun);
  m.def("copies_arrive", &copies_arrive);
  m.def("wrong_matrices", &wrong_matrices);
}
