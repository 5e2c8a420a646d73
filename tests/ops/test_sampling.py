"""Samplers tested as samplers: chains drawn exactly from an enumerated machine must stay there.

Distances are total variations in units of the Monte-Carlo floor sum sqrt(p (1 - p) / n) / 2, about
0.8 for n exact draws. Broken samplers show that the bound of 2 tells.
"""

from __future__ import annotations

import numpy as np
import pytest
import textbook
import torch
from backend_choice import REFERENCE

from ncg_fast import RBM, ops
from ncg_fast.backends import reference
from ncg_fast.backends.numerics import HIDDEN_STREAM, digit_step, to_levels
from ncg_fast.backends.records import Layer

N_VISIBLE, N_HIDDEN, N_CHAINS = 5, 4, 20_000
BOUND = 2.0


def make_rbm():
    rng = np.random.default_rng(0)
    mask = torch.from_numpy(rng.random((N_HIDDEN, N_VISIBLE)) < 0.6)
    rbm = RBM(N_VISIBLE, N_HIDDEN, mask=mask, weight_init="normal", weight_scale=0.9, seed=3)
    with torch.no_grad():
        for bias in (rbm.visible_bias, rbm.hidden_bias):
            bias.copy_(torch.from_numpy(rng.normal(0, 0.9, len(bias))))
    return rbm


@pytest.fixture(scope="module")
def rbm():
    return make_rbm()


def exact_draws(joint, n, seed=0):
    """N visible states from the visible marginal of a joint distribution, uint8."""
    marginal = joint.sum(1) / joint.sum()
    index = np.random.default_rng(seed).choice(len(marginal), size=n, p=marginal)
    return torch.from_numpy(textbook.all_states(N_VISIBLE)[index].astype(np.uint8))


def distance(p, index):
    """Total variation between draws and p, in units of the Monte-Carlo floor."""
    observed = np.bincount(index, minlength=p.size) / len(index)
    floor = np.sqrt(p * (1 - p) / len(index)).sum() / 2
    return float(np.abs(observed - p).sum() / 2 / floor)


def distances(joint, visible, hidden):
    """Of the visible states, of the hidden states and of pairs; the largest."""
    joint = joint / joint.sum()
    v, h = textbook.index_of(visible), textbook.index_of(hidden)
    return max(
        distance(joint.sum(1), v),
        distance(joint.sum(0), h),
        distance(joint.ravel(), v * joint.shape[1] + h),
    )


class Sampler:
    """Runs n_steps sweeps of ``ops.gibbs_steps``; a broken one changes a single thing."""

    def __init__(self, rbm, n_digits=2):
        self.weight, self.mask = rbm.weight.detach(), rbm.mask
        self.visible_bias, self.hidden_bias = rbm.visible_bias.detach(), rbm.hidden_bias.detach()
        self.n_digits, self.exponent = n_digits, 3
        self.beta = None

    def model(self):
        digits = ops.pack_weights(self.weight, self.mask, self.n_digits, self.exponent)
        return *digits, self.visible_bias, self.hidden_bias, self.exponent

    def sweeps(self, visible, n, n_steps, **draw):
        draw = {"seed": 11, "step": 0, "chain_offset": 0, **draw}
        return ops.gibbs_steps(visible, *self.model(), n, n_steps, beta=self.beta, **draw)

    def __call__(self, states, n_steps):
        n = len(states)
        visible, hidden = self.sweeps(ops.pack_states(states), n, n_steps)
        return ops.unpack_states(visible, n), ops.unpack_states(hidden, n)


class IgnoresMask(Sampler):
    def model(self):
        self.mask = None
        return super().model()


class DropsVisibleBias(Sampler):
    def model(self):
        self.visible_bias = torch.zeros(N_VISIBLE)
        return super().model()


class DropsHiddenBias(Sampler):
    def model(self):
        self.hidden_bias = torch.zeros(N_HIDDEN)
        return super().model()


class SharesUniformsBetweenLayers(Sampler):
    def sweeps(self, visible, n, n_steps, **_):
        to_hidden, to_visible, b, c, exponent = self.model()
        for t in range(n_steps):
            layer = visible, to_hidden, c, exponent, n
            (hidden,) = REFERENCE.run("sample_hidden", *layer, seed=11, step=t)
            x = reference.preactivation(hidden, Layer(to_visible, b, exponent), n)
            first, more = reference.draws(n, N_VISIBLE, 11, 0, t, HIDDEN_STREAM)
            visible = reference.pack_states(reference.bernoulli(x, first, more))
        return visible, hidden


class RepeatsUniformsEverySweep(Sampler):
    def sweeps(self, visible, n, n_steps, **_):
        for _ in range(n_steps):
            visible, hidden = super().sweeps(visible, n, 1, step=0)
        return visible, hidden


class RepeatsUniformsInEveryShard(Sampler):
    def __call__(self, states, n_steps):
        shards = [
            super(RepeatsUniformsInEveryShard, self).__call__(s, n_steps) for s in states.split(640)
        ]
        return tuple(torch.cat(layer) for layer in zip(*shards, strict=True))


class SendsHiddenMeansDown(Sampler):
    def sweeps(self, visible, n, n_steps, **_):
        to_hidden, to_visible, b, c, exponent = self.model()
        for t in range(n_steps):
            layer = visible, to_hidden, c, exponent, n
            means = to_levels(ops.hidden_mean(*layer))
            hidden = ops.sample_hidden(*layer, seed=11, step=t)
            visible = ops.sample_visible(means, to_visible, b, exponent, n, seed=11, step=t)
        return visible, hidden


class SamplesTooHot(Sampler):
    def sweeps(self, visible, n, n_steps, **draw):
        self.beta = torch.full((n,), 0.8)
        return super().sweeps(visible, n, n_steps, **draw)


class CoarseWeights(Sampler):
    """Digits whose step is far too wide."""

    def __init__(self, rbm):
        super().__init__(rbm)
        self.exponent = 16
        assert digit_step(16, 2) == 2.0


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("n_steps", [1, 4, 16])
def test_chains_in_equilibrium_stay_there(rbm, n_steps, n_digits):
    joint = textbook.joint_distribution(textbook.of(rbm))
    states = exact_draws(joint, N_CHAINS)
    assert distances(joint, *Sampler(rbm, n_digits)(states, n_steps)) < BOUND


@pytest.mark.parametrize(
    ("broken", "n_steps"),
    [
        (IgnoresMask, 1),
        (DropsVisibleBias, 1),
        (DropsHiddenBias, 1),
        (SharesUniformsBetweenLayers, 1),
        (RepeatsUniformsInEveryShard, 16),
        (SendsHiddenMeansDown, 4),
        (SamplesTooHot, 1),
        (CoarseWeights, 1),
    ],
)
def test_a_broken_sampler_leaves_equilibrium(rbm, broken, n_steps):
    joint = textbook.joint_distribution(textbook.of(rbm))
    states = exact_draws(joint, N_CHAINS)
    assert distances(joint, *broken(rbm)(states, n_steps)) > BOUND


def pair_distance(rbm, sampler):
    """Of (state, state a sweep later) after three sweeps, from the exact transition."""
    joint = textbook.joint_distribution(textbook.of(rbm))
    down = joint / joint.sum(0)  # P(v | h)
    up = joint / joint.sum(1, keepdims=True)  # P(h | v)
    pairs = joint.sum(1)[:, None] * (up @ down.T)
    start = ops.pack_states(exact_draws(joint, N_CHAINS))
    third, _ = sampler.sweeps(start, N_CHAINS, 3)
    fourth, _ = sampler.sweeps(third, N_CHAINS, 1, step=3)
    before, after = (textbook.index_of(ops.unpack_states(v, N_CHAINS)) for v in (third, fourth))
    return distance(pairs.ravel(), before * len(pairs) + after)


def test_successive_states_follow_the_transition_probabilities(rbm):
    assert pair_distance(rbm, Sampler(rbm)) < BOUND
    assert pair_distance(rbm, RepeatsUniformsEverySweep(rbm)) > BOUND


def test_each_chain_samples_at_its_temperature(rbm):
    half = N_CHAINS // 2
    betas = (0.5, 1.5)
    joints = [textbook.joint_distribution(textbook.of(rbm), beta) for beta in betas]
    states = torch.cat([exact_draws(joint, half, seed) for seed, joint in enumerate(joints)])
    beta = torch.tensor(betas).repeat_interleave(half)
    visible, hidden = make_rbm().gibbs_steps(states, 4, beta=beta)
    for part, joint in zip((slice(0, half), slice(half, None)), joints, strict=True):
        assert distances(joint, visible[part], hidden[part]) < BOUND
    assert distances(joints[0], visible[half:], hidden[half:]) > BOUND


def test_a_base_replaces_the_biases_at_beta_zero(rbm):
    """p_beta(v, h) is exp(-beta E(v, h) + (1 - beta) a.v): the joint of a machine in between."""
    half, a = N_CHAINS // 2, np.array([1.0, -0.5, 0.0, 2.0, -1.5])
    betas, machine = (0.0, 0.6), textbook.of(rbm)
    joints = [
        textbook.joint_distribution(
            textbook.Machine(
                beta * machine.weight,
                beta * machine.visible_bias + (1 - beta) * a,
                beta * machine.hidden_bias,
            )
        )
        for beta in betas
    ]
    states = torch.cat([exact_draws(joint, half, seed) for seed, joint in enumerate(joints)])
    given = {"beta": torch.tensor(betas).repeat_interleave(half), "base_bias": torch.tensor(a)}
    given["base_bias"] = given["base_bias"].float()
    packed = ops.pack_states(states), *Sampler(rbm).model(), N_CHAINS, 4
    visible, hidden = (
        ops.unpack_states(s, N_CHAINS) for s in ops.gibbs_steps(*packed, **given, seed=11)
    )
    for part, joint in zip((slice(0, half), slice(half, None)), joints, strict=True):
        assert distances(joint, visible[part], hidden[part]) < BOUND
    del given["base_bias"]
    visible, _ = ops.gibbs_steps(*packed, **given, seed=11)
    visible = ops.unpack_states(visible, N_CHAINS)
    for part, joint in zip((slice(0, half), slice(half, None)), joints, strict=True):
        assert distance(joint.sum(1), textbook.index_of(visible[part])) > BOUND


def conditional(joint, clamp):
    """The joint distribution given the visible units that are not NaN in clamp, 0 elsewhere."""
    states = textbook.all_states(N_VISIBLE)
    kept = (np.isnan(clamp) | (states == clamp)).all(1)
    return np.where(kept[:, None], joint, 0) / joint[kept].sum()


def test_free_units_follow_the_conditional_distribution(rbm):
    joint = textbook.joint_distribution(textbook.of(rbm))
    free, half = np.nan, N_CHAINS // 2
    patterns = np.array([[1, free, free, 0, free], [free, 0, free, free, 1]])
    targets = [conditional(joint, pattern) for pattern in patterns]
    states = torch.cat([exact_draws(target, half, seed) for seed, target in enumerate(targets)])
    clamp = torch.from_numpy(patterns).float().repeat_interleave(half, 0)
    visible, hidden = make_rbm().gibbs_steps(states, 4, clamp=clamp)
    held = ~clamp.isnan()
    assert torch.equal(visible[held].float(), clamp[held])
    for part, target in zip((slice(0, half), slice(half, None)), targets, strict=True):
        assert distances(target, visible[part], hidden[part]) < BOUND
    # Chains that are not held forget the pattern.
    visible, hidden = make_rbm().gibbs_steps(states, 4)
    assert distances(targets[0], visible[:half], hidden[:half]) > BOUND


def test_chains_from_the_biases_reach_equilibrium():
    rbm = make_rbm()
    joint = textbook.joint_distribution(textbook.of(rbm))
    visible = rbm.sample(N_CHAINS, n_steps=20)
    assert distance(joint.sum(1), textbook.index_of(visible)) < BOUND


def test_half_steps_draw_from_the_conditionals():
    rbm = make_rbm()
    machine = textbook.of(rbm)
    for draw, mean, n_units in (
        (rbm.sample_hidden, textbook.hidden_mean, N_VISIBLE),
        (rbm.sample_visible, textbook.visible_mean, N_HIDDEN),
    ):
        given = textbook.all_states(n_units)[-2:-1]
        drawn = draw(torch.from_numpy(given).to(torch.uint8).expand(N_CHAINS, -1))
        p = mean(machine, given)[0]
        units = textbook.all_states(len(p))
        independent = np.where(units == 1, p, 1 - p).prod(1)
        assert distance(independent, textbook.index_of(drawn)) < BOUND


def test_unequal_calls_draw_anew():
    rbm = make_rbm()
    states = torch.zeros(640, N_VISIBLE, dtype=torch.uint8)
    first, second = (rbm.gibbs_steps(states)[0] for _ in range(2))
    agreement = (first == second).double().mean(0)
    p = first.double().mean(0)
    assert ((agreement - (p**2 + (1 - p) ** 2)).abs() < 0.1).all()
