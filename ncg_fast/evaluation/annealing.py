"""Annealed importance sampling of the partition function."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ncg_fast import checks, ops
from ncg_fast.backends.numerics import LEVELS, WORD, to_levels
from ncg_fast.backends.records import Model
from ncg_fast.evaluation import ladders
from ncg_fast.evaluation import progress as bars
from ncg_fast.model import units
from ncg_fast.model.digits import EVALUATION_DIGITS
from ncg_fast.model.rbm import RBM, check_machine
from ncg_fast.seeds import derived_seed

# Work of a sweep: a product for each pair of units; to draw a unit counts as much as 128.
_UNIT = 128
_PIECE = 1 << 31  # work of one call, which Ctrl-C waits for
_PER_SECOND = 4e10  # on an ordinary CPU
_ENOUGH = 10  # effective chains, below which an estimate is not to be trusted
_BASE_BETAS = 200  # of the annealing that finds the base where there is no data
_AIS_PURPOSE, _BASE_PURPOSE = 3, 5  # AIS must not meet the draws that trained a machine of its seed
BASES = "data", "sampled", "uniform"


class LogPartition(NamedTuple):
    """Estimate of log Z in nats, its standard error, and the effective number of chains."""

    value: float
    standard_error: float
    effective_sample_size: float


class Annealing(NamedTuple):
    """What one call anneals with: the machine, the base a, the ladder, and how the user is told."""

    op: str
    model: Model
    base_bias: Tensor
    ladder: Tensor
    n_chains: int
    progress: bool

    def start(self, key: int) -> Tensor:
        """Packed visible states of the base model sigmoid(a)."""
        hidden = self.model.to_hidden
        n_hidden, n_words = len(self.model.hidden_bias), -(-self.n_chains // WORD)
        off = hidden.new_zeros(n_hidden, n_words, dtype=torch.int64)
        layer = self.model.to_visible, self.base_bias, self.model.weight_exponent
        return ops.sample_visible(off, *layer, self.n_chains, seed=key)

    def run(self, visible: Tensor, key: int, *, step: int = 0) -> tuple[Tensor, Tensor]:
        """``ops.anneal`` in short calls, each of which goes on where the last one ended."""
        log_weights = torch.zeros(self.n_chains, dtype=torch.float64, device=visible.device)
        for first, count in self._pieces(len(self.ladder) - 1):
            part = self.ladder[first : first + count + 1]
            given = *self.model[:4], self.base_bias, part, self.model.weight_exponent
            visible, gained = ops.anneal(
                visible, *given, self.n_chains, seed=key, step=step + first
            )
            log_weights = log_weights + gained
        return visible, log_weights

    def sweep(self, visible: Tensor, key: int, n_sweeps: int) -> Tensor:
        """Visible states after sweeps of the machine itself, in short calls."""
        for first, count in self._pieces(n_sweeps):
            visible, _ = ops.gibbs_steps(
                visible, *self.model, self.n_chains, count, seed=key, step=first
            )
        return visible

    def _pieces(self, n_sweeps: int) -> Iterator[tuple[int, int]]:
        """(first sweep, number of sweeps) of each call, by the work of a sweep alone."""
        n_visible, n_hidden = len(self.model.visible_bias), len(self.model.hidden_bias)
        sweep = self.n_chains * (n_visible * n_hidden + _UNIT * (n_visible + n_hidden))
        longest, expected = max(1, _PIECE // sweep), sweep * n_sweeps / _PER_SECOND
        with bars.bar(self.op, n_sweeps, "sweep", expected, progress=self.progress) as bar:
            for first in range(0, n_sweeps, longest):
                count = min(longest, n_sweeps - first)
                yield first, count
                bar.update(count)

    def estimate(self, log_weights: Tensor, *, downward: bool = False) -> LogPartition:
        """log Z_0 + log mean(w), or downward log Z_0 - log mean(w), with its error."""
        n = self.n_chains
        log_sum = float(torch.logsumexp(log_weights, 0))
        effective = math.exp(2 * log_sum - float(torch.logsumexp(2 * log_weights, 0)))
        effective = min(effective, float(n))
        if effective < _ENOUGH:
            got = f"{effective:.1f} {'on the way down ' * downward}from {n} chains"
            warnings.warn(
                f"{self.op}: the effective sample size should be at least {_ENOUGH}, got {got}; "
                "neither estimate nor error can be trusted. Use more betas or more chains, or pass "
                "data.",
                RuntimeWarning,
                stacklevel=3,
            )
        error = math.sqrt((n / effective - 1) / (n - 1))
        log_base = len(self.model.hidden_bias) * math.log(2)
        log_base += float(torch.log1p(self.base_bias.double().exp()).sum())
        log_mean = log_sum - math.log(n)
        return LogPartition(log_base + (-log_mean if downward else log_mean), error, effective)


@torch.no_grad()
def log_partition_ais(
    rbm: RBM,
    *,
    n_chains: int = 100,
    betas: int | Tensor | None = None,
    base: str | None = None,
    data: Tensor | None = None,
    seed: int = 0,
    progress: bool = True,
) -> LogPartition:
    """Annealed importance sampling of log Z, from independent visible units to the machine.

    log Z = log Z_0 + log mean_c w_c, w_c the importance weights of the chains (``ops.anneal``), and
    log Z_0 = n_hidden log 2 + sum_j log(1 + exp(a_j)) of the base P(v_j = 1) = sigmoid(a_j).

    Args:
        rbm: of any size.
        n_chains: independent chains, at least 2; below 10 there is always a warning.
        betas: inverse temperatures from 0 to 1, not decreasing, floating (n_betas,); or their
            number, at least 2, half of the steps even and half closer towards 1, as
            ``authors_betas`` are; None: ``authors_betas``.
        base: "data": a_j = logit((sum of column j + 1) / (n + 2)) of data; "sampled": the same of
            P(v_j = 1 | h) of n_chains chains that a short annealing from the uniform base ends
            with; "uniform": a_j = 0; None: "data" where data is given, else "sampled".
        data: (n, n_visible), as in ``RBM.forward``; for base "data" alone.
        seed: in [0, 2**63).
        progress: whether to draw a bar on stderr where more than some 10 s are expected.

    Returns:
        log Z, its standard error, and the effective sample size (sum w)**2 / sum w**2.

    Raises:
        ValueError: wrong shape, dtype or range; data missing; NaN or inf in the parameters.

    Note:
        Deterministic by seed. mean(w) is unbiased for Z / Z_0, so its logarithm is biased low, by
        about half the squared standard error where that is small. The standard error is that of
        mean(w) over mean(w) (delta method). It cannot exceed 1 and cannot see modes that no chain
        reached: ``log_partition_bounds`` can see some of that. RuntimeWarning: an effective sample
        size below 10 (there, log-normal weights of 100 chains lie within two standard errors in
        four cases of five); evenly spaced betas, whose steps near 1 are too long for trained
        machines. Cost: n_betas sweeps, in calls of a fraction of a second; the states are those of
        one call, the log-weights to 1e-10 relative.

    Example:
        >>> from ncg_fast import log_partition
        >>> rbm = RBM(5, 4, seed=0)
        >>> abs(log_partition_ais(rbm, betas=500).value - log_partition(rbm)) < 0.1
        True

    Source: Salakhutdinov & Murray, On the quantitative analysis of deep belief networks, ICML 2008.
    """
    op = "log_partition_ais"
    annealing = prepared(
        op, rbm, n_chains=n_chains, betas=betas, base=base, data=data, seed=seed, progress=progress
    )
    if isinstance(betas, Tensor) and ladders.is_even(annealing.ladder):
        warnings.warn(
            f"{op}: betas should not be evenly spaced, got {len(betas)} that are; log Z of trained "
            "machines came out up to 2.5 nats low. Pass their number alone, or see "
            "log_partition_bounds.",
            RuntimeWarning,
            stacklevel=2,
        )
    return annealing.estimate(upward(annealing, seed)[1])


def upward(annealing: Annealing, seed: int) -> tuple[Tensor, Tensor]:
    """Packed states at beta = 1 and log-weights of chains from the base."""
    key = derived_seed(seed, _AIS_PURPOSE)
    return annealing.run(annealing.start(key), key)


def prepared(op: str, rbm: RBM, **ais: Any) -> Annealing:
    """Arguments checked, ladder and base made."""
    check_machine(op, rbm)
    ladder = check_ais(op, ais).to(rbm.weight.device)
    base, data, n_chains = ais["base"], ais["data"], ais["n_chains"]
    base = ("sampled" if data is None else "data") if base is None else base
    bias = torch.zeros_like(rbm.visible_bias.detach())
    if base == "data":
        if data is None:
            remedy = 'Pass the training rows, or use base="sampled".'
            raise checks.error(op, 'data must be given with base="data"', data, remedy)
        rows = units.checked(op, "data", data, rbm.n_visible)
        bias = _logit_of_mean(rows.sum(0, dtype=torch.float64), len(rows)).to(bias)
    model = rbm._model(EVALUATION_DIGITS)
    annealing = Annealing(op, model, bias, ladder, n_chains, ais["progress"])
    return _from_samples(annealing, ais["seed"]) if base == "sampled" else annealing


def _from_samples(uniform: Annealing, seed: int) -> Annealing:
    """The base of what a short annealing from the uniform base ends with."""
    key, n, model = derived_seed(seed, _BASE_PURPOSE), uniform.n_chains, uniform.model
    short = ladders.checked(uniform.op, _BASE_BETAS).to(uniform.ladder)
    hurried = uniform._replace(ladder=short, progress=False)
    visible, _ = hurried.run(uniform.start(key), key)
    up = model.to_hidden, model.hidden_bias, model.weight_exponent
    hidden = ops.sample_hidden(visible, *up, n, seed=key, step=_BASE_BETAS)
    mean = ops.visible_mean(hidden, *model[1:3], model.weight_exponent, n)
    total = to_levels(mean).sum(0, dtype=torch.float64) / LEVELS  # exact in any order
    return uniform._replace(base_bias=_logit_of_mean(total, n).to(mean))


def _logit_of_mean(total: Tensor, n: int) -> Tensor:
    """Of smoothed means; on the CPU, whose logarithm has the same bits for every device."""
    return torch.logit((total.cpu() + 1) / (n + 2))


def check_ais(op: str, ais: dict[str, Any]) -> Tensor:
    """The ladder of options for ``log_partition_ais``, once names and values are checked."""
    for name in ais:
        names = "n_chains", "betas", "base", "data", "seed", "progress"
        checks.choice(op, "option", name, names)
    checks.integer(op, "n_chains", ais.get("n_chains", 2), 2, checks.MAX_CHAINS)
    checks.integer(op, "seed", ais.get("seed", 0), 0, checks.MAX_SEED)
    checks.flag(op, "progress", ais.get("progress", True))
    if ais.get("base") is not None:
        checks.choice(op, "base", ais["base"], BASES)
    return ladders.checked(op, ais.get("betas"))
