"""The ops of half steps and Gibbs sweeps; formats as in ``ncg_fast.ops``."""

from __future__ import annotations

from torch import Tensor

from ncg_fast import checks
from ncg_fast.backends.formats import StateFormat, state_format
from ncg_fast.backends.numerics import HIDDEN_STREAM, VISIBLE_STREAM
from ncg_fast.backends.records import Draw, Layer, Model
from ncg_fast.ops import arguments
from ncg_fast.ops.registration import registered


def hidden_mean(
    visible: Tensor, to_hidden: Tensor, hidden_bias: Tensor, weight_exponent: int, n_chains: int
) -> Tensor:
    """P(h_i = 1 | v) = sigmoid(c_i + sum_j A_ij W_ij v_j).

    Args:
        visible: packed states, or levels, of B = n_chains rows; or rows (B, n_visible), float32,
            uint8 or bool, taken as packed states where all values are 0 or 1, and else as levels
            round(65535 v).
        to_hidden: digits from ``pack_weights``.
        hidden_bias: (n_hidden,) float32.
        weight_exponent: of the digits.
        n_chains: B.

    Returns:
        float32 (B, n_hidden).

    Raises:
        ValueError: wrong shape, dtype, device or range; rows with NaN or values outside [0, 1].
        RuntimeError: no back end serves the device.

    Note:
        Deterministic, the same bits everywhere. Cost: B n_hidden n_visible products a digit.

    Example:
        >>> from ncg_fast import ops
        >>> to_hidden, _ = ops.pack_weights(torch.ones(2, 3), None, 2, 1)
        >>> ops.hidden_mean(torch.zeros(1, 3), to_hidden, torch.zeros(2), 1, 1)
        tensor([[0.5000, 0.5000]])
    """
    layer = Layer(to_hidden, hidden_bias, weight_exponent)
    op = "hidden_mean"
    layer = arguments.layer(op, "visible", visible, layer, n_chains, rows=True)
    return arguments.of_states(op, "visible", registered.mean, visible, n_chains, *layer)


def visible_mean(
    hidden: Tensor, to_visible: Tensor, visible_bias: Tensor, weight_exponent: int, n_chains: int
) -> Tensor:
    """P(v_j = 1 | h) = sigmoid(b_j + sum_i A_ij W_ij h_i).

    Args:
        hidden: as in ``hidden_mean``.
        to_visible: digits from ``pack_weights``.
        visible_bias: (n_visible,) float32.
        weight_exponent: of the digits.
        n_chains: B.

    Returns:
        float32 (B, n_visible).

    Raises:
        ValueError: as ``hidden_mean``.
        RuntimeError: as ``hidden_mean``.

    Note:
        As ``hidden_mean``.

    Example:
        >>> from ncg_fast import ops
        >>> _, to_visible = ops.pack_weights(torch.ones(2, 3), None, 2, 1)
        >>> hidden = ops.pack_states(torch.zeros(1, 2, dtype=torch.uint8))
        >>> ops.visible_mean(hidden, to_visible, torch.zeros(3), 1, 1)
        tensor([[0.5000, 0.5000, 0.5000]])
    """
    layer = Layer(to_visible, visible_bias, weight_exponent)
    op = "visible_mean"
    layer = arguments.layer(op, "hidden", hidden, layer, n_chains, rows=True)
    return arguments.of_states(op, "hidden", registered.mean, hidden, n_chains, *layer)


def sample_hidden(
    visible: Tensor,
    to_hidden: Tensor,
    hidden_bias: Tensor,
    weight_exponent: int,
    n_chains: int,
    *,
    seed: int,
    chain_offset: int = 0,
    step: int = 0,
    beta: Tensor | None = None,
    unit_offset: int = 0,
) -> Tensor:
    """One half step h ~ P(h | v): h_i = [u (1 + exp(-beta x_i)) < 1].

    x_i = c_i + sum_j A_ij W_ij v_j, u uniform.

    Args:
        visible: packed states, or levels, of B = n_chains rows.
        to_hidden: digits from ``pack_weights``.
        hidden_bias: (n_hidden,) float32.
        weight_exponent: of the digits.
        n_chains: B.
        seed: in [0, 2**63).
        chain_offset: global index of the first chain, in [0, 2**32).
        step: global number of the sweep, in [0, 2**55].
        beta: (B,) float32 inverse temperatures, or None for 1.
        unit_offset: global index of the first hidden unit, a multiple of 32 in [0, 2**23): a share
            of a larger layer draws what the whole would.

    Returns:
        packed states, int64 (n_hidden, ceil(B / 64)).

    Raises:
        ValueError: wrong shape, dtype, device or range.
        RuntimeError: no back end serves the device.

    Note:
        Deterministic by (seed, chain_offset + chain, unit_offset + unit, step), the same bits
        everywhere. An exact draw of the machine whose weights are those of the digits.

    Example:
        >>> from ncg_fast import ops
        >>> to_hidden, _ = ops.pack_weights(torch.ones(2, 3), None, 2, 1)
        >>> visible = ops.pack_states(torch.ones(1, 3, dtype=torch.uint8))
        >>> hidden = ops.sample_hidden(visible, to_hidden, torch.full((2,), 90.0), 1, 1, seed=0)
        >>> ops.unpack_states(hidden, 1).tolist()
        [[1, 1]]
    """
    op, layer = "sample_hidden", Layer(to_hidden, hidden_bias, weight_exponent)
    layer = arguments.layer(op, "visible", visible, layer, n_chains)
    draw = Draw(seed, chain_offset, step, beta, unit_offset)
    given = visible, n_chains, *layer, *arguments.draw(op, draw, visible, n_chains)
    hidden: Tensor = registered.sample(*given, HIDDEN_STREAM)
    return hidden


def sample_visible(
    hidden: Tensor,
    to_visible: Tensor,
    visible_bias: Tensor,
    weight_exponent: int,
    n_chains: int,
    *,
    seed: int,
    chain_offset: int = 0,
    step: int = 0,
    beta: Tensor | None = None,
    unit_offset: int = 0,
) -> Tensor:
    """One half step v ~ P(v | h): v_j = [u (1 + exp(-beta x_j)) < 1].

    x_j = b_j + sum_i A_ij W_ij h_i, u uniform, of another stream than those of ``sample_hidden``.

    Args:
        hidden: packed states, or levels, of B = n_chains rows.
        to_visible: digits from ``pack_weights``.
        visible_bias: (n_visible,) float32.
        weight_exponent: of the digits.
        n_chains: B.
        seed: as in ``sample_hidden``, as for what follows.
        chain_offset: global index of the first chain.
        step: global number of the sweep.
        beta: inverse temperatures, or None.
        unit_offset: global index of the first visible unit.

    Returns:
        packed states, int64 (n_visible, ceil(B / 64)).

    Raises:
        ValueError: as ``sample_hidden``.
        RuntimeError: as ``sample_hidden``.

    Note:
        As ``sample_hidden``.

    Example:
        >>> from ncg_fast import ops
        >>> _, to_visible = ops.pack_weights(torch.ones(2, 3), None, 2, 1)
        >>> hidden = ops.pack_states(torch.ones(1, 2, dtype=torch.uint8))
        >>> visible = ops.sample_visible(hidden, to_visible, torch.full((3,), -90.0), 1, 1, seed=0)
        >>> ops.unpack_states(visible, 1).tolist()
        [[0, 0, 0]]
    """
    op, layer = "sample_visible", Layer(to_visible, visible_bias, weight_exponent)
    layer = arguments.layer(op, "hidden", hidden, layer, n_chains)
    draw = Draw(seed, chain_offset, step, beta, unit_offset)
    given = hidden, n_chains, *layer, *arguments.draw(op, draw, hidden, n_chains)
    visible: Tensor = registered.sample(*given, VISIBLE_STREAM)
    return visible


def gibbs_steps(
    visible: Tensor,
    to_hidden: Tensor,
    to_visible: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    weight_exponent: int,
    n_chains: int,
    n_steps: int,
    *,
    seed: int,
    chain_offset: int = 0,
    step: int = 0,
    beta: Tensor | None = None,
    clamped: Tensor | None = None,
    unit_offset: int = 0,
) -> tuple[Tensor, Tensor]:
    """Full Gibbs sweeps h ~ P(h | v), v ~ P(v | h), sweep t with the draws of number step + t.

    Args:
        visible: packed states, or levels, of B = n_chains rows.
        to_hidden: digits from ``pack_weights``.
        to_visible: digits from ``pack_weights``.
        visible_bias: (n_visible,) float32.
        hidden_bias: (n_hidden,) float32.
        weight_exponent: of the digits.
        n_chains: B.
        n_steps: in [1, 2**31).
        seed: in [0, 2**63).
        chain_offset: global index of the first chain, in [0, 2**32).
        step: global number of the first sweep, in [0, 2**55].
        beta: (B,) float32 inverse temperatures, or None for 1.
        clamped: packed (n_visible, ceil(B / 64)); units whose bit is set keep their value. Needs
            packed ``visible``.
        unit_offset: global index of the first hidden unit, a multiple of 32 in [0, 2**23).

    Returns:
        (visible, hidden), packed: the last visible states and the hidden states they were drawn
        from.

    Raises:
        ValueError: wrong shape, dtype, device or range.
        RuntimeError: no back end serves the device.

    Note:
        Deterministic, as ``sample_hidden``: the sweeps of one call and of several are the same.

    Example:
        >>> from ncg_fast import ops
        >>> digits = ops.pack_weights(torch.zeros(2, 3), None, 2, 1)
        >>> visible = ops.pack_states(torch.ones(4, 3, dtype=torch.uint8))
        >>> visible, hidden = ops.gibbs_steps(
        ...     visible, *digits, torch.zeros(3), torch.zeros(2), 1, 4, 10, seed=0
        ... )
        >>> visible.shape, hidden.shape
        (torch.Size([3, 1]), torch.Size([2, 1]))
    """
    op = "gibbs_steps"
    model = Model(to_hidden, to_visible, visible_bias, hidden_bias, weight_exponent)
    model = arguments.model(op, visible, model, n_chains)
    checks.integer(op, "n_steps", n_steps, 1, checks.MAX_SWEEPS)
    draw = Draw(seed, chain_offset, step, beta, unit_offset)
    arguments.draw(op, draw, visible, n_chains)
    if clamped is not None:
        arguments.packed(op, "clamped", clamped, visible_bias.shape[0], n_chains)
        checks.same_device(op, visible=visible, clamped=clamped)
        if state_format(visible) is not StateFormat.PACKED:
            rule = "visible must be packed states where units are clamped"
            raise checks.error(op, rule, "levels", "Binarise them, and use pack_states.")
    result: tuple[Tensor, Tensor] = registered.gibbs_steps(
        visible, n_chains, *model, n_steps, *draw, clamped
    )
    return result
