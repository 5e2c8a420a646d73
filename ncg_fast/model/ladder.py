"""Temperatures of parallel tempering, and what lies at beta = 0."""

from __future__ import annotations

import torch
from torch import Tensor

from ncg_fast import checks
from ncg_fast.model import units
from ncg_fast.model.rbm import RBM

MAX_TEMPERATURES = 1 << 12


def first(op: str, betas: Tensor | None, n_temperatures: int) -> Tensor:
    """The inverse temperatures given, or evenly spaced ones; float32, on the CPU."""
    if betas is None:
        steps = torch.arange(n_temperatures, dtype=torch.float64)
        return (steps / (n_temperatures - 1)).float()
    checks.axes(op, "betas", betas, ("n_temperatures",))
    if not betas.is_floating_point():
        raise checks.error(op, "betas must be floating", str(betas.dtype), "Use betas.double().")
    ladder = betas.detach().float().cpu()
    if len(ladder) < 2 or len(ladder) > MAX_TEMPERATURES:
        rule = f"betas must have 2 to {MAX_TEMPERATURES} entries"
        raise checks.error(op, rule, len(ladder), "Pass 0 and 1, and values between.")
    if not (ladder[0] >= 0 and ladder[-1] == 1 and (ladder.diff() > 0).all()):
        rule = "betas must ascend, from at least 0 to 1"
        raise checks.error(op, rule, "others", "Use torch.linspace(0, 1, n).")
    return ladder


def base_bias(op: str, rbm: RBM, data: Tensor) -> Tensor:
    """The logit of the smoothed mean of each visible unit, float32."""
    rows = units.checked(op, "data", data, rbm.n_visible, rbm.weight)
    total = rows.sum(0, dtype=torch.float64).cpu()  # its logarithm: the same bits on each device
    bias = torch.logit((total + 1) / (len(rows) + 2)).float()
    return bias.to(rbm.weight.device)
