"""Half steps and sweeps: every back end gives the bits of reference.py."""

from __future__ import annotations

import pytest
import torch
from backend_choice import BackEnd
from parity import DRAW, SEED, SHAPES, Machine, Shape, agree

from ncg_fast import ops


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_half_steps(backend: BackEnd, shape: Shape, n_digits: int) -> None:
    m = Machine(shape, n_digits)
    for visible in (m.data, m.levels):
        agree(backend, "hidden_mean", visible, *m.to_hidden())
        for beta in (None, m.beta):
            agree(backend, "sample_hidden", visible, *m.to_hidden(), **DRAW, beta=beta)
    agree(backend, "visible_mean", m.hidden, *m.to_visible())
    for beta in (None, m.beta):
        agree(backend, "sample_visible", m.hidden, *m.to_visible(), **DRAW, beta=beta)


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_sweeps(backend: BackEnd, shape: Shape, n_digits: int) -> None:
    m = Machine(shape, n_digits)
    for visible in (m.data, m.levels):
        for beta in (None, m.beta):
            agree(backend, "gibbs_steps", visible, *m.model(), 2, **DRAW, beta=beta)
    agree(backend, "gibbs_steps", m.data, *m.model(), 3, **DRAW, clamped=m.clamped)
    tempered = {"beta": m.beta, "base_bias": -0.7 * m.visible_bias + 0.2}
    agree(backend, "gibbs_steps", m.data, *m.model(), 2, **DRAW, **tempered, clamped=m.clamped)


@pytest.mark.parametrize("chain_offset", [2**32 - 7, 64])
def test_sweeps_at_the_ends_of_what_is_counted(backend: BackEnd, chain_offset: int) -> None:
    m = Machine((37, 35, 66, 2), 2)
    draw = {"seed": 2**63 - 1, "chain_offset": chain_offset, "step": 2**55 - 1}
    agree(backend, "gibbs_steps", m.data, *m.model(), 2, **draw)


@pytest.mark.parametrize("unit_offset", [32, 2**23 - 32])
def test_units_of_a_share_of_a_machine(backend: BackEnd, unit_offset: int) -> None:
    m = Machine((37, 67, 66, 2), 2)
    draw = {**DRAW, "unit_offset": unit_offset}
    agree(backend, "sample_hidden", m.data, *m.to_hidden(), **draw)
    agree(backend, "sample_visible", m.hidden, *m.to_visible(), **draw)
    agree(backend, "gibbs_steps", m.data, *m.model(), 2, **draw)


@pytest.mark.parametrize("scale", [1e-30, 1e4, 1e30])
def test_extreme_weights(backend: BackEnd, scale: float) -> None:
    m = Machine((61, 67, 70, 70), 2, scale)
    agree(backend, "hidden_mean", m.data, *m.to_hidden())
    agree(backend, "hidden_mean", m.levels, *m.to_hidden())
    agree(backend, "sample_hidden", m.data, *m.to_hidden(), seed=SEED)


def test_strided_states(backend: BackEnd) -> None:
    m = Machine((61, 67, 70, 70), 2)
    spread = torch.empty(61, 4, dtype=torch.int64)
    spread[:, ::2] = m.data
    agree(backend, "hidden_mean", spread[:, ::2], *m.to_hidden())


def many_inputs_agree(backend: BackEnd, n_visible: int) -> None:
    """More than 32 768 and 65 536 real-valued inputs: sums of 32 bits are carried into 64."""
    m = Machine((n_visible, 3, 5, 5), 3)
    m.levels.fill_(65535)
    agree(backend, "hidden_mean", m.levels, *m.to_hidden())
    agree(backend, "hidden_mean", m.data, *m.to_hidden())


def test_many_inputs(cpu_backend: BackEnd) -> None:
    many_inputs_agree(cpu_backend, 66001)


@pytest.mark.slow
@pytest.mark.parametrize("n_visible", [33001, 66001])
def test_many_inputs_with_cuda(cuda_backend: BackEnd, n_visible: int) -> None:
    many_inputs_agree(cuda_backend, n_visible)


def layer_of(bias: float, n_units: int, n_chains: int) -> tuple[torch.Tensor, ...]:
    """States, digits and biases of units that see nothing."""
    digits, _ = ops.pack_weights(torch.zeros(n_units, 1), None, 2, 0)
    return (
        torch.zeros(1, -(-n_chains // 64), dtype=torch.int64),
        digits,
        torch.full((n_units,), bias),
    )


def test_further_bits_are_drawn(backend: BackEnd) -> None:
    """P = 1.01e-5 < 2**-16: only a first draw of 0 can be on, and it leaves the outcome open."""
    if backend.interpreted:
        pytest.skip("takes minutes in the interpreter")
    given = *layer_of(-11.5, 64, 20000), 0, 20000
    agree(backend, "sample_hidden", *given, seed=SEED)
    on = ops.unpack_states(backend.run("sample_hidden", *given, seed=SEED)[0], 20000)
    assert 1 <= int(on.sum()) <= 40  # expected 13


@pytest.mark.parametrize(("bias", "n_on"), [(-10.5, 1), (-11.0, 0)])
def test_further_bits_decide(backend: BackEnd, bias: float, n_on: int) -> None:
    """P = 1.8 and 1.09 times 2**-16: the one first draw of 1 leaves the outcome open."""
    given = *layer_of(bias, 32, 64), 0, 64
    agree(backend, "sample_hidden", *given, seed=22)
    on = ops.unpack_states(backend.run("sample_hidden", *given, seed=22)[0], 64)
    assert int(on.sum()) == n_on
