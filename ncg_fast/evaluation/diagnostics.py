"""Whether chains have reached equilibrium: statistics of series, and a test of two starts."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ncg_fast import checks, ops
from ncg_fast.evaluation.series import (
    effective_sample_size,
    integrated_autocorrelation_time,
    plain_r_hat,
    split_r_hat,
)
from ncg_fast.model import units
from ncg_fast.model.digits import EVALUATION_DIGITS, TRAINING_DIGITS
from ncg_fast.model.rbm import RBM, check_machine
from ncg_fast.seeds import derived_seed

__all__ = [
    "Chains",
    "Curve",
    "Mixing",
    "effective_sample_size",
    "integrated_autocorrelation_time",
    "mixing",
    "split_r_hat",
]

_PURPOSE = 5  # not the draws that trained a machine of the same seed
_LEVEL = 0.05  # of all tests together
_A_DECADE = 7  # sweeps at which the two starts are compared
_RECORDED = 500  # states of a chain, at most, in the second half of the sweeps
_OF_UNITS = 64  # chains of each set, at most, for statistics of single units
_AT_ONCE = 1 << 22  # values of series whose statistics are computed together


class Curve(NamedTuple):
    """Free energy of chains of one start: mean, 10th and 90th percentile, float64 (n_points,)."""

    mean: Tensor
    low: Tensor
    high: Tensor


class Chains(NamedTuple):
    """Statistics of the chains of both starts in the second half of the sweeps, float64.

    ``integrated_autocorrelation_time`` in sweeps, ``effective_sample_size``, ``split_r_hat``; NaN
    of what was constant.
    """

    autocorrelation_time: Tensor
    effective_sample_size: Tensor
    r_hat: Tensor


class Mixing(NamedTuple):
    """What ``mixing`` finds."""

    sweeps: Tensor  # int64 (n_points,), from 0 on, at which the two starts were compared
    from_data: Curve
    from_noise: Curve
    energy_p: Tensor  # float64 (n_points,), p-values of equal mean free energy
    pair_p: Tensor  # float64 (n_points,), of equal <v_j h_i>
    n_agree: int | None  # from so many sweeps on the two agree; None: they do not
    free_energy: Chains  # ()
    units: Chains  # (n_visible,), of each visible unit

    def to_dict(self) -> dict[str, Any]:
        """Curves, n_agree and the worst statistics, as ``plotting.plot_mixing`` takes them."""
        curves = {
            name: {key: value.tolist() for key, value in getattr(self, name)._asdict().items()}
            for name in ("from_data", "from_noise")
        }
        found = {"sweeps": self.sweeps.tolist(), **curves, "n_agree": self.n_agree}
        for of, chains in (("free_energy", self.free_energy), ("worst_unit", self.units)):
            time, size, r_hat = (each[~each.isnan()].tolist() for each in chains)
            found[of] = {
                "autocorrelation_time": max(time, default=math.nan),
                "effective_sample_size": min(size, default=math.nan),
                "r_hat": max(r_hat, default=math.nan),
            }
        return found


@torch.no_grad()
def mixing(
    rbm: RBM,
    data: Tensor,
    *,
    n_chains: int = 256,
    n_sweeps: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Mixing:
    """Compares chains that start from data with chains that start from noise.

    In equilibrium no chain knows where it started. At sweeps in equal steps of their logarithm the
    two sets are compared by permutation of the chains: the difference of their mean free energies,
    and sum_ij (<v_j h_i>_data - <v_j h_i>_noise)**2, h as P(h | v). They agree from the first of
    these sweeps from which on no test rejects, at 0.05 for all tests together (Bonferroni).

    Args:
        rbm: of any size.
        data: (n, n_visible), as in ``RBM.forward``, only 0 and 1, at least one row; rows are drawn
            without repetition as far as they go.
        n_chains: of each set, at least 4.
        n_sweeps: at least 8.
        seed: in [0, 2**63).
        progress: whether to draw a bar on stderr.

    Returns:
        the two curves of free energy, the p-values, the sweeps n_agree or None, and the
        statistics of free energy and visible units over all chains in the second half.

    Raises:
        ValueError: wrong shape, dtype or range; values other than 0 and 1; NaN or inf in the
            parameters.

    Note:
        Deterministic by seed; the machine's own draws stay. Agreement is necessary for equilibrium,
        not sufficient: modes that neither set has seen do not show. Few chains see large
        differences only. Memory: a few tables of (2 n_chains)**2 float64.

    Example:
        >>> found = mixing(RBM(6, 4, weight_scale=0.0), torch.eye(6), n_chains=32, n_sweeps=16)
        >>> found.n_agree
        1

    Source: Decelle, Furtlehner & Seoane, Equilibrium and non-equilibrium regimes in the learning
    of restricted Boltzmann machines, NeurIPS 2021; the test of pairs: Gretton et al., JMLR 2012.
    """
    op = "mixing"
    check_machine(op, rbm)
    rows = units.checked(op, "data", data, rbm.n_visible, rbm.weight)
    if not len(rows):
        rule = "data must have at least one row"
        raise checks.error(op, rule, tuple(data.shape), "Pass the training rows.")
    if rows.dtype != torch.bool:
        raise checks.error(op, "data must hold only 0 and 1", "values in between", "Binarise it.")
    checks.integer(op, "n_chains", n_chains, 4, checks.MAX_CHAINS // 2)
    checks.integer(op, "n_sweeps", n_sweeps, 8, checks.MAX_SWEEPS)
    checks.integer(op, "seed", seed, 0, checks.MAX_SEED)
    checks.flag(op, "progress", progress)

    key = derived_seed(seed, _PURPOSE)
    generator = np.random.default_rng(key)
    points = _points(n_sweeps)
    signs = _signs(generator, n_chains, n_permutations=round(4 * len(points) / _LEVEL))
    signs = signs.to(rows.device)
    stride = -(-(n_sweeps // 2) // _RECORDED)
    recorded = set(range(n_sweeps, n_sweeps // 2, -stride))
    run = _Run(rbm, _start(rbm, rows, n_chains, generator, key), 2 * n_chains, key)

    curves, p_values, energies, states = [], [], [], []
    with tqdm(total=n_sweeps, unit="sweep", disable=not progress) as bar:
        for t in sorted({*points, *recorded}):
            bar.update(run.go_to(t))
            energy = run.free_energy()
            if t in points:
                curves.append(energy.view(2, n_chains))
                p_values.append(torch.stack(_p_values(energy, run.pairs(), signs)))
            if t in recorded:
                energies.append(energy)
                states.append(run.visible)
    from_data, from_noise = (_curve(each) for each in torch.stack(curves).unbind(1))
    energy_p, pair_p = torch.stack(p_values).unbind(1)
    level = _LEVEL / (2 * len(points))
    rejected = (torch.minimum(energy_p, pair_p) <= level).nonzero()
    first = int(rejected[-1]) + 1 if len(rejected) else 0
    return Mixing(
        torch.tensor(points),
        from_data,
        from_noise,
        energy_p,
        pair_p,
        points[first] if first < len(points) else None,
        _statistics(torch.stack(energies), stride, split_r_hat),
        _of_units(torch.stack(states), n_chains, stride),
    )


def _points(n_sweeps: int) -> list[int]:
    """0, 1, and on to n_sweeps in equal steps of the logarithm."""
    n = math.ceil(_A_DECADE * math.log10(n_sweeps))
    return sorted({0, *(round(n_sweeps ** (k / n)) for k in range(n + 1))})


def _signs(generator: np.random.Generator, n_chains: int, n_permutations: int) -> Tensor:
    """+1 for chains of one set and -1 for those of the other: as they are, then permuted."""
    signs = np.repeat([1.0, -1.0], n_chains)
    permuted = generator.permuted(np.tile(signs, (n_permutations, 1)), axis=1)
    return torch.from_numpy(np.concatenate([signs[None], permuted]))


def _start(
    rbm: RBM, rows: Tensor, n_chains: int, generator: np.random.Generator, key: int
) -> Tensor:
    """Packed states: rows of the data, then independent units, P(v_j = 1) = sigmoid(b_j)."""
    order = generator.permutation(len(rows))[np.arange(n_chains) % len(rows)]
    _, to_visible, b, _, exponent = rbm._model(TRAINING_DIGITS)
    off = ops.pack_states(torch.zeros(n_chains, rbm.n_hidden, dtype=torch.bool, device=b.device))
    noise = ops.sample_visible(off, to_visible, b, exponent, n_chains, seed=key)
    chosen = rows[torch.from_numpy(order).to(rows.device)].to(torch.uint8)
    return ops.pack_states(torch.cat([chosen, ops.unpack_states(noise, n_chains)]))


class _Run:
    """Chains with draws of their own; sweep t has the draws of number t."""

    def __init__(self, rbm: RBM, start: Tensor, n: int, key: int) -> None:
        self.visible, self.n, self.t, self.key = start, n, 0, key
        self.model = rbm._model(TRAINING_DIGITS)
        to_hidden, _, self.b, c, exponent = rbm._model(EVALUATION_DIGITS)
        self.up = to_hidden, c, exponent, n

    def go_to(self, t: int) -> int:
        """Sweeps until number t; how many."""
        n_steps = t - self.t
        if n_steps:
            given = self.visible, *self.model, self.n, n_steps
            self.visible, _ = ops.gibbs_steps(*given, seed=self.key, step=self.t + 1)
        self.t = t
        return n_steps

    def free_energy(self) -> Tensor:
        """(n,)."""
        to_hidden, c, exponent, n = self.up
        return ops.free_energy(self.visible, to_hidden, self.b, c, exponent, n)

    def pairs(self) -> Tensor:
        """Inner products of v h^T between chains, (n, n): those of v times those of h."""
        v = ops.unpack_states(self.visible, self.n).double()
        h = ops.hidden_mean(self.visible, *self.up).double()
        return (v @ v.t()) * (h @ h.t())


def _p_values(energy: Tensor, pairs: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of the permutations under which the sets differ as much as they do."""
    centred = energy - energy.mean()
    pairs = pairs - pairs.mean(0)  # signs sum to 0: the statistic is the same, its rounding less
    found = []
    for statistic, scale in (
        ((signs @ centred).abs(), centred.abs().sum()),
        (((signs @ pairs) * signs).sum(1), pairs.abs().sum()),
    ):
        as_large = statistic >= statistic[0] - 1e-12 * scale
        found.append(as_large.double().mean())
    return found[0], found[1]


def _curve(energies: Tensor) -> Curve:
    """Of (n_points, n_chains)."""
    low, high = torch.quantile(energies, energies.new_tensor([0.1, 0.9]), dim=1)
    return Curve(energies.mean(1), low, high)


def _statistics(series: Tensor, stride: int, r_hat: Any) -> Chains:
    """Of (n_steps, n_chains, n_quantities), recorded every stride sweeps."""
    time = stride * integrated_autocorrelation_time(series)
    return Chains(time, effective_sample_size(series), r_hat(series))


def _of_units(states: Tensor, n_chains: int, stride: int) -> Chains:
    """Of packed states (n_steps, n_visible, n_words) of both sets."""
    n_kept, found = min(n_chains, _OF_UNITS), []
    for part in states.split(max(1, _AT_ONCE // (2 * n_kept * len(states))), dim=1):
        bits = ops.unpack_states(part.reshape(-1, part.shape[2]), 2 * n_chains)
        chosen = bits.view(2, n_chains, *part.shape[:2])[:, :n_kept].flatten(0, 1)
        found.append(_statistics(chosen.transpose(0, 1), stride, plain_r_hat))
    return Chains(*(torch.cat(each) for each in zip(*found, strict=True)))
