"""Machines on top of machines."""

from ncg_fast.deep.network import DeepBeliefNetwork

__all__ = ["DeepBeliefNetwork"]
