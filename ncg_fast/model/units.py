"""From a user's states to the formats of the ops."""

from __future__ import annotations

import torch
from torch import Tensor

from ncg_fast import checks, ops
from ncg_fast.backends.numerics import to_levels
from ncg_fast.checks import MAX_FLOAT32

_DTYPES = (
    torch.bool,
    torch.uint8,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
)


def encode(
    op: str, name: str, states: Tensor, n_units: int, weight: Tensor | None = None
) -> tuple[Tensor, int]:
    """A user's states as packed states where all are 0 or 1, else as levels; and their number.

    Args:
        op: the name for messages.
        name: the argument's name for messages.
        states: (B, n_units) or (n_units,); bool, uint8 or floating; values in [0, 1], taken as
            probabilities.
        n_units: the layer's size.
        weight: of the machine, on whose device the states must be; None: on any.

    Raises:
        ValueError: wrong shape, dtype or device, NaN, or values outside [0, 1].
    """
    checks.dense(op, name, states)
    if weight is not None:
        checks.same_device(op, weight=weight, **{name: states})
    states = states.detach().unsqueeze(0) if states.dim() == 1 else states.detach()
    rule = f"{name} must have shape (n_rows, n_units) = (any, {n_units})"
    turned = states.dim() == 2 and len(states) == n_units
    remedy = f"Did you pass {name}.T?" if turned else f"Pass one row of {n_units} units a sample."
    fits = states.dim() == 2 and states.shape[1] == n_units
    checks.require(fits, op, rule, tuple(states.shape), remedy)
    check_dtype(op, name, states)
    if _all_binary(op, name, states):
        return ops.pack_states(states.to(torch.uint8).contiguous()), len(states)
    return to_levels(states), len(states)


def check_dtype(op: str, name: str, states: Tensor) -> None:
    """A dtype that holds 0/1 states or probabilities."""
    rule = f"{name} must be bool, uint8 or floating (16 bits or more)"
    remedy = f"Use {name}.to(torch.uint8), or .float() for probabilities."
    checks.require(states.dtype in _DTYPES, op, rule, str(states.dtype), remedy)


def _all_binary(op: str, name: str, states: Tensor) -> bool:
    """Whether all values are 0 or 1; refuses values outside [0, 1]."""
    if states.dtype == torch.bool or not states.numel():
        return True
    low, high = float(states.min()), float(states.max())  # NaN propagates through both
    remedy = "Binarise it, or scale it to probabilities."
    if 1 < high <= 255:
        remedy = f"Binarise it, or pass {name} / 255 as probabilities."
    if states.dtype == torch.uint8:
        rule = f"{name} must hold only 0 and 1"
        checks.require(high <= 1, op, rule, f"values up to {high:g}", remedy)
        return True
    actual = f"values in [{low:g}, {high:g}]"
    if not low <= high:
        actual, remedy = "NaN", f"Fill what is missing: torch.nan_to_num({name}, nan=0.5)."
    checks.require(0 <= low <= high <= 1, op, f"{name} must hold values in [0, 1]", actual, remedy)
    return bool(((states == 0) | (states == 1)).all())


def decode(packed: Tensor, n: int, *, like: Tensor) -> Tensor:
    """Packed states of n chains in the dtype and number of axes of ``like``."""
    dense = ops.unpack_states(packed, n).to(like.dtype)
    return dense if like.dim() == 2 else dense[0]


def encode_clamp(op: str, clamp: Tensor, n: int, n_units: int) -> tuple[Tensor, Tensor]:
    """A user's clamp (0 or 1 where held, NaN where free) as packed (values, held) of n chains."""
    checks.dense(op, "clamp", clamp)
    rule = f"clamp must have shape (n_visible,) = ({n_units},) or (n, n_visible) = ({n}, {n_units})"
    fits, remedy = clamp.shape in ((n_units,), (n, n_units)), "Fill free units with NaN."
    checks.require(fits, op, rule, tuple(clamp.shape), remedy)
    remedy = "Use clamp.float() with NaN for free units."
    floating = clamp.dtype.is_floating_point
    checks.require(floating, op, "clamp must be floating", str(clamp.dtype), remedy)
    clamp = clamp.detach().expand(n, n_units)
    held = ~torch.isnan(clamp)
    ones = clamp == 1
    valid = bool((ones | (clamp == 0) | ~held).all())
    checks.require(valid, op, "clamp must hold only 0, 1 and NaN", "other values", "Binarise it.")
    return ops.pack_states(ones), ops.pack_states(held)


def encode_beta(op: str, beta: float | Tensor, n: int, like: Tensor) -> Tensor:
    """A user's inverse temperature as float32 (n,), on the device of ``like``."""
    if not isinstance(beta, Tensor):
        value = checks.number(op, "beta", beta, -MAX_FLOAT32, MAX_FLOAT32)
        return torch.full((n,), value, dtype=torch.float32, device=like.device)
    checks.dense(op, "beta", beta)
    rule = f"beta must be a number or have shape (n,) = ({n},)"
    fits, remedy = beta.dim() == 0 or beta.shape == (n,), "Pass one a chain."
    checks.require(fits, op, rule, tuple(beta.shape), remedy)
    rows = beta.detach().float().expand(n).contiguous()
    checks.finite(op, "Pass inverse temperatures within float32.", beta=rows)
    return rows
