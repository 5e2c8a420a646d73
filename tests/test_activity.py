"""Sparse states take another path than dense ones, chosen by the share of units on: same bits."""

from __future__ import annotations

import pytest
import torch
from test_parity import SEED, Machine, both, parameters, written_alike
from torch import Tensor

from ncg_fast.backends import reference

# About every instruction set's crossover, which depends on the sizes too.
ACTIVITIES = [0.0, 0.005, 0.02, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.6, 0.8, 0.95, 1.0]


def states(n_chains: int, n_units: int, activity: float) -> Tensor:
    """So many units on as nearly makes the share, in packed states."""
    g = torch.Generator().manual_seed(3)
    order = torch.rand(n_chains * n_units, generator=g).argsort()
    on = order < round(activity * n_chains * n_units)
    return reference.pack_states(on.reshape(n_chains, n_units))


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("activity", ACTIVITIES)
@pytest.mark.parametrize("shape", [(61, 67, 70, 0), (331, 29, 31, 0), (520, 64, 290, 0)])
def test_half_steps(shape: tuple[int, int, int, int], activity: float, n_digits: int) -> None:
    m = Machine(shape, n_digits)
    visible = states(m.n_rows, shape[0], activity)
    both("hidden_mean", visible, *m.to_hidden())
    both("sample_hidden", visible, *m.to_hidden(), SEED, 5, 7, m.beta)
    both("visible_mean", states(m.n_rows, shape[1], activity), *m.to_visible())


@pytest.mark.parametrize("activity", [0.0, 0.1, 0.9])
def test_sweeps_that_change_the_share(activity: float) -> None:
    """The path may change from one half step to the next."""
    m = Machine((127, 131, 66, 66), 2)
    visible = states(m.n_rows, 127, activity)
    for bias in (-4.0, 4.0):
        m.visible_bias.fill_(bias)
        m.hidden_bias.fill_(-bias)
        both("gibbs_steps", visible, *m.model(), 3, SEED, 0, 0, None, None)
        batch = m.n_rows, m.n_rows, 2, m.exponent, 0, 0.3, 2.0, 0.0, 0.0, SEED, 9
        written_alike(
            "train_step_",
            parameters(m, False, False),
            None,
            lambda op, t, _, b=batch: op(*t, visible, None, *b),
        )
