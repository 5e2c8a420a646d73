"""Training steps: launches one after the other, without waiting for the device."""

import torch
from torch import Tensor

from ncg_fast.backends.formats import new_packed
from ncg_fast.backends.records import Batch, Draw, Offsets, Parameters, Phases, Rates
from ncg_fast.backends.triton.centring import Centring
from ncg_fast.backends.triton.phases import Differences
from ncg_fast.backends.triton.sampling import mean_, sweeps_
from ncg_fast.backends.triton.update import Counters, update_


def train_steps_(
    parameters: Parameters,
    batch: Batch,
    rates: Rates,
    lr_factors: Tensor | None,
    offsets: Offsets,
    draw: Draw,
    weight_exponent: int,
    n_labels: int,
    least: float,
    most: float,
) -> Tensor:
    model = parameters.model(weight_exponent)
    n_visible, n_hidden = len(model.visible_bias), len(model.hidden_bias)
    n_rows, n_chains, chains = batch.n_rows, batch.n_chains, batch.chains
    hidden = new_packed(model.hidden_bias, n_hidden, n_chains)
    last = new_packed(model.visible_bias, n_visible, n_chains) if chains is None else chains
    hidden_data, hidden_model = (
        model.hidden_bias.new_empty(n, n_hidden, dtype=torch.int32) for n in (n_rows, n_chains)
    )
    counters = Counters.new(model.hidden_bias, least, most)
    centring = Centring.of(offsets)
    factors = None if lr_factors is None else lr_factors.contiguous()
    stop = counters.stop
    for t, rows in enumerate(batch.visible_data.contiguous()):
        mean_(hidden_data, rows, n_rows, model.hidden_layer, "levels", stop)
        start = rows if chains is None else chains
        first = draw._replace(step=draw.step + t * batch.n_steps)
        sweeps_(last, hidden, start, n_chains, model, batch.n_steps, first, stop=stop)
        mean_(hidden_model, last, n_chains, model.hidden_layer, "levels", stop)
        phases = Phases(hidden_data, rows, hidden_model, last)
        differences = Differences.of_phases(phases)
        given = parameters, differences, counters, rates, weight_exponent, n_labels
        update_(*given, centring, factors)
    return counters.found
