"""From a user's states to the formats of the ops."""

from __future__ import annotations

import torch
from torch import Tensor

from ncg_fast import checks, ops
from ncg_fast.numerics import to_levels


def encode(op: str, name: str, states: Tensor, n_units: int) -> tuple[Tensor, int]:
    """A user's states as packed states where all are 0 or 1, else as levels; and their number.

    Args:
        op: the name for messages.
        name: the argument's name for messages.
        states: (B, n_units) or (n_units,); bool, uint8 or floating; values in [0, 1], taken as
            probabilities.
        n_units: the layer's size.

    Raises:
        ValueError: wrong shape or dtype, NaN, or values outside [0, 1].
    """
    kind = type(states).__name__
    checks.require(isinstance(states, Tensor), op, f"{name} must be a torch.Tensor", kind)
    states = states.detach().unsqueeze(0) if states.dim() == 1 else states.detach()
    rule = f"{name} must have shape (n_rows, n_units) = (any, {n_units})"
    remedy = f"Did you pass {name}.T?" if states.dim() == 2 and len(states) == n_units else ""
    fits = states.dim() == 2 and states.shape[1] == n_units
    checks.require(fits, op, rule, tuple(states.shape), remedy)
    rule = f"{name} must be bool, uint8 or floating"
    allowed = states.dtype in (torch.bool, torch.uint8) or states.dtype.is_floating_point
    checks.require(allowed, op, rule, str(states.dtype), f"Use {name}.to(torch.uint8).")
    if _all_binary(op, name, states):
        return ops.pack_states(states.to(torch.uint8).contiguous()), len(states)
    return to_levels(states), len(states)


def _all_binary(op: str, name: str, states: Tensor) -> bool:
    """Whether all values are 0 or 1; refuses values outside [0, 1]."""
    if states.dtype == torch.bool or not states.numel():
        return True
    low, high = float(states.min()), float(states.max())  # NaN propagates through both
    remedy = f"Binarise it, or pass {name} / 255 as probabilities." if 1 < high <= 255 else ""
    if states.dtype == torch.uint8:
        rule = f"{name} must hold only 0 and 1"
        checks.require(high <= 1, op, rule, f"values up to {high:g}", remedy)
        return True
    actual = f"values in [{low:g}, {high:g}]" if low <= high else "NaN"
    checks.require(0 <= low <= high <= 1, op, f"{name} must hold values in [0, 1]", actual, remedy)
    return bool(((states == 0) | (states == 1)).all())


def decode(packed: Tensor, n: int, *, like: Tensor) -> Tensor:
    """Packed states of n chains in the dtype and number of axes of ``like``."""
    dense = ops.unpack_states(packed, n).to(like.dtype)
    return dense if like.dim() == 2 else dense[0]


def encode_clamp(op: str, clamp: Tensor, n: int, n_units: int) -> tuple[Tensor, Tensor]:
    """A user's clamp (0 or 1 where held, NaN where free) as packed (values, held) of n chains."""
    checks.require(
        isinstance(clamp, Tensor), op, "clamp must be a torch.Tensor", type(clamp).__name__
    )
    rule = f"clamp must have shape (n_visible,) = ({n_units},) or (n, n_visible) = ({n}, {n_units})"
    checks.require(clamp.shape in ((n_units,), (n, n_units)), op, rule, tuple(clamp.shape))
    remedy = "Use clamp.float() with NaN for free units."
    floating = clamp.dtype.is_floating_point
    checks.require(floating, op, "clamp must be floating", str(clamp.dtype), remedy)
    clamp = clamp.detach().expand(n, n_units)
    held = ~torch.isnan(clamp)
    ones = clamp == 1
    valid = bool((ones | (clamp == 0) | ~held).all())
    checks.require(valid, op, "clamp must hold only 0, 1 and NaN", "other values", "Binarise it.")
    return ops.pack_states(ones), ops.pack_states(held)


def encode_beta(op: str, beta: float | Tensor, n: int) -> Tensor:
    """A user's inverse temperature as float32 (n,)."""
    if not isinstance(beta, Tensor):
        return torch.full((n,), checks.number(op, "beta", beta), dtype=torch.float32)
    checks.finite(op, beta=beta)
    fits = beta.dim() == 0 or beta.shape == (n,)
    checks.require(
        fits, op, f"beta must be a number or have shape (n,) = ({n},)", tuple(beta.shape)
    )
    return beta.detach().float().expand(n).contiguous()
