"""Annealed importance sampling: its sums over chains, its base, and what it draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from calls import Spy, serving
from machines import random_rbm, random_rows

from ncg_fast import backends, fit
from ncg_fast import evaluation as ev
from ncg_fast.evaluation import EXACT_UNITS
from ncg_fast.seeds import derived_seed

LARGE = EXACT_UNITS + 1  # units of a layer, so that log Z is not exact


def annealed_to(log_weights: list[float]) -> Spy:
    """The CPU, but for annealing, which ends with these log-weights."""

    def anneal(visible, **_):
        return visible, torch.tensor(log_weights, dtype=torch.float64)

    return Spy(backends.select("cpu"), anneal=anneal)


def log_base(bias: np.ndarray, n_hidden: int) -> float:
    return n_hidden * math.log(2) + float(np.log1p(np.exp(bias)).sum())


@pytest.mark.parametrize(
    "log_weights", [[0.0, 1.5], [-3.0, -3.0], [2.0, 0.5, -1.0], [700.0, 701.0, 699.0]]
)
def test_value_and_error_follow_their_formulas(log_weights: list[float]) -> None:
    """The error of log mean(w) is the standard error of mean(w), n - 1 in it, over mean(w)."""
    rbm, n = random_rbm(7, 5), len(log_weights)
    with serving(annealed_to(log_weights)):
        found = ev.log_partition_ais(rbm, n_chains=n, betas=5)
    top = max(log_weights)
    w = np.exp(np.array(log_weights) - top)
    assert found.value == pytest.approx(log_base(np.zeros(7), 5) + top + np.log(w.mean()))
    assert found.standard_error == pytest.approx(w.std(ddof=1) / math.sqrt(n) / w.mean(), abs=1e-7)
    assert found.effective_sample_size == pytest.approx(w.sum() ** 2 / (w**2).sum())


@pytest.mark.parametrize("given", [{}, {"base": "data"}])
def test_the_base_is_the_smoothed_mean_of_the_data(given: dict[str, str]) -> None:
    rbm, rows = random_rbm(7, 5), random_rows(9, 7)
    mean = (rows.numpy().astype(np.float64).sum(0) + 1) / 11
    spy = annealed_to([0.0, 0.0])
    with serving(spy):
        found = ev.log_partition_ais(rbm, n_chains=2, betas=5, data=rows, **given)
    (arguments,) = spy.given("anneal")
    logit = np.log(mean / (1 - mean))
    np.testing.assert_allclose(arguments["base_bias"], logit, rtol=1e-6)
    assert found.value == pytest.approx(log_base(logit, 5), rel=1e-6)


def bases_of(spy: Spy) -> list[torch.Tensor]:
    return [arguments["base_bias"] for arguments in spy.given("anneal")]


def smoothed_logit(rows: torch.Tensor) -> torch.Tensor:
    return torch.logit((rows.sum(0, dtype=torch.float64) + 1) / (len(rows) + 2)).float()


def test_training_measures_from_its_own_rows() -> None:
    """Held-out rows take the log Z that the training rows led to."""
    rows, held_out = random_rows(30, LARGE), random_rows(11, LARGE, seed=1)
    spy = annealed_to([3.0] * 100)
    with serving(spy):
        rbm = random_rbm(LARGE, LARGE)
        options = {"epochs": 2, "nll_every": 1, "batch_size": 10, "progress": False}
        history = fit(rbm, rows, x_held_out=held_out, **options)
    bases = bases_of(spy)
    assert len(bases) == 2
    assert all(torch.equal(base, smoothed_logit(rows)) for base in bases)
    log_z = log_base(smoothed_logit(rows).double().numpy(), LARGE) + 3
    for name, x in (("train_nll", rows), ("test_nll", held_out)):
        expected = float(rbm.free_energy(x).detach().mean()) + log_z
        assert getattr(history[-1], name) == pytest.approx(expected, rel=1e-9)


def test_sampling_of_one_seed_shares_no_draw_with_training() -> None:
    rows = random_rows(30, LARGE)
    for seed in (0, 7):
        training, annealing = (Spy(backends.select("cpu")) for _ in range(2))
        with serving(training):
            rbm = random_rbm(LARGE, 3, seed=seed)
            fit(rbm, rows, epochs=1, batch_size=10, persistent=True, seed=seed, progress=False)
            rbm.sample(3, 2)
        with serving(annealing):
            ev.log_partition_ais(rbm, n_chains=2, betas=5, seed=seed)
        assert training.seeds() == {seed}
        assert annealing.seeds() == {derived_seed(seed, 3)}  # of a purpose of its own
        assert not annealing.seeds() & training.seeds()
