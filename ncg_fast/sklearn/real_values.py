"""A training step on rows of any real values, by torch's float64 products.

The kernels hold probabilities. A visible unit whose data lies outside [0, 1] is nothing that the
machine could sample, but the gradient of scikit-learn's estimator exists all the same: its positive
phase is linear in v.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ncg_fast import ops
from ncg_fast.backends.numerics import to_levels
from ncg_fast.backends.records import Gradients, Rates
from ncg_fast.model import draws, machine_ops
from ncg_fast.model.rbm import RBM


@torch.no_grad()
def train_step_(
    rbm: RBM, rows: np.ndarray, chains: Tensor | None, n_chains: int, n_steps: int, rates: Rates
) -> None:
    """One mini-batch of CD-k or PCD-k with the NCG update, as ``RBM.train_step_``.

    Args:
        rbm: the machine.
        rows: (n_rows, n_visible), floating, finite.
        chains: packed states of n_chains persistent chains, written; None: CD, from the rows
            clipped to [0, 1].
        n_chains: the number of persistent chains.
        n_steps: sweeps.
        rates: of the step.
    """
    machine = rbm._machine().detached()
    visible = torch.from_numpy(rows.astype(np.float64)).to(machine.weight.device)
    start = chains
    if start is None:
        start, n_chains = to_levels(visible.clamp(0, 1)), len(rows)
    with draws.reserved(rbm._draws, n_steps) as mine:
        last, _ = machine_ops.sweeps(machine, start, n_chains, n_steps, mine.draw)
    if chains is not None:
        chains.copy_(last)
    sampled = ops.unpack_states(last, n_chains).double()

    masked = torch.where(machine.mask, machine.weight, 0.0).double()
    data, model = (
        torch.addmm(machine.hidden_bias.double(), v, masked.t()).sigmoid_()
        for v in (visible, sampled)
    )
    descent = model.t() @ sampled / n_chains - data.t() @ visible / len(rows)
    by_strength = None
    if machine.connection_strength is not None:
        by_strength = (machine.weight * descent).float()
    by = Gradients(
        torch.where(machine.mask, descent, 0.0).float(),
        by_strength,
        (sampled.mean(0) - visible.mean(0)).float(),
        (model.mean(0) - data.mean(0)).float(),
    )
    rbm._apply_gradients("RBM.train_step_", by, rates, (None, None, None))
