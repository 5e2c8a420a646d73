"""Statistics of series whose truth is known, and the test of equilibrium."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
import torch
from machines import random_rbm

from ncg_fast import RBM, diagnostics, evaluation
from ncg_fast.evaluation import series as series_module
from ncg_fast.seeds import derived_seed

TIME, SIZE, R_HAT = (
    diagnostics.integrated_autocorrelation_time,
    diagnostics.effective_sample_size,
    diagnostics.split_r_hat,
)


def autoregressive(rho, n_steps, n_chains, seed=0):
    """x_t = rho x_(t-1) + noise from equilibrium: tau = (1 + rho) / (1 - rho)."""
    rng = np.random.default_rng(seed)
    x = np.empty((n_steps, n_chains))
    x[0] = rng.normal(0, 1 / math.sqrt(1 - rho**2), n_chains)
    for t in range(1, n_steps):
        x[t] = rho * x[t - 1] + rng.normal(size=n_chains)
    return torch.from_numpy(x)


def textbook_size(x):
    """The effective sample size of Vehtari et al., equations 10 to 13, lag by lag."""
    half = len(x) // 2
    x = np.concatenate([x[:half], x[-half:]], 1)
    n, m = x.shape
    means = x.mean(0)
    within = x.var(0, ddof=1).mean()
    total = (n - 1) / n * within + (means.var(ddof=1) if m > 1 else 0)
    rho = [1.0]
    for lag in range(1, n):
        products = ((x[: n - lag] - means) * (x[lag:] - means)).sum(0) / n
        rho.append(1 - (within - products.mean()) / total)
    tau, least = -1.0, math.inf
    for k in range(n // 2):
        pair = rho[2 * k] + rho[2 * k + 1]
        if pair <= 0:
            break
        least = min(least, pair)
        tau += 2 * least
    return n * m / max(tau, 1 / math.log10(n * m))


def textbook_r_hat(x):
    half = len(x) // 2
    x = np.concatenate([x[:half], x[-half:]], 1)
    within = x.var(0, ddof=1).mean()
    return math.sqrt(((half - 1) / half * within + x.mean(0).var(ddof=1)) / within)


def normal_scores(x):
    from scipy import stats

    ranks = stats.rankdata(x, method="average").reshape(x.shape)
    return stats.norm.ppf((ranks - 3 / 8) / (x.size + 1 / 4))


def test_doctests() -> None:
    for module in (diagnostics, series_module):
        found = doctest.testmod(module)
        assert found.attempted and not found.failed


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8, 0.95])
def test_correlation_of_an_autoregressive_series(rho: float) -> None:
    x, tau = autoregressive(rho, 20_000, 8), (1 + rho) / (1 - rho)
    assert float(TIME(x)) == pytest.approx(tau, rel=0.1)
    assert float(SIZE(x)) == pytest.approx(x.numel() / tau, rel=0.1)
    assert float(R_HAT(x)) < 1.01


def test_chains_that_take_turns_are_worth_more_than_independent_ones() -> None:
    x = autoregressive(-0.5, 4000, 4)
    assert float(SIZE(x)) == pytest.approx(3 * x.numel(), rel=0.1)


@pytest.mark.parametrize(("n_steps", "n_chains"), [(4, 1), (5, 2), (50, 3), (101, 4)])
def test_statistics_follow_their_formulas(n_steps: int, n_chains: int) -> None:
    for rho in (0.0, 0.9):
        x = autoregressive(rho, n_steps, n_chains, seed=n_steps)
        plain = x.numpy()
        assert float(SIZE(x)) == pytest.approx(textbook_size(plain))
        spread = np.abs(plain - np.median(plain))
        expected = max(textbook_r_hat(normal_scores(each)) for each in (plain, spread))
        assert float(R_HAT(x)) == pytest.approx(expected)


def test_equal_values_share_their_rank_and_bits_need_none() -> None:
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (50, 4)))
    expected = textbook_r_hat(normal_scores(x.numpy()))
    assert float(R_HAT(x)) == pytest.approx(expected)
    assert float(series_module.plain_r_hat(x)) == pytest.approx(expected)


@pytest.mark.parametrize("statistic", [TIME, SIZE, R_HAT])
def test_quantities_have_statistics_of_their_own(statistic) -> None:
    several = torch.stack([autoregressive(rho, 100, 3) for rho in (0.0, 0.5, 0.9)], dim=2)
    expected = torch.stack([statistic(each) for each in several.unbind(2)])
    torch.testing.assert_close(statistic(several), expected)
    assert statistic(several.float()).dtype == torch.float64


def test_chains_that_disagree_show() -> None:
    x = autoregressive(0.0, 1000, 6)
    apart = x + torch.tensor([0, 0, 0, 9.0, 9, 9])
    assert float(R_HAT(apart)) > 1.5
    assert float(SIZE(apart)) < 20
    assert float(TIME(apart)) > 100
    wider = x * torch.tensor([1, 1, 1, 5.0, 5, 5])  # the same means: only folding tells
    assert float(R_HAT(wider)) > 1.1 > 1.01 > textbook_r_hat(wider.numpy())
    drifting = x + torch.linspace(0, 9, 1000).view(-1, 1)  # all alike: only splitting tells
    assert float(R_HAT(drifting)) > 1.5


def test_constants_have_none() -> None:
    constant = torch.full((50, 4), 0.1)
    for statistic in (TIME, SIZE, R_HAT):
        assert statistic(constant).isnan()
    stuck = torch.tensor([0.0, 1, 0, 1]).expand(50, 4)
    assert R_HAT(stuck).isinf() or R_HAT(stuck) > 1e6
    assert float(SIZE(stuck)) <= 8


@pytest.mark.parametrize(
    ("series", "message"),
    [
        (torch.zeros(9), "series must have shape"),
        (torch.zeros(9, 0), "series must have shape"),
        (torch.zeros(3, 2), "series must have at least 4 steps, got 3"),
        (torch.zeros(9, 2, dtype=torch.complex64), "series must be bool, an integer or floating"),
        (torch.full((9, 2), torch.nan), "series must hold finite numbers"),
    ],
)
def test_other_series_are_refused(series, message) -> None:
    for statistic in (TIME, SIZE, R_HAT):
        with pytest.raises(ValueError, match=f"{statistic.__name__}: {message}"):
            statistic(series)


def two_modes(strength=3.0, n_visible=12, n_hidden=6):
    """All units on, or all off: each unit holds the others where they are."""
    rbm = RBM(n_visible, n_hidden, weight_scale=0.0)
    with torch.no_grad():
        rbm.weight.fill_(strength)
        rbm.visible_bias.fill_(-strength * n_hidden / 2)
        rbm.hidden_bias.fill_(-strength * n_visible / 2)
    return rbm


def test_independent_units_agree_at_once() -> None:
    rbm = RBM(20, 5, weight_scale=0.0)
    with torch.no_grad():
        rbm.visible_bias.copy_(torch.linspace(-1, 1, 20))
    data = (torch.rand(500, 20, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    found = diagnostics.mixing(rbm, data, n_chains=128, n_sweeps=50)
    assert found.n_agree == 1
    assert found.sweeps[0] == 0 and found.sweeps[-1] == 50
    assert found.energy_p[0] < 0.01 and found.pair_p[0] < 0.01
    assert 0.7 < found.free_energy.autocorrelation_time < 1.3
    assert found.units.r_hat.max() < 1.05
    assert found.units.effective_sample_size.min() > 0.5 * 25 * 128
    at_home = rbm.sample(500, 1)
    assert diagnostics.mixing(rbm, at_home, n_chains=128, n_sweeps=50).n_agree == 0


def test_two_modes_never_agree() -> None:
    found = diagnostics.mixing(two_modes(), torch.ones(5, 12), n_chains=64, n_sweeps=60)
    assert found.n_agree is None
    assert found.pair_p[-1] < 0.001
    assert found.units.r_hat.min() > 1.5


def test_weaker_modes_agree_later() -> None:
    weak = diagnostics.mixing(two_modes(0.5), torch.ones(5, 12), n_chains=64, n_sweeps=500)
    assert weak.n_agree is not None and weak.n_agree > 2
    assert weak.free_energy.autocorrelation_time > 1.5


def test_curves_begin_at_the_data() -> None:
    rbm = random_rbm(9, 7)
    data = torch.ones(1, 9)
    found = diagnostics.mixing(rbm, data, n_chains=32, n_sweeps=8)
    at_start = float(rbm.free_energy(data[0]).detach())
    for curve in found.from_data:
        assert float(curve[0]) == pytest.approx(at_start)
    assert (found.from_noise.low < found.from_noise.mean).all()
    assert (found.from_noise.mean < found.from_noise.high).all()


def test_the_machine_and_its_draws_stay() -> None:
    rbm, data = random_rbm(9, 7), torch.eye(9)
    rbm.sample(3, 5)
    before = rbm.get_extra_state().clone()
    first = diagnostics.mixing(rbm, data, n_chains=16, n_sweeps=20, seed=2)
    assert torch.equal(rbm.get_extra_state(), before)
    rbm.sample(3, 5)
    again = diagnostics.mixing(rbm, data, n_chains=16, n_sweeps=20, seed=2)
    other = diagnostics.mixing(rbm, data, n_chains=16, n_sweeps=20, seed=3)
    assert torch.equal(first.from_noise.mean, again.from_noise.mean)
    assert not torch.equal(first.from_noise.mean, other.from_noise.mean)


def test_its_seed_is_that_of_no_other_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    from ncg_fast import ops

    keys, sweeps = set(), ops.gibbs_steps

    def noted(*args, seed, **options):
        keys.add(seed)
        return sweeps(*args, seed=seed, **options)

    monkeypatch.setattr(ops, "gibbs_steps", noted)
    diagnostics.mixing(random_rbm(9, 7), torch.eye(9), n_chains=8, n_sweeps=8, seed=6)
    assert keys == {derived_seed(6, 5)}
    assert keys.isdisjoint({6, *(derived_seed(6, purpose) for purpose in range(5))})


def test_long_runs_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnostics, "_RECORDED", 10)
    found = diagnostics.mixing(random_rbm(9, 7), torch.eye(9), n_chains=8, n_sweeps=67)
    assert found.sweeps[-1] == 67
    assert found.free_energy.autocorrelation_time > 1.5  # in sweeps, four between two states


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": torch.zeros(0, 9)}, "data must have at least one row"),
        ({"data": torch.full((2, 9), 0.5)}, "data must hold only 0 and 1"),
        ({"data": torch.zeros(2, 8)}, "data must have shape"),
        ({"n_chains": 3}, "n_chains must be at least 4, got 3"),
        ({"n_sweeps": 7}, "n_sweeps must be at least 8, got 7"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"progress": 1}, "progress must be True or False"),
        ({"rbm": None}, "rbm must be an ncg_fast.RBM"),
    ],
)
def test_wrong_arguments(given, message) -> None:
    with pytest.raises(ValueError, match=f"mixing: {message}"):
        diagnostics.mixing(**{"rbm": random_rbm(9, 7), "data": torch.eye(9), **given})


def test_dictionary_holds_curves_and_the_worst_units() -> None:
    found = evaluation.diagnostics.mixing(two_modes(), torch.ones(5, 12), n_chains=8, n_sweeps=9)
    told = found.to_dict()
    assert told["sweeps"] == found.sweeps.tolist()
    assert told["from_data"]["mean"] == found.from_data.mean.tolist()
    assert told["worst_unit"]["r_hat"] == float(found.units.r_hat.max())
    assert told["n_agree"] is None
