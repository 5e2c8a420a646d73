"""Partition function and likelihood against the textbook; nothing evaluated is changed."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import textbook
import torch
from machines import random_rbm, random_rows

from ncg_fast import evaluation as ev
from ncg_fast.evaluation import partition


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (5, 7), (1, 11), (11, 1), (9, 8)])
@pytest.mark.parametrize("scale", [0.0, 0.9, 30.0])
def test_log_partition_is_the_enumerated_one(size, scale):
    rbm = random_rbm(*size, scale=scale)
    expected = textbook.log_partition(textbook.of(rbm))
    assert ev.log_partition(rbm) == pytest.approx(expected, rel=1e-12, abs=1e-10)


@pytest.mark.parametrize("table", [1, 60, 1000])
def test_log_partition_does_not_depend_on_its_table(monkeypatch, table):
    rbm = random_rbm(61, 9)
    whole = ev.log_partition(rbm)
    monkeypatch.setattr(partition, "_TABLE", table)
    assert ev.log_partition(rbm) == pytest.approx(whole, rel=1e-13)


def test_log_partition_of_huge_fields_is_finite():
    rbm = random_rbm(7, 5)
    with torch.no_grad():
        rbm.visible_bias.fill_(1e4)
        rbm.hidden_bias.fill_(-1e4)
    expected = textbook.log_partition(textbook.of(rbm))
    assert ev.log_partition(rbm) == pytest.approx(expected, rel=1e-12)


LARGE = [pytest.param(seed, marks=pytest.mark.slow) for seed in (0, 5)]  # 20 units enumerated


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 6, 7, 8, 9, *LARGE])
def test_ais_meets_the_exact_value_within_its_error(seed):
    n_visible, n_hidden = [(31, 20), (13, 7), (16, 61), (61, 13), (16, 16)][seed % 5]
    rbm = random_rbm(n_visible, n_hidden, seed=seed, weight_init="uniform", scale=1.0)
    data = rbm.sample(200, n_steps=10) if seed % 2 else None
    estimate = ev.log_partition_ais(rbm, betas=200, data=data, seed=seed)
    exact = ev.log_partition(rbm)
    assert abs(estimate.value - exact) < 4 * estimate.standard_error
    assert abs(estimate.value - exact) < 0.1
    assert estimate.standard_error < 0.1
    assert 10 < estimate.effective_sample_size <= 100


def test_ais_weights_are_unbiased_and_their_error_honest():
    """Few temperatures, many chains: the mean weight is exact though single runs scatter."""
    rbm = random_rbm(7, 5, scale=1.5)
    exact = textbook.log_partition(textbook.of(rbm))
    runs = [ev.log_partition_ais(rbm, n_chains=200, betas=6, seed=s) for s in range(49)]
    errors = np.array([run.value - exact for run in runs])
    weights = np.exp(errors)
    spread = weights.std(ddof=1) / 7
    assert abs(weights.mean() - 1) < 4 * spread
    assert spread < 0.05
    scaled = errors / [run.standard_error for run in runs]
    assert 0.7 < scaled.std() < 1.4


def test_ais_of_independent_units_is_exact_at_any_ladder():
    rbm = random_rbm(7, 5, density=0.0)
    with torch.no_grad():
        rbm.hidden_bias.zero_()
    data = torch.ones(3, 7, dtype=torch.uint8)
    exact = textbook.log_partition(textbook.of(rbm))
    result = ev.log_partition_ais(rbm, n_chains=5000, betas=2, data=data)
    assert abs(result.value - exact) < 4 * result.standard_error
    with torch.no_grad():
        rbm.visible_bias.fill_(
            math.log(4)
        )  # the smoothed mean (3 + 1) / (3 + 2): base and machine agree
    result = ev.log_partition_ais(rbm, n_chains=3, betas=2, data=data)
    assert result.value == pytest.approx(textbook.log_partition(textbook.of(rbm)), abs=1e-5)
    assert result.standard_error < 1e-3
    assert result.effective_sample_size == pytest.approx(3)


def test_ais_takes_a_ladder_and_is_fixed_by_its_seed():
    rbm = random_rbm(7, 5)
    even = ev.log_partition_ais(rbm, betas=11, seed=5)
    ladder = torch.linspace(0, 1, 11, dtype=torch.float64)
    assert ev.log_partition_ais(rbm, betas=ladder, seed=5) == even
    assert (
        ev.log_partition_ais(rbm, betas=11, base="uniform", data=random_rows(9, 7), seed=5) == even
    )
    assert ev.log_partition_ais(rbm, betas=11, seed=6).value != even.value
    assert ev.log_partition_ais(rbm, betas=11, data=random_rows(9, 7), seed=5).value != even.value


def test_authors_betas_are_their_grid():
    betas = ev.authors_betas()
    assert len(betas) == 14_501
    steps = betas.diff()
    for part, step in ((slice(0, 500), 1e-3), (slice(500, 4500), 1e-4), (slice(4500, None), 1e-5)):
        torch.testing.assert_close(
            steps[part], torch.full_like(steps[part], step), rtol=1e-6, atol=0
        )
    assert (betas[0], betas[-1]) == (0, 1)


@pytest.mark.parametrize("size", [(7, 5), (5, 7), (9, 8)])
def test_log_likelihood_is_the_enumerated_one(size):
    rbm, x = random_rbm(*size), random_rows(67, size[0])
    expected = textbook.log_probability(textbook.of(rbm), x.numpy().astype(np.float64))
    result = ev.log_likelihood(rbm, x)
    assert result.per_sample.dtype == torch.float64
    np.testing.assert_allclose(result.per_sample, expected, rtol=0, atol=1e-5)  # 24-bit weights
    assert result.mean == pytest.approx(expected.mean(), abs=1e-5)
    assert result.standard_error == pytest.approx(expected.std(ddof=1) / math.sqrt(67), abs=1e-5)
    every_state = torch.from_numpy(textbook.all_states(size[0])).bool()
    total = ev.log_likelihood(rbm, every_state).per_sample.exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-5)


def test_log_likelihood_uses_ais_where_both_layers_are_large():
    rbm, x = random_rbm(31, 29, scale=0.3), random_rows(67, 31)
    result = ev.log_likelihood(rbm, x, n_chains=50, betas=30, seed=3)
    log_z = ev.log_partition_ais(rbm, n_chains=50, betas=30, data=x, seed=3)
    torch.testing.assert_close(result.per_sample, -rbm.free_energy(x) - log_z.value)
    rows_variance = float(result.per_sample.var()) / 67
    assert result.standard_error == math.sqrt(rows_variance + log_z.standard_error**2)
    given = ev.log_likelihood(rbm, x, log_z=log_z)
    assert given[:2] == result[:2]
    plain = ev.log_likelihood(rbm, x, log_z=log_z.value)
    assert plain.mean == result.mean
    assert plain.standard_error == math.sqrt(rows_variance)
    uniform = ev.log_likelihood(rbm, x, betas=30, base="uniform")
    expected = ev.log_partition_ais(rbm, betas=30)
    assert uniform.mean == pytest.approx(
        float(-rbm.free_energy(x).detach().mean()) - expected.value
    )


def test_log_likelihood_of_one_row():
    rbm = random_rbm(7, 5)
    x = random_rows(1, 7)
    result = ev.log_likelihood(rbm, x[0])
    assert math.isnan(result.standard_error)
    assert result.mean == ev.log_likelihood(rbm, x).mean == float(result.per_sample)


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.float32, torch.float64])
def test_evaluation_takes_every_dtype_and_layout(kind):
    rbm, x = random_rbm(7, 5), random_rows(61, 7)
    turned = x.t().contiguous().t().to(kind)
    assert torch.equal(
        ev.log_likelihood(rbm, turned).per_sample, ev.log_likelihood(rbm, x).per_sample
    )
    assert torch.equal(ev.pseudo_log_likelihood(rbm, turned), ev.pseudo_log_likelihood(rbm, x))
    labelled = random_rbm(10, 5, n_labels=3)
    for method in ("label_units", "free_energy"):
        assert torch.equal(
            ev.classify(labelled, turned, method=method), ev.classify(labelled, x, method=method)
        )


def test_pseudo_log_likelihood_is_that_of_one_unit_a_row():
    rbm, x = random_rbm(7, 5), random_rows(61, 7)
    log_p = textbook.log_probability(textbook.of(rbm), textbook.all_states(7))
    states = textbook.index_of(x)
    flipped = states[:, None] ^ (1 << np.arange(7))
    by_unit = 7 * -np.log1p(np.exp(log_p[flipped] - log_p[states][:, None]))
    draws = np.stack([ev.pseudo_log_likelihood(rbm, x, seed=s).numpy() for s in range(300)])
    unit = np.abs(draws[:, :, None] - by_unit).argmin(2)
    np.testing.assert_allclose(
        draws, np.take_along_axis(by_unit[None], unit[:, :, None], 2)[..., 0], atol=1e-4
    )
    assert len(np.unique(unit)) == 7
    exact, spread = by_unit.sum(1).mean() / 7, draws.mean(1).std(ddof=1)
    assert abs(draws.mean() - exact) < 4 * spread / math.sqrt(300)
    again = ev.pseudo_log_likelihood(rbm, x, seed=7).numpy()
    np.testing.assert_array_equal(again, draws[7])


def test_pseudo_log_likelihood_flips_probabilities():
    rbm = random_rbm(1, 3)
    x = torch.tensor([[0.25], [1.0]])
    expected = torch.nn.functional.logsigmoid(rbm.free_energy(1 - x) - rbm.free_energy(x))
    torch.testing.assert_close(ev.pseudo_log_likelihood(rbm, x), expected)
    assert ev.pseudo_log_likelihood(rbm, x[:0]).shape == (0,)


def test_evaluating_does_not_change_training():
    plain, watched = (random_rbm(10, 7, n_labels=3) for _ in range(2))
    x, labels = random_rows(50, 7), torch.arange(50) % 3
    v = ev.with_labels(x, labels, 3)
    torch.manual_seed(0)
    np.random.seed(0)
    for _ in range(5):
        for rbm in (plain, watched):
            rbm.train_step_(v, 2, lr=0.3, lr_strength=0.3)
        generator, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
        before = copy.deepcopy(watched.state_dict())
        extra = watched._draw()
        ev.log_partition(watched)
        ev.log_partition_ais(watched, betas=5, data=v)
        ev.log_likelihood(watched, v)
        ev.pseudo_log_likelihood(watched, v)
        for method in ("label_units", "free_energy"):
            ev.accuracy(watched, x, labels, method=method)
        after = watched.state_dict()
        for name, value in before.items():
            if not name.endswith("_extra_state"):
                assert torch.equal(value, after[name])
        assert (watched._draw()) == extra
        assert torch.equal(torch.get_rng_state(), generator)
        assert (np.random.get_state()[1] == numpy_state).all()
        assert all(p.grad is None for p in watched.parameters())
    assert torch.equal(plain.weight, watched.weight)
    assert torch.equal(plain.mask, watched.mask)
    assert torch.equal(plain.sample(67, 3), watched.sample(67, 3))
