"""The update against its formulas, and what no update may change."""

from __future__ import annotations

import numpy as np
import pytest
import textbook
import torch
from machines import random_rbm, random_rows

from ncg_fast import ops
from ncg_fast.backends.numerics import LEVELS


def update_by_the_formulas(before, gradients, lr, lr_strength, momentum, decay, velocities):
    """Section 4 of the method, with momentum and decay, in float64."""
    g, by_b, by_c = gradients
    weight, strength, mask, b, c = (t.double() for t in before)
    on = mask == 1
    directions = [torch.where(on, g - decay * weight, 0.0), by_b, by_c]
    moved = [momentum * v.double() + d for v, d in zip(velocities, directions, strict=True)]
    moved[0] = torch.where(on, moved[0], 0.0)
    strength = strength + lr_strength * weight * g
    new_mask = torch.where(strength > 0.5, True, torch.where(strength < 0.5, False, on))
    return (
        weight + lr * moved[0],
        strength.clamp(0, 1),
        new_mask,
        b + lr * moved[1],
        c + lr * moved[2],
        moved,
    )


@pytest.mark.parametrize("n_chains", [50, 131])
@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.9, 0.01)])
def test_update_follows_the_method(n_chains, momentum, decay):
    rbm = random_rbm(61, 67)
    rng = np.random.default_rng(1)
    n_rows, lr, lr_strength = 50, 0.1, 0.5
    h_data = torch.from_numpy(rng.integers(0, LEVELS + 1, (n_rows, 67)).astype(np.int32))
    h_model = torch.from_numpy(rng.integers(0, LEVELS + 1, (n_chains, 67)).astype(np.int32))
    v_data, v_model = random_rows(n_rows, 61), random_rows(n_chains, 61, 1)
    phases = h_data, ops.pack_states(v_data), h_model, ops.pack_states(v_model)
    learned = rbm.weight, rbm.connection_strength, rbm.mask, rbm.visible_bias, rbm.hidden_bias
    weight, strength, mask, b, c = (t.detach().clone() for t in learned)
    strength[0] = 0.5  # exactly on the threshold, with no gradient: the mask stays
    weight[0] = 0
    velocities = [torch.from_numpy(rng.normal(0, 0.1, t.shape)).float() for t in (weight, b, c)]
    digits = ops.pack_weights(weight, mask, 2, 3)
    before = [t.clone() for t in (weight, strength, mask, b, c)]

    data, model = h_data.double() / LEVELS, h_model.double() / LEVELS
    gradients = (
        data.t() @ v_data.double() / n_rows - model.t() @ v_model.double() / n_chains,
        v_data.double().mean(0) - v_model.double().mean(0),
        data.mean(0) - model.mean(0),
    )
    rates = lr, lr_strength, momentum, decay
    expected = update_by_the_formulas(before, gradients, *rates, [v.clone() for v in velocities])

    parameters = ops.Parameters(weight, strength, mask, b, c, *digits, *velocities)
    names = "lr", "lr_strength", "momentum", "weight_decay"
    max_abs, *switched = ops.ncg_update_(
        parameters, *phases, weight_exponent=3, **dict(zip(names, rates, strict=True))
    ).tolist()
    for ours, theirs in zip((weight, strength, mask, b, c), expected[:5], strict=True):
        torch.testing.assert_close(ours.double(), theirs.double(), rtol=1e-6, atol=1e-6)
    for ours, theirs in zip(velocities, expected[5], strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-6, atol=1e-6)
    assert torch.equal(mask[0], before[2][0])
    assert max_abs == float(weight[mask].abs().max())
    changes = (mask & ~before[2]).sum(), (before[2] & ~mask).sum()
    assert switched == [int(change) for change in changes]
    assert min(switched) > 0
    for ours, fresh in zip(digits, ops.pack_weights(weight, mask, 2, 3), strict=True):
        assert torch.equal(ours, fresh)


OPTIONS = [{}, {"momentum": 0.9, "weight_decay": 0.01}]


def train(rbm, x, n_updates=12, persistent=False, momentum=0.0, watch=None, **rates):
    """Mini-batches of 20 rows, the last one short."""
    parameters = rbm.weight, rbm.visible_bias, rbm.hidden_bias
    velocities = tuple(torch.zeros_like(p.detach()) for p in parameters) if momentum else None
    chains = ops.pack_states(random_rows(70, rbm.n_visible, 9)) if persistent else None
    batches = x.split(20)
    for update in range(n_updates):
        rbm.train_step_(
            batches[update % len(batches)],
            3,
            lr=0.2,
            momentum=momentum,
            velocities=velocities,
            chains=chains,
            n_chains=70 if persistent else None,
            **rates,
        )
        if watch is not None:
            watch(rbm)
    return rbm


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("options", OPTIONS)
def test_weights_of_inactive_connections_stay_bit_for_bit(options, persistent):
    rbm, x = random_rbm(61, 67), random_rows(50, 61)
    start = rbm.mask.clone()
    last = {"weight": rbm.weight.detach().clone(), "mask": start}
    seen = torch.zeros_like(start)

    def watch(rbm):
        off = ~last["mask"]
        assert torch.equal(rbm.weight[off], last["weight"][off])
        assert not torch.equal(rbm.weight[~off], last["weight"][~off])
        seen.logical_or_(off & rbm.mask)
        last.update(weight=rbm.weight.detach().clone(), mask=rbm.mask.clone())

    train(rbm, x, persistent=persistent, lr_strength=1.0, watch=watch, **options)
    assert seen.any()  # some came back


@pytest.mark.parametrize("options", OPTIONS)
def test_label_connections_never_change(options):
    rbm, x = random_rbm(64, 67, n_labels=3, density=0.1), random_rows(50, 64)
    strength = rbm.connection_strength.detach().clone()
    train(rbm, x, lr_strength=5.0, **options)
    assert rbm.mask[:, -3:].all()
    assert torch.equal(rbm.connection_strength[:, -3:], strength[:, -3:])
    assert not torch.equal(rbm.connection_strength[:, :-3], strength[:, :-3])
    rbm.contrastive_divergence(x)
    assert not rbm.connection_strength.grad[:, -3:].any()
    with torch.no_grad():
        rbm.connection_strength[:, -3:] = 0
    rbm.update_mask_()
    assert rbm.mask[:, -3:].all()


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("options", OPTIONS)
def test_full_density_without_strength_rate_is_the_dense_machine(options, persistent):
    x = random_rows(50, 61)
    trained = [
        train(random_rbm(61, 67, density=1.0, **kind), x, persistent=persistent, **options)
        for kind in ({}, {"learn_connections": False})
    ]
    learning, dense = trained
    assert dense.connection_strength is None
    assert learning.mask.all()
    for name in ("weight", "visible_bias", "hidden_bias"):
        assert torch.equal(getattr(learning, name), getattr(dense, name))
    assert torch.equal(learning.sample(67, 5), dense.sample(67, 5))


def test_learning_raises_the_exact_likelihood():
    rbm, x = random_rbm(7, 5, density=0.5), random_rows(50, 7)

    def mean_log_p():
        v = x.numpy().astype(np.float64)
        return textbook.log_probability(textbook.of(rbm), v).mean()

    before = mean_log_p()
    train(rbm, x, n_updates=200, lr_strength=0.2)
    independent = x.double().mean(0)
    entropy = torch.special.entr(independent) + torch.special.entr(1 - independent)
    assert mean_log_p() > before + 0.5
    assert mean_log_p() > -float(entropy.sum()) - 0.3


def test_a_strength_of_one_half_leaves_a_connection_as_it_is():
    """Both phases equal: no strength moves."""
    rbm, x = random_rbm(61, 67), random_rows(5, 61)
    with torch.no_grad():
        rbm.connection_strength.fill_(0.5)
    before, states = rbm.mask.clone(), ops.pack_states(x)
    levels = torch.full((5, 67), 30000, dtype=torch.int32)
    digits, exponent = rbm._model(2)[:2], rbm._model(2).weight_exponent
    tensors = rbm.weight, rbm.connection_strength, rbm.mask, rbm.visible_bias, rbm.hidden_bias
    parameters = ops.Parameters(*(t.detach() for t in tensors), *digits)
    phases, rates = (levels, states) * 2, {"lr": 0.1, "lr_strength": 1.0}
    found = ops.ncg_update_(parameters, *phases, weight_exponent=exponent, **rates)
    assert found[1:].tolist() == [0, 0]
    assert torch.equal(rbm.mask, before)
