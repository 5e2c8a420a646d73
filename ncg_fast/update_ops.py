"""The ops of learning: gradients, update, a whole training step; formats as in ``ops.py``."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ncg_fast import _library as _library  # registers torch.ops.ncg_fast
from ncg_fast import checks, op_checks


class Parameters(NamedTuple):
    """What ``ncg_update_`` and ``train_step_`` write; velocities are all given or all None."""

    weight: Tensor  # (n_hidden, n_visible) float32
    connection_strength: Tensor | None  # the same, or None: the mask is fixed
    mask: Tensor  # the same, bool
    visible_bias: Tensor
    hidden_bias: Tensor
    to_hidden: Tensor  # digits of W∘A
    to_visible: Tensor
    weight_velocity: Tensor | None = None
    visible_velocity: Tensor | None = None
    hidden_velocity: Tensor | None = None


def connection_gradient(
    hidden_data: Tensor,
    visible_data: Tensor,
    hidden_model: Tensor,
    visible_model: Tensor,
    *,
    weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Phase difference of every pair of units, connected or not, and the gradients made of it.

    G_ij = <h_i v_j>_data - <h_i v_j>_model with mean-field h, dL/dW = A∘G, dL/dA = W∘G (de Oliveira
    & Figueiredo, arXiv 2209.06932).

    Args:
        hidden_data: levels of P(h | v), int32 (n_rows, n_hidden).
        visible_data: packed states or levels of the n_rows data rows.
        hidden_model: levels of P(h | v), int32 (n_chains, n_hidden).
        visible_model: packed states of the n_chains chains.
        weight: (n_hidden, n_visible) float32, or None: no W∘G.
        mask: (n_hidden, n_visible) bool, or None: no A∘G.

    Returns:
        (G, A∘G, W∘G, visible bias gradient, hidden bias gradient), float32; empty where not asked
        for.

    Raises:
        ValueError: wrong shape, dtype, device, or no rows.
        RuntimeError: no back end serves the device.

    Note:
        Deterministic, the same bits everywhere: exact integer sums. Memory: 4 bytes a pair and
        result.

    Example:
        >>> from ncg_fast import ops
        >>> on, off = (torch.full((1, 2), level, dtype=torch.int32) for level in (65535, 0))
        >>> visible = ops.pack_states(torch.ones(1, 3, dtype=torch.uint8))
        >>> ops.connection_gradient(on, visible, off, visible)[0]
        tensor([[1., 1., 1.],
                [1., 1., 1.]])
    """
    op = "connection_gradient"
    shape = op_checks.phase_arguments(op, hidden_data, visible_data, hidden_model, visible_model)
    if weight is not None:
        checks.tensor(op, "weight", weight, torch.float32, shape, "(n_hidden, n_visible)")
        checks.same_device(op, hidden_data=hidden_data, weight=weight)
        weight = weight.detach().contiguous()
    if mask is not None:
        checks.tensor(op, "mask", mask, torch.bool, shape, "(n_hidden, n_visible)")
        checks.same_device(op, hidden_data=hidden_data, mask=mask)
        mask = mask.contiguous()
    phases = hidden_data, visible_data, hidden_model, visible_model
    result: tuple[Tensor, Tensor, Tensor, Tensor, Tensor] = torch.ops.ncg_fast.connection_gradient(
        *phases, weight, mask
    )
    return result


def ncg_update_(
    parameters: Parameters,
    hidden_data: Tensor,
    visible_data: Tensor,
    hidden_model: Tensor,
    visible_model: Tensor,
    *,
    weight_exponent: int,
    n_labels: int = 0,
    lr: float,
    lr_strength: float = 0.0,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> Tensor:
    """The whole NCG update in one pass, in place.

    G as in ``connection_gradient``; S += lr_strength W∘G, A off where S < 1/2 and on where S > 1/2,
    S clipped to [0, 1]; W += lr (G - weight_decay W) where the old A is on; biases; new digits.
    With velocities V = momentum V + gradient takes the gradient's place, and is 0 where A is off.

    Args:
        parameters: tensors that are written.
        hidden_data: levels, int32 (n_rows, n_hidden).
        visible_data: packed states or levels of the n_rows data rows.
        hidden_model: levels, int32 (n_chains, n_hidden).
        visible_model: packed states of the n_chains chains.
        weight_exponent: of the digits; the caller repacks when max |W| asks for another.
        n_labels: the last n_labels visible units have no strength: their mask stays.
        lr: rate of weights and biases, in [0, 3.4e38], as the other rates.
        lr_strength: rate of the connection strengths.
        momentum: in [0, 1].
        weight_decay: at least 0.

    Returns:
        float64 (3,): max |W|, NaN or infinite where a weight or bias is; connections switched on;
        connections switched off.

    Raises:
        ValueError: wrong shape, dtype, device or range; sizes that differ.
        RuntimeError: no back end serves the device.

    Note:
        Deterministic, the same bits everywhere. One pass over the pairs; nothing is allocated but
        the result.

    Example:
        >>> from ncg_fast import ops
        >>> weight, mask = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
        >>> digits = ops.pack_weights(weight, mask, 2, 1)
        >>> biases = torch.zeros(3), torch.zeros(2)
        >>> parameters = ops.Parameters(weight, None, mask, *biases, *digits)
        >>> on, off = (torch.full((1, 2), level, dtype=torch.int32) for level in (65535, 0))
        >>> visible = ops.pack_states(torch.ones(1, 3, dtype=torch.uint8))
        >>> ops.ncg_update_(
        ...     parameters, on, visible, off, visible, weight_exponent=1, lr=0.5
        ... ).tolist()
        [0.5, 0.0, 0.0]
    """
    op = "ncg_update_"
    sizes = op_checks.parameter_arguments(op, parameters, n_labels)
    phases = hidden_data, visible_data, hidden_model, visible_model
    given, remedy = op_checks.phase_arguments(op, *phases), "Pass states of this machine."
    rule = f"phases must be of (n_hidden, n_visible) = {sizes} units"
    checks.require(given == sizes, op, rule, given, remedy)
    checks.same_device(op, weight=parameters.weight, hidden_data=hidden_data)
    op_checks.exponent_argument(op, weight_exponent)
    rates = op_checks.rate_arguments(op, lr, lr_strength, momentum, weight_decay)
    op_checks.velocity_argument(op, momentum, parameters.weight_velocity)
    result: Tensor = torch.ops.ncg_fast.ncg_update_(
        *parameters, *phases, weight_exponent, n_labels, *rates
    )
    return result


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
    seed: int,
    step: int,
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
        seed: in [0, 2**63).
        step: global number of the first sweep.

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
    op = "train_step_"
    n_chains, rates = _step_arguments(
        op,
        parameters,
        visible_data,
        chains,
        n_rows,
        n_chains,
        n_steps,
        weight_exponent,
        n_labels,
        (lr, lr_strength, momentum, weight_decay),
        seed,
        step,
    )
    batch = visible_data, chains, n_rows, n_chains, n_steps, weight_exponent, n_labels
    result: Tensor = torch.ops.ncg_fast.train_step_(*parameters, *batch, *rates, seed, step)
    return result


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
    seed: int,
    step: int,
    least: float = 0.0,
    most: float = math.inf,
) -> Tensor:
    """Mini-batches of n_rows rows, one ``train_step_`` each, in one call.

    It ends early after the batch that brings max |W| out of [least, most]: the digits then ask for
    another exponent (``numerics.exponent_range``), or a parameter is NaN or infinite.

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
        seed: in [0, 2**63).
        step: global number of the first sweep.
        least: lower end of the range of max |W|.
        most: upper end.

    Returns:
        float64 (4,): max |W| after the last batch done; connections switched on; switched off;
        batches done, at least 1.

    Raises:
        ValueError: wrong shape, dtype, device or range; no batches.
        RuntimeError: no back end serves the device.

    Note:
        Deterministic: the bits of as many calls of ``train_step_``.

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
    rule, remedy = "visible_data must have at least one batch", "Leave out empty epochs."
    checks.require(shape[0] > 0, op, rule, shape, remedy)
    n_chains, rates = _step_arguments(
        op,
        parameters,
        visible_data[0],
        chains,
        n_rows,
        n_chains,
        n_steps,
        weight_exponent,
        n_labels,
        (lr, lr_strength, momentum, weight_decay),
        seed,
        step,
    )
    limits = checks.number(op, "least", least, 0.0), most
    rule, remedy = "most must be a number of at least 0, or inf", "Leave it out."
    sound = isinstance(most, int | float) and not isinstance(most, bool) and most >= 0
    checks.require(sound, op, rule, most, remedy)
    batch = visible_data, chains, n_rows, n_chains, n_steps, weight_exponent, n_labels
    result: Tensor = torch.ops.ncg_fast.train_steps_(
        *parameters, *batch, *rates, seed, step, *limits
    )
    return result


def _step_arguments(
    op: str,
    parameters: Parameters,
    visible_data: Tensor,
    chains: Tensor | None,
    n_rows: int,
    n_chains: int | None,
    n_steps: int,
    weight_exponent: int,
    n_labels: int,
    rates: tuple[float, float, float, float],
    seed: int,
    step: int,
) -> tuple[int, tuple[float, float, float, float]]:
    """Checks one mini-batch; the number of chains, and the rates."""
    _, n_visible = op_checks.parameter_arguments(op, parameters, n_labels)
    checks.integer(op, "n_rows", n_rows, 1, checks.MAX_CHAINS)
    op_checks.states_argument(op, "visible_data", visible_data, n_visible, n_rows)
    n_chains = op_checks.chain_arguments(op, chains, n_chains, n_visible, n_rows)
    checks.same_device(op, weight=parameters.weight, visible_data=visible_data, chains=chains)
    checks.integer(op, "n_steps", n_steps, 1, checks.MAX_SWEEPS)
    op_checks.exponent_argument(op, weight_exponent)
    op_checks.draw_arguments(op, seed, 0, step, None, visible_data, n_chains)
    checked = op_checks.rate_arguments(op, *rates)
    op_checks.velocity_argument(op, checked[2], parameters.weight_velocity)
    return n_chains, checked
