"""Samplers beside the machine's own ``gibbs_steps`` and ``sample``."""

from ncg_fast.model.tempering import Tempered, parallel_tempering

__all__ = ["Tempered", "parallel_tempering"]
