"""Portable GPU kernels in Triton, for GPUs without a built ``_cuda``.

The functions are those of ``reference.py``, which says what each computes; kernels and their
launchers stand together, a file a group of ops. Nothing waits for the device: what a step finds
stays there (``update.Counters``). With TRITON_INTERPRET=1 the kernels run on CPU tensors, slowly.
"""

from ncg_fast.backends.triton.energy import anneal, free_energy
from ncg_fast.backends.triton.packing import pack_states, pack_weights, unpack_states
from ncg_fast.backends.triton.sampling import (
    gibbs_steps,
    hidden_mean,
    sample_hidden,
    sample_visible,
    visible_mean,
)
from ncg_fast.backends.triton.training import train_step_, train_steps_
from ncg_fast.backends.triton.update import connection_gradient, ncg_update_

__all__ = [
    "anneal",
    "connection_gradient",
    "free_energy",
    "gibbs_steps",
    "hidden_mean",
    "ncg_update_",
    "pack_states",
    "pack_weights",
    "sample_hidden",
    "sample_visible",
    "train_step_",
    "train_steps_",
    "unpack_states",
    "visible_mean",
]
