"""The ops of whole training steps; formats as in ``ncg_fast.ops``."""

from __future__ import annotations

import math

from torch import Tensor

from ncg_fast import checks
from ncg_fast.backends.records import Batch, Draw, Offsets, Parameters, Rates
from ncg_fast.ops import arguments, learning_arguments
from ncg_fast.ops.registration import registered


def train_step_(
    parameters: Parameters,
    visible_data: Tensor,
    *,
    n_rows: int,
    n_steps: int,
    weight_exponent: int,
    chains: Tensor | None = None,
    n_chains: int | None = None,
    n_labels: int = 0,
    lr: float,
    lr_strength: float = 0.0,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    offsets: Offsets | None = None,
    seed: int,
    step: int,
    chain_offset: int = 0,
    unit_offset: int = 0,
) -> Tensor:
    """One mini-batch of CD-k or PCD-k with the NCG update, in place (arXiv 2209.06932).

    Positive phase with P(h | v), n_steps sweeps from the data or the chains, negative phase with
    P(h | v_k), ``ncg_update_``. The CD-k gradient is biased for finite n_steps.

    Args:
        parameters: tensors that are written.
        visible_data: packed states or levels of n_rows rows.
        n_rows: in [1, 2**31].
        n_steps: k, in [1, 2**31).
        weight_exponent: of the digits.
        chains: packed states of n_chains persistent chains, written, or None for CD.
        n_chains: the number of chains; n_rows for CD.
        n_labels: see ``ncg_update_``, as for the rates.
        lr: rate of weights and biases, in [0, 3.4e38], as the other rates.
        lr_strength: rate of the connection strengths.
        momentum: in [0, 1].
        weight_decay: at least 0.
        offsets: of centred gradients, see ``ncg_update_``; the hidden ones are written.
        seed: in [0, 2**63).
        step: global number of the first sweep.
        chain_offset: global index of the first chain, in [0, 2**32).
        unit_offset: global index of the first hidden unit, a multiple of 32 in [0, 2**23).

    Returns:
        as ``ncg_update_``.

    Raises:
        ValueError: wrong shape, dtype, device or range.
        RuntimeError: no back end serves the device.

    Note:
        Deterministic by seed and step, the same bits everywhere.

    Example:
        >>> from ncg_fast import ops
        >>> weight, mask = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
        >>> digits = ops.pack_weights(weight, mask, 2, 1)
        >>> biases = torch.zeros(3), torch.zeros(2)
        >>> parameters = ops.Parameters(weight, None, mask, *biases, *digits)
        >>> rows = ops.pack_states(torch.ones(4, 3, dtype=torch.uint8))
        >>> options = {"n_rows": 4, "n_steps": 1, "weight_exponent": 1, "lr": 0.1}
        >>> ops.train_step_(parameters, rows, **options, seed=0, step=0).shape
        torch.Size([3])
    """
    batch = Batch(visible_data, chains, n_rows, n_chains, n_steps)  # type: ignore[arg-type]
    rates = Rates(lr, lr_strength, momentum, weight_decay)
    draw = Draw(seed, chain_offset, step, None, unit_offset)
    op, options = "train_step_", (weight_exponent, n_labels, rates, draw)
    batch, rates = _checked(op, parameters, batch, *options)
    learning_arguments.own_memory(op, chains, visible_data)
    offsets = learning_arguments.offsets(op, offsets, parameters)
    batch = batch._replace(visible_data=visible_data.unsqueeze(0))
    given = *parameters, *batch, *rates, None, *offsets, *draw, weight_exponent, n_labels
    found: Tensor = registered.train_steps_(*given, 0.0, math.inf)
    return found[:3]


def train_steps_(
    parameters: Parameters,
    visible_data: Tensor,
    *,
    n_rows: int,
    n_steps: int,
    weight_exponent: int,
    chains: Tensor | None = None,
    n_chains: int | None = None,
    n_labels: int = 0,
    lr: float,
    lr_strength: float = 0.0,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    lr_factors: Tensor | None = None,
    offsets: Offsets | None = None,
    seed: int,
    step: int,
    chain_offset: int = 0,
    unit_offset: int = 0,
    least: float = 0.0,
    most: float = math.inf,
) -> Tensor:
    """Mini-batches of n_rows rows, one ``train_step_`` each, in one call.

    It ends early after the batch that brings max |W∘A| out of [least, most], where the digits ask
    for another exponent (``numerics.exponent_range``) or a parameter is NaN or infinite, and after
    the batch that switches on more connections than sparse digits have room for (see
    ``pack_weights``).

    Args:
        parameters: tensors that are written.
        visible_data: packed states (n_batches, n_visible, ceil(n_rows / 64)) int64, or levels
            (n_batches, n_rows, n_visible) int32.
        n_rows: rows of a batch; see ``train_step_``, as for what follows.
        n_steps: sweeps of a batch; batch t draws from sweep step + t n_steps on.
        weight_exponent: of the digits.
        chains: persistent chains, written, or None.
        n_chains: their number.
        n_labels: label units.
        lr: rate of weights and biases.
        lr_strength: rate of the connection strengths.
        momentum: in [0, 1].
        weight_decay: at least 0.
        lr_factors: (n_batches,) float32, finite and at least 0, or None for 1: in batch t the rates
            are the float32 products lr lr_factors[t] and lr_strength lr_factors[t].
        offsets: see ``train_step_``; the hidden ones go on from batch to batch.
        seed: in [0, 2**63).
        step: global number of the first sweep.
        chain_offset: see ``train_step_``, as for unit_offset.
        unit_offset: global index of the first hidden unit.
        least: lower end of the range of max |W∘A|.
        most: upper end.

    Returns:
        float64 (4,): max |W∘A| after the last batch done; connections switched on; switched off;
        batches done, at least 1.

    Raises:
        ValueError: wrong shape, dtype, device or range; no batches.
        RuntimeError: no back end serves the device.

    Note:
        Deterministic: the bits of as many calls of ``train_step_``. On a GPU the values of
        lr_factors are not looked at.

    Example:
        >>> from ncg_fast import ops
        >>> weight, mask = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
        >>> digits = ops.pack_weights(weight, mask, 2, 1)
        >>> parameters = ops.Parameters(weight, None, mask, torch.zeros(3), torch.zeros(2), *digits)
        >>> batches = ops.pack_states(torch.ones(4, 3, dtype=torch.uint8)).expand(5, 3, 1)
        >>> options = {"n_rows": 4, "n_steps": 1, "weight_exponent": 1, "lr": 0.1}
        >>> ops.train_steps_(parameters, batches, **options, seed=0, step=0)[3]
        tensor(5., dtype=torch.float64)
    """
    op = "train_steps_"
    shape = checks.axes(op, "visible_data", visible_data, ("n_batches", "n_units", "words"))
    if shape[0] < 1:
        rule, remedy = "visible_data must have at least one batch", "Leave out empty epochs."
        raise checks.error(op, rule, shape, remedy)
    first = Batch(visible_data[0], chains, n_rows, n_chains, n_steps)  # type: ignore[arg-type]
    rates = Rates(lr, lr_strength, momentum, weight_decay)
    draw = Draw(seed, chain_offset, step, None, unit_offset)
    batch, rates = _checked(op, parameters, first, weight_exponent, n_labels, rates, draw)
    learning_arguments.own_memory(op, chains, visible_data)
    factors = learning_arguments.lr_factors(op, lr_factors, shape[0], parameters.weight)
    offsets = learning_arguments.offsets(op, offsets, parameters)
    limits = learning_arguments.limits(op, least, most)
    batch = batch._replace(visible_data=visible_data)
    given = *parameters, *batch, *rates, factors, *offsets, *draw, weight_exponent, n_labels
    found: Tensor = registered.train_steps_(*given, *limits)
    return found


def _checked(
    op: str,
    parameters: Parameters,
    batch: Batch,
    weight_exponent: int,
    n_labels: int,
    rates: Rates,
    draw: Draw,
) -> tuple[Batch, Rates]:
    """Checks one mini-batch; the batch with its number of chains, and the rates."""
    _, n_visible = learning_arguments.parameters(op, parameters, n_labels)
    batch = learning_arguments.batch(op, batch, n_visible)
    data, chains = batch.visible_data, batch.chains
    checks.same_device(op, weight=parameters.weight, visible_data=data, chains=chains)
    arguments.exponent(op, weight_exponent)
    arguments.draw(op, draw, data, batch.n_chains)
    return batch, learning_arguments.rates(op, rates, parameters.weight_velocity)
