"""The partition function of a machine: exact, or whichever way its cost asks for."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ncg_fast import checks
from ncg_fast.evaluation import progress as bars
from ncg_fast.evaluation.annealing import LogPartition, log_partition_ais
from ncg_fast.evaluation.bounds import LogPartitionBounds, log_partition_bounds
from ncg_fast.model.rbm import RBM, check_machine

EXACT_UNITS = 25  # the smaller layer is enumerated up to this size
_TABLE = 1 << 18  # float64 values in the table of log_partition: small enough for the cache
_PER_SECOND = 2e8  # log(1 + exp(x)) on an ordinary CPU
_FACTORS = 16  # of log(1 + exp(x)) for which one logarithm is taken


def _seconds(rbm: RBM) -> float:
    """What ``log_partition`` takes on an ordinary CPU: a function of the sizes alone."""
    least, most = sorted((rbm.n_visible, rbm.n_hidden))
    return math.ldexp(most / _PER_SECOND, least)


def is_exact(rbm: RBM) -> bool:
    """Whether log Z is enumerated where nobody says how: not above some 10 s."""
    return min(rbm.n_visible, rbm.n_hidden) <= EXACT_UNITS and _seconds(rbm) <= bars.LONG


def exact_or_ais(rbm: RBM, **ais: Any) -> LogPartition:
    """log Z: exact where that is quick, else by ``log_partition_ais`` with these arguments."""
    if is_exact(rbm):
        return LogPartition(log_partition(rbm), 0.0, math.inf)
    return log_partition_ais(rbm, **ais)


def bounds_of(rbm: RBM, **ais: Any) -> LogPartitionBounds:
    """As ``exact_or_ais``, from both sides."""
    if is_exact(rbm):
        exact = exact_or_ais(rbm)
        return LogPartitionBounds(exact, exact)
    return log_partition_bounds(rbm, **ais)


@torch.no_grad()
def log_partition(rbm: RBM, *, progress: bool = True) -> float:
    """Exact log partition function, the smaller layer enumerated, in nats.

    Z = sum_h exp(c.h) prod_j (1 + exp(b_j + sum_i h_i A_ij W_ij)), or with the layers exchanged.

    Args:
        rbm: at most 25 units in the smaller layer.
        progress: whether to draw a bar on stderr where more than some 10 s are expected.

    Returns:
        log Z, in float64 arithmetic on the unrounded weights.

    Raises:
        ValueError: both layers have more than 25 units; a wrong progress; NaN or inf in the
            parameters.

    Note:
        Deterministic. Time grows as 2**min(n_visible, n_hidden) * max(n_visible, n_hidden): beside
        784 units seconds for 20, minutes for 25. Ctrl-C ends it at once. Memory: a table of
        2 MiB and a few copies.

    Example:
        >>> rbm = RBM(3, 2, weight_scale=0.0)
        >>> round(log_partition(rbm) / math.log(2), 6)
        5.0
    """
    op = "log_partition"
    check_machine(op, rbm)
    checks.flag(op, "progress", progress)
    n_units = min(rbm.n_visible, rbm.n_hidden)
    if n_units > EXACT_UNITS:
        rule = f"needs min(n_visible, n_hidden) <= {EXACT_UNITS}"
        raise checks.error(op, rule, n_units, "Use log_partition_ais.")
    weight = rbm.weight.detach().where(rbm.mask, 0.0)
    b, c = rbm.visible_bias.detach(), rbm.hidden_bias.detach()
    checks.finite(op, weight=weight, visible_bias=b, hidden_bias=c)
    weight, own, other = weight.double(), c.double(), b.double()
    if rbm.n_visible < rbm.n_hidden:
        weight, own, other = weight.t(), other, own
    n_padded = -len(other) % _FACTORS  # units that are never on
    weight, other = F.pad(weight, (0, n_padded)), F.pad(other, (0, n_padded), value=-math.inf)

    # The low units are tabulated once; each state of the high units shifts the table.
    n_low = min(n_units, max(0, int(math.log2(_TABLE / len(other)))))
    low = _states(0, 1 << n_low, n_low).to(weight)
    low_field, low_energy = low @ weight[:n_low] + other, low @ own[:n_low]
    parts, n_parts = [], 1 << (n_units - n_low)
    with bars.bar(op, n_parts, "piece", _seconds(rbm), progress=progress) as bar:
        for index in range(n_parts):
            high = _states(index, 1, n_units - n_low).to(weight)
            field, energy = (high @ part[n_low:] for part in (weight, own))
            parts.append(torch.logsumexp(low_energy + _softplus_sum(low_field + field), 0) + energy)
            bar.update()
    return float(torch.logsumexp(torch.cat(parts), 0))


def _softplus_sum(x: Tensor) -> Tensor:
    """sum_j log(1 + exp(x_j)) of each row of x, which is overwritten; columns: whole _FACTORS."""
    linear = x.clamp(min=0).sum(1)
    factors = x.abs_().neg_().exp_().add_(1).view(len(x), -1, _FACTORS)
    return linear + factors.prod(2).log_().sum(1)


def _states(first: int, n: int, n_units: int) -> Tensor:
    """Binary states first, first + 1, ... of the 2**n_units, uint8 (n, n_units)."""
    index = torch.arange(first, first + n, device="cpu").unsqueeze(1)
    return (index >> torch.arange(n_units, device="cpu") & 1).to(torch.uint8)
