"""Argument checks with messages of one form.

op: argument must RULE, got ACTUAL. REMEDY.
"""

from __future__ import annotations

import difflib
import math
import os
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

DEVICES = "cpu", "cuda"
MAX_SEED = 2**63 - 1
MAX_CHAINS = 2**31
MAX_OFFSET = 2**32 - 1  # a chain is 32 bits of a counter
MAX_UNITS = 2**23  # 0/1 times digits: sums fit int32
MAX_SWEEPS = 2**31 - 1  # of one call
MAX_STEP = 2**55
MAX_FLOAT32 = float(np.finfo(np.float32).max)
ROUNDING = 1e-6  # how far outside [0, 1] probabilities may lie
_HUGE = 10**6  # limits from here on are named only to who passes them
_LONGEST = 200  # characters of a value in a message
_GREY = 100  # whole numbers that reach above are grey of 8 bits
_MISSING = "Leave out the rows or the columns where values are missing or infinite"


def error(op: str, rule: str, actual: Any, remedy: str) -> ValueError:
    """ValueError ``op: rule, got actual. remedy``."""
    text = actual if isinstance(actual, str) else shown(actual)
    return ValueError(f"{op}: {rule}, got {text}. {remedy}")


def shown(value: Any) -> str:
    """A value in one short line."""
    if isinstance(value, Tensor | np.ndarray):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    text = " ".join((str(value) if isinstance(value, os.PathLike) else repr(value)).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def typed(value: Any) -> str:
    """A value in one short line, with its type."""
    text = shown(value)
    kind = type(value).__name__
    return text if text.startswith(kind) else f"{kind} {text}"


def dense(op: str, name: str, value: Any) -> Tensor:
    """A tensor with strides, on the CPU or a GPU.

    Raises:
        RuntimeError: no back end can serve its device.
    """
    if not isinstance(value, Tensor):
        remedy = "Pass a torch.Tensor."
        if isinstance(value, np.ndarray | list):
            remedy = f"Use torch.tensor({name})."
        elif hasattr(value, "to_numpy"):  # a data frame
            remedy = f"Use torch.tensor({name}.to_numpy())."
        raise error(op, f"{name} must be a torch.Tensor", type(value).__name__, remedy)
    if value.layout != torch.strided:
        rule, remedy = f"{name} must be a dense tensor", f"Use {name}.to_dense()."
        raise error(op, rule, f"layout {value.layout}", remedy)
    kind = value.device.type
    if kind not in DEVICES:
        raise RuntimeError(f'backend "{kind}" does not exist. Use tensors on "cpu" or "cuda".')
    return value


def axes(op: str, name: str, value: Any, names: tuple[str, ...]) -> tuple[int, ...]:
    """A tensor with as many axes as there are names; its shape."""
    shape = tuple(dense(op, name, value).shape)
    if len(shape) != len(names):
        words = f"({', '.join(names)}{',' if len(names) == 1 else ''})"
        count = ("one axis", "two axes", "three axes")[len(names) - 1]
        raise error(op, f"{name} must have {count} {words}", shape, "Reshape it.")
    return shape


def tensor(
    op: str,
    name: str,
    value: Any,
    dtype: torch.dtype,
    shape: tuple[int, ...],
    axes: str,
    remedy: str = "",
) -> Tensor:
    """A dense tensor of this dtype and shape; axes names the shape."""
    given = tuple(dense(op, name, value).shape)
    if given != shape:
        if not remedy:
            turned = len(shape) == 2 and given == (shape[1], shape[0])
            remedy = f"Did you pass {name}.T?" if turned else "Pass a tensor of that shape."
        raise error(op, f"{name} must have shape {axes} = {shape}", given, remedy)
    if value.dtype != dtype:
        kind = str(dtype).removeprefix("torch.")
        remedy = remedy or f"Use {name}.to({dtype})."
        raise error(op, f"{name} must be {kind}", str(value.dtype), remedy)
    checked: Tensor = value
    return checked


def same_device(op: str, **tensors: Tensor | None) -> None:
    """All tensors on the device of the first."""
    first = device = None
    for name, value in tensors.items():
        if value is None:
            continue
        if device is None:
            first, device = name, value.device
        elif value.device != device:
            rule = f"{name} must be on the device of {first} ({device})"
            raise error(op, rule, str(value.device), f"Use {name}.to({str(device)!r}).")


def flag(op: str, name: str, value: Any) -> bool:
    """True or False, and nothing that is merely taken for one of them."""
    if not isinstance(value, bool | np.bool_):
        raise error(op, f"{name} must be True or False", typed(value), "Pass one of the two.")
    return bool(value)


def integer(op: str, name: str, value: Any, low: int, high: int | None = None) -> int:
    """An int, of Python or NumPy, in [low, high]; bool and float are refused."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        real = isinstance(value, float) and value.is_integer()
        remedy = f"Use int({name})." if real else "Pass a whole number."
        raise error(op, f"{name} must be an int", typed(value), remedy)
    if value < low or (high is not None and value > high):
        raise _outside(op, name, value, low, high)
    return int(value)


def number(op: str, name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite real number, of Python or NumPy, in [low, high]; bool is refused."""
    real = isinstance(value, int | float | np.integer | np.floating)
    if not real or isinstance(value, bool):
        raise error(op, f"{name} must be a number", typed(value), "Pass an int or a float.")
    try:
        number = float(value)
    except OverflowError:  # an int beyond float64
        number = math.inf
    if not math.isfinite(number):
        raise error(op, f"{name} must be finite", value, "Pass a finite number.")
    if value < low or value > high:
        raise _outside(op, name, value, low, high)
    return number


def limits(value: Any, low: float, high: float | None) -> tuple[str, str]:
    """Words of rule and remedy for a value outside [low, high]; a huge limit only if passed."""
    if high is not None and -math.inf < low and high < _HUGE:
        return f"in [{low:g}, {high:g}]", f"a value from {low:g} to {high:g}"
    if high is None or not value > high:
        return f"at least {low:g}", f"{low:g} or more"
    limit = f"{high:g}" if isinstance(high, float) else str(high)
    return f"at most {limit}", f"{limit} or less"


def _outside(op: str, name: str, value: Any, low: float, high: float | None) -> ValueError:
    rule, remedy = limits(value, low, high)
    return error(op, f"{name} must be {rule}", value, f"Pass {remedy}.")


def choice(op: str, name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """One of the allowed words."""
    if not isinstance(value, str) or value not in allowed:
        words = ", ".join(repr(word) for word in allowed)
        near = difflib.get_close_matches(str(value), allowed, 1)
        remedy = f"Did you mean {near[0]!r}?" if near else "Choose one of these."
        raise error(op, f"{name} must be one of {words}", shown(value), remedy)
    return str(value)


@torch.no_grad()
def finite(op: str, remedy: str = "", /, **tensors: Tensor | None) -> None:
    """No NaN and no infinity."""
    for name, value in tensors.items():
        if value is not None and value.numel() and not is_finite(value):
            n_bad = int((~torch.isfinite(value)).sum())
            usual = "A rate that is too high is the usual cause; reload the last good checkpoint."
            rule, actual = f"{name} must hold finite numbers", f"{n_bad} that are NaN or infinite"
            raise error(op, rule, actual, remedy or usual)


def is_finite(values: Tensor) -> bool:
    """Whether there is neither NaN, which propagates through both ends, nor an infinity."""
    low, high = torch.aminmax(values)
    return math.isfinite(low) and math.isfinite(high)


class Seen(NamedTuple):
    """What values there are, for a message: both ends, whether all are whole, or all -1 and 1."""

    low: float
    high: float
    whole: bool
    spins: bool

    @property
    def is_grey(self) -> bool:
        """Whether they can only be grey of 8 bits, as far as values tell."""
        return self.whole and self.low >= 0 and _GREY < self.high <= 255

    def __str__(self) -> str:
        if math.isnan(self.low):
            return "NaN"
        if self.spins:
            return "spins -1 and +1"
        low, high, *_ = apart(self.low, self.high, 0.0, 1.0)
        return f"values in [{low}, {high}]"

    def remedy(self, name: str, verb: str = "pass") -> str:
        """What to do, without the stop."""
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return _MISSING
        if self.spins:
            return f"{verb.capitalize()} ({name} + 1) / 2"
        if self.is_grey:
            return f"Binarise it, or {verb} {name} / 255 as probabilities"
        scaled = f"ncg_fast.data.scale({name}, low, high) as probabilities"
        ends = "low and high the ends of the range that its values can have"
        return f"Binarise it, or {verb} {scaled}, {ends}"


def seen(values: Tensor) -> Seen:
    """Both ends of values, NaN if there is one, and of what kind they are."""
    low, high = (float(end) for end in torch.aminmax(values))  # NaN propagates through both
    whole = not values.is_floating_point() or bool((values == values.round()).all())
    return Seen(low, high, whole, (low, high) == (-1, 1) and bool((values.abs() == 1).all()))


def apart(*numbers: float) -> list[str]:
    """Numbers in few digits, as many as it takes that unequal ones look so."""
    texts: list[str] = []
    for n_digits in range(6, 18):
        texts = [f"{number + 0.0:.{n_digits}g}" for number in numbers]  # no -0
        if len({*texts}) == len({*numbers}):
            break
    return texts


def probabilities(op: str, name: str, rows: Tensor) -> Tensor:
    """Rows that hold other values than 0 and 1, in [0, 1]; what rounding put outside is clipped.

    Raises:
        ValueError: integers, NaN, or values farther outside [0, 1] than ``ROUNDING``.
    """
    floating = rows.is_floating_point()
    if floating:
        low, high = (float(end) for end in torch.aminmax(rows))
        if low >= 0 and high <= 1:
            return rows
        if low >= -ROUNDING and high <= 1 + ROUNDING:
            return rows.clamp(0, 1)
    found, rule = seen(rows), "hold values in [0, 1]" if floating else "hold only 0 and 1"
    raise error(op, f"{name} must {rule}", str(found), f"{found.remedy(name)}.")


def shows_values(tensor: Tensor) -> bool:
    """Whether an op may look at values: on a GPU it would wait for them, torch.compile has none."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()
