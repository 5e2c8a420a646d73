"""Packing: every back end gives the bits of reference.py."""

from __future__ import annotations

import pytest
import torch
from backend_choice import BackEnd
from parity import SHAPES, Machine, Shape, agree


@pytest.mark.parametrize("shape", SHAPES)
def test_states(backend: BackEnd, shape: Shape) -> None:
    m = Machine(shape, 2)
    agree(backend, "pack_states", m.rows)
    agree(backend, "unpack_states", m.data, m.n_rows)


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_weights(backend: BackEnd, shape: Shape, n_digits: int) -> None:
    m = Machine(shape, n_digits)
    for mask in (m.mask, None):
        agree(backend, "pack_weights", m.weight, mask, n_digits, m.exponent)


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("density", [0.0, 1.0])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e4, 1e30])
def test_extreme_weights(backend: BackEnd, scale: float, density: float, n_digits: int) -> None:
    m = Machine((61, 67, 5, 5), n_digits, scale, density)
    for exponent in (m.exponent, m.exponent - 9):  # which they fit, and which they exceed
        agree(backend, "pack_weights", m.weight, m.mask, n_digits, max(exponent, -60))


def test_strided_weights(backend: BackEnd) -> None:
    m = Machine((61, 67, 5, 5), 2)
    agree(backend, "pack_weights", m.weight.t().contiguous().t(), m.mask, 2, m.exponent)
    agree(backend, "pack_weights", m.weight, m.mask.t().contiguous().t(), 2, m.exponent)


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_sparse_digits(cpu_backend: BackEnd, shape: Shape, n_digits: int) -> None:
    """With room for more connections, for too few, and for all."""
    m = Machine(shape, n_digits, density=0.1)
    n_on = int(m.mask.sum())
    given = n_digits, m.exponent
    rooms = (m.mask, min(n_on + 7, m.mask.numel())), (m.mask, max(n_on - 1, 0))
    for mask, capacity in (*rooms, (None, m.mask.numel())):
        agree(cpu_backend, "pack_weights", m.weight, mask, *given, capacity=capacity)


def test_packed_states_of_both_dtypes(backend: BackEnd) -> None:
    rows = torch.arange(66 * 67).reshape(66, 67) % 3 == 0
    for states in (rows, rows.to(torch.uint8), rows.t().contiguous().t()):
        agree(backend, "pack_states", states)
