"""Bounds on log Z from both sides, against machines that are enumerated; and what warns."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import textbook
import torch
from calls import Spy, serving
from machines import random_rbm, random_rows

import ncg_fast
from ncg_fast import backends, ops
from ncg_fast import evaluation as ev
from ncg_fast.evaluation import annealing, ladders
from ncg_fast.evaluation.annealing import LogPartition
from ncg_fast.evaluation.bounds import LogPartitionBounds


def exact_log_z(rbm):
    return textbook.log_partition(textbook.of(rbm))


def exact_samples(rbm, n, seed=0):
    """Packed visible states drawn from the enumerated machine."""
    states = textbook.all_states(rbm.n_visible)
    p = np.exp(textbook.log_probability(textbook.of(rbm), states))
    chosen = np.random.default_rng(seed).choice(len(p), n, p=p / p.sum())
    return ops.pack_states(torch.from_numpy(states[chosen]).to(torch.uint8))


def downward(rbm, samples, n_chains, betas, seed):
    """log Z / Z_0 by the mean weight of the way down from these samples, and its error."""
    ladder = ladders.checked("", betas).flip(0)
    base = torch.zeros(rbm.n_visible)
    model = rbm._model(3)
    _, log_w = ops.anneal(samples, *model[:4], base, ladder, model[4], n_chains, seed=seed)
    w = (log_w + exact_log_z(rbm) - (rbm.n_visible + rbm.n_hidden) * math.log(2)).exp()
    return float(w.mean()), float(w.std() / math.sqrt(n_chains))


@pytest.mark.parametrize("betas", [2, 3, 6, 40])
def test_weights_of_the_way_down_are_unbiased_for_the_inverse(betas):
    """Whatever the ladder, from exact samples; a sweep before its weight would show here."""
    rbm, n = random_rbm(7, 5, scale=1.0), 100_000
    mean, error = downward(rbm, exact_samples(rbm, n), n, betas, seed=1)
    assert abs(mean - 1) < 4 * error
    assert error < 0.05


@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize("size", [(13, 7), (7, 13), (9, 9)])
def test_bounds_meet_the_exact_value_as_the_ladder_grows(size, with_data):
    rbm = random_rbm(*size, scale=1.0)
    data = rbm.sample(200, 50) if with_data else None
    exact, gaps = exact_log_z(rbm), []
    for betas in (30, 300, 3000):
        found = ev.log_partition_bounds(rbm, betas=betas, data=data, n_sweeps=200)
        assert found.agree
        for side in found:
            assert abs(side.value - exact) < 4 * side.standard_error
        gaps.append(found.gap_error)
        assert abs(found.gap) < 4 * found.gap_error
        assert found.gap_error == math.hypot(*(side.standard_error for side in found))
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2]
    assert gaps[2] < 0.03


def test_a_ladder_too_short_shows_in_the_gap():
    """Averages over seeds: lower < exact < upper, and the gap says by how much."""
    rbm = random_rbm(13, 9, scale=2.0)
    exact = exact_log_z(rbm)
    runs = []
    for seed in range(30):
        with pytest.warns(RuntimeWarning):
            runs.append(
                ev.log_partition_bounds(rbm, n_chains=20, betas=3, base="uniform", seed=seed)
            )
    lower, upper = (np.array([run[side].value for run in runs]) - exact for side in (0, 1))
    for errors, sign in ((lower, -1), (upper, 1)):
        assert sign * errors.mean() > 4 * errors.std(ddof=1) / math.sqrt(len(runs))
    assert sum(not run.agree for run in runs) > len(runs) / 2


def test_bounds_warn_where_they_do_not_agree():
    one = LogPartition(10.0, 0.1, 50.0)
    assert LogPartitionBounds(one, one._replace(value=10.4)).agree
    assert not LogPartitionBounds(one, one._replace(value=10.5)).agree
    assert not LogPartitionBounds(one, one._replace(value=9.5)).agree
    sure = one._replace(standard_error=1e-3)
    assert LogPartitionBounds(sure, sure._replace(value=10.09)).agree
    assert not LogPartitionBounds(sure, sure._replace(value=10.11)).agree
    ways = iter([[0.0] * 20, [-1.0] * 20])  # up from the base of the data, then down

    def anneal(visible, **_):
        return visible, torch.tensor(next(ways), dtype=torch.float64)

    rbm, text = random_rbm(7, 5), r"^log_partition_bounds: lower and upper value should agree, got "
    with (
        serving(Spy(backends.select("cpu"), anneal=anneal)),
        pytest.warns(RuntimeWarning, match=text),
    ):
        found = ev.log_partition_bounds(rbm, n_chains=20, betas=5, data=random_rows(9, 7))
    assert found.gap == pytest.approx(1)


def test_the_way_down_begins_after_its_sweeps_from_the_data():
    rbm, rows = random_rbm(7, 5), random_rows(40, 7)
    spy = Spy(backends.select("cpu"))
    with serving(spy):
        ev.log_partition_bounds(rbm, n_chains=20, betas=50, data=rows, n_sweeps=17)
    (sweeps,) = spy.given("gibbs_steps")
    up, down = spy.given("anneal")
    assert torch.equal(sweeps["visible"], ops.pack_states(rows[::2].contiguous()))
    assert (sweeps["n_steps"], sweeps["draw"].step, down["draw"].step) == (17, 0, 17)
    assert torch.equal(down["betas"], up["betas"].flip(0))
    assert down["draw"].seed == sweeps["draw"].seed != up["draw"].seed


def test_without_data_the_way_down_begins_where_weight_is():
    """All the weight on one chain: its state alone is taken."""
    rbm, n = random_rbm(7, 5), 20
    ends = random_rows(n, 7)
    log_w = torch.full((n,), -50.0, dtype=torch.float64)
    log_w[13] = 0.0

    def anneal(visible, **_):
        return ops.pack_states(ends), log_w

    spy = Spy(backends.select("cpu"), anneal=anneal)
    with serving(spy), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        ev.log_partition_bounds(rbm, n_chains=n, betas=5, base="uniform")
    (sweeps,) = spy.given("gibbs_steps")
    expected = ends[13].expand(n, 7).contiguous()
    assert torch.equal(sweeps["visible"], ops.pack_states(expected))


def test_few_effective_chains_warn():
    text = (
        r"^log_partition_ais: the effective sample size should be at least 10, got 5\.0 from 20 "
        r"chains; neither estimate nor error can be trusted\. Use more betas or more chains, or "
        r"pass data\.$"
    )
    rbm = random_rbm(7, 5)
    for n_even, expected in ((5, True), (10, False)):
        log_w = torch.full((20,), -math.inf, dtype=torch.float64)
        log_w[:n_even] = 0.0
        spy = Spy(backends.select("cpu"), anneal=lambda visible, log_w=log_w, **_: (visible, log_w))
        with serving(spy):
            options = {"n_chains": 20, "betas": 5, "base": "uniform"}
            if expected:
                with pytest.warns(RuntimeWarning, match=text):
                    found = ev.log_partition_ais(rbm, **options)
            else:
                found = ev.log_partition_ais(rbm, **options)
        assert found.effective_sample_size == pytest.approx(n_even)


def test_even_ladders_warn_unless_bounds_agree():
    rbm, even = random_rbm(7, 5), torch.linspace(0, 1, 500)
    with pytest.warns(RuntimeWarning, match=r"betas should not be evenly spaced, got 500 that are"):
        ev.log_partition_ais(rbm, betas=even)
    assert ev.log_partition_bounds(rbm, betas=even).agree
    ev.log_partition_ais(rbm, betas=even**2)


@pytest.mark.parametrize("down", [False, True])
def test_pieces_of_a_ladder_are_one_ladder(monkeypatch, down):
    rbm, data = random_rbm(61, 67), random_rows(100, 61)

    def states_and_weights():
        spy = Spy(backends.select("cpu"))
        prepared = annealing.prepared(
            "", rbm, n_chains=100, betas=50, base=None, data=data, seed=3, progress=False
        )
        prepared = prepared._replace(ladder=prepared.ladder.flip(0) if down else prepared.ladder)
        with serving(spy):
            found = prepared.run(ops.pack_states(data), 5, step=7)
        return *found, [len(given["betas"]) - 1 for given in spy.given("anneal")]

    states, weights, calls = states_and_weights()
    assert calls == [49]
    monkeypatch.setattr(annealing, "_PIECE", 15 * 100 * (61 * 67 + 128 * (61 + 67)))
    in_pieces, summed, calls = states_and_weights()
    assert calls == [15, 15, 15, 4]
    assert torch.equal(states, in_pieces)
    torch.testing.assert_close(weights, summed, rtol=1e-12, atol=1e-12)


def test_sweeps_before_the_way_down_go_in_pieces(monkeypatch):
    rbm, data = random_rbm(61, 67, scale=0.2), random_rows(100, 61)
    options = {"n_chains": 100, "betas": 20, "data": data, "n_sweeps": 40}
    whole = ev.log_partition_bounds(rbm, **options)
    monkeypatch.setattr(annealing, "_PIECE", 15 * 100 * (61 * 67 + 128 * (61 + 67)))
    spy = Spy(backends.select("cpu"))
    with serving(spy):
        found = ev.log_partition_bounds(rbm, **options)
    assert [given["n_steps"] for given in spy.given("gibbs_steps")] == [15, 15, 10]
    assert found.upper.value == pytest.approx(whole.upper.value, rel=1e-12)


def trained(n_hidden=12):
    """A machine of strong weights, whose units are rarely on, as of images."""
    rows = ncg_fast.data.load("digits").train
    rbm = ncg_fast.RBM(64, n_hidden, density=0.5, weight_scale=0.05, seed=0)
    ncg_fast.fit(rbm, rows, epochs=60, batch_size=50, lr=0.1, n_steps=1, progress=False)
    return rbm, rows


@pytest.mark.slow
def test_the_sampled_base_is_as_good_as_that_of_the_data_and_better_than_uniform():
    rbm, rows = trained()
    exact = ev.log_partition(rbm)
    errors = {}
    for name, options in {
        "data": {"data": rows},
        "sampled": {},
        "uniform": {"base": "uniform"},
    }.items():
        runs = [ev.log_partition_ais(rbm, betas=100, seed=s, **options).value for s in range(16)]
        errors[name] = math.sqrt(np.mean((np.array(runs) - exact) ** 2))
    assert errors["sampled"] < 2 * errors["data"]
    assert errors["uniform"] > 2 * errors["sampled"]


def test_likelihood_has_bounds_on_request():
    rbm, x = random_rbm(31, 29, scale=0.3), random_rows(67, 31)
    options = {"n_chains": 50, "betas": 30, "seed": 3}
    both = ev.log_partition_bounds(rbm, data=x, **options)
    found = ev.log_likelihood(rbm, x, bounds=True, **options)
    energy = float(rbm.free_energy(x).detach().mean())
    assert found.bounds == pytest.approx((-energy - both.upper.value, -energy - both.lower.value))
    assert found.mean == found.bounds[1]
    assert ev.log_likelihood(rbm, x, **options).bounds is None
    given = ev.log_likelihood(rbm, x, log_z=both)
    assert (given.mean, given.standard_error, given.bounds) == (found.mean, *found[1::2])
    exact = random_rbm(7, 5)
    found = ev.log_likelihood(exact, random_rows(9, 7), bounds=True)
    assert found.bounds == (found.mean, found.mean)
