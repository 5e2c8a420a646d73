// Sweeps in one launch, both layouts of the digits resident in the shared memory of a cluster.
#pragma once
#include "cuda/sampling/chains.h"

namespace ncg::cuda {

constexpr int kClusterBlocks = 8;

// How a machine's tiles of 8 units and chains are shared out.
struct ClusterPlan {
  int n_words;                      // of chains a cluster
  int hidden_tiles, visible_tiles;  // of a block, at most
  int hidden_inner, visible_inner;  // units by 32
  size_t shared;                    // bytes a block; 0: the machine does not fit

  bool fits() const { return shared > 0; }
};

// For the current device.
ClusterPlan plan_cluster(const Chains& chains);

// from_hidden: hidden_out holds the first half step's draws already, and data_planes are made.
void run_cluster(const Chains& chains, const ClusterPlan& plan, bool from_hidden,
                 cudaStream_t stream);

}  // namespace ncg::cuda
