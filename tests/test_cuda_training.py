"""The CUDA kernels that learn, run on the host, equal reference.py bit for bit."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from test_parity import SEED, Machine, parameters, poisoned_memory, same_bits, written
from torch import Tensor

from ncg_fast.backends import reference
from ncg_fast.backends.launcher import Launcher
from ncg_fast.backends.numerics import MIN_EXPONENT

__all__ = ["poisoned_memory"]  # a fixture

# n_visible, n_hidden, rows, chains
SHAPES = [(1, 1, 1, 1), (7, 5, 3, 3), (61, 67, 1, 5), (127, 131, 66, 66), (130, 31, 17, 16)]
RATES = 0.3, 2.0, 0.9, 0.001


def phases(m: Machine, visible: Tensor, equal: bool) -> tuple[Tensor, ...]:
    """Hidden levels and visible states; as many chains as rows, or m.n_chains."""
    chains, n = (m.data, m.n_rows) if equal else (m.chains, m.n_chains)
    return m.hidden_levels(visible, m.n_rows), visible, m.hidden_levels(chains, n), chains


def gradients_agree(cuda: Launcher, *args: Any) -> None:
    same_bits(cuda.connection_gradient(*args), reference.connection_gradient(*args), "gradient")


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_connection_gradient(
    cuda_on_host: Launcher, shape: tuple[int, int, int, int], equal: bool
) -> None:
    m = Machine(shape, 2)
    for visible in (m.data, m.levels):
        states = phases(m, visible, equal)
        gradients_agree(cuda_on_host, *states, m.weight, m.mask)
        gradients_agree(cuda_on_host, *states, None, None)


@pytest.mark.parametrize(("n_rows", "real"), [(16384, False), (16385, False), (32769, True)])
def test_sums_of_many_rows(cuda_on_host: Launcher, n_rows: int, real: bool) -> None:
    """16 384 rows are the most that int32 takes, 32 768 the most whose bytes one product sums."""
    full = torch.full((n_rows, 3), 65535, dtype=torch.int32)
    ones = reference.pack_states(torch.ones(n_rows, 3, dtype=torch.bool))
    few = torch.full((5, 3), 30000, dtype=torch.int32)
    gradients_agree(cuda_on_host, full, full if real else ones, few, ones[:, :1] & 31, None, None)
    if not real:
        gradients_agree(cuda_on_host, full, 0 * ones, full, ones, None, None)


def updates_agree(cuda: Launcher, tensors: tuple[Tensor | None, ...], *args: Any) -> None:
    def call(op: Any, t: Any, _: Any) -> Any:
        return op(*t, *args)

    got, want = (
        written(backend, "ncg_update_", tensors, None, call) for backend in (cuda, reference)
    )
    same_bits(got, want, "ncg_update_")


@pytest.mark.parametrize("options", ["plain", "momentum", "fixed", "labels"])
@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_update(
    cuda_on_host: Launcher, shape: tuple[int, int, int, int], n_digits: int, options: str
) -> None:
    m = Machine(shape, n_digits)
    tensors = parameters(m, options == "fixed", options == "momentum")
    n_labels = min(3, shape[0]) if options == "labels" else 0
    rates = RATES if options == "momentum" else (*RATES[:3], 0.0)
    for visible, equal in ((m.data, True), (m.data, False), (m.levels, False)):
        states = phases(m, visible, equal)
        updates_agree(cuda_on_host, tensors, *states, m.exponent, n_labels, *rates)


def test_wide_tiles(cuda_on_host: Launcher) -> None:
    """From a million pairs on tiles are 128 columns wide; the last one is not full."""
    m = Machine((1060, 1000, 3, 4), 2)
    states = phases(m, m.data, False)
    gradients_agree(cuda_on_host, *states, m.weight, m.mask)
    updates_agree(cuda_on_host, parameters(m, False, True), *states, m.exponent, 3, *RATES)


@pytest.mark.parametrize("scale", [1e-30, 1e4, 1e30])
@pytest.mark.parametrize("density", [0.0, 1.0])
def test_weights_beyond_the_digits(cuda_on_host: Launcher, scale: float, density: float) -> None:
    m = Machine((61, 67, 70, 70), 2, scale, density)
    states = phases(m, m.data, False)
    exponent = max(m.exponent - 9, MIN_EXPONENT)
    updates_agree(cuda_on_host, parameters(m, False, False), *states, exponent, 0, *RATES)


@pytest.mark.parametrize("name", ["weight", "strength", "visible_bias", "hidden_bias"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_broken_parameters_are_reported(cuda_on_host: Launcher, name: str, bad: float) -> None:
    m = Machine((61, 67, 70, 70), 2)
    getattr(m, name).view(-1)[-1] = bad
    tensors = parameters(m, False, False)
    args = *phases(m, m.data, False), m.exponent, 0, *RATES
    want, got = (
        backend.ncg_update_(*(None if t is None else t.clone() for t in tensors), *args)
        for backend in (reference, cuda_on_host)
    )
    torch.testing.assert_close(got, want, rtol=0, atol=0, equal_nan=True)
    assert math.isnan(bad) == math.isnan(float(got[0]))


def trainings_agree(
    cuda: Launcher, op: str, tensors: tuple[Tensor | None, ...], chains: Tensor | None, *args: Any
) -> None:
    def call(op: Any, t: Any, c: Any) -> Any:
        return op(*t, args[0], c, *args[1:])

    got, want = (written(backend, op, tensors, chains, call) for backend in (cuda, reference))
    same_bits(got, want, op)


@pytest.mark.parametrize("options", ["plain", "momentum", "fixed", "labels"])
@pytest.mark.parametrize("shape", SHAPES)
def test_train_step(cuda_on_host: Launcher, shape: tuple[int, int, int, int], options: str) -> None:
    m = Machine(shape, 2)
    tensors = parameters(m, options == "fixed", options == "momentum")
    n_labels = min(3, shape[0]) if options == "labels" else 0
    for visible in (m.data, m.levels):
        for chains, n, n_steps in ((None, m.n_rows, 3), (m.chains, m.n_chains, 2)):
            batch = visible, m.n_rows, n, n_steps, m.exponent, n_labels, *RATES, SEED, 9
            trainings_agree(cuda_on_host, "train_step_", tensors, chains, *batch)


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize(("least", "most"), [(0.0, math.inf), (0.0, 4.0), (100.0, math.inf)])
def test_train_steps(cuda_on_host: Launcher, persistent: bool, least: float, most: float) -> None:
    """Five batches, the last four from a graph; the second range is left in the middle."""
    m = Machine((61, 67, 70, 66), 2, 0.3)
    chains, n = (m.chains, m.n_chains) if persistent else (None, m.n_rows)
    for visible in (m.data, m.levels):
        batches = torch.stack([visible.roll(i, 0) for i in range(5)])
        options = batches, m.n_rows, n, 2, m.exponent, 3, 3.0, *RATES[1:], SEED, 9, least, most
        tensors = parameters(m, False, True)
        trainings_agree(cuda_on_host, "train_steps_", tensors, chains, *options)
