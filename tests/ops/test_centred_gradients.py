"""Centred gradients against the derivative of the exact likelihood of the centred machine."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import textbook
import torch
from machines import random_rbm, random_rows
from parity import SEED, Machine
from torch import Tensor

from ncg_fast import ops
from ncg_fast.backends.numerics import OFFSET_RATE, to_levels

N_VISIBLE, N_HIDDEN, N_ROWS, N_CHAINS = 6, 5, 40, 1 << 20


def model_states(machine: textbook.Machine) -> Tensor:
    """All visible states, each as often as its share of N_CHAINS is, to half a chain; uint8."""
    share = textbook.joint_distribution(machine).sum(1) * N_CHAINS
    counts = np.floor(share).astype(np.int64)
    most = np.argsort(counts - share)[: N_CHAINS - counts.sum()]
    counts[most] += 1
    states = textbook.all_states(N_VISIBLE).repeat(counts, axis=0)
    return torch.from_numpy(states.astype(np.uint8))


def mean_log_likelihood(weight: Tensor, b: Tensor, c: Tensor, offsets: Any, v: Tensor) -> Tensor:
    """Of E(v, h) = -(v - mu)^T b - (h - lambda)^T c - (h - lambda)^T W (v - mu), by enumeration."""
    mu, lambda_ = offsets
    every_h = torch.from_numpy(textbook.all_states(N_HIDDEN)) - lambda_

    def log_sum(visible: Tensor) -> Tensor:
        v = visible - mu
        pairs = (v @ b)[:, None] + every_h @ c + v @ weight.t() @ every_h.t()
        return torch.logsumexp(pairs, 1)

    every_v = torch.from_numpy(textbook.all_states(N_VISIBLE))
    return log_sum(v).mean() - torch.logsumexp(log_sum(every_v), 0)


def test_the_step_is_that_of_the_centred_machine() -> None:
    """The centred machine's own parameters move by its gradient; then those of the plain one."""
    rbm, x = random_rbm(N_VISIBLE, N_HIDDEN, learn_connections=False), random_rows(N_ROWS, 6)
    machine, mask, lr = textbook.of(rbm), rbm.mask.double(), 0.5
    states = x, model_states(machine)
    means = [torch.from_numpy(textbook.hidden_mean(machine, v.double().numpy())) for v in states]
    phases = [t for v, h in zip(states, means, strict=True) for t in (to_levels(h), v)]
    phases[1], phases[3] = (ops.pack_states(v) for v in states)
    mu, before = x.float().mean(0), torch.linspace(0.1, 0.9, N_HIDDEN)
    offsets = ops.Offsets(mu, before.clone())

    digits = ops.pack_weights(rbm.weight.detach(), rbm.mask, 2, 2)
    weight, b, c = (t.detach().clone() for t in (rbm.weight, rbm.visible_bias, rbm.hidden_bias))
    parameters = ops.Parameters(weight, None, rbm.mask, b, c, *digits)
    ops.ncg_update_(parameters, *phases, weight_exponent=2, lr=lr, offsets=offsets)

    moved = (1 - OFFSET_RATE) * before + OFFSET_RATE * means[0].float().mean(0)
    torch.testing.assert_close(offsets.hidden, moved, rtol=0, atol=1e-6)
    assert torch.equal(mu, x.float().mean(0))

    exact, lambda_ = mu.double(), offsets.hidden.double()
    old = [torch.from_numpy(t) for t in machine]
    own = old[0], old[1] + old[0].t() @ lambda_, old[2] + old[0] @ exact
    own = tuple(t.clone().requires_grad_() for t in own)
    mean_log_likelihood(*own, (exact, lambda_), x.double()).backward()
    with torch.no_grad():
        w, b_own, c_own = own[0] + lr * mask * own[0].grad, *(t + lr * t.grad for t in own[1:])
        expected = w, b_own - w.t() @ lambda_, c_own - w @ exact
    for got, want, start in zip((mask * weight, b, c), expected, old, strict=True):
        torch.testing.assert_close(got.double(), want, rtol=0, atol=3e-5)
        assert (want - start).abs().max() > 0.02
    plain = old[2] + lr * (means[0].mean(0) - means[1].mean(0))
    assert (expected[2] - plain).abs().max() > 0.01


def trained(n_threads: int) -> list[Tensor]:
    threads = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    m = Machine((211, 190, 100, 100), 2)
    parameters, settings = m.learning("momentum")
    batches = torch.stack([m.data.roll(i, 0) for i in range(4)])
    offsets = ops.Offsets(m.rows.float().mean(0), torch.full((190,), 0.5))
    settings |= {"n_rows": 100, "n_steps": 1, "seed": SEED, "step": 0, "lr": 0.1}
    found = ops.train_steps_(parameters, batches, offsets=offsets, **settings)
    torch.set_num_threads(threads)
    return [found, *(t for t in parameters if t is not None), offsets.hidden]


def test_the_same_bits_on_any_number_of_threads() -> None:
    alone = trained(1)
    for n_threads in (2, 3, 5):
        assert all(torch.equal(a, b) for a, b in zip(trained(n_threads), alone, strict=True))


def test_one_step_of_several_calls() -> None:
    m = Machine((21, 17, 10, 10), 2)
    together, settings = m.learning("plain")
    singly, _ = m.learning("plain")
    settings |= {"n_rows": 10, "n_steps": 1, "seed": SEED}
    kept = [ops.Offsets(torch.full((21,), 0.3), torch.full((17,), 0.5)) for _ in range(2)]
    batches = torch.stack([m.data, m.data.flip(0)])
    ops.train_steps_(together, batches, step=0, offsets=kept[0], **settings)
    for t, rows in enumerate(batches):
        ops.train_step_(singly, rows, step=t, offsets=kept[1], **settings)
    for a, b in zip((*together, *kept[0]), (*singly, *kept[1]), strict=True):
        assert a is b or torch.equal(a, b)


HALF = torch.full((7,), 0.5), torch.full((5,), 0.5)


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        (HALF, "offsets must be ops.Offsets or None, got tuple"),
        (ops.Offsets(HALF[0]), "offsets.hidden must be a torch.Tensor, got NoneType"),
        (ops.Offsets(None, HALF[1]), "offsets.visible must be a torch.Tensor, got NoneType"),
        (ops.Offsets(HALF[1], HALF[1]), "offsets.visible must have shape (n_visible,) = (7,), got"),
        (ops.Offsets(HALF[0], HALF[1].double()), "offsets.hidden must be float32, got"),
        (
            ops.Offsets(HALF[0], 3 * HALF[1]),
            "offsets.hidden must be means in [0, 1], got 1.5 to 1.5. Pass means of states.",
        ),
        (ops.Offsets(math.nan * HALF[0], HALF[1]), "offsets.visible must be means in [0, 1], got"),
        (ops.Offsets(HALF[0], torch.zeros(10)[::2]), "offsets.hidden must be contiguous, got str"),
    ],
)
def test_wrong_offsets_are_refused(offsets: Any, message: str) -> None:
    m = Machine((7, 5, 3, 3), 2)
    parameters, settings = m.learning("plain")
    for op, arguments in (
        ("ncg_update_", m.phases(m.data)),
        ("train_step_", (m.data,)),
        ("train_steps_", (m.data[None],)),
    ):
        options = dict(settings)
        if op != "ncg_update_":
            options |= {"n_rows": 3, "n_steps": 1, "seed": 0, "step": 0}
        with pytest.raises(ValueError, match=re.escape(f"{op}: {message}")):
            getattr(ops, op)(parameters, *arguments, offsets=offsets, **options)
