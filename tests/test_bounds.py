"""Sums at the edge of what their integers hold: extreme digits, all states on, very many rows."""

from __future__ import annotations

import pytest
import torch
from test_parity import SEED, both

from ncg_fast.backends import reference
from ncg_fast.backends.numerics import BLOCK, LEVELS, PANEL


@pytest.mark.parametrize("digit", [-128, 127])
@pytest.mark.parametrize("n_digits", [2, 3])
def test_extreme_digits(digit: int, n_digits: int) -> None:
    """Every product is the largest there is; no sum of 1349 may wrap or saturate."""
    n_in, n_out, n_chains = 1349, 5, 70
    shape = -(-n_out // PANEL), n_digits, -(-n_in // BLOCK), PANEL, BLOCK
    digits = torch.full(shape, digit, dtype=torch.int8)
    bias, exponent = torch.zeros(n_out), -11  # the pre-activation is near 1: no mean is 0 or 1
    on = torch.ones(n_chains, n_in, dtype=torch.bool)
    for states in (reference.pack_states(on), on.int() * LEVELS):
        both("hidden_mean", states, digits, bias, exponent, n_chains)
        both("sample_hidden", states, digits, bias, exponent, n_chains, SEED, 0, 0, None)


@pytest.mark.parametrize("digit", [-128, 127])
@pytest.mark.parametrize("n_digits", [2, 3])
def test_extreme_digits_of_few_inputs(digit: int, n_digits: int) -> None:
    """So few inputs are on that their digits are added up, but as many as one short sum takes."""
    n_in, n_out, n_chains, n_on = 1349, 61, 70, 257
    shape = -(-n_out // PANEL), n_digits, -(-n_in // BLOCK), PANEL, BLOCK
    digits = torch.full(shape, digit, dtype=torch.int8)
    bias, exponent = torch.zeros(n_out), -9
    for first in (0, 255, n_in - n_on):
        on = torch.zeros(n_chains, n_in, dtype=torch.bool)
        on[:, first : first + n_on] = True
        args = reference.pack_states(on), digits, bias, exponent, n_chains
        both("hidden_mean", *args)


@pytest.mark.parametrize("n_rows, n_chains", [(250, 250), (250, 241), (32640, 32640), (32700, 29)])
@pytest.mark.parametrize("data_on", [True, False])
def test_extreme_phases(n_rows: int, n_chains: int, data_on: bool) -> None:
    """One phase with everything on, the other with everything off."""
    n_visible, n_hidden = 67, 6

    def phase(n: int, on: bool) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.full((n, n_hidden), LEVELS, dtype=torch.int32)
        return hidden, reference.pack_states(torch.full((n, n_visible), on))

    both("connection_gradient", *phase(n_rows, data_on), *phase(n_chains, not data_on), None, None)
