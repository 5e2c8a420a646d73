"""Rates that change from batch to batch within one call."""

from __future__ import annotations

import math

import pytest
import torch
from machines import random_rbm, random_rows
from parity import SEED, Machine
from torch import Tensor

from ncg_fast import ops
from ncg_fast.backends.records import Batch, Rates

FACTORS = torch.tensor([1.0, 0.1, 0.0, 3.3, 0.7])


def product(rate: float, factor: Tensor) -> float:
    """In float32."""
    return float(torch.tensor(rate) * factor)


@pytest.mark.parametrize("persistent", [False, True])
def test_they_are_those_of_as_many_single_steps(persistent: bool) -> None:
    m = Machine((61, 67, 70, 66), 2)
    together, settings = m.learning("momentum")
    singly, _ = m.learning("momentum")
    kept = [m.chains.clone(), m.chains.clone()]
    batches = torch.stack([m.data.roll(i, 0) for i in range(len(FACTORS))])
    settings |= {"n_rows": m.n_rows, "n_steps": 2, "seed": SEED}

    def chains(at: int) -> dict[str, object]:
        return {"chains": kept[at], "n_chains": m.n_chains} if persistent else {}

    found = ops.train_steps_(
        together, batches, step=9, lr_factors=FACTORS, **settings, **chains(0)
    ).tolist()
    switched = torch.zeros(2, dtype=torch.float64)
    for t, (rows, factor) in enumerate(zip(batches, FACTORS, strict=True)):
        rates = {name: product(settings[name], factor) for name in ("lr", "lr_strength")}
        one = ops.train_step_(singly, rows, step=9 + 2 * t, **settings | rates, **chains(1))
        switched += one[1:]
    assert found == [float(one[0]), *switched.tolist(), len(FACTORS)]
    for a, b in zip((*together, kept[0]), (*singly, kept[1]), strict=True):
        assert torch.equal(a, b)


def test_a_machine_goes_on_with_the_factors_of_the_batches_left() -> None:
    """Weights grow past their digits several times: each time a call of the op ends."""
    rows, rates = random_rows(100, 61), Rates(lr=2.0, lr_strength=0.5)
    batches = torch.stack([ops.pack_states(part) for part in rows.split(20)])
    together, singly = random_rbm(61, 67), random_rbm(61, 67)
    batch = Batch(batches, None, 20, 20, 1)
    before = together.get_extra_state()[3]
    together._train(batch, rates, None, static=False, lr_factors=FACTORS)
    assert together.get_extra_state()[3] > before + 1
    for part, factor in zip(rows.split(20), FACTORS, strict=True):
        lr, lr_strength = (product(rate, factor) for rate in rates[:2])
        singly.train_step_(part, lr=lr, lr_strength=lr_strength)
    for (name, a), b in zip(
        together.state_dict().items(), singly.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (torch.ones(4), r"have shape \(n_batches,\) = \(5,\), got \(4,\)"),
        (torch.ones(5, 1), r"have shape \(n_batches,\) = \(5,\), got \(5, 1\)"),
        (torch.ones(5).double(), r"be float32, got torch.float64. Use lr_factors.to"),
        (-FACTORS, "be finite and at least 0, got -3.3 to -0. Pass 1 for the rates as they are."),
        (FACTORS / 0, "be finite and at least 0, got nan to nan"),
        (1 / FACTORS, "be finite and at least 0, got 0.30303 to inf"),
        ([1.0] * 5, "be a torch.Tensor, got list"),
    ],
)
def test_wrong_factors_are_refused(factors: Tensor, message: str) -> None:
    m = Machine((7, 5, 3, 3), 2)
    parameters, settings = m.learning("plain")
    batches = m.data.expand(5, -1, -1)
    settings |= {"n_rows": 3, "n_steps": 1, "seed": 0, "step": 0}
    with pytest.raises(ValueError, match=f"train_steps_: lr_factors must {message}"):
        ops.train_steps_(parameters, batches, lr_factors=factors, **settings)


def test_a_rate_that_overflows_is_reported() -> None:
    m = Machine((7, 5, 3, 3), 2)
    parameters, settings = m.learning("plain")
    settings |= {"n_rows": 3, "n_steps": 1, "seed": 0, "step": 0, "lr": 3e38}
    factors = torch.full((1,), 3e38)
    found = ops.train_steps_(parameters, m.data[None], lr_factors=factors, **settings)
    assert not math.isfinite(float(found[0]))
