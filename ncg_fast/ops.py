"""Functional ops on packed states: checks, then ``torch.ops.ncg_fast``, then the back end.

Formats (``csrc/common/layout.h``), B chains or rows:
    packed states  int64 (n_units, ceil(B / 64)), bit c of word w is chain 64 w + c,
                   bits past the last chain 0
    levels         int32 (B, n_units), a value k in 0..65535 stands for the probability k / 65535
    digits         int8 (ceil(n_out / 32), n_digits, ceil(n_in / 64), 32, 64)

Every op gives the same bits on every instruction set, thread count and device (``free_energy`` and
the log-weights of ``anneal``, float64 sums: 1e-10 relative). A draw is a function of (seed,
chain_offset + chain, unit, step) alone. ``torch.compile(fullgraph=True)`` traces them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ncg_fast import _library as _library  # registers torch.ops.ncg_fast
from ncg_fast import checks
from ncg_fast.energy_ops import anneal, free_energy
from ncg_fast.numerics import MAX_EXPONENT, MIN_EXPONENT
from ncg_fast.update_ops import (
    Parameters,
    connection_gradient,
    ncg_update_,
    train_step_,
)

__all__ = [
    "Parameters",
    "anneal",
    "connection_gradient",
    "free_energy",
    "gibbs_steps",
    "hidden_mean",
    "ncg_update_",
    "pack_states",
    "pack_weights",
    "sample_hidden",
    "sample_visible",
    "train_step_",
    "unpack_states",
    "visible_mean",
]


def pack_states(states: Tensor) -> Tensor:
    """Packs 0/1 states of B chains into words of 64 chains.

    Args:
        states: (B, n_units), bool or uint8, only 0 and 1 (the lowest bit is taken).

    Returns:
        packed states, int64 (n_units, ceil(B / 64)).

    Raises:
        ValueError: wrong shape or dtype.
    """
    op = "pack_states"
    checks.require(
        states.dim() == 2, op, "states must have two axes (B, n_units)", tuple(states.shape)
    )
    fits = states.dtype in (torch.bool, torch.uint8)
    checks.require(fits, op, "states must be bool or uint8", str(states.dtype))
    result: Tensor = torch.ops.ncg_fast.pack_states(states.contiguous())
    return result


def unpack_states(packed: Tensor, n_chains: int) -> Tensor:
    """Unpacks words of 64 chains into 0/1 states.

    Args:
        packed: int64 (n_units, ceil(n_chains / 64)).
        n_chains: the number of chains.

    Returns:
        uint8 (n_chains, n_units).

    Raises:
        ValueError: wrong shape or dtype.
    """
    op = "unpack_states"
    checks.integer(op, "n_chains", n_chains, 0)
    checks.packed_argument(op, "packed", packed, packed.shape[0], n_chains)
    result: Tensor = torch.ops.ncg_fast.unpack_states(packed.contiguous(), n_chains)
    return result


def pack_weights(
    weight: Tensor, mask: Tensor | None, n_digits: int, weight_exponent: int
) -> tuple[Tensor, Tensor]:
    """Cuts round(W∘A / step) into balanced int8 digits.

    step = 2**(weight_exponent + 1 - 8 n_digits).

    Args:
        weight: (n_hidden, n_visible) float32, finite.
        mask: (n_hidden, n_visible) bool, or None for all connections.
        n_digits: 2 (16 bits) or 3 (24 bits).
        weight_exponent: from ``numerics.next_exponent``; weights saturate at 127/128 *
            2**weight_exponent.

    Returns:
        (to_hidden, to_visible): digits of W∘A and of its transpose.

    Raises:
        ValueError: wrong shape, dtype, device or range.
    """
    op = "pack_weights"
    checks.require(weight.dim() == 2, op, "weight must have two axes", tuple(weight.shape))
    shape = (weight.shape[0], weight.shape[1])
    checks.tensor(op, "weight", weight, torch.float32, shape, "(n_hidden, n_visible)")
    if mask is not None:
        checks.tensor(op, "mask", mask, torch.bool, shape, "(n_hidden, n_visible)")
        checks.same_device(op, weight=weight, mask=mask)
        mask = mask.contiguous()
    checks.integer(op, "n_digits", n_digits, 2, 3)
    checks.integer(op, "weight_exponent", weight_exponent, MIN_EXPONENT, MAX_EXPONENT)
    result: tuple[Tensor, Tensor] = torch.ops.ncg_fast.pack_weights(
        weight.detach().contiguous(), mask, n_digits, weight_exponent
    )
    return result


def hidden_mean(
    visible: Tensor, to_hidden: Tensor, hidden_bias: Tensor, weight_exponent: int, n_chains: int
) -> Tensor:
    """P(h_i = 1 | v) = sigmoid(c_i + sum_j A_ij W_ij v_j).

    Args:
        visible: packed states, or levels, of B = n_chains rows.
        to_hidden: digits from ``pack_weights``.
        hidden_bias: (n_hidden,) float32.
        weight_exponent: of the digits.
        n_chains: B.

    Returns:
        float32 (B, n_hidden).

    Raises:
        ValueError: wrong shape, dtype, device or range.
    """
    layer = ("visible", visible), ("to_hidden", to_hidden), ("hidden_bias", hidden_bias)
    n_visible = visible.shape[1 if visible.dtype == torch.int32 else 0]
    checks.layer_argument("hidden_mean", *layer, n_visible, n_chains, weight_exponent)
    result: Tensor = torch.ops.ncg_fast.hidden_mean(
        visible, to_hidden, hidden_bias.detach(), weight_exponent, n_chains
    )
    return result


def visible_mean(
    hidden: Tensor, to_visible: Tensor, visible_bias: Tensor, weight_exponent: int, n_chains: int
) -> Tensor:
    """P(v_j = 1 | h) = sigmoid(b_j + sum_i A_ij W_ij h_i); arguments as in ``hidden_mean``.

    Returns:
        float32 (B, n_visible).

    Raises:
        ValueError: wrong shape, dtype, device or range.
    """
    layer = ("hidden", hidden), ("to_visible", to_visible), ("visible_bias", visible_bias)
    n_hidden = hidden.shape[1 if hidden.dtype == torch.int32 else 0]
    checks.layer_argument("visible_mean", *layer, n_hidden, n_chains, weight_exponent)
    result: Tensor = torch.ops.ncg_fast.visible_mean(
        hidden, to_visible, visible_bias.detach(), weight_exponent, n_chains
    )
    return result


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
        chain_offset: global index of the first chain.
        step: global number of the sweep.
        beta: (B,) float32 inverse temperatures, or None for 1.

    Returns:
        packed states, int64 (n_hidden, ceil(B / 64)).

    Raises:
        ValueError: wrong shape, dtype, device or range.
    """
    layer = ("visible", visible), ("to_hidden", to_hidden), ("hidden_bias", hidden_bias)
    n_visible = visible.shape[1 if visible.dtype == torch.int32 else 0]
    checks.layer_argument("sample_hidden", *layer, n_visible, n_chains, weight_exponent)
    checks.draw_argument("sample_hidden", seed, chain_offset, step, beta, n_chains)
    half_step = visible, to_hidden, hidden_bias.detach(), weight_exponent, n_chains
    result: Tensor = torch.ops.ncg_fast.sample_hidden(*half_step, seed, chain_offset, step, beta)
    return result


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
) -> Tensor:
    """One half step v ~ P(v | h); arguments as in ``sample_hidden``.

    Returns:
        packed states, int64 (n_visible, ceil(B / 64)).

    Raises:
        ValueError: wrong shape, dtype, device or range.
    """
    layer = ("hidden", hidden), ("to_visible", to_visible), ("visible_bias", visible_bias)
    n_hidden = hidden.shape[1 if hidden.dtype == torch.int32 else 0]
    checks.layer_argument("sample_visible", *layer, n_hidden, n_chains, weight_exponent)
    checks.draw_argument("sample_visible", seed, chain_offset, step, beta, n_chains)
    half_step = hidden, to_visible, visible_bias.detach(), weight_exponent, n_chains
    result: Tensor = torch.ops.ncg_fast.sample_visible(*half_step, seed, chain_offset, step, beta)
    return result


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
        n_steps: at least 1.
        seed: in [0, 2**63).
        chain_offset: global index of the first chain.
        step: global number of the first sweep.
        beta: (B,) float32 inverse temperatures, or None for 1.
        clamped: packed (n_visible, ceil(B / 64)); units whose bit is set keep their value. Needs
            packed ``visible``.

    Returns:
        (visible, hidden), packed: the last visible states and the hidden states they were drawn
        from.

    Raises:
        ValueError: wrong shape, dtype, device or range.
    """
    op = "gibbs_steps"
    model = to_hidden, to_visible, visible_bias, hidden_bias, weight_exponent, n_chains
    checks.model_argument(op, visible, *model)
    checks.integer(op, "n_steps", n_steps, 1)
    checks.draw_argument(op, seed, chain_offset, step, beta, n_chains)
    if clamped is not None:
        checks.packed_argument(op, "clamped", clamped, visible_bias.shape[0], n_chains)
        checks.same_device(op, visible=visible, clamped=clamped)
        packed = visible.dtype == torch.int64
        checks.require(
            packed, op, "visible must be packed states where units are clamped", "levels"
        )
    result: tuple[Tensor, Tensor] = torch.ops.ncg_fast.gibbs_steps(
        visible,
        to_hidden,
        to_visible,
        visible_bias.detach(),
        hidden_bias.detach(),
        weight_exponent,
        n_chains,
        n_steps,
        seed,
        chain_offset,
        step,
        beta,
        clamped,
    )
    return result
