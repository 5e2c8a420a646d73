"""Portable GPU kernels in Triton, for GPUs without a built ``_cuda``.

The functions are those of ``reference.py``, which says what each computes; kernels and what
launches them stand together, a file a family of ops. Nothing waits for the device: what a step
finds stays there (``update.Counters``). With TRITON_INTERPRET=1 the kernels run on CPU tensors,
slowly.
"""

from ncg_fast.backends.triton.energy import anneal, free_energy
from ncg_fast.backends.triton.packing import pack_states, pack_weights, scan_weights, unpack_states
from ncg_fast.backends.triton.sampling import gibbs_steps, mean, sample
from ncg_fast.backends.triton.training import train_steps_
from ncg_fast.backends.triton.update import (
    connection_gradient,
    ncg_update_,
    phase_sums,
    update_from_sums_,
)

__all__ = [
    "anneal",
    "connection_gradient",
    "free_energy",
    "gibbs_steps",
    "mean",
    "ncg_update_",
    "pack_states",
    "pack_weights",
    "phase_sums",
    "sample",
    "scan_weights",
    "train_steps_",
    "unpack_states",
    "update_from_sums_",
]
