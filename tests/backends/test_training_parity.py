"""Training steps: every back end gives the bits of reference.py."""

from __future__ import annotations

import math

import pytest
import torch
from backend_choice import BackEnd
from parity import N_DIGITS, SEED, WITH_ROWS, Machine, Shape, agree


@pytest.mark.parametrize("options", ["plain", "momentum", "fixed", "labels"])
@pytest.mark.parametrize("n_digits", N_DIGITS)
@pytest.mark.parametrize("shape", WITH_ROWS)
def test_train_step(backend: BackEnd, shape: Shape, n_digits: int, options: str) -> None:
    if backend.interpreted and (n_digits, options) not in ((2, "labels"), (3, "momentum")):
        pytest.skip("the interpreter is slow, and test_update tries them all")
    m = Machine(shape, n_digits)
    parameters, settings = m.learning(options)
    batch = {"n_rows": m.n_rows, "n_steps": 2, "seed": SEED, "step": 9, **settings}
    for visible in (m.data, m.levels):
        agree(backend, "train_step_", parameters, visible, **batch)
        chains = {"chains": m.chains, "n_chains": m.n_chains}
        agree(backend, "train_step_", parameters, visible, **chains, **batch)


@pytest.mark.parametrize("unit_offset", [0, 64])
def test_a_share_of_the_chains_and_units(backend: BackEnd, unit_offset: int) -> None:
    m = Machine((37, 67, 66, 2), 2)
    parameters, settings = m.learning("plain")
    draw = {"seed": SEED, "step": 9, "chain_offset": 128, "unit_offset": unit_offset}
    batch = {"n_rows": m.n_rows, "n_steps": 2, **draw, **settings}
    agree(backend, "train_step_", parameters, m.data, **batch)


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize(
    ("least", "most"), [(0.0, math.inf), (0.0, 4.0), (0.0, 0.0), (100.0, math.inf)]
)
def test_train_steps(backend: BackEnd, persistent: bool, least: float, most: float) -> None:
    """Five batches in one call, until max |W| leaves the range, at once or in the middle."""
    shape = (21, 17, 10, 12) if backend.interpreted else (61, 67, 70, 66)
    m = Machine(shape, 2, 0.3)
    parameters, settings = m.learning("momentum")
    settings |= {"lr": 3.0, "n_labels": 3, "least": least, "most": most}
    if persistent:
        settings |= {"chains": m.chains, "n_chains": m.n_chains}
    batch = {"n_rows": m.n_rows, "n_steps": 2, "seed": SEED, "step": 9}
    for visible in (m.levels,) if backend.interpreted else (m.data, m.levels):
        batches = torch.stack([visible.roll(i, 0) for i in range(5)])
        agree(backend, "train_steps_", parameters, batches, **batch, **settings)


@pytest.mark.parametrize("options", ["momentum", "fixed"])
@pytest.mark.parametrize("most", [math.inf, 4.0])
def test_rates_of_each_batch(backend: BackEnd, most: float, options: str) -> None:
    """Products that are rounded, zeros and tiny ones; contiguous and strided factors."""
    shape = (21, 17, 10, 12) if backend.interpreted else (61, 67, 70, 66)
    m = Machine(shape, 2, 0.3)
    parameters, settings = m.learning(options)
    factors = torch.tensor([0.1, 1.0, 0.0, 3.3, 0.7, 9.0, 1e-30])
    settings |= {"lr": 3.0, "most": most, "lr_factors": factors}
    batch = {"n_rows": m.n_rows, "n_steps": 1, "seed": SEED, "step": 9}
    batches = torch.stack([m.data.roll(i, 0) for i in range(len(factors))])
    agree(backend, "train_steps_", parameters, batches, **batch, **settings)
    strided = torch.stack([factors, -factors], 1)[:, 0]
    agree(
        backend, "train_steps_", parameters, batches, **batch, **settings | {"lr_factors": strided}
    )


@pytest.mark.parametrize("n_digits", N_DIGITS)
@pytest.mark.parametrize("density", [0.0, 1.0])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e4, 1e30])
def test_extreme_weights(backend: BackEnd, scale: float, density: float, n_digits: int) -> None:
    m = Machine((37, 35, 5, 5), n_digits, scale, density)
    parameters, settings = m.learning("plain")
    batch = {"n_rows": m.n_rows, "n_steps": 1, "seed": SEED, "step": 0, **settings}
    agree(backend, "train_step_", parameters, m.data, **batch)


@pytest.mark.parametrize("name", ["weight", "strength", "visible_bias", "hidden_bias"])
def test_broken_parameters_are_reported(backend: BackEnd, name: str) -> None:
    m = Machine((37, 35, 5, 5), 2)
    getattr(m, name).view(-1)[-1] = math.nan
    parameters, settings = m.learning("plain")
    batch = {"n_rows": m.n_rows, "n_steps": 1, "seed": SEED, "step": 0, **settings}
    for variant in backend.variants():
        found = backend.run("train_step_", parameters, m.data, **batch)[0]
        assert math.isnan(float(found[0])), variant
