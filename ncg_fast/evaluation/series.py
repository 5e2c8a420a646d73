"""Statistics of Markov chains: how far their states depend on earlier ones, and on their start."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ncg_fast import checks
from ncg_fast.model import units

_WINDOW = 5.0  # Sokal's: wide for the bias, narrow for the noise
_LEAST = 4  # steps: two in each half of a chain


def integrated_autocorrelation_time(series: Tensor) -> Tensor:
    """tau = 1 + 2 sum_k rho_k: so many steps of a chain are worth one independent draw.

    rho_k is the autocorrelation at lag k about the mean of all chains, averaged over the chains.
    The sum ends at the first lag M >= 5 tau(M), Sokal's window.

    Args:
        series: (n_steps, n_chains) or (n_steps, n_chains, n_quantities), real, n_steps at least 4.

    Returns:
        float64 () or (n_quantities,), in steps; NaN for a constant.

    Raises:
        ValueError: wrong shape or dtype, NaN or infinity.

    Note:
        Deterministic. Too low where the chains are shorter than some 50 tau. The window is meant
        for correlations that are not negative, as those of sweeps are.

    Example:
        >>> steps = torch.rand(500, 4, generator=torch.Generator().manual_seed(0))
        >>> float(integrated_autocorrelation_time(steps.repeat_interleave(10, 0))) > 5
        True

    Source: Goodman & Weare, Ensemble samplers with affine invariance, 2010, and Sokal's lectures.
    """
    x = _checked("integrated_autocorrelation_time", series)
    covariance = _autocovariance(x - x.mean((0, 1)))
    tau = 2 * (covariance / covariance[0]).cumsum(0) - 1
    lag = torch.arange(len(tau), device=tau.device).view(-1, *[1] * (tau.dim() - 1))
    enough = lag >= _WINDOW * tau
    enough[-1] = True
    found = tau.gather(0, enough.to(torch.int8).argmax(0, keepdim=True))[0]
    return torch.where(_varies(x), found, torch.nan)


def effective_sample_size(series: Tensor) -> Tensor:
    """So many independent draws would give the mean of all chains the same error.

    n / (1 + 2 sum_k rho_k), n the number of all states, of split chains, rho_k from the variance
    within and between chains, summed by Geyer's initial monotone sequence.

    Args:
        series: as in ``integrated_autocorrelation_time``.

    Returns:
        float64 () or (n_quantities,), at most n log10(n); NaN for a constant.

    Raises:
        ValueError: wrong shape or dtype, NaN or infinity.

    Note:
        Deterministic. Chains that disagree count as few, however long they are.

    Example:
        >>> steps = torch.rand(500, 4, generator=torch.Generator().manual_seed(0))
        >>> bool(effective_sample_size(steps) > 1000)
        True

    Source: Vehtari et al., Rank-normalization, folding, and localization, Bayesian Analysis 2021.
    """
    x = _halves(_checked("effective_sample_size", series))
    n, n_states = len(x), x.shape[0] * x.shape[1]
    means = x.mean(0)
    covariance = _autocovariance(x - means)
    within = covariance[0] * n / (n - 1)
    whole = covariance[0] + means.var(0)
    rho = 1 - (within - covariance) / whole
    rho[0] = 1.0
    pairs = rho[: n // 2 * 2].unflatten(0, (-1, 2)).sum(1)
    kept = (pairs > 0).cumprod(0) * pairs.cummin(0).values
    tau = 2 * kept.sum(0) - 1
    found = n_states / tau.clamp(min=1 / math.log10(n_states))
    return torch.where(_varies(x), found, torch.nan)


def split_r_hat(series: Tensor) -> Tensor:
    """The R-hat of split chains: 1 where all halves of chains agree, larger where they do not.

    sqrt(((n - 1) / n W + B / n) / W), W the variance within half chains of n steps, B / n that of
    their means; of the ranks as normal scores, and of the ranks of |x - median|, the larger.

    Args:
        series: as in ``integrated_autocorrelation_time``.

    Returns:
        float64 () or (n_quantities,); above 1.01 the chains have not mixed; infinite where each is
        constant and they differ, NaN for a constant.

    Raises:
        ValueError: wrong shape or dtype, NaN or infinity.

    Note:
        Deterministic. Cost: two sorts of the series. Chains in the same mode see no other.

    Example:
        >>> steps = torch.rand(500, 4, generator=torch.Generator().manual_seed(0))
        >>> bool(split_r_hat(steps) < 1.01), bool(split_r_hat(steps + torch.arange(4.0)) > 2)
        (True, True)

    Source: Vehtari et al., Rank-normalization, folding, and localization, Bayesian Analysis 2021.
    """
    x = _checked("split_r_hat", series)
    spread = (x - _median(x)).abs()
    return torch.maximum(_r_hat(_normal_scores(x)), _r_hat(_normal_scores(spread)).nan_to_num(0.0))


def plain_r_hat(series: Tensor) -> Tensor:
    """``split_r_hat`` of the values themselves: of states 0 and 1 the same, without the sorts."""
    return _r_hat(_checked("plain_r_hat", series))


def _checked(op: str, series: Tensor) -> Tensor:
    axes = "(n_steps, n_chains) or (n_steps, n_chains, n_quantities)"
    shape = tuple(checks.dense(op, "series", series).shape)
    if len(shape) not in (2, 3) or 0 in shape[1:]:
        raise checks.error(op, f"series must have shape {axes}", shape, "Put the steps first.")
    if shape[0] < _LEAST:
        rule = f"series must have at least {_LEAST} steps"
        raise checks.error(op, rule, shape[0], "Run the chains longer.")
    units.check_dtype(op, "series", series)
    values = series.detach().double()
    checks.finite(op, "Look where the series comes from.", series=values)
    return values


def _varies(x: Tensor) -> Tensor:
    return (x != x[0, 0]).any(0).any(0)


def _halves(x: Tensor) -> Tensor:
    """Each chain as two; of an odd number of steps the middle one is left out."""
    n = len(x) // 2
    return torch.cat([x[:n], x[len(x) - n :]], 1)


def _autocovariance(centred: Tensor) -> Tensor:
    """Sums of products at each lag over n_steps, averaged over the chains."""
    n = len(centred)
    size = 1 << (2 * n - 1).bit_length()
    spectrum = torch.fft.rfft(centred, size, dim=0)
    power = (spectrum.real.square() + spectrum.imag.square()).mean(1)
    covariance: Tensor = torch.fft.irfft(power, size, dim=0)[:n] / n
    return covariance


def _r_hat(x: Tensor) -> Tensor:
    x = _halves(x)
    n, within = len(x), x.var(0).mean(0)
    return (((n - 1) / n * within + x.mean(0).var(0)) / within).sqrt()


def _median(x: Tensor) -> Tensor:
    ordered = x.flatten(0, 1).sort(0).values
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def _normal_scores(x: Tensor) -> Tensor:
    """Normal quantiles of the ranks among all steps and chains; equals share their mean rank."""
    flat = x.flatten(0, 1).movedim(0, -1).contiguous()
    ordered = flat.sort(-1).values
    below = torch.searchsorted(ordered, flat)
    rank = (below + torch.searchsorted(ordered, flat, right=True) + 1) / 2
    scores: Tensor = torch.special.ndtri((rank.double() - 3 / 8) / (flat.shape[-1] + 1 / 4))
    return scores.movedim(-1, 0).view_as(x)
