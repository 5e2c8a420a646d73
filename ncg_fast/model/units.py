"""From a user's states to the formats of the ops, and back."""

from __future__ import annotations

import torch
from torch import Tensor

from ncg_fast import checks
from ncg_fast.backends import formats
from ncg_fast.backends.numerics import to_levels
from ncg_fast.checks import MAX_FLOAT32
from ncg_fast.ops.registration import registered

_DTYPES = (
    torch.bool,
    torch.uint8,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
)


def checked(
    op: str, name: str, states: Tensor, n_units: int, weight: Tensor | None = None
) -> Tensor:
    """A user's states as rows: bool where all are 0 or 1, else floating and in [0, 1].

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
    rows = _rows(op, name, states, n_units, weight)
    ones = formats.ones_of(rows)
    if ones is None:
        checks.probabilities(op, name, rows)
    return rows if ones is None else ones


def _rows(op: str, name: str, states: Tensor, n_units: int, weight: Tensor | None) -> Tensor:
    """As ``checked``, but values are not looked at and the dtype is kept."""
    checks.dense(op, name, states)
    if weight is not None and states.device != weight.device:
        checks.same_device(op, weight=weight, **{name: states})
    states = states.detach()
    rows = states.unsqueeze(0) if states.dim() == 1 else states
    if rows.dim() != 2 or rows.shape[1] != n_units:
        rule = f"{name} must have shape (n_rows, n_units) = (any, {n_units})"
        turned = rows.dim() == 2 and len(rows) == n_units
        remedy = (
            f"Did you pass {name}.T?" if turned else f"Pass one row of {n_units} units a sample."
        )
        raise checks.error(op, rule, tuple(rows.shape), remedy)
    check_dtype(op, name, rows)
    return rows


def check_dtype(op: str, name: str, states: Tensor) -> None:
    """A dtype that holds 0/1 states or probabilities."""
    if states.dtype not in _DTYPES:
        rule = f"{name} must be bool, uint8 or floating (16 bits or more)"
        remedy = f"Use {name}.to(torch.uint8), or .float() for probabilities."
        raise checks.error(op, rule, str(states.dtype), remedy)


def unread(op: str, name: str, states: Tensor, n_units: int, weight: Tensor) -> tuple[Tensor, int]:
    """A user's states for ops that read, and check, rows themselves; and the number of rows."""
    rows = _rows(op, name, states, n_units, weight)
    if rows.dtype == torch.float64:  # float32 may round what is outside to 0 or 1
        return encode(op, name, states, n_units, weight)
    return rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows, len(rows)


def encoded(rows: Tensor) -> Tensor:
    """Rows from ``checked`` as packed states where they are bool, else as levels."""
    if rows.dtype == torch.bool:
        packed: Tensor = registered.pack_states(rows)
        return packed
    return to_levels(rows)


def encode(
    op: str, name: str, states: Tensor, n_units: int, weight: Tensor | None = None
) -> tuple[Tensor, int]:
    """``checked``, then ``encoded``; and the number of rows."""
    rows = checked(op, name, states, n_units, weight)
    return encoded(rows), len(rows)


def decode(packed: Tensor, n: int, *, like: Tensor) -> Tensor:
    """Packed states of n chains in the dtype and number of axes of ``like``."""
    dense: Tensor = registered.unpack_states(packed, n)
    dense = dense.to(like.dtype)
    return dense if like.dim() == 2 else dense[0]


def encode_clamp(op: str, clamp: Tensor, n: int, n_units: int) -> tuple[Tensor, Tensor]:
    """A user's clamp (0 or 1 where held, NaN where free) as packed (values, held) of n chains."""
    shape = tuple(checks.dense(op, "clamp", clamp).shape)
    if shape not in ((n_units,), (n, n_units)):
        sizes = f"(n_visible,) = ({n_units},) or (n, n_visible) = ({n}, {n_units})"
        raise checks.error(op, f"clamp must have shape {sizes}", shape, "Fill free units with NaN.")
    if not clamp.dtype.is_floating_point:
        remedy = "Use clamp.float() with NaN for free units."
        raise checks.error(op, "clamp must be floating", str(clamp.dtype), remedy)
    clamp = clamp.detach().expand(n, n_units)
    held, ones = ~torch.isnan(clamp), clamp == 1
    if not (ones | (clamp == 0) | ~held).all():
        rule = "clamp must hold only 0, 1 and NaN"
        raise checks.error(op, rule, "other values", "Binarise it.")
    return encoded(ones), encoded(held)


def encode_beta(op: str, beta: float | Tensor, n: int, like: Tensor) -> Tensor:
    """A user's inverse temperature as float32 (n,), on the device of ``like``."""
    if not isinstance(beta, Tensor):
        value = checks.number(op, "beta", beta, -MAX_FLOAT32, MAX_FLOAT32)
        return torch.full((n,), value, dtype=torch.float32, device=like.device)
    shape = tuple(checks.dense(op, "beta", beta).shape)
    if shape not in ((), (n,)):
        rule = f"beta must be a number or have shape (n,) = ({n},)"
        raise checks.error(op, rule, shape, "Pass one a chain.")
    rows = beta.detach().float().expand(n).contiguous()
    checks.finite(op, "Pass inverse temperatures within float32.", beta=rows)
    checks.same_device(op, visible=like, beta=rows)
    return rows
