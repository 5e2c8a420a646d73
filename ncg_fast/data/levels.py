"""From the numbers of a data set to probabilities in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ncg_fast import checks
from ncg_fast.checks import MAX_FLOAT32, ROUNDING
from ncg_fast.data.formats import Array, fault

MAX_LEVELS = 2**32


def scale(x: Tensor | Array, low: float, high: float) -> Tensor:
    """Values of a known range as probabilities.

        (x - low) / (high - low)

    Args:
        x: of any shape; a tensor or an array of NumPy, bool, integer or floating, in [low, high];
            NaN stays. Values that rounding put outside, by 1e-6 (high - low) at most, are clipped.
        low: what becomes 0: the lower end of the values that there can be, not of those in x, so
            that training and test rows are scaled alike.
        high: what becomes 1.

    Returns:
        in [0, 1]; float64 where x is, else float32.

    Raises:
        ValueError: another type, values outside [low, high], or ends that are not in order.

    Note:
        Deterministic; computed in float64.

    Example:
        >>> scale(torch.tensor([0, 4, 16]), 0, 16)
        tensor([0.0000, 0.2500, 1.0000])
    """
    op = "data.scale"
    low = checks.number(op, "low", low, -MAX_FLOAT32, MAX_FLOAT32)
    high = checks.number(op, "high", high, -MAX_FLOAT32, MAX_FLOAT32)
    if not low < high:
        raise checks.error(op, f"high must be above low = {low}", high, "Pass the ends in order.")
    values, wide = _doubles(op, x)
    scaled = (values - low) / (high - low)
    if not ((scaled >= -ROUNDING) & (scaled <= 1 + ROUNDING) | scaled.isnan()).all():
        found = checks.seen(values[~values.isnan()])
        ends = checks.apart(low, high, found.low, found.high)
        rule = f"x must hold values from low = {ends[0]} to high = {ends[1]}"
        actual = f"values in [{ends[2]}, {ends[3]}]"
        raise checks.error(op, rule, actual, "Pass the ends of the range that its values can have.")
    return scaled.clamp(0, 1).to(torch.float64 if wide else torch.float32)


def _doubles(op: str, x: Tensor | Array) -> tuple[Tensor, bool]:
    """As float64, and whether they were."""
    rule, remedy = "x must hold real numbers", "Convert it."
    if isinstance(x, np.ndarray):
        if x.dtype.kind not in "biuf":
            raise checks.error(op, rule, str(x.dtype), remedy)
        return torch.from_numpy(x.astype(np.float64)), x.dtype == np.float64
    if checks.dense(op, "x", x).is_complex():
        raise checks.error(op, rule, str(x.dtype), remedy)
    return x.detach().double(), x.dtype == torch.float64


def taken(parts: Mapping[str, Array], levels: int | None) -> tuple[list[Array], int]:
    """Rows of a data set, and the value in them that stands for probability 1.

    That is levels - 1 where levels are given; else 1 where values are in [0, 1], by rounding up to
    1e-6 outside, which is clipped; else 255 of integers that reach above 100.

    Args:
        parts: rows of numbers by their names in messages, all of one dtype.
        levels: how many values there can be, from 0 on.

    Raises:
        ValueError: values that these rules do not cover; they are not guessed at.
    """
    rows = [*parts.values()]
    floating = rows[0].dtype.kind == "f"
    if levels is not None:
        for where, part in parts.items():
            _check_levels(where, part, levels)
        return rows, levels - 1
    low, high = np.min([part.min() for part in rows]), np.max([part.max() for part in rows])
    if low >= 0 and high <= 1:
        return rows, 1
    if floating and low >= -ROUNDING and high <= 1 + ROUNDING:
        return [np.clip(part, 0, 1) for part in rows], 1
    if not floating and _seen(np.array([low, high])).is_grey:
        return rows, 255
    found = {where: _seen(part) for where, part in parts.items()}
    whole, spins = (
        all(getattr(each, kind) for each in found.values()) for kind in ("whole", "spins")
    )
    first = next(where for where, each in found.items() if not (each.low >= 0 and each.high <= 1))
    remedy = _remedy(checks.Seen(float(low), float(high), whole, spins))
    raise fault(first, "hold values in [0, 1]", str(found[first]), remedy)


def _check_levels(where: str, part: Array, levels: int) -> None:
    whole = part.dtype.kind != "f" or bool((part == np.rint(part)).all())
    if not (whole and part.min() >= 0 and part.max() < levels):
        found, rule = _seen(part), f"hold whole numbers from 0 to {levels - 1} with levels={levels}"
        remedy = "Correct levels, or leave it out"
        if not math.isfinite(found.high - found.low):
            remedy = found.remedy("x", verb="save")
        raise fault(where, rule, str(found), remedy)


def _remedy(found: checks.Seen) -> str:
    if found.whole and found.low >= 0 and found.high < MAX_LEVELS:
        largest = 255 if found.is_grey else int(found.high)
        return f"Pass levels={largest + 1} if {largest} is the largest value that there can be"
    return found.remedy("x", verb="save")


def _seen(values: Any) -> checks.Seen:
    return checks.seen(torch.from_numpy(values.astype(np.float64)))
