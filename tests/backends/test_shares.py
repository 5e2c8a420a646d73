"""Shares of the rows, or of the hidden units, worked on apart: the bits of the whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from backend_choice import BackEnd
from parity import SEED, Machine, agree, same_bits
from torch import Tensor

from ncg_fast import ops
from ncg_fast.backends.formats import pack_weights
from ncg_fast.backends.numerics import LEVELS, to_levels

FIRST = 64  # rows of the first share: whole words

sparse_or_dense = pytest.mark.parametrize("capacity", [None, 67 * 61], ids=["dense", "sparse"])


def machine(backend: BackEnd, capacity: int | None, n_chains: int = 66) -> Machine:
    if capacity is not None and backend.name not in ("cpu", "amx"):
        pytest.skip("sparse digits are for CPUs")
    m = Machine((67, 61, 66, n_chains), 2)
    m.digits = pack_weights(m.weight, m.mask, 2, m.exponent, capacity)
    return m


def shares(visible: Tensor) -> tuple[Tensor, Tensor]:
    """The first rows and the others, of packed states or levels."""
    if visible.dtype == torch.int32:
        return visible[:FIRST], visible[FIRST:]
    return visible[:, : FIRST // 64], visible[:, FIRST // 64 :]


def summed(backend: BackEnd, hidden: Tensor, visible: Tensor) -> ops.PhaseSums:
    """Of the first share, to which those of the other are added."""
    sums = None
    for h, v in zip((hidden[:FIRST], hidden[FIRST:]), shares(visible), strict=True):
        sums = ops.PhaseSums(*backend.run("phase_sums", h, v, sums=sums))
    assert sums is not None
    return sums


@sparse_or_dense
@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("n_chains", [66, 131])
def test_update(backend: BackEnd, n_chains: int, real: bool, capacity: int | None) -> None:
    m = machine(backend, capacity, n_chains)
    phases = m.phases(m.levels if real else m.data)
    parameters, settings = m.learning("momentum")
    counts: dict[str, Any] = {"n_rows": 66, "n_chains": n_chains, "data_levels": real}
    for variant in backend.variants():
        sums = summed(backend, *phases[:2]), summed(backend, *phases[2:])
        got = backend.run("update_from_sums_", parameters, *sums, **counts, **settings)
        want = backend.run("ncg_update_", parameters, *phases, **settings)
        same_bits(got, want, variant)


@sparse_or_dense
def test_training_step(backend: BackEnd, capacity: int | None) -> None:
    """Each share draws the chains of its rows; the update takes the sums of both."""
    m = machine(backend, capacity)
    parameters, settings = m.learning("plain")
    biases = m.visible_bias, m.hidden_bias, m.exponent
    draw = {"seed": SEED, "step": 9}

    def levels(visible: Tensor, n: int) -> Tensor:
        layer = m.digits[0], m.hidden_bias, m.exponent
        return to_levels(backend.run("hidden_mean", visible, *layer, n)[0])

    for variant in backend.variants():
        data: ops.PhaseSums | None = None
        model: ops.PhaseSums | None = None
        for first, rows in zip((0, FIRST), shares(m.data), strict=True):
            n = 66 - FIRST if first else FIRST
            given = rows, *m.digits, *biases, n, 2
            chains = backend.run("gibbs_steps", *given, chain_offset=first, **draw)[0]
            data = ops.PhaseSums(*backend.run("phase_sums", levels(rows, n), rows, sums=data))
            found = backend.run("phase_sums", levels(chains, n), chains, sums=model)
            model = ops.PhaseSums(*found)
        counts = {"n_rows": 66, "n_chains": 66}
        got = backend.run("update_from_sums_", parameters, data, model, **counts, **settings)
        whole = {"n_rows": 66, "n_steps": 2, **draw, **settings}
        want = backend.run("train_step_", parameters, m.data, **whole)
        same_bits(got, want, variant)


@sparse_or_dense
def test_hidden_units(backend: BackEnd, capacity: int | None) -> None:
    """Two shares of them draw what the whole layer draws."""
    m = machine(backend, capacity)
    draw = {"seed": SEED, "chain_offset": 5, "step": 7, "beta": m.beta}
    for variant in backend.variants():
        drawn = []
        for rows in (slice(0, 32), slice(32, None)):
            digits = pack_weights(m.weight[rows], m.mask[rows], 2, m.exponent, capacity)[0]
            layer = digits, m.hidden_bias[rows], m.exponent, 66
            drawn += backend.run("sample_hidden", m.data, *layer, unit_offset=rows.start, **draw)
        want = backend.run("sample_hidden", m.data, *m.to_hidden(), **draw)
        same_bits((torch.cat(drawn),), want, variant)


@sparse_or_dense
def test_updates_of_hidden_units(backend: BackEnd, capacity: int | None) -> None:
    """By gradients, each share gains what it would in the whole."""
    m = machine(backend, capacity)
    parameters, settings = m.learning("momentum")
    gradients = m.gradients()
    by_row = "weight", "connection_strength", "mask", "hidden_bias"
    by_row += "weight_velocity", "hidden_velocity"
    for variant in backend.variants():
        shares = []
        for rows in (slice(0, 32), slice(32, None)):
            own = {name: getattr(parameters, name)[rows] for name in by_row}
            given = own["weight"], own["mask"], 2, m.exponent, capacity and own["mask"].numel()
            own["to_hidden"], own["to_visible"] = pack_weights(*given)
            by_weight, by_strength, by_visible, by_hidden = gradients
            loss = ops.Gradients(by_weight[rows], by_strength[rows], by_visible, by_hidden[rows])
            share = parameters._replace(**own)
            _, *got = backend.run("gradient_update_", share, loss, **settings)
            shares.append(ops.Parameters(*got))
        _, *whole = backend.run("gradient_update_", parameters, gradients, **settings)
        for name in by_row:
            got = torch.cat([getattr(share, name) for share in shares])
            same_bits(got, getattr(ops.Parameters(*whole), name), f"{name}, {variant}")


@pytest.mark.parametrize(
    ("n_rows", "real"), [(16384, False), (16385, False), (32700, False), (65537, True)]
)
def test_sums_of_many_rows(backend: BackEnd, n_rows: int, real: bool) -> None:
    """The largest sums about the most rows that int32 takes."""
    if backend.interpreted:
        pytest.skip("takes minutes in the interpreter")
    if backend.compiled is None:  # on a GPU the widest sums begin earlier
        n_rows = min(n_rows, 32769)
    full = torch.full((n_rows, 3), LEVELS, dtype=torch.int32)
    ones = ops.pack_states(torch.ones(n_rows, 3, dtype=torch.bool))
    agree(backend, "phase_sums", full, full if real else ones)
