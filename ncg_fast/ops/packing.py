"""The ops of formats: packed states and digits, see ``ncg_fast.ops``."""

from __future__ import annotations

import torch
from torch import Tensor

from ncg_fast import checks
from ncg_fast.checks import MAX_CHAINS
from ncg_fast.ops import arguments
from ncg_fast.ops.registration import registered


def pack_states(states: Tensor) -> Tensor:
    """Packs 0/1 states of B chains into words of 64 chains.

    Args:
        states: (B, n_units), bool or uint8, only 0 and 1 (the lowest bit is taken).

    Returns:
        packed states, int64 (n_units, ceil(B / 64)).

    Raises:
        ValueError: wrong shape or dtype.
        RuntimeError: no back end serves the device.

    Note:
        Deterministic. Reads B n_units bytes once.

    Example:
        >>> pack_states(torch.tensor([[True, False], [True, True]])).tolist()
        [[3], [2]]
    """
    op = "pack_states"
    checks.axes(op, "states", states, ("B", "n_units"))
    if states.dtype not in (torch.bool, torch.uint8):
        rule, remedy = "states must be bool or uint8", "Use states == 1."
        raise checks.error(op, rule, str(states.dtype), remedy)
    result: Tensor = registered.pack_states(states.contiguous())
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
        RuntimeError: no back end serves the device.

    Note:
        Deterministic. Writes n_chains n_units bytes once.

    Example:
        >>> unpack_states(torch.tensor([[3], [2]]), 2).tolist()
        [[1, 0], [1, 1]]
    """
    op = "unpack_states"
    checks.integer(op, "n_chains", n_chains, 0, MAX_CHAINS)
    n_units, _ = checks.axes(op, "packed", packed, ("n_units", "words"))
    arguments.packed(op, "packed", packed, n_units, n_chains)
    result: Tensor = registered.unpack_states(packed.contiguous(), n_chains)
    return result


def pack_weights(
    weight: Tensor,
    mask: Tensor | None,
    n_digits: int,
    weight_exponent: int,
    *,
    capacity: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Cuts round(W∘A / step) into balanced int8 digits, or lists it by connection.

    step = 2**(weight_exponent + 1 - 8 n_digits).

    Args:
        weight: (n_hidden, n_visible) float32, finite where the mask is on.
        mask: (n_hidden, n_visible) bool, or None for all connections.
        n_digits: 2 (16 bits) or 3 (24 bits).
        weight_exponent: from ``numerics.next_exponent``; weights saturate at 127/128 *
            2**weight_exponent.
        capacity: None: dense digits. Else sparse digits with room for so many connections, at most
            all or 2**31 - 1: ``ncg_update_`` and ``train_step_`` then write those that are on.

    Returns:
        (to_hidden, to_visible): digits of W∘A and of its transpose. Every op takes either format
        and gives the same results.

    Raises:
        ValueError: wrong shape, dtype, device or range; NaN or inf in weights that are on.
        RuntimeError: no back end serves the device.

    Note:
        Deterministic. On a GPU and under torch.compile NaN is not looked for. Sparse digits take 16
        bytes of each connection of the capacity; where more are on, they hold none and ops refuse
        them.

    Example:
        >>> to_hidden, to_visible = pack_weights(torch.ones(2, 3), None, 2, 1)
        >>> to_hidden.shape  # one panel of outputs, two digits, one block of inputs
        torch.Size([1, 2, 1, 32, 64])
    """
    op = "pack_weights"
    shape = checks.axes(op, "weight", weight, ("n_hidden", "n_visible"))
    checks.tensor(op, "weight", weight, torch.float32, shape, "(n_hidden, n_visible)")
    if mask is not None:
        checks.tensor(op, "mask", mask, torch.bool, shape, "(n_hidden, n_visible)")
        checks.same_device(op, weight=weight, mask=mask)
        mask = mask.contiguous()
    checks.integer(op, "n_digits", n_digits, 2, 3)
    arguments.exponent(op, weight_exponent)
    if capacity is not None:
        most = min(weight.numel(), arguments.MAX_CAPACITY)
        checks.integer(op, "capacity", capacity, 0, most)
    if checks.shows_values(weight):
        used = weight.detach()
        checks.finite(op, weight=used if mask is None else used.where(mask, 0.0))
    result: tuple[Tensor, Tensor] = registered.pack_weights(
        weight.detach().contiguous(), mask, n_digits, weight_exponent, capacity
    )
    return result
