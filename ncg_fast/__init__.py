"""Restricted Boltzmann machines with learned connections: Network Connectivity Gradients (NCG)."""

from importlib.metadata import version

from ncg_fast import connectivity, data, ops, optim, sampling
from ncg_fast.deep import DeepBeliefNetwork
from ncg_fast.evaluation import (
    diagnostics,
    log_likelihood,
    log_partition,
    log_partition_ais,
    log_partition_bounds,
    pseudo_log_likelihood,
)
from ncg_fast.evaluation.classification import accuracy, classify, with_labels
from ncg_fast.model.rbm import RBM
from ncg_fast.training.checkpoint import load, save
from ncg_fast.training.fit import fit
from ncg_fast.training.history import EpochRecord, History

__version__ = version("ncg_fast")
__all__ = [
    "RBM",
    "DeepBeliefNetwork",
    "EpochRecord",
    "History",
    "__version__",
    "accuracy",
    "classify",
    "connectivity",
    "data",
    "diagnostics",
    "fit",
    "load",
    "log_likelihood",
    "log_partition",
    "log_partition_ais",
    "log_partition_bounds",
    "ops",
    "optim",
    "pseudo_log_likelihood",
    "sampling",
    "save",
    "with_labels",
]
