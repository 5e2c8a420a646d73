"""Sums of half steps at the edge of what their integers hold."""

from __future__ import annotations

import pytest
import torch
from backend_choice import BackEnd
from parity import SEED, agree

from ncg_fast.backends.formats import pack_rows, pack_states
from ncg_fast.backends.numerics import LEVELS

N_IN, N_CHAINS = 1349, 70


def largest(sign: int, n_digits: int, n_out: int) -> torch.Tensor:
    """Digits of the largest weights there are."""
    q = (1 << (8 * n_digits - 1)) - (1 << (8 * n_digits - 8))
    return pack_rows(torch.full((n_out, N_IN), sign * q), n_digits)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("n_digits", [2, 3])
def test_extreme_digits(cpu_backend: BackEnd, sign: int, n_digits: int) -> None:
    """Every product is the largest there is; no sum of 1349 may wrap or saturate."""
    # The pre-activation is near 1: no mean is 0 or 1.
    layer = largest(sign, n_digits, 5), torch.zeros(5), -11, N_CHAINS
    on = torch.ones(N_CHAINS, N_IN, dtype=torch.bool)
    for states in (pack_states(on), on.int() * LEVELS):
        agree(cpu_backend, "hidden_mean", states, *layer)
        agree(cpu_backend, "sample_hidden", states, *layer, seed=SEED)


@pytest.mark.parametrize("q", [-128, 127, -128 - 256 * 128, 127 + 256 * 127])
def test_extreme_lowest_digits(cpu_backend: BackEnd, q: int) -> None:
    """Their sums are made 32 bits wide before they outgrow 16."""
    layer = pack_rows(torch.full((5, N_IN), q), 3), torch.zeros(5), -9, N_CHAINS
    for n_on in (254, 255, 256, 257, 510, 511, N_IN):
        on = (torch.arange(N_IN) < n_on).expand(N_CHAINS, N_IN)
        agree(cpu_backend, "hidden_mean", pack_states(on), *layer)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("n_digits", [2, 3])
def test_extreme_digits_of_few_inputs(cpu_backend: BackEnd, sign: int, n_digits: int) -> None:
    """Only the first, the middle or the last of the inputs are on."""
    n_on, layer = 257, (largest(sign, n_digits, 61), torch.zeros(61), -9, N_CHAINS)
    for first in (0, 255, N_IN - n_on):
        on = torch.zeros(N_CHAINS, N_IN, dtype=torch.bool)
        on[:, first : first + n_on] = True
        agree(cpu_backend, "hidden_mean", pack_states(on), *layer)
