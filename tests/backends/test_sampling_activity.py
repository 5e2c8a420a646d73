"""Sparse states take another path than dense ones, chosen by the share of units on: same bits."""

from __future__ import annotations

import pytest
import torch
from backend_choice import BackEnd
from parity import SEED, Machine, Shape, agree
from torch import Tensor

from ncg_fast.backends.formats import pack_states

# About every instruction set's crossover, which depends on the sizes too.
ACTIVITIES = [0.0, 0.005, 0.02, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.6, 0.8, 0.95, 1.0]


def states(n_chains: int, n_units: int, activity: float) -> Tensor:
    """So many units on as nearly makes the share, in packed states."""
    g = torch.Generator().manual_seed(3)
    order = torch.rand(n_chains * n_units, generator=g).argsort()
    on = order < round(activity * n_chains * n_units)
    return pack_states(on.reshape(n_chains, n_units))


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("activity", ACTIVITIES)
@pytest.mark.parametrize(
    "shape",
    [(61, 67, 70, 0), (331, 29, 31, 0), pytest.param((520, 64, 290, 0), marks=pytest.mark.slow)],
)
def test_half_steps(cpu_backend: BackEnd, shape: Shape, activity: float, n_digits: int) -> None:
    m = Machine(shape, n_digits)
    visible, hidden = (states(m.n_rows, n_units, activity) for n_units in shape[:2])
    draw = {"seed": SEED, "chain_offset": 5, "step": 7, "beta": m.beta}
    agree(cpu_backend, "hidden_mean", visible, *m.to_hidden())
    agree(cpu_backend, "sample_hidden", visible, *m.to_hidden(), **draw)
    agree(cpu_backend, "visible_mean", hidden, *m.to_visible())


@pytest.mark.parametrize("activity", [0.0, 0.1, 0.9])
def test_sweeps_that_change_the_share(cpu_backend: BackEnd, activity: float) -> None:
    """The path may change from one half step to the next."""
    m = Machine((127, 131, 66, 66), 2)
    visible = states(m.n_rows, 127, activity)
    for bias in (-4.0, 4.0):
        m.visible_bias.fill_(bias)
        m.hidden_bias.fill_(-bias)
        agree(cpu_backend, "gibbs_steps", visible, *m.model(), 3, seed=SEED)
        batch = {"n_rows": m.n_rows, "n_steps": 2, "weight_exponent": m.exponent}
        rates = {"lr": 0.3, "lr_strength": 2.0, "seed": SEED, "step": 9}
        agree(cpu_backend, "train_step_", m.parameters(), visible, **batch, **rates)
