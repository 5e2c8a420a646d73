"""Restricted Boltzmann machines with learned connections: Network Connectivity Gradients (NCG)."""

from ncg_fast import connectivity, data, ops
from ncg_fast.rbm import RBM

__version__ = "0.1.0"
__all__ = ["RBM", "__version__", "connectivity", "data", "ops"]
