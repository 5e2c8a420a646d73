"""Free energies and annealing: every back end meets reference.py, float64 sums to 1e-10."""

from __future__ import annotations

import pytest
import torch
from backend_choice import BackEnd
from parity import SEED, SHAPES, Machine, Shape, agree


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_free_energy(backend: BackEnd, shape: Shape, n_digits: int) -> None:
    m = Machine(shape, n_digits)
    model = m.digits[0], m.visible_bias, m.hidden_bias, m.exponent, m.n_rows
    for visible in (m.data, m.levels):
        agree(backend, "free_energy", visible, *model)


@pytest.mark.parametrize("unit_offset", [0, 32])
@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_anneal(backend: BackEnd, shape: Shape, n_digits: int, unit_offset: int) -> None:
    m = Machine(shape, n_digits)
    betas = torch.linspace(0, 1, 4, dtype=torch.float64)
    model = *m.digits, m.visible_bias, m.hidden_bias, 0.1 * m.visible_bias
    draw = {"seed": SEED, "chain_offset": 3, "step": 2, "unit_offset": unit_offset}
    agree(backend, "anneal", m.data, *model, betas, m.exponent, m.n_rows, **draw)
