"""Likelihood and pseudo-likelihood of rows."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ncg_fast import checks
from ncg_fast.evaluation import partition
from ncg_fast.evaluation.partition import LogPartition
from ncg_fast.model import units
from ncg_fast.model.rbm import RBM, check_machine


class LogLikelihood(NamedTuple):
    """Mean of log p(v) over rows in nats, its standard error, and each row's, float64 (n,)."""

    mean: float
    standard_error: float
    per_sample: Tensor


@torch.no_grad()
def log_likelihood(
    rbm: RBM, x: Tensor, *, log_z: float | LogPartition | None = None, **ais: Any
) -> LogLikelihood:
    """Log-likelihood log p(v) = -F(v) - log Z of each row, and its mean.

    Args:
        rbm: label units, where it has any, are part of v: see ``with_labels``.
        x: (n, n_visible) or (n_visible,), bool, uint8 or floating, only 0 and 1, n at least 1.
        log_z: from an earlier call; None: ``log_partition`` where the smaller layer has at most 25
            units, else ``log_partition_ais``.
        ais: arguments of ``log_partition_ais``, for machines whose log Z is not exact; data is x
            unless given. Not together with log_z.

    Returns:
        the mean in nats, its standard error, and log p(v) of each row.

    Raises:
        ValueError: wrong shape, dtype or range; values other than 0 and 1; no rows.

    Note:
        standard_error is sqrt(s**2 / n + e**2), s the standard deviation over rows, e the standard
        error of log Z (0 where exact or a plain number): the error of the mean for the source that
        the rows were drawn from; NaN for one row. For these rows alone e counts: pass the result of
        ``log_partition_ais`` as log_z to know it. AIS is biased low in log Z, so high in log p(v).
        Deterministic by seed.

    Example:
        >>> rbm = RBM(3, 2, weight_scale=0.0)
        >>> round(log_likelihood(rbm, torch.zeros(4, 3)).mean / math.log(2), 6)
        -3.0
    """
    op = "log_likelihood"
    check_machine(op, rbm)
    rows = units.checked(op, "x", x, rbm.n_visible)
    n = len(rows)
    if n == 0:
        rule = "x must have at least one row"
        raise checks.error(op, rule, tuple(x.shape), "Pass the rows to evaluate.")
    if rows.dtype != torch.bool:
        raise checks.error(op, "x must hold only 0 and 1", "values in between", "Binarise it.")
    partition.check_ais(op, ais)
    if log_z is not None and ais:
        rule = "options of AIS must be left out with log_z"
        raise checks.error(op, rule, ", ".join(ais), "Pass one of the two.")
    if log_z is None:
        base = {} if ais.get("base") == "uniform" else {"data": x}
        log_z = partition.exact_or_ais(rbm, **{**base, **ais})
    if not isinstance(log_z, LogPartition):
        log_z = LogPartition(checks.number(op, "log_z", log_z), 0.0, math.inf)
    per_sample = -rbm.free_energy(rows) - log_z.value
    variance = float(per_sample.var()) / n if n > 1 else math.nan
    standard_error = math.sqrt(variance + log_z.standard_error**2)
    return LogLikelihood(float(per_sample.mean()), standard_error, per_sample)


@torch.no_grad()
def pseudo_log_likelihood(rbm: RBM, x: Tensor, *, seed: int = 0) -> Tensor:
    """Stochastic pseudo-log-likelihood as in scikit-learn's ``BernoulliRBM.score_samples``.

    n_visible log P(v_j | other v) = n_visible log sigmoid(F(v with v_j flipped) - F(v)), for one
    visible unit j a row, drawn uniformly.

    Args:
        rbm: of any size.
        x: (n, n_visible) or (n_visible,), as in ``RBM.forward``; a value p flips to 1 - p.
        seed: in [0, 2**63); fixes the units.

    Returns:
        float64 (n,), nats.

    Raises:
        ValueError: wrong shape, dtype or range; NaN or inf in the parameters.

    Note:
        Deterministic by seed. For binary rows unbiased for sum_j log P(v_j | other v), with a high
        variance for one row; no bound on log p(v). Cost: two free energies a row.

    Example:
        >>> rbm = RBM(3, 2, weight_scale=0.0)
        >>> (pseudo_log_likelihood(rbm, torch.zeros(2, 3)) / math.log(2)).round().tolist()
        [-3.0, -3.0]
    """
    op = "pseudo_log_likelihood"
    check_machine(op, rbm)
    rows = units.checked(op, "x", x, rbm.n_visible)
    checks.integer(op, "seed", seed, 0, checks.MAX_SEED)
    rows = rows.to(torch.uint8) if rows.dtype == torch.bool else rows
    drawn = np.random.default_rng(seed).integers(rbm.n_visible, size=(len(rows), 1))
    unit = torch.from_numpy(drawn).to(rows.device)
    flipped = rows.scatter(1, unit, 1 - rows.gather(1, unit))
    return rbm.n_visible * F.logsigmoid(rbm.free_energy(flipped) - rbm.free_energy(rows))
