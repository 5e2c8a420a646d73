"""Parallel tempering as a sampler of machines with separate modes, and its exact decisions."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
import textbook
import torch
from backend_choice import REFERENCE
from calls import serving
from machines import random_rbm, random_rows

from ncg_fast import RBM, ops, sampling
from ncg_fast.backends.numerics import digit_step, quantise
from ncg_fast.model import integer_energy, tempering
from ncg_fast.model.digits import TRAINING_DIGITS, forced_form
from ncg_fast.sampling import parallel_tempering

N_VISIBLE, N_HIDDEN, N_CHAINS, N_STEPS = 6, 4, 1500, 150
pytestmark = pytest.mark.usefixtures("one_thread")
BOUND = 2.0  # of total variation, in units of the Monte-Carlo floor: see tests/ops/test_sampling.py


def two_modes(strength=3.0):
    """Nearly all units on, or nearly all off; the first mode is the more probable by e."""
    rng = np.random.default_rng(0)
    rbm = RBM(N_VISIBLE, N_HIDDEN, weight_scale=0.0)
    with torch.no_grad():
        weight = rng.normal(strength, 0.3, (N_HIDDEN, N_VISIBLE))
        rbm.weight.copy_(torch.from_numpy(weight))
        rbm.visible_bias.copy_(torch.from_numpy(-weight.sum(0) / 2 + 0.1))
        rbm.hidden_bias.copy_(torch.from_numpy(-weight.sum(1) / 2 + 0.1))
    return rbm


def marginal(rbm):
    joint = textbook.joint_distribution(textbook.of(rbm))
    return joint.sum(1)


def distance(p, states):
    """Total variation between states and p, in units of the Monte-Carlo floor."""
    observed = np.bincount(textbook.index_of(states), minlength=p.size) / len(states)
    floor = np.sqrt(p * (1 - p) / len(states)).sum() / 2
    return float(np.abs(observed - p).sum() / 2 / floor)


def tempered(rbm, **options):
    options = {"n_temperatures": 6, "n_steps": N_STEPS, "n_burn_in": 0, **options}
    start = torch.zeros(N_CHAINS, N_VISIBLE)  # all in the less probable mode
    return parallel_tempering(rbm, N_CHAINS, start=start, **options)


def test_doctests() -> None:
    found = doctest.testmod(tempering)
    assert found.attempted and not found.failed


def test_modes_that_sweeps_do_not_leave_are_exchanged() -> None:
    rbm = two_modes()
    p, start = marginal(rbm), torch.zeros(N_CHAINS, N_VISIBLE)
    plain, _ = rbm.gibbs_steps(start, 6 * 2 * N_STEPS)  # twice the sweeps of all temperatures
    assert distance(p, plain) > 10 * BOUND
    found = tempered(rbm)
    assert distance(p, found.states) < BOUND
    assert found.round_trips.min() >= 1
    assert distance(p, tempered(rbm, data=DATA).states) < BOUND


def test_with_an_adapted_ladder_too() -> None:
    rbm = two_modes()
    evenly, adapted = tempered(rbm), tempered(rbm, n_burn_in=200)
    assert distance(marginal(rbm), adapted.states) < BOUND
    assert adapted.swap_rates.std() < 0.03 < evenly.swap_rates.std()
    assert adapted.betas[0] == 0 and adapted.betas[-1] == 1 and (adapted.betas.diff() > 0).all()


DATA = torch.tensor([[1, 1, 0, 0, 1, 0], [1, 0, 0, 0, 1, 1], [1, 1, 0, 1, 1, 0]])


@pytest.mark.parametrize("data", [None, DATA])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_temperature_reaches_its_distribution(seed: int, data) -> None:
    rbm, betas = random_rbm(N_VISIBLE, N_HIDDEN, seed=seed), torch.tensor([0.0, 0.4, 0.8, 1.0])
    found = parallel_tempering(rbm, N_CHAINS, betas=betas, n_steps=40, data=data, seed=seed)
    states = ops.unpack_states(found.replicas, 4 * N_CHAINS).view(4, N_CHAINS, N_VISIBLE)
    p = np.full(N_VISIBLE, 0.5) if data is None else (data.numpy().sum(0) + 1) / (len(data) + 2)
    a, (weight, b, c) = np.log(p / (1 - p)), textbook.of(rbm)
    for rung, beta in enumerate(betas.tolist()):
        at_beta = textbook.Machine(beta * weight, beta * b + (1 - beta) * a, beta * c)
        p_beta = textbook.joint_distribution(at_beta).sum(1)
        assert distance(p_beta, states[found.rung == rung]) < BOUND
        if data is not None and rung < 2:
            without = textbook.joint_distribution(textbook.of(rbm), beta).sum(1)
            assert distance(without, states[found.rung == rung]) > BOUND
    assert torch.equal(found.states, states[found.rung.argmax(0), torch.arange(N_CHAINS)])


def always(log_ratio, uniform):
    return torch.ones_like(uniform, dtype=torch.bool)


def with_the_wrong_sign(log_ratio, uniform, accepts=tempering.accepts):
    return accepts(-log_ratio, uniform)


def of_half_the_difference(log_ratio, uniform, accepts=tempering.accepts):
    return accepts(log_ratio / 2, uniform)


@pytest.mark.parametrize("wrong", [always, with_the_wrong_sign, of_half_the_difference])
def test_a_wrong_rule_leaves_equilibrium(wrong, monkeypatch: pytest.MonkeyPatch) -> None:
    rbm = two_modes()
    monkeypatch.setattr(tempering, "accepts", wrong)
    assert distance(marginal(rbm), tempered(rbm).states) > BOUND


@pytest.mark.parametrize("without", ["b", "c", "q"])
def test_energies_without_a_term_leave_equilibrium(without, monkeypatch) -> None:
    rbm, make = two_modes(), integer_energy.IntegerEnergy.__init__

    def made(self, *given):
        make(self, *given)
        getattr(self, without).zero_()

    monkeypatch.setattr(integer_energy.IntegerEnergy, "__init__", made)
    assert distance(marginal(rbm), tempered(rbm).states) > BOUND


def test_swaps_are_accepted_with_the_probability_of_metropolis() -> None:
    n = 200_000
    uniform = (torch.arange(n).double() + 0.5) / n
    for log_ratio in (-20.0, -3.0, -0.7, -0.01, 0.0, 0.5, 90.0):
        rate = tempering.accepts(torch.full((n,), log_ratio).double(), uniform).double().mean()
        assert float(rate) == pytest.approx(min(1, math.exp(log_ratio)), abs=1e-5)


def test_uniforms_are_those_of_a_stream_of_their_own() -> None:
    run = tempering._Replicas("op", random_rbm(7, 5), torch.linspace(0, 1, 4), 3, None, None, 11)
    run.t = 9
    for pair in (0, 2):
        for chain in range(3):
            first, more = textbook.draw(11, chain, pair, 9, 4)
            expected = (first * 2**24 + more) / 2**40
            assert run._uniforms(torch.tensor([pair]))[0, chain] == expected


@pytest.mark.parametrize("density", [1.0, 0.3])
def test_energies_are_those_of_the_rounded_machine(density: float) -> None:
    rbm = random_rbm(61, 37, density=density)
    with torch.no_grad():
        rbm.visible_bias[3] = 1e-9
    exponent = rbm._model(TRAINING_DIGITS).weight_exponent
    v, h = random_rows(70, 61).bool(), random_rows(70, 37, seed=1).bool()
    energy = integer_energy.IntegerEnergy(rbm, exponent)
    sums = energy(ops.pack_states(v), ops.pack_states(h), 70)
    q = quantise(rbm.weight.detach(), rbm.mask, TRAINING_DIGITS, exponent).numpy()
    interaction = np.einsum("ch,hv,cv->c", *(np.asarray(x, dtype=np.int64) for x in (h, q, v)))
    np.testing.assert_array_equal(sums[0], interaction)
    rounded = textbook.of(rbm)._replace(weight=q * digit_step(exponent, TRAINING_DIGITS))
    expected = np.diag(textbook.minus_energy(rounded, v.double().numpy(), h.double().numpy()))
    np.testing.assert_allclose(energy.scaled(*sums), expected, rtol=1e-12)


def test_energies_of_many_chains_are_computed_in_parts(monkeypatch) -> None:
    rbm = random_rbm(9, 7)
    energy = integer_energy.IntegerEnergy(rbm, 3)
    states = (ops.pack_states(random_rows(70, n).bool()) for n in (9, 7))
    given = (*states, 70)
    whole = energy(*given)
    monkeypatch.setattr(integer_energy, "_AT_ONCE", 100)
    assert all(torch.equal(*each) for each in zip(whole, energy(*given), strict=True))


def same(one, other):
    return all(
        a == b if isinstance(a, int) else torch.equal(a, b) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_every_back_end_finds_the_same(backend, form: str) -> None:
    """On every instruction set, with one thread and with two."""
    options = {"n_temperatures": 5, "n_steps": 20, "n_burn_in": 16, "seed": 3}

    def found(kernels, form="dense"):
        rbm, data = random_rbm(61, 37, density=0.3, scale=0.3), random_rows(20, 61)
        with serving(kernels), forced_form(form):
            return parallel_tempering(rbm, 7, data=data, **options)

    expected = found(REFERENCE.kernels)
    assert expected.swap_rates.min() > 0.05 and expected.swap_rates.max() < 0.99
    for _ in backend.variants():
        assert same(found(backend.kernels, form if backend.compiled else "dense"), expected)


def test_calls_that_go_on_are_one_call() -> None:
    rbm = random_rbm(9, 7)
    whole = parallel_tempering(rbm, 5, n_temperatures=4, n_steps=30, n_burn_in=10, seed=2)
    first = parallel_tempering(rbm, 5, n_temperatures=4, n_steps=12, n_burn_in=10, seed=2)
    kept = [each.clone() if isinstance(each, torch.Tensor) else each for each in first]
    second = parallel_tempering(rbm, 5, n_steps=18, start=first, seed=2)
    assert same(first, kept)
    assert torch.equal(second.betas, whole.betas)
    for name in ("states", "replicas", "rung", "heading", "n_rounds"):
        assert np.array_equal(getattr(second, name), getattr(whole, name)), name
    assert torch.equal(first.round_trips + second.round_trips, whole.round_trips)


def test_the_machine_and_its_draws_stay() -> None:
    rbm = random_rbm(9, 7)
    rbm.sample(5, 3)
    before = rbm.get_extra_state().clone()
    one = parallel_tempering(rbm, 5, n_steps=5, seed=2)
    assert torch.equal(rbm.get_extra_state(), before)
    rbm.sample(5, 3)
    assert same(parallel_tempering(rbm, 5, n_steps=5, seed=2), one)
    other = parallel_tempering(rbm, 5, n_steps=5, seed=3)
    assert not torch.equal(other.replicas, one.replicas)


def test_round_trips_begin_and_end_at_beta_one() -> None:
    """Two temperatures that always swap: a replica is back every second time."""
    rbm = RBM(6, 4, weight_scale=0.0)
    found = parallel_tempering(rbm, 3, n_temperatures=2, n_steps=9, n_burn_in=0)
    # pair (0, 1) is tried in rounds 2, 4, 6, 8: replica 0 is at the top after 2 and 6, 1 after 4, 8
    assert found.swap_rates.tolist() == [1.0]
    assert found.round_trips.tolist() == [3, 3, 3]


def test_starts() -> None:
    rbm = random_rbm(9, 7)
    rows = random_rows(5, 9)
    same_rows = [parallel_tempering(rbm, 5, n_steps=3, start=r) for r in (rows, rows.float())]
    assert same(*same_rows)
    parallel_tempering(rbm, 5, n_steps=3, start=torch.full((5, 9), 0.5))
    assert not torch.equal(parallel_tempering(rbm, 5, n_steps=3).replicas, same_rows[0].replicas)


EARLIER = sampling.parallel_tempering(random_rbm(9, 7), 5, n_temperatures=3, n_steps=2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rbm": None}, "rbm must be an ncg_fast.RBM"),
        ({"n_chains": 0}, "n_chains must be at least 1, got 0"),
        ({"n_chains": 2**30}, r"n_chains \* n_temperatures must be at most"),
        ({"n_temperatures": 1}, "n_temperatures must be in"),
        ({"n_steps": 0}, "n_steps must be at least 1, got 0"),
        ({"n_burn_in": -1}, "n_burn_in must be at least 0, got -1"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"betas": [0, 1]}, "betas must be a torch.Tensor"),
        ({"betas": torch.tensor([0, 1])}, "betas must be floating"),
        ({"betas": torch.tensor([1.0])}, "betas must have 2 to 4096 entries, got 1"),
        ({"betas": torch.tensor([0.0, 0.5])}, "betas must ascend, from at least 0 to 1"),
        ({"betas": torch.tensor([-0.1, 1.0])}, "betas must ascend"),
        ({"betas": torch.tensor([0.0, 0.5, 0.5, 1.0])}, "betas must ascend"),
        ({"betas": torch.tensor([0.0, math.nan, 1.0])}, "betas must ascend"),
        ({"start": torch.zeros(4, 9)}, "start must have n_chains = 5 rows, got 4"),
        ({"start": torch.zeros(5, 8)}, "start must have shape"),
        ({"data": torch.zeros(5, 8)}, "data must have shape"),
        ({"start": EARLIER, "n_chains": 4}, "start must be of n_chains = 4"),
        ({"start": EARLIER, "rbm": random_rbm(8, 7)}, "start must be of n_chains = 5 and n_visib"),
        ({"start": EARLIER, "betas": torch.tensor([0.0, 1.0])}, "betas must have the 3 entries"),
        ({"start": EARLIER._replace(replicas=torch.zeros(9, 1))}, "start.replicas must be int64"),
    ],
)
def test_wrong_arguments(given, message) -> None:
    with pytest.raises(ValueError, match=f"parallel_tempering: {message}"):
        parallel_tempering(**{"rbm": random_rbm(9, 7), "n_chains": 5, "n_steps": 2, **given})
