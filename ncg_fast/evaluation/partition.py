"""The partition function of a machine, exact or by annealed importance sampling."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ncg_fast import checks, ops
from ncg_fast.backends.numerics import WORD
from ncg_fast.model import units
from ncg_fast.model.digits import EVALUATION_DIGITS
from ncg_fast.model.rbm import RBM, check_machine
from ncg_fast.ops import arguments
from ncg_fast.seeds import derived_seed

EXACT_UNITS = 25  # the smaller layer is enumerated up to this size
_TABLE = 1 << 18  # float64 values in the table of log_partition: small enough for the cache
_MAX_BETAS = 1 << 24
_AIS_PURPOSE = 3  # AIS must not meet the draws that trained a machine of the same seed


class LogPartition(NamedTuple):
    """Estimate of log Z in nats, its standard error, and the effective number of chains."""

    value: float
    standard_error: float
    effective_sample_size: float


def is_exact(rbm: RBM) -> bool:
    """Whether ``log_partition`` is feasible."""
    return min(rbm.n_visible, rbm.n_hidden) <= EXACT_UNITS


def exact_or_ais(rbm: RBM, **ais: Any) -> LogPartition:
    """log Z: exact where that is feasible, else by ``log_partition_ais`` with these arguments."""
    if is_exact(rbm):
        return LogPartition(log_partition(rbm), 0.0, math.inf)
    return log_partition_ais(rbm, **ais)


@torch.no_grad()
def log_partition(rbm: RBM) -> float:
    """Exact log partition function, the smaller layer enumerated, in nats.

    Z = sum_h exp(c.h) prod_j (1 + exp(b_j + sum_i h_i A_ij W_ij)), or with the layers exchanged.

    Args:
        rbm: at most 25 units in the smaller layer.

    Returns:
        log Z, in float64 arithmetic on the unrounded weights.

    Raises:
        ValueError: both layers have more than 25 units; NaN or inf in the parameters.

    Note:
        Deterministic. Time grows as 2**min(n_visible, n_hidden) * max(n_visible, n_hidden): beside
        784 units seconds for 20, minutes for 25. Memory: a table of 2 MiB and a few copies.

    Example:
        >>> rbm = RBM(3, 2, weight_scale=0.0)
        >>> round(log_partition(rbm) / math.log(2), 6)
        5.0
    """
    op = "log_partition"
    check_machine(op, rbm)
    n_units = min(rbm.n_visible, rbm.n_hidden)
    if not is_exact(rbm):
        rule = f"needs min(n_visible, n_hidden) <= {EXACT_UNITS}"
        raise checks.error(op, rule, n_units, "Use log_partition_ais.")
    weight = rbm.weight.detach().where(rbm.mask, 0.0)
    b, c = rbm.visible_bias.detach(), rbm.hidden_bias.detach()
    checks.finite(op, weight=weight, visible_bias=b, hidden_bias=c)
    weight, own, other = weight.double(), c.double(), b.double()
    if rbm.n_visible < rbm.n_hidden:
        weight, own, other = weight.t(), other, own

    # The low units are tabulated once; each state of the high units shifts the table.
    n_low = min(n_units, max(0, int(math.log2(_TABLE / len(other)))))
    low = _all_states(n_low).to(weight)
    low_field, low_energy = low @ weight[:n_low] + other, low @ own[:n_low]
    parts = []
    for high in _all_states(n_units - n_low).split(1):
        field, energy = (high.to(weight) @ part[n_low:] for part in (weight, own))
        log_sums = low_energy + F.softplus(low_field + field, threshold=40.0).sum(1)
        parts.append(torch.logsumexp(log_sums, 0) + energy)
    return float(torch.logsumexp(torch.cat(parts), 0))


def _all_states(n_units: int) -> Tensor:
    """All 2**n_units binary states, uint8."""
    index = torch.arange(1 << n_units, device="cpu").unsqueeze(1)
    return (index >> torch.arange(n_units, device="cpu") & 1).to(torch.uint8)


def authors_betas() -> Tensor:
    """The 14 501 inverse temperatures of the NCG authors: 0:1e-3:0.5, 0.5:1e-4:0.9, 0.9:1e-5:1.

    Returns:
        float64 (14501,), from 0 to 1.

    Example:
        >>> authors_betas().shape
        torch.Size([14501])

    Source: Salakhutdinov & Murray (ICML 2008), and arXiv 2209.06932 after them.
    """
    pieces = (0.0, 0.5, 501), (0.5, 0.9, 4001), (0.9, 1.0, 10001)
    grids = [
        torch.linspace(low, high, n, dtype=torch.float64, device="cpu") for low, high, n in pieces
    ]
    return torch.cat([grids[0], grids[1][1:], grids[2][1:]])


@torch.no_grad()
def log_partition_ais(
    rbm: RBM,
    *,
    n_chains: int = 100,
    betas: int | Tensor | None = None,
    base: str | None = None,
    data: Tensor | None = None,
    seed: int = 0,
) -> LogPartition:
    """Annealed importance sampling of log Z, from independent visible units to the machine.

    log Z = log Z_0 + log mean_c w_c, w_c the importance weights of the chains (``ops.anneal``), and
    log Z_0 = n_hidden log 2 + sum_j log(1 + exp(a_j)) of the base P(v_j = 1) = sigmoid(a_j).

    Args:
        rbm: of any size.
        n_chains: independent chains, at least 2.
        betas: inverse temperatures from 0 to 1, not decreasing, floating (n_betas,); or their
            number, evenly spaced, at least 2; None: ``authors_betas``.
        base: "data": a_j = logit((sum of column j + 1) / (n + 2)) of data; "uniform": a_j = 0;
            None: "data" where data is given.
        data: (n, n_visible), as in ``RBM.forward``; for base "data" alone.
        seed: in [0, 2**63).

    Returns:
        log Z, its standard error, and the effective sample size (sum w)**2 / sum w**2.

    Raises:
        ValueError: wrong shape, dtype or range; data missing; NaN or inf in the parameters.

    Note:
        Deterministic by seed. mean(w) is unbiased for Z / Z_0, so its logarithm is biased low, by
        about half the squared standard error where that is small. The standard error is that of
        mean(w) over mean(w) (delta method). It cannot exceed 1 and cannot see modes that no chain
        reached: distrust it below an effective sample size of 10. Cost: n_betas sweeps.

    Example:
        >>> rbm = RBM(5, 4, seed=0)
        >>> abs(log_partition_ais(rbm, betas=500).value - log_partition(rbm)) < 0.1
        True

    Source: Salakhutdinov & Murray, On the quantitative analysis of deep belief networks, ICML 2008.
    """
    op = "log_partition_ais"
    check_machine(op, rbm)
    check_ais(op, {"n_chains": n_chains, "seed": seed, "betas": betas, "base": base})
    ladder = _ladder(op, betas).to(rbm.weight.device)
    base_bias = _base_bias(op, rbm, base, data)

    to_hidden, to_visible, b, c, exponent = rbm._model(EVALUATION_DIGITS)
    key = derived_seed(seed, _AIS_PURPOSE)
    off = to_hidden.new_zeros(rbm.n_hidden, -(-n_chains // WORD), dtype=torch.int64)
    start = ops.sample_visible(off, to_visible, base_bias, exponent, n_chains, seed=key)
    model = to_hidden, to_visible, b, c
    _, log_w = ops.anneal(start, *model, base_bias, ladder, exponent, n_chains, seed=key)

    log_sum = float(torch.logsumexp(log_w, 0))
    effective = min(math.exp(2 * log_sum - float(torch.logsumexp(2 * log_w, 0))), float(n_chains))
    standard_error = math.sqrt((n_chains / effective - 1) / (n_chains - 1))
    log_base = rbm.n_hidden * math.log(2) + float(torch.log1p(base_bias.double().exp()).sum())
    return LogPartition(log_base + log_sum - math.log(n_chains), standard_error, effective)


def _ladder(op: str, betas: int | Tensor | None) -> Tensor:
    if betas is None:
        return authors_betas()
    if not isinstance(betas, Tensor):
        if not isinstance(betas, int | float | np.integer):
            rule = "betas must be an int or a floating tensor"
            raise checks.error(op, rule, type(betas).__name__, "Use torch.tensor(betas).")
        n_betas = checks.integer(op, "betas", betas, 2, _MAX_BETAS)
        return torch.linspace(0.0, 1.0, n_betas, dtype=torch.float64, device="cpu")
    checks.dense(op, "betas", betas)
    if not betas.is_floating_point():
        raise checks.error(op, "betas must be floating", betas.dtype, "Use betas.double().")
    ladder = betas.detach().double().contiguous()
    arguments.ladder(op, ladder)
    return ladder


def _base_bias(op: str, rbm: RBM, base: str | None, data: Any) -> Tensor:
    """a_j: 0, or the logit of the smoothed mean of each visible unit; float32."""
    base = ("uniform" if data is None else "data") if base is None else base
    zero = torch.zeros_like(rbm.visible_bias.detach())
    if base == "uniform":
        return zero
    if data is None:
        remedy = 'Pass the training rows, or use base="uniform".'
        raise checks.error(op, 'data must be given with base="data"', data, remedy)
    rows = units.checked(op, "data", data, rbm.n_visible)
    total = rows.sum(0, dtype=torch.float64).cpu()  # its logarithm: the same bits on each device
    return torch.logit((total + 1) / (len(rows) + 2)).to(zero)


def check_ais(op: str, ais: dict[str, Any]) -> None:
    """Names and values of options for ``log_partition_ais``."""
    for name in ais:
        checks.choice(op, "option", name, ("n_chains", "betas", "base", "data", "seed"))
    checks.integer(op, "n_chains", ais.get("n_chains", 2), 2, checks.MAX_CHAINS)
    checks.integer(op, "seed", ais.get("seed", 0), 0, checks.MAX_SEED)
    if ais.get("betas") is not None:
        _ladder(op, ais["betas"])
    if ais.get("base") is not None:
        checks.choice(op, "base", ais["base"], ("data", "uniform"))
