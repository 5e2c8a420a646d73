"""A message for each wrong argument of the module, which leaves it as it was."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from small_machine import N_HIDDEN, N_VISIBLE, N, same

from ncg_fast import RBM

NAN = float("nan")
MISSING = "Leave out the rows or the columns where values are missing or infinite."
SCALE = (
    "Binarise it, or pass ncg_fast.data.scale({}, low, high) as probabilities, low and high the "
    "ends of the range that its values can have."
)
BAD_STATES = [
    (
        torch.zeros(N_VISIBLE, N),
        f"visible must have shape (..., n_units) = (..., {N_VISIBLE}), got ({N_VISIBLE}, {N}). "
        "Did you pass visible.T?",
    ),
    (
        torch.zeros(2, 3, N_VISIBLE + 1),
        f"visible must have shape (..., n_units) = (..., {N_VISIBLE}), got "
        f"(2, 3, {N_VISIBLE + 1}). "
        f"Pass one row of {N_VISIBLE} units a sample.",
    ),
    (
        torch.full((2, N_VISIBLE), 255, dtype=torch.uint8),
        "visible must hold only 0 and 1, got values in [255, 255]. "
        "Binarise it, or pass visible / 255 as probabilities.",
    ),
    (
        torch.full((2, N_VISIBLE), 255.0),
        "visible must hold values in [0, 1], got values in [255, 255]. "
        "Binarise it, or pass visible / 255 as probabilities.",
    ),
    (
        torch.arange(17).expand(N_VISIBLE, 17).t(),
        f"visible must hold only 0 and 1, got values in [0, 16]. {SCALE.format('visible')}",
    ),
    (
        torch.arange(2.0).mul(100).expand(N_VISIBLE, 2).t(),
        f"visible must hold values in [0, 1], got values in [0, 100]. {SCALE.format('visible')}",
    ),
    (
        torch.tensor([0.0, 150.5]).expand(N_VISIBLE, 2).t(),
        f"visible must hold values in [0, 1], got values in [0, 150.5]. {SCALE.format('visible')}",
    ),
    (
        torch.tensor([0, 256]).expand(N_VISIBLE, 2).t(),
        f"visible must hold only 0 and 1, got values in [0, 256]. {SCALE.format('visible')}",
    ),
    (
        torch.tensor([-1, 1], dtype=torch.int8).expand(N_VISIBLE, 2).t(),
        "visible must hold only 0 and 1, got spins -1 and +1. Pass (visible + 1) / 2.",
    ),
    (
        torch.tensor([-1.0, 1.0]).expand(N_VISIBLE, 2).t(),
        "visible must hold values in [0, 1], got spins -1 and +1. Pass (visible + 1) / 2.",
    ),
    (
        torch.tensor([-1.0, 0.0, 1.0]).expand(N_VISIBLE, 3).t(),
        f"visible must hold values in [0, 1], got values in [-1, 1]. {SCALE.format('visible')}",
    ),
    (
        torch.tensor([0.5, 1.0000021]).double().expand(N_VISIBLE, 2).t(),
        "visible must hold values in [0, 1], got values in [0.5, 1.000002]. "
        f"{SCALE.format('visible')}",
    ),
    (
        torch.tensor([-2e-6, 1.0]).expand(N_VISIBLE, 2).t(),
        f"visible must hold values in [0, 1], got values in [-2e-06, 1]. {SCALE.format('visible')}",
    ),
    (
        torch.tensor([0.0, torch.inf]).expand(N_VISIBLE, 2).t(),
        f"visible must hold values in [0, 1], got values in [0, inf]. {MISSING}",
    ),
    (
        torch.zeros(2, N_VISIBLE, dtype=torch.uint16),
        "visible must be bool, an integer or floating (16 bits or more), got torch.uint16. "
        "Use visible.float().",
    ),
    (
        torch.full((2, N_VISIBLE), -1.0),
        f"visible must hold values in [0, 1], got values in [-1, -1]. {SCALE.format('visible')}",
    ),
    (
        torch.full((2, N_VISIBLE), NAN),
        f"visible must hold values in [0, 1], got NaN. {MISSING}",
    ),
    (
        torch.zeros(2, N_VISIBLE, dtype=torch.complex64),
        "visible must be bool, an integer or floating (16 bits or more), got torch.complex64. "
        "Pass real numbers.",
    ),
    (
        [[0.0] * N_VISIBLE],
        "visible must be a torch.Tensor, got list. Use torch.tensor(visible).",
    ),
]


@pytest.mark.parametrize("method", ["forward", "free_energy", "reconstruct", "sample_hidden"])
@pytest.mark.parametrize(("bad", "text"), BAD_STATES)
def test_bad_states(rbm: RBM, method: str, bad: Any, text: str) -> None:
    before = copy.deepcopy(rbm)
    with pytest.raises(ValueError) as error:
        getattr(rbm, method)(bad)
    assert str(error.value) == f"RBM.{method}: {text}"
    same(rbm, before)


@pytest.mark.parametrize(("bad", "text"), BAD_STATES)
def test_bad_states_change_no_parameter(rbm: RBM, bad: Any, text: str) -> None:
    before = copy.deepcopy(rbm)
    for name, options in (("contrastive_divergence", {}), ("train_step_", {"lr": 0.1})):
        with pytest.raises(ValueError) as error:
            getattr(rbm, name)(bad, **options)
        assert str(error.value) == f"RBM.{name}: {text}"
    assert all(p.grad is None for p in rbm.parameters())
    same(rbm, before)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"n_visible": 0}, "RBM: n_visible must be at least 1, got 0. Pass 1 or more."),
        ({"n_hidden": 2.0}, "RBM: n_hidden must be an int, got float 2.0. Use int(n_hidden)."),
        ({"density": 1.5}, "RBM: density must be in [0, 1], got 1.5. Pass a value from 0 to 1."),
        ({"density": NAN}, "RBM: density must be finite, got nan. Pass a finite number."),
        ({"weight_scale": -1}, "RBM: weight_scale must be at least 0, got -1. Pass 0 or more."),
        (
            {"weight_init": "xavier"},
            "RBM: weight_init must be one of 'uniform', 'normal', got 'xavier'. "
            "Choose one of these.",
        ),
        ({"seed": -1}, "RBM: seed must be at least 0, got -1. Pass 0 or more."),
        (
            {"n_labels": N_VISIBLE},
            f"RBM: n_labels must be in [0, {N_VISIBLE - 1}], got {N_VISIBLE}. "
            f"Pass a value from 0 to {N_VISIBLE - 1}.",
        ),
        (
            {"mask": torch.ones(N_VISIBLE, N_HIDDEN, dtype=torch.bool)},
            f"RBM: mask must have shape (n_hidden, n_visible) = ({N_HIDDEN}, {N_VISIBLE}), "
            f"got ({N_VISIBLE}, {N_HIDDEN}). Did you pass mask.T?",
        ),
        (
            {"mask": torch.ones(N_HIDDEN, N_VISIBLE)},
            "RBM: mask must be bool, got torch.float32. Use mask.to(torch.bool).",
        ),
        (
            {"mask": torch.ones(N_HIDDEN, N_VISIBLE, dtype=torch.bool), "density": 0.5},
            "RBM: density must be left out where mask is given, got 0.5. Pass one of the two.",
        ),
    ],
)
def test_bad_constructor_arguments(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as error:
        RBM(**{"n_visible": N_VISIBLE, "n_hidden": N_HIDDEN, **arguments})
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda r, v: r.sample(0), "RBM.sample: n must be at least 1, got 0. Pass 1 or more."),
        (
            lambda r, v: r.sample(1, n_steps=0),
            "RBM.sample: n_steps must be at least 1, got 0. Pass 1 or more.",
        ),
        (
            lambda r, v: r.gibbs_steps(v, -1),
            "RBM.gibbs_steps: n_steps must be at least 1, got -1. Pass 1 or more.",
        ),
        (
            lambda r, v: r.gibbs_steps(v, 1, beta=NAN),
            "RBM.gibbs_steps: beta must be finite, got nan. Pass a finite number.",
        ),
        (
            lambda r, v: r.gibbs_steps(v, 1, beta=torch.ones(3)),
            f"RBM.gibbs_steps: beta must be a number or have shape (n,) = ({N},), got (3,). "
            "Pass one a chain.",
        ),
        (
            lambda r, v: r.sample(2, 1, clamp=torch.full((N_VISIBLE,), 0.5)),
            "RBM.sample: clamp must hold only 0, 1 and NaN, got values in [0.5, 0.5]. "
            "Pass NaN where a unit is free.",
        ),
        (
            lambda r, v: r.train_step_(v, lr=-0.1),
            "RBM.train_step_: lr must be at least 0, got -0.1. Pass 0 or more.",
        ),
        (
            lambda r, v: r.train_step_(v, lr=0.1, momentum=2.0),
            "RBM.train_step_: momentum must be in [0, 1], got 2.0. Pass a value from 0 to 1.",
        ),
        (
            lambda r, v: r.energy(v, torch.zeros(3, N_HIDDEN)),
            f"RBM.energy: visible and hidden must have the same leading axes, "
            f"got ({N},) and (3,). Pass them in pairs.",
        ),
        (
            lambda r, v: r.contrastive_divergence(v[:0]),
            "RBM.contrastive_divergence: visible must have at least one row, "
            f"got (0, {N_VISIBLE}). Leave out empty batches.",
        ),
    ],
)
def test_bad_arguments_of_methods(rbm: RBM, v: torch.Tensor, call: Any, text: str) -> None:
    before = copy.deepcopy(rbm)
    with pytest.raises(ValueError) as error:
        call(rbm, v)
    assert str(error.value) == text
    rbm.manual_seed(3), before.manual_seed(3)  # sample draws its start before clamp is refused
    same(rbm, before)


def test_states_on_another_device_are_refused(rbm: RBM) -> None:
    with pytest.raises((ValueError, RuntimeError), match=r"meta"):
        rbm(torch.zeros(2, N_VISIBLE, device="meta"))


@pytest.mark.parametrize("value", [1.0001, 1.5, 2.0, -0.0001, -1.0, 300.0, float("inf")])
def test_probabilities_lie_between_0_and_1(rbm, value):
    """One value among those that are right, by whatever it is outside."""
    for dtype in (torch.float32, torch.float64):
        states = torch.full((3, rbm.n_visible), 0.5, dtype=dtype)
        states[1, 2] = value
        with pytest.raises(ValueError, match=r"visible must hold values in \[0, 1\], got v"):
            rbm(states)
    for edge in (0.0, 1.0):
        states[1, 2] = edge
        rbm(states)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), 1e39])
def test_inverse_temperatures_are_finite(rbm, v, bad):
    beta = torch.ones(len(v), dtype=torch.float64)
    beta[-1] = bad
    rule = r"beta must hold finite numbers, got 1 that are NaN or infinite\. Pass inverse"
    with pytest.raises(ValueError, match=rf"^RBM\.gibbs_steps: {rule}"):
        rbm.gibbs_steps(v, 2, beta=beta)
