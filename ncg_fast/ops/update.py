"""The ops of learning: gradients and the update; formats as in ``ops.py``."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ncg_fast import checks
from ncg_fast.ops import arguments as op_checks


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
        float64 (3,): max |W|, NaN or infinite where a weight or bias is, NaN where a strength is;
        connections switched on; connections switched off.

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
