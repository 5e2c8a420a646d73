"""Polyak averages of the parameters over the last part of a run (Swersky et al. 2010).

Sums of float64 are written element by element, so that they have the same bits on every device.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ncg_fast.model.rbm import RBM

EVERY = 10  # mini-batches from one sample of the parameters to the next
COUNT = "n_averaged"
SUMS = "weight_sum", "visible_bias_sum", "hidden_bias_sum"


def first_epoch(share: float, epochs: int) -> int:
    """The first of the last ``share`` of the epochs, at least one of them."""
    return epochs + 1 - max(1, round(share * epochs))


def start(rbm: RBM) -> dict[str, Tensor]:
    """Sums of nothing, by name."""
    zeros = (torch.zeros_like(value, dtype=torch.float64) for value in _values(rbm))
    return {COUNT: torch.zeros((), dtype=torch.int64), **dict(zip(SUMS, zeros, strict=True))}


def add(rbm: RBM, sums: dict[str, Tensor]) -> None:
    """Adds the parameters as they are: W∘A, for a connection that is off weighs nothing."""
    sums[COUNT] += 1
    for name, value in zip(SUMS, _values(rbm), strict=True):
        sums[name] += value


@torch.no_grad()
def averaged(rbm: RBM, sums: dict[str, Tensor]) -> RBM:
    """A copy with the averages; rbm itself where there are none yet.

    Strengths and mask are the last ones. The weight of a connection that is on becomes the mean of
    W∘A, which counts 0 for the time that it was off; one that is off keeps its own.
    """
    if not sums.get(COUNT, 0):
        return rbm
    found = copy.deepcopy(rbm)
    weight, visible, hidden = (sums[name] / sums[COUNT] for name in SUMS)
    found.weight.copy_(torch.where(rbm.mask, weight.float(), rbm.weight))
    found.visible_bias.copy_(visible)
    found.hidden_bias.copy_(hidden)
    return found


def _values(rbm: RBM) -> tuple[Tensor, Tensor, Tensor]:
    weight = (rbm.weight * rbm.mask).detach()
    return weight, rbm.visible_bias.detach(), rbm.hidden_bias.detach()
