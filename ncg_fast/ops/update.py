"""The ops of learning: gradients, sums and the update; formats as in ``ncg_fast.ops``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ncg_fast import checks
from ncg_fast.backends.formats import StateFormat, state_format
from ncg_fast.backends.records import Gradients, Offsets, Parameters, Phases, PhaseSums, Rates
from ncg_fast.ops import arguments, learning_arguments
from ncg_fast.ops.registration import registered


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
        (G, A∘G, W∘G, gradients of visible and hidden biases), float32; empty where not asked for.

    Raises:
        ValueError: wrong shape, dtype, device, or no rows.
        RuntimeError: no back end serves the device.

    Note:
        Deterministic, the same bits everywhere: exact integer sums. Memory: 4 bytes a result.

    Example:
        >>> from ncg_fast import ops
        >>> on, off = (torch.full((1, 2), level, dtype=torch.int32) for level in (65535, 0))
        >>> visible = ops.pack_states(torch.ones(1, 3, dtype=torch.uint8))
        >>> ops.connection_gradient(on, visible, off, visible)[0]
        tensor([[1., 1., 1.],
                [1., 1., 1.]])
    """
    op = "connection_gradient"
    phases = Phases(hidden_data, visible_data, hidden_model, visible_model)
    shape = learning_arguments.phases(op, phases)
    if weight is not None:
        checks.tensor(op, "weight", weight, torch.float32, shape, "(n_hidden, n_visible)")
        weight = weight.detach().contiguous()
    if mask is not None:
        checks.tensor(op, "mask", mask, torch.bool, shape, "(n_hidden, n_visible)")
        mask = mask.contiguous()
    checks.same_device(op, hidden_data=hidden_data, weight=weight, mask=mask)
    found: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
    found = registered.connection_gradient(*phases, weight, mask)
    return found


def phase_sums(hidden: Tensor, visible: Tensor, sums: PhaseSums | None = None) -> PhaseSums:
    """Exact sums of one phase over its rows: h_i v_j of every pair of units, v_j, and h_i.

    What computers that share the rows, and other learning rules, need: sums of shares add up
    to those of the whole, and ``update_from_sums_`` makes a step of them.

    Args:
        hidden: levels of P(h | v), int32 (n_rows, n_hidden).
        visible: packed states or levels of the n_rows rows.
        sums: earlier sums to add to, in place, of rows in the same format; None: zeros.

    Returns:
        the sums, int64: products (n_hidden, n_visible), visible (n_visible,), hidden (n_hidden,).
        A probability of 1 counts 65535, a visible bit 1.

    Raises:
        ValueError: wrong shape, dtype or device, or no rows.
        RuntimeError: no back end serves the device.

    Note:
        Deterministic, the same bits everywhere, of up to 2**31 rows. Memory: 8 bytes a pair.

    Example:
        >>> from ncg_fast import ops
        >>> hidden = torch.full((1, 2), 65535, dtype=torch.int32)
        >>> visible = ops.pack_states(torch.ones(1, 3, dtype=torch.uint8))
        >>> sums = ops.phase_sums(hidden, visible)
        >>> ops.phase_sums(hidden, visible, sums).visible
        tensor([2, 2, 2])
    """
    op = "phase_sums"
    n_rows, n_hidden = checks.axes(op, "hidden", hidden, ("n_rows", "n_hidden"))
    learning_arguments.hidden_levels(op, "hidden", hidden, n_rows, n_hidden)
    shape = checks.axes(op, "visible", visible, ("n_units", "words"))
    n_visible = shape[0] if state_format(visible) is StateFormat.PACKED else shape[1]
    arguments.states(op, "visible", visible, n_visible, n_rows)
    if sums is None:
        shapes: list[Any] = [(n_hidden, n_visible), (n_visible,), (n_hidden,)]
        sums = PhaseSums(*(hidden.new_zeros(shape, dtype=torch.int64) for shape in shapes))
    else:
        learning_arguments.phase_sums(op, "sums", sums, n_hidden, n_visible)
    named = {f"sums.{name}": value for name, value in sums._asdict().items()}
    checks.same_device(op, hidden=hidden, visible=visible, **named)
    registered.phase_sums(hidden, visible, *sums)
    return sums


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
    offsets: Offsets | None = None,
) -> Tensor:
    """The whole NCG update in one pass, in place.

    G as in ``connection_gradient``; S += lr_strength W∘G, A off where S < 1/2 and on where S > 1/2,
    S clipped to [0, 1]; W += lr (G - weight_decay W) where the old A is on; biases; new digits.
    With offsets mu, lambda the gradient is that of the centred machine, E(v - mu, h - lambda): G' =
    G - <h> mu^T - lambda <v>^T takes the place of G, where <.> is of data minus model; the biases
    ascend by <v> - (A∘G')^T lambda and <h> - (A∘G') mu (Melchior, Fischer & Wiskott, JMLR 17(99)).
    With velocities V = momentum V + gradient takes the gradient's place, and is 0 where A is off.

    Args:
        parameters: tensors that are written.
        hidden_data, visible_data, hidden_model, visible_model: as in ``connection_gradient``.
        weight_exponent: of the digits; the caller repacks when max |W∘A| asks for another.
        n_labels: the last n_labels visible units have no strength: their mask stays.
        lr: rate of weights and biases, in [0, 3.4e38], as the other rates.
        lr_strength: rate of the connection strengths.
        momentum: in [0, 1].
        weight_decay: at least 0.
        offsets: mu, lambda, or None; first lambda becomes 0.99 lambda + 0.01 <hidden_data>.

    Returns:
        float64 (3,): max |W∘A| of the new mask, NaN or infinite where a weight that is on or a bias
        is, NaN where a strength is; connections switched on; connections switched off.

    Raises:
        ValueError: wrong shape, dtype, device or range; sizes that differ.
        RuntimeError: no back end serves the device.

    Note:
        Deterministic, the same bits everywhere. One pass over the pairs, in place.

    Example:
        >>> from ncg_fast import ops
        >>> weight, mask = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
        >>> digits = ops.pack_weights(weight, mask, 2, 1)
        >>> parameters = ops.Parameters(weight, None, mask, torch.zeros(3), torch.zeros(2), *digits)
        >>> on, off = (torch.full((1, 2), level, dtype=torch.int32) for level in (65535, 0))
        >>> visible = ops.pack_states(torch.ones(1, 3, dtype=torch.uint8))
        >>> phases = on, visible, off, visible
        >>> ops.ncg_update_(parameters, *phases, weight_exponent=1, lr=0.5).tolist()
        [0.5, 0.0, 0.0]
    """
    op, phases = "ncg_update_", Phases(hidden_data, visible_data, hidden_model, visible_model)
    learning_arguments.phases(op, phases, learning_arguments.parameters(op, parameters, n_labels))
    checks.same_device(op, weight=parameters.weight, hidden_data=hidden_data)
    arguments.exponent(op, weight_exponent)
    rates = Rates(lr, lr_strength, momentum, weight_decay)
    rates = learning_arguments.rates(op, rates, parameters.weight_velocity)
    offsets = learning_arguments.offsets(op, offsets, parameters)
    given = *parameters, *phases, *rates, *offsets, weight_exponent, n_labels
    found: Tensor = registered.ncg_update_(*given)
    return found


def update_from_sums_(
    parameters: Parameters,
    data: PhaseSums,
    model: PhaseSums,
    *,
    n_rows: int,
    n_chains: int,
    data_levels: bool = False,
    weight_exponent: int,
    n_labels: int = 0,
    lr: float,
    lr_strength: float = 0.0,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> Tensor:
    """``ncg_update_`` from the sums of both phases, with the same bits.

    Args:
        parameters: tensors that are written.
        data: sums of n_rows data rows, from ``phase_sums``.
        model: sums of n_chains chains, whose visible states were packed.
        n_rows, n_chains: in [1, 2**31].
        data_levels: whether the visible data were levels.
        weight_exponent, n_labels, lr, lr_strength, momentum, weight_decay: as in ``ncg_update_``.

    Returns:
        as ``ncg_update_``.

    Raises:
        ValueError: wrong shape, dtype, device or range; sizes that differ.
        RuntimeError: no back end serves the device.

    Note:
        Deterministic, the same bits everywhere.

    Example:
        >>> from ncg_fast import ops
        >>> weight, mask = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
        >>> digits = ops.pack_weights(weight, mask, 2, 1)
        >>> parameters = ops.Parameters(weight, None, mask, torch.zeros(3), torch.zeros(2), *digits)
        >>> on, off = (torch.full((1, 2), level, dtype=torch.int32) for level in (65535, 0))
        >>> visible = ops.pack_states(torch.ones(1, 3, dtype=torch.uint8))
        >>> data, model = (ops.phase_sums(hidden, visible) for hidden in (on, off))
        >>> given = {"n_rows": 1, "n_chains": 1, "weight_exponent": 1, "lr": 0.5}
        >>> ops.update_from_sums_(parameters, data, model, **given).tolist()
        [0.5, 0.0, 0.0]
    """
    op = "update_from_sums_"
    sizes = learning_arguments.parameters(op, parameters, n_labels)
    for name, sums in (("data", data), ("model", model)):
        learning_arguments.phase_sums(op, name, sums, *sizes)
        checks.same_device(op, weight=parameters.weight, **sums._asdict())
    checks.integer(op, "n_rows", n_rows, 1, checks.MAX_CHAINS)
    checks.integer(op, "n_chains", n_chains, 1, checks.MAX_CHAINS)
    checks.flag(op, "data_levels", data_levels)
    arguments.exponent(op, weight_exponent)
    rates = Rates(lr, lr_strength, momentum, weight_decay)
    rates = learning_arguments.rates(op, rates, parameters.weight_velocity)
    counted = *data, *model, n_rows, n_chains, bool(data_levels)
    given = *parameters, *counted, *rates, weight_exponent, n_labels
    found: Tensor = registered.update_from_sums_(*given)
    return found


def gradient_update_(
    parameters: Parameters,
    gradients: Gradients,
    *,
    weight_exponent: int,
    n_labels: int = 0,
    lr: float,
    lr_strength: float = 0.0,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> Tensor:
    """``ncg_update_`` from gradients of the loss, as torch holds them in ``.grad``.

    -by_weight takes the place of G, -by_strength that of W∘G. A tensor whose gradient is None stays
    as it is, its velocity, too; without by_strength the mask stays.

    Args:
        parameters: tensors that are written.
        gradients: float32, like weight, connection_strength, visible_bias and hidden_bias, or None.
        weight_exponent, n_labels, lr, lr_strength, momentum, weight_decay: as in ``ncg_update_``.

    Returns:
        as ``ncg_update_``.

    Raises:
        ValueError: wrong shape, dtype, device or range; by_strength without strengths.
        RuntimeError: no back end serves the device.

    Note:
        Deterministic, the same bits everywhere: those of ``ncg_update_``, given its gradients.

    Example:
        >>> from ncg_fast import ops
        >>> weight, mask = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
        >>> digits = ops.pack_weights(weight, mask, 2, 1)
        >>> parameters = ops.Parameters(weight, None, mask, torch.zeros(3), torch.zeros(2), *digits)
        >>> gradients = ops.Gradients(by_weight=-torch.ones(2, 3))
        >>> ops.gradient_update_(parameters, gradients, weight_exponent=1, lr=0.5).tolist()
        [0.5, 0.0, 0.0]
    """
    op = "gradient_update_"
    learning_arguments.parameters(op, parameters, n_labels)
    learning_arguments.gradients(op, gradients, parameters)
    arguments.exponent(op, weight_exponent)
    rates = Rates(lr, lr_strength, momentum, weight_decay)
    rates = learning_arguments.rates(op, rates, parameters.weight_velocity)
    given = *parameters, *gradients, *rates, weight_exponent, n_labels
    found: Tensor = registered.gradient_update_(*given)
    return found
