"""Gradients, sums of phases and the update: every back end gives the bits of reference.py."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from backend_choice import BackEnd
from parity import N_DIGITS, WITH_ROWS, Machine, Shape, agree, same_bits, wanted
from torch import Tensor

from ncg_fast import ops
from ncg_fast.backends.formats import pack_states, pack_weights
from ncg_fast.backends.numerics import LEVELS, MIN_EXPONENT


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("shape", WITH_ROWS)
def test_connection_gradient(backend: BackEnd, shape: Shape, equal: bool) -> None:
    m = Machine(shape, 2)
    for visible in (m.data, m.levels):
        phases = m.phases(visible, equal)
        agree(backend, "connection_gradient", *phases, weight=m.weight, mask=m.mask)
        agree(backend, "connection_gradient", *phases)
    agree(backend, "connection_gradient", *phases, mask=m.mask)


@pytest.mark.parametrize("options", ["plain", "momentum", "fixed", "labels"])
@pytest.mark.parametrize("n_digits", N_DIGITS)
@pytest.mark.parametrize("shape", WITH_ROWS)
def test_update(backend: BackEnd, shape: Shape, n_digits: int, options: str) -> None:
    m = Machine(shape, n_digits)
    parameters, settings = m.learning(options)
    for visible, equal in ((m.data, True), (m.data, False), (m.levels, False)):
        agree(backend, "ncg_update_", parameters, *m.phases(visible, equal), **settings)


@pytest.mark.parametrize("scale", [1e-30, 1e4, 1e30])
@pytest.mark.parametrize("density", [0.0, 1.0])
def test_weights_beyond_the_digits(backend: BackEnd, scale: float, density: float) -> None:
    m = Machine((61, 67, 70, 70), 2, scale, density)
    parameters, settings = m.learning("plain")
    settings["weight_exponent"] = max(m.exponent - 9, MIN_EXPONENT)
    agree(backend, "ncg_update_", parameters, *m.phases(m.data), **settings)


@pytest.mark.parametrize("name", ["weight", "strength", "visible_bias", "hidden_bias"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_broken_parameters_are_reported(backend: BackEnd, name: str, bad: float) -> None:
    m = Machine((61, 67, 70, 70), 2)
    phases = m.phases(m.data)
    getattr(m, name).view(-1)[-1] = bad
    parameters, settings = m.learning("plain")
    agree(backend, "ncg_update_", parameters, *phases, **settings)
    max_abs = float(backend.run("ncg_update_", parameters, *phases, **settings)[0][0])
    assert math.isnan(bad) == math.isnan(max_abs)


def extreme_phases_agree(backend: BackEnd, n_rows: int, n_chains: int, data_on: bool) -> None:
    """One phase with everything on, the other with everything off."""
    n_visible, n_hidden = 67, 6

    def phase(n: int, on: bool) -> tuple[Tensor, Tensor]:
        hidden = torch.full((n, n_hidden), LEVELS, dtype=torch.int32)
        return hidden, pack_states(torch.full((n, n_visible), on))

    phases = *phase(n_rows, data_on), *phase(n_chains, not data_on)
    agree(backend, "connection_gradient", *phases)


def sums_of_many_rows_agree(backend: BackEnd, n_rows: int, real: bool) -> None:
    """The largest sums about the most rows that int32 takes, for each width of partial sums."""
    full = torch.full((n_rows, 3), LEVELS, dtype=torch.int32)
    ones = pack_states(torch.ones(n_rows, 3, dtype=torch.bool))
    few = torch.full((5, 3), 30000, dtype=torch.int32)
    data = full if real else ones
    agree(backend, "connection_gradient", full, data, few, ones[:, :1] & 31)
    agree(backend, "connection_gradient", full, 0 * data, full, ones)
    agree(backend, "connection_gradient", 0 * full, data, full, ones)


MANY_ROWS = [(16384, False), (16385, False), (32769, True), (65537, True)]
MANY_CHAINS = [(32640, 32640), (32700, 29)]


@pytest.mark.parametrize("n_rows, n_chains", [(250, 250), (250, 241)])
@pytest.mark.parametrize("data_on", [True, False])
def test_extreme_phases(backend: BackEnd, n_rows: int, n_chains: int, data_on: bool) -> None:
    extreme_phases_agree(backend, n_rows, n_chains, data_on)


@pytest.mark.parametrize("n_rows, n_chains", MANY_CHAINS)
@pytest.mark.parametrize("data_on", [True, False])
def test_many_chains(cpu_backend: BackEnd, n_rows: int, n_chains: int, data_on: bool) -> None:
    extreme_phases_agree(cpu_backend, n_rows, n_chains, data_on)


@pytest.mark.parametrize(("n_rows", "real"), MANY_ROWS)
def test_many_rows(cpu_backend: BackEnd, n_rows: int, real: bool) -> None:
    sums_of_many_rows_agree(cpu_backend, n_rows, real)


@pytest.mark.slow
def test_many_rows_and_chains_with_cuda(cuda_backend: BackEnd) -> None:
    for n_rows, n_chains in MANY_CHAINS:
        extreme_phases_agree(cuda_backend, n_rows, n_chains, True)
        extreme_phases_agree(cuda_backend, n_rows, n_chains, False)
    for n_rows, real in MANY_ROWS:
        sums_of_many_rows_agree(cuda_backend, n_rows, real)


@pytest.mark.parametrize("shape", WITH_ROWS)
def test_phase_sums(backend: BackEnd, shape: Shape) -> None:
    """They are added to what is there."""
    m = Machine(shape, 2)
    n_visible, n_hidden = shape[:2]
    for visible in (m.data, m.levels):
        hidden = m.hidden_levels(visible, m.n_rows)
        agree(backend, "phase_sums", hidden, visible)
        shapes = (n_hidden, n_visible), (n_visible,), (n_hidden,)
        sums = ops.PhaseSums(*(torch.full(shape, 2**40) for shape in shapes))
        agree(backend, "phase_sums", hidden, visible, sums=sums)


@pytest.mark.parametrize("options", ["plain", "momentum", "fixed", "labels"])
@pytest.mark.parametrize("shape", WITH_ROWS)
def test_update_from_sums(backend: BackEnd, shape: Shape, options: str) -> None:
    """The bits of the update from the states themselves."""
    m = Machine(shape, 2)
    parameters, settings = m.learning(options)
    for visible, equal in ((m.data, True), (m.data, False), (m.levels, False)):
        phases = m.phases(visible, equal)
        sums = wanted("phase_sums", *phases[:2]), wanted("phase_sums", *phases[2:])
        data, model = (ops.PhaseSums(*each) for each in sums)
        counts: dict[str, Any] = {"n_rows": len(phases[0]), "n_chains": len(phases[2])}
        counts["data_levels"] = visible is m.levels
        agree(backend, "update_from_sums_", parameters, data, model, **counts, **settings)
        once = backend.run("update_from_sums_", parameters, data, model, **counts, **settings)
        whole = backend.run("ncg_update_", parameters, *phases, **settings)
        assert all(torch.equal(a, b) for a, b in zip(once, whole, strict=True))


NAMES = ops.Gradients._fields
WITHOUT = [(), NAMES[:1], NAMES[1:2], NAMES[2:], NAMES[:2], NAMES[1:], NAMES]


@pytest.mark.parametrize("without", WITHOUT)
@pytest.mark.parametrize("options", ["plain", "momentum", "fixed", "labels"])
@pytest.mark.parametrize("shape", WITH_ROWS)
def test_gradient_update(
    backend: BackEnd, shape: Shape, options: str, without: tuple[str, ...]
) -> None:
    m = Machine(shape, 2)
    m.weight[0, 0] = -0.0  # what has no gradient keeps its sign
    parameters, settings = m.learning(options)
    fixed = ("by_strength",) if options == "fixed" else ()
    gradients = m.gradients((*without, *fixed))
    agree(backend, "gradient_update_", parameters, gradients, **settings)


@pytest.mark.parametrize("options", ["plain", "momentum", "fixed", "labels"])
def test_gradients_of_the_phases_update_as_the_phases(backend: BackEnd, options: str) -> None:
    m = Machine((67, 61, 66, 50), 2)
    parameters, settings = m.learning(options)
    for visible, equal in ((m.data, True), (m.data, False), (m.levels, False)):
        phases = m.phases(visible, equal)
        given = {"weight": m.weight, "mask": m.mask}
        _, *gradients = backend.run("connection_gradient", *phases, **given)
        by_weight, by_strength, by_visible, by_hidden = (-gradient for gradient in gradients)
        strengths = None if options == "fixed" else by_strength
        loss = ops.Gradients(by_weight, strengths, by_visible, by_hidden)
        got = backend.run("gradient_update_", parameters, loss, **settings)
        same_bits(got, backend.run("ncg_update_", parameters, *phases, **settings), options)


@pytest.mark.parametrize("without", WITHOUT)
def test_what_has_no_gradient_stays(backend: BackEnd, without: tuple[str, ...]) -> None:
    """The tensor, and its velocity; without strengths' gradients the mask."""
    m = Machine((67, 61, 5, 5), 2)
    m.weight[0, 0] = -0.0
    parameters, settings = m.learning("momentum")
    found, *after = backend.run("gradient_update_", parameters, m.gradients(without), **settings)
    stay = {
        "by_weight": ("weight", "weight_velocity"),
        "by_strength": ("connection_strength", "mask"),
        "by_visible": ("visible_bias", "visible_velocity"),
        "by_hidden": ("hidden_bias", "hidden_velocity"),
    }
    written = ops.Parameters(*after)
    for gradient, names in stay.items():
        for name in names:
            old, new = (getattr(p, name).view(torch.uint8) for p in (parameters, written))
            assert torch.equal(old, new) == (gradient in without), name
    assert (found[1:].sum() == 0) == ("by_strength" in without)


@pytest.mark.parametrize("options", ["plain", "momentum"])
def test_gradient_update_of_sparse_digits(cpu_backend: BackEnd, options: str) -> None:
    m = Machine((67, 61, 66, 66), 2)
    m.digits = pack_weights(m.weight, m.mask, 2, m.exponent, 67 * 61)
    parameters, settings = m.learning(options)
    agree(cpu_backend, "gradient_update_", parameters, m.gradients(), **settings)


@pytest.mark.slow
def test_wide_tiles(cuda_backend: BackEnd) -> None:
    """From a million pairs on tiles are 128 columns wide; the last one is not full."""
    m = Machine((1060, 1000, 3, 4), 2)
    phases = m.phases(m.data)
    agree(cuda_backend, "connection_gradient", *phases, weight=m.weight, mask=m.mask)
    parameters, settings = m.learning("momentum")
    agree(cuda_backend, "ncg_update_", parameters, *phases, **settings, n_labels=3)
