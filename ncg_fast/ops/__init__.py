"""Functional ops on packed states: checks, then ``torch.ops.ncg_fast``, then the back end.

Formats (``csrc/common/layout.h``), B chains or rows:
    packed states  int64 (n_units, ceil(B / 64)), bit c of word w is chain 64 w + c,
                   bits past the last chain 0
    levels         int32 (B, n_units), a value k in 0..65535 stands for the probability k / 65535
    rows           float32, uint8 or bool (B, n_units), which ``hidden_mean``, ``visible_mean`` and
                   ``free_energy`` take: packed states where all are 0 or 1, else levels
    digits         int8 (ceil(n_out / 32), n_digits, ceil(n_in / 64), 32, 64)
    sparse digits  int32 (5 + n_out + 2 capacity,), the same of few connections:
                   ``backends/formats.py``

Every op gives the same bits on every instruction set, thread count and device (``free_energy`` and
the log-weights of ``anneal``, float64 sums: 1e-10 relative). A draw is a function of (seed,
chain_offset + chain, unit_offset + unit, step) alone: a CUDA graph that holds an op draws the same
at each replay (``train_steps_`` moves on by itself). ``torch.compile(fullgraph=True)`` traces them.

Shapes, dtypes, devices and ranges of arguments are checked, and the values of rows; those of other
states, digits and biases are not, for that would cost as much as an op: levels outside 0..65535,
bits past the last chain and NaN in a bias give results without meaning. ``RBM`` checks them.

The ops stand in files of five families: packing, sampling, update, training, energy.
"""

from __future__ import annotations

from ncg_fast.backends.records import Gradients, Offsets, Parameters, PhaseSums
from ncg_fast.ops.energy import anneal, free_energy
from ncg_fast.ops.packing import pack_states, pack_weights, unpack_states
from ncg_fast.ops.sampling import (
    gibbs_steps,
    hidden_mean,
    sample_hidden,
    sample_visible,
    visible_mean,
)
from ncg_fast.ops.training import train_step_, train_steps_
from ncg_fast.ops.update import (
    connection_gradient,
    gradient_update_,
    ncg_update_,
    phase_sums,
    update_from_sums_,
)

__all__ = [
    "Gradients",
    "Offsets",
    "Parameters",
    "PhaseSums",
    "anneal",
    "connection_gradient",
    "free_energy",
    "gibbs_steps",
    "gradient_update_",
    "hidden_mean",
    "ncg_update_",
    "pack_states",
    "pack_weights",
    "phase_sums",
    "sample_hidden",
    "sample_visible",
    "train_step_",
    "train_steps_",
    "unpack_states",
    "update_from_sums_",
    "visible_mean",
]
