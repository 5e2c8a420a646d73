"""Centred gradients: every back end gives the bits of reference.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from backend_choice import BackEnd
from parity import SEED, WITH_ROWS, Machine, Shape, agree, same_bits

from ncg_fast import ops
from ncg_fast.backends.formats import pack_weights

OPTIONS = ["plain", "momentum", "fixed", "labels"]


def offsets_of(m: Machine) -> ops.Offsets:
    """Among them both ends of the range."""
    g = torch.Generator().manual_seed(3)
    means = (torch.rand(len(bias), generator=g) for bias in (m.visible_bias, m.hidden_bias))
    visible, hidden = (1.25 * mean - 0.125 for mean in means)
    return ops.Offsets(visible.clamp(0, 1), hidden.clamp(0, 1))


def settings_of(m: Machine, settings: dict[str, Any]) -> dict[str, Any]:
    return settings | {"offsets": offsets_of(m)}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("shape", WITH_ROWS)
def test_update(backend: BackEnd, shape: Shape, options: str) -> None:
    m = Machine(shape, 2)
    parameters, settings = m.learning(options)
    for visible, equal in ((m.data, True), (m.data, False), (m.levels, False)):
        given = settings_of(m, settings)
        agree(backend, "ncg_update_", parameters, *m.phases(visible, equal), **given)


@pytest.mark.parametrize("persistent", [False, True])
def test_train_steps(backend: BackEnd, persistent: bool) -> None:
    """Five batches, whose hidden offsets go on from one to the next; with and without factors."""
    shape = (21, 17, 10, 12) if backend.interpreted else (61, 67, 70, 66)
    m = Machine(shape, 2, 0.3)
    parameters, settings = m.learning("momentum")
    settings |= {"n_labels": 3, "n_rows": m.n_rows, "n_steps": 2, "seed": SEED, "step": 9}
    if persistent:
        settings |= {"chains": m.chains, "n_chains": m.n_chains}
    factors = torch.tensor([1.0, 0.1, 3.3, 0.0, 0.7]) if persistent else None
    for visible in (m.levels,) if backend.interpreted else (m.data, m.levels):
        batches = torch.stack([visible.roll(i, 0) for i in range(5)])
        given = settings_of(m, settings) | {"lr_factors": factors}
        agree(backend, "train_steps_", parameters, batches, **given)


def test_train_steps_that_end_early(backend: BackEnd) -> None:
    """Offsets stay, too, after the third batch, which brings max |W| out of its range."""
    shape = (21, 17, 10, 12) if backend.interpreted else (61, 67, 70, 66)
    m = Machine(shape, 2, 0.3)
    parameters, settings = m.learning("plain")
    settings |= {"most": 4.0, "n_rows": m.n_rows, "n_steps": 1, "seed": SEED, "step": 9}
    settings["lr_factors"] = torch.tensor([1.0, 0.0, 1000.0, 1.0, 1.0])
    batches = torch.stack([m.data.roll(i, 0) for i in range(5)])
    given = settings_of(m, settings)
    agree(backend, "train_steps_", parameters, batches, **given)
    assert float(backend.run("train_steps_", parameters, batches, **given)[0][3]) == 3


def test_sparse_digits(cpu_backend: BackEnd) -> None:
    m = Machine((67, 61, 66, 66), 2)
    m.digits = pack_weights(m.weight, m.mask, 2, m.exponent, 67 * 61)
    parameters, settings = m.learning("momentum")
    given = settings_of(m, settings)
    agree(cpu_backend, "ncg_update_", parameters, *m.phases(m.data), **given)


@pytest.mark.parametrize("all_on", [True, False])
def test_the_largest_terms(backend: BackEnd, all_on: bool) -> None:
    """One phase on, the other off, offsets of 1, every connection on: terms about their limit."""
    n_visible, n_hidden = 67, 66
    m = Machine((n_visible, n_hidden, 5, 5), 2, density=1.0)
    parameters, settings = m.learning("plain")

    def phase(on: bool) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.full((5, n_hidden), 65535 * on, dtype=torch.int32)
        return hidden, ops.pack_states(torch.full((5, n_visible), on))

    phases = *phase(all_on), *phase(not all_on)
    settings["offsets"] = ops.Offsets(torch.ones(n_visible), torch.ones(n_hidden))
    agree(backend, "ncg_update_", parameters, *phases, **settings)


@pytest.mark.slow
def test_many_pairs(cuda_backend: BackEnd) -> None:
    """A million: terms of many tiles to a unit."""
    m = Machine((1060, 1000, 3, 4), 2)
    parameters, settings = m.learning("momentum")
    given = settings_of(m, settings)
    agree(cuda_backend, "ncg_update_", parameters, *m.phases(m.data), **given)


def test_offsets_that_stay_zero_change_nothing(backend: BackEnd) -> None:
    m = Machine((67, 35, 5, 6), 2)
    parameters, settings = m.learning("plain")
    hidden, *others = m.phases(m.data)
    phases = torch.zeros_like(hidden), *others
    zeros = ops.Offsets(torch.zeros(67), torch.zeros(35))
    *centred, mu, lambda_ = backend.run(
        "ncg_update_", parameters, *phases, offsets=zeros, **settings
    )
    plain = backend.run("ncg_update_", parameters, *phases, **settings)
    same_bits(tuple(centred), plain, backend.name)
    assert not mu.any() and not lambda_.any()
