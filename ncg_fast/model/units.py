"""From a user's states to the formats of the ops, and back."""

from __future__ import annotations

import torch
from torch import Tensor

from ncg_fast import backends, checks
from ncg_fast.backends.formats import StateFormat, ones_of, state_format
from ncg_fast.backends.numerics import to_levels
from ncg_fast.checks import MAX_FLOAT32

_FLOATS = torch.float16, torch.bfloat16, torch.float32, torch.float64
_INTEGERS = torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64


def rows_of(
    op: str, name: str, states: Tensor, n_units: int, weight: Tensor | None = None
) -> Tensor:
    """A user's states as (n, n_units), whatever axes lead; their values are not looked at.

    Args:
        op: the name for messages.
        name: the argument's name for messages.
        states: (..., n_units); bool, integer or floating.
        n_units: the layer's size.
        weight: of the machine, on whose device the states must be; None: on any.

    Raises:
        ValueError: wrong shape, dtype or device.
    """
    checks.dense(op, name, states)
    if weight is not None and states.device != weight.device:
        checks.same_device(op, weight=weight, **{name: states})
    if not states.dim() or states.shape[-1] != n_units:
        raise _shape_error(op, name, states, n_units, "..., n_units", "...")
    check_dtype(op, name, states)
    return states.reshape(-1, n_units)


def _shape_error(
    op: str, name: str, states: Tensor, n_units: int, axes: str, leading: str
) -> ValueError:
    turned = states.dim() == 2 and len(states) == n_units
    remedy = f"Did you pass {name}.T?" if turned else f"Pass one row of {n_units} units a sample."
    rule = f"{name} must have shape ({axes}) = ({leading}, {n_units})"
    return checks.error(op, rule, tuple(states.shape), remedy)


def check_dtype(op: str, name: str, states: Tensor) -> None:
    """A dtype that holds 0/1 states or probabilities."""
    dtype = states.dtype
    if dtype not in _FLOATS and dtype not in _INTEGERS and dtype != torch.bool:
        rule = f"{name} must be bool, an integer or floating (16 bits or more)"
        remedy = "Pass real numbers." if dtype.is_complex else f"Use {name}.float()."
        raise checks.error(op, rule, str(dtype), remedy)


def valued(op: str, name: str, rows: Tensor) -> Tensor:
    """Rows as bool where all are 0 or 1, else floating and in [0, 1]; without gradients.

    Raises:
        ValueError: NaN, or values farther outside [0, 1] than rounding explains.
    """
    rows = rows.detach()
    ones = ones_of(rows)
    if ones is not None:
        return ones
    inside = checks.probabilities(op, name, rows)
    return rows if inside is rows else valued(op, name, inside)


def unread(op: str, name: str, rows: Tensor) -> Tensor:
    """Rows for ops that read, and check, rows themselves; others as ``valued``, then as levels.

    Raises:
        ValueError: as in ``valued``, where the ops could not tell.
    """
    rows = rows.detach()
    if rows.dtype in (torch.float16, torch.bfloat16):
        return rows.float()
    if state_format(rows) is StateFormat.ROWS:
        return rows
    rows = valued(op, name, rows)  # of float64, that float32 might round to 0 or 1
    return rows if rows.dtype == torch.bool else to_levels(rows)


def checked(
    op: str, name: str, states: Tensor, n_units: int, weight: Tensor | None = None
) -> Tensor:
    """Rows of a data set, (n, n_units) or one row, as ``valued`` gives them."""
    if checks.dense(op, name, states).dim() not in (1, 2) or states.shape[-1] != n_units:
        raise _shape_error(op, name, states, n_units, "n_rows, n_units", "any")
    return valued(op, name, rows_of(op, name, states, n_units, weight))


def encoded(rows: Tensor) -> Tensor:
    """Rows from ``valued`` as packed states where they are bool, else as levels."""
    if rows.dtype == torch.bool:
        packed: Tensor = backends.select(rows.device.type).pack_states(states=rows)
        return packed
    return to_levels(rows)


def encode(
    op: str, name: str, states: Tensor, n_units: int, weight: Tensor | None = None
) -> tuple[Tensor, int]:
    """``rows_of``, ``valued``, then ``encoded``; and the number of rows."""
    rows = valued(op, name, rows_of(op, name, states, n_units, weight))
    return encoded(rows), len(rows)


def decode(packed: Tensor, n: int, *, like: Tensor) -> Tensor:
    """Packed states of n chains in the dtype of ``like``, with its leading axes."""
    dense: Tensor = backends.select(packed.device.type).unpack_states(packed=packed, n_chains=n)
    return dense.to(like.dtype).view(*like.shape[:-1], dense.shape[1])


def as_clamp(
    op: str, clamp: Tensor, n: int, n_units: int, states: tuple[int, ...] | None = None
) -> Tensor:
    """A user's clamp, for all rows, each or of the states' shape, as (n, n_units)."""
    shape = tuple(checks.dense(op, "clamp", clamp).shape)
    if shape == states:
        clamp, shape = clamp.reshape(n, n_units), (n, n_units)
    if shape not in ((n_units,), (n, n_units)):
        sizes = f"(n_visible,) = ({n_units},) or (n, n_visible) = ({n}, {n_units})"
        raise checks.error(op, f"clamp must have shape {sizes}", shape, "Fill free units with NaN.")
    if not clamp.dtype.is_floating_point:
        remedy = "Use clamp.float() with NaN for free units."
        raise checks.error(op, "clamp must be floating", str(clamp.dtype), remedy)
    return clamp.detach().expand(n, n_units)


def encode_clamp(op: str, clamp: Tensor) -> tuple[Tensor, Tensor]:
    """A clamp (0 or 1 where held, NaN where free) as packed (values, held)."""
    held, ones = ~torch.isnan(clamp), clamp == 1
    if not (ones | (clamp == 0) | ~held).all():
        rule, remedy = "clamp must hold only 0, 1 and NaN", "Pass NaN where a unit is free."
        raise checks.error(op, rule, str(checks.seen(clamp[held])), remedy)
    return encoded(ones), encoded(held)


def as_beta(op: str, beta: float | Tensor, n: int, like: Tensor) -> Tensor:
    """A user's inverse temperature as float32 (n,), on the device of ``like``."""
    if not isinstance(beta, Tensor):
        value = checks.number(op, "beta", beta, -MAX_FLOAT32, MAX_FLOAT32)
        return torch.full((n,), value, dtype=torch.float32, device=like.device)
    shape = tuple(checks.dense(op, "beta", beta).shape)
    if shape not in ((), (n,)):
        rule = f"beta must be a number or have shape (n,) = ({n},)"
        raise checks.error(op, rule, shape, "Pass one a chain.")
    checks.same_device(op, visible=like, beta=beta)
    return beta.detach().float().expand(n).contiguous()


def check_beta(op: str, beta: Tensor) -> None:
    """Finite inverse temperatures."""
    checks.finite(op, "Pass inverse temperatures within float32.", beta=beta)
