"""Whole training steps: launches one after the other, without waiting for the device."""

import math
from typing import Any

import torch
from torch import Tensor

from ncg_fast.backends.triton.packing import new_packed
from ncg_fast.backends.triton.sampling import mean_, sweeps_
from ncg_fast.backends.triton.update import Counters, Phases, update_


def train_step_(*arguments: Any) -> Tensor:
    batch = arguments[10].unsqueeze(0)
    return train_steps_(*arguments[:10], batch, *arguments[11:], 0.0, math.inf)[:3]


def train_steps_(*arguments: Any) -> Tensor:
    parameters, batches, chains = arguments[:10], arguments[10].contiguous(), arguments[11]
    n_rows, n_chains, n_steps, weight_exponent, n_labels = arguments[12:17]
    rates, (seed, step, least, most) = arguments[17:21], arguments[21:]
    _, _, _, visible_bias, hidden_bias, to_hidden, to_visible = parameters[:7]

    hidden = new_packed(hidden_bias, len(hidden_bias), n_chains)
    last = new_packed(visible_bias, len(visible_bias), n_chains) if chains is None else chains
    hidden_data, hidden_model = (
        hidden_bias.new_empty(n, len(hidden_bias), dtype=torch.int32) for n in (n_rows, n_chains)
    )
    counters = Counters.new(hidden_bias, least, most)
    up = to_hidden, hidden_bias, weight_exponent
    model = to_hidden, to_visible, visible_bias, hidden_bias, weight_exponent, n_chains, n_steps
    for t, batch in enumerate(batches):
        mean_(batch, *up, n_rows, hidden_data, "levels", counters.stop)
        start = batch if chains is None else chains
        draw = seed, 0, step + t * n_steps, None, None
        sweeps_(last, hidden, start, *model, *draw, counters.stop)
        mean_(last, *up, n_chains, hidden_model, "levels", counters.stop)
        phases = Phases(hidden_data, batch, hidden_model, last)
        update_(parameters, phases, counters, weight_exponent, n_labels, *rates)
    return counters.found
