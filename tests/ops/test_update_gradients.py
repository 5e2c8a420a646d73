"""Gradients against the derivative of the exact likelihood."""

from __future__ import annotations

import numpy as np
import pytest
import textbook
import torch
from machines import random_rbm, random_rows

from ncg_fast import ops
from ncg_fast.backends.numerics import LEVELS, to_levels

SIZES = [(5, 4), (7, 5)]  # visible, hidden units
HALF_A_LEVEL = 0.5 / LEVELS  # hidden means are held in 16 bits


def likelihood_gradients(rbm, x):
    """Central differences of the mean exact log p(v): by W, by A taken as real, by b, by c."""
    v = x.numpy().astype(np.float64)
    weight = rbm.weight.detach().numpy().astype(np.float64)
    mask = rbm.mask.numpy().astype(np.float64)
    _, b, c = textbook.of(rbm)

    def mean_log_p(weight, mask, b, c):
        return float(textbook.log_probability(textbook.Machine(weight * mask, b, c), v).mean())

    difference = textbook.central_differences
    return (
        difference(lambda w: mean_log_p(w, mask, b, c), weight),
        difference(lambda a: mean_log_p(weight, a, b, c), mask),
        difference(lambda b_: mean_log_p(weight, mask, b_, c), b),
        difference(lambda c_: mean_log_p(weight, mask, b, c_), c),
    )


@pytest.mark.parametrize("size", SIZES)
def test_masked_phase_difference_is_the_derivative_of_the_likelihood(size):
    rbm, x = random_rbm(*size), random_rows(8, size[0])
    g, by_b, by_c = textbook.phase_differences(textbook.of(rbm), x.numpy().astype(np.float64))
    expected = (
        rbm.mask.numpy() * g,
        rbm.weight.detach().numpy() * g,  # every pair, connected or not
        by_b,
        by_c,
    )
    for ours, theirs in zip(expected, likelihood_gradients(rbm, x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8)
    assert (np.abs(expected[1])[~rbm.mask.numpy()] > 1e-3).any()


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (61, 67), (131, 127)])
@pytest.mark.parametrize(("n_rows", "n_chains"), [(1, 1), (67, 67), (50, 131)])
@pytest.mark.parametrize("binary", [True, False])
def test_sums_of_states_are_exact(size, n_rows, n_chains, binary):
    n_visible, n_hidden = size
    rng = np.random.default_rng(n_rows + n_visible)

    def levels(*shape):
        return torch.from_numpy(rng.integers(0, LEVELS + 1, shape).astype(np.int32))

    hidden_data, hidden_model = levels(n_rows, n_hidden), levels(n_chains, n_hidden)
    v_data, v_model = random_rows(n_rows, n_visible), random_rows(n_chains, n_visible, 1)
    visible_data = ops.pack_states(v_data) if binary else levels(n_rows, n_visible)
    v_data = v_data.double() if binary else visible_data.double() / LEVELS
    weight = torch.from_numpy(rng.normal(0, 1, (n_hidden, n_visible))).float()
    mask = torch.from_numpy(rng.random((n_hidden, n_visible)) < 0.5)
    phases = hidden_data, visible_data, hidden_model, ops.pack_states(v_model)
    g, by_weight, by_strength, by_b, by_c = ops.connection_gradient(
        *phases, weight=weight, mask=mask
    )

    h_data, h_model, v_model = (
        hidden_data.double() / LEVELS,
        hidden_model.double() / LEVELS,
        v_model.double(),
    )
    exact = h_data.t() @ v_data / n_rows - h_model.t() @ v_model / n_chains
    for ours, theirs in (
        (g, exact),
        (by_weight, mask * exact),
        (by_strength, weight.double() * exact),
        (by_b, v_data.mean(0) - v_model.mean(0)),
        (by_c, h_data.mean(0) - h_model.mean(0)),
    ):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-6, atol=3e-7)
    assert torch.equal(by_weight, mask * g)
    assert torch.equal(by_strength, weight * g)


@pytest.mark.parametrize("size", SIZES)
def test_expected_gradient_of_the_op_is_the_derivative_of_the_likelihood(size):
    """The model phase runs over every visible state, weighted by its exact probability."""
    rbm, x = random_rbm(*size), random_rows(8, size[0])
    to_hidden, _, _, c, exponent = rbm._model(3)

    def hidden_levels(visible, n):
        return to_levels(ops.hidden_mean(visible, to_hidden, c, exponent, n))

    data = ops.pack_states(x)
    probabilities = textbook.joint_distribution(textbook.of(rbm)).sum(1)
    every_state = torch.from_numpy(textbook.all_states(size[0])).to(torch.uint8)
    total = [torch.zeros(1, dtype=torch.float64)] * 4
    for p, state in zip(probabilities, every_state, strict=True):
        chain = ops.pack_states(state.unsqueeze(0))
        phases = hidden_levels(data, 8), data, hidden_levels(chain, 1), chain
        gradients = ops.connection_gradient(*phases, weight=rbm.weight, mask=rbm.mask)[1:]
        total = [t + p * g.double() for t, g in zip(total, gradients, strict=True)]
    bound = 2 * HALF_A_LEVEL * max(1, float(rbm.weight.detach().abs().max()))
    for ours, theirs in zip(total, likelihood_gradients(rbm, x), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=bound + 1e-6)


def test_contrastive_divergence_from_equilibrium_is_the_gradient():
    """Persistent chains drawn exactly stay exact, so only the Monte-Carlo error is left."""
    rbm, x = random_rbm(5, 4), random_rows(8, 5)
    p = textbook.joint_distribution(textbook.of(rbm)).sum(1)
    n = 200_000
    index = np.random.default_rng(0).choice(len(p), size=n, p=p)
    chains = torch.from_numpy(textbook.all_states(5)[index].astype(np.uint8))
    last = rbm.contrastive_divergence(x, n_steps=1, chains=chains)
    assert last.shape == chains.shape
    assert not torch.equal(last, chains)
    parameters = rbm.weight, rbm.connection_strength, rbm.visible_bias, rbm.hidden_bias
    for parameter, ascent in zip(parameters, likelihood_gradients(rbm, x), strict=True):
        scale = 2.5 if parameter is rbm.connection_strength else 1.0  # it carries a factor W
        error = np.abs(-parameter.grad.numpy() - ascent).max()
        assert error < scale * 4 * 0.5 / np.sqrt(n)
        assert np.abs(ascent).max() > 20 * scale * 0.5 / np.sqrt(n)
    assert not rbm.weight.grad[~rbm.mask].any()
    assert torch.equal(
        rbm.connection_gradient(x, n_steps=1, chains=chains).sign()[rbm.mask],
        (rbm.weight * -rbm.weight.grad).sign()[rbm.mask],
    )
