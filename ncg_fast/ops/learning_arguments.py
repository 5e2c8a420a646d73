"""As ``arguments.py``: checks of the arguments of ops that learn."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ncg_fast.backends.formats import described, is_sparse
from ncg_fast.backends.records import (
    Batch,
    Gradients,
    Offsets,
    Parameters,
    Phases,
    PhaseSums,
    Rates,
)
from ncg_fast.checks import (
    MAX_CHAINS,
    MAX_FLOAT32,
    MAX_SWEEPS,
    axes,
    error,
    integer,
    number,
    same_device,
    shows_values,
    tensor,
    typed,
)
from ncg_fast.ops.arguments import both_directions, digits, packed, states

_PAIR = "(n_hidden, n_visible)"


def _same_format(op: str, to_hidden: Tensor, to_visible: Tensor) -> None:
    """Digits that an update writes: both dense, or both sparse with the same room."""
    if torch.compiler.is_compiling() and is_sparse(to_hidden) and is_sparse(to_visible):
        return
    capacity, given = described(to_hidden).capacity, described(to_visible).capacity
    if given != capacity:
        words, actual = (
            "dense" if c is None else f"sparse with a capacity of {c}" for c in (capacity, given)
        )
        rule = f"to_visible must be {words} as to_hidden is"
        raise error(op, rule, actual, "Use pack_weights for both.")


def phases(op: str, given: Phases, sizes: tuple[int, int] | None = None) -> tuple[int, int]:
    """The four state matrices of the two phases; (n_hidden, n_visible), which may be known."""
    n_rows, n_hidden = axes(op, "hidden_data", given.hidden_data, ("n_rows", "n_hidden"))
    n_chains, _ = axes(op, "hidden_model", given.hidden_model, ("n_chains", "n_hidden"))
    n_visible, _ = axes(op, "visible_model", given.visible_model, ("n_visible", "words"))
    hidden_levels(op, "hidden_data", given.hidden_data, n_rows, n_hidden)
    hidden_levels(op, "hidden_model", given.hidden_model, n_chains, n_hidden)
    states(op, "visible_data", given.visible_data, n_visible, n_rows)
    packed(op, "visible_model", given.visible_model, n_visible, n_chains)
    same_device(op, **given._asdict())
    if sizes not in (None, (n_hidden, n_visible)):
        rule = f"phases must be of (n_hidden, n_visible) = {sizes} units"
        raise error(op, rule, (n_hidden, n_visible), "Pass states of this machine.")
    return n_hidden, n_visible


def hidden_levels(op: str, name: str, hidden: Tensor, n_rows: int, n_hidden: int) -> Tensor:
    """Levels of P(h | v), of at least one row."""
    tensor(op, name, hidden, torch.int32, (n_rows, n_hidden), "(B, n_hidden)")
    if n_rows < 1:
        rule = f"{name} must have at least one row"
        raise error(op, rule, tuple(hidden.shape), "Leave out empty batches.")
    return hidden


def phase_sums(op: str, prefix: str, given: PhaseSums, n_hidden: int, n_visible: int) -> PhaseSums:
    """Sums of one phase of so many units; names in messages begin with the prefix."""
    if not isinstance(given, PhaseSums):
        remedy = "Pass what phase_sums returned."
        raise error(op, f"{prefix} must be ops.PhaseSums", type(given).__name__, remedy)
    if not isinstance(given, PhaseSums):
        raise error(op, f"{prefix} must be PhaseSums", typed(given), "Use phase_sums.")
    shapes = (n_hidden, n_visible), (n_visible,), (n_hidden,)
    words = _PAIR, "(n_visible,)", "(n_hidden,)"
    for (name, sums), shape, text in zip(given._asdict().items(), shapes, words, strict=True):
        tensor(op, f"{prefix}.{name}", sums, torch.int64, shape, text, "Use phase_sums.")
        contiguous(op, f"{prefix}.{name}", sums)
    return given


def contiguous(op: str, name: str, written: Tensor) -> Tensor:
    """A tensor that an op writes."""
    if not written.is_contiguous():
        rule, actual = f"{name} must be contiguous", f"strides {written.stride()}"
        raise error(op, rule, actual, "Use .contiguous().")
    return written


def parameters(op: str, given: Parameters, n_labels: int) -> tuple[int, int]:
    """The tensors an update writes: shapes, dtypes, contiguous, on one device; their sizes."""
    if not isinstance(given, Parameters):
        raise error(op, "parameters must be ops.Parameters", typed(given), "Make one of tensors.")
    n_hidden, n_visible = axes(op, "weight", given.weight, ("n_hidden", "n_visible"))
    shape = n_hidden, n_visible
    tensor(op, "weight", given.weight, torch.float32, shape, _PAIR)
    strength, velocity = given.connection_strength, given.weight_velocity
    if strength is not None:
        tensor(op, "connection_strength", strength, torch.float32, shape, _PAIR)
    if velocity is not None:
        tensor(op, "weight_velocity", velocity, torch.float32, shape, _PAIR)
    tensor(op, "mask", given.mask, torch.bool, shape, _PAIR)
    for name, value, size in (
        ("visible_bias", given.visible_bias, n_visible),
        ("visible_velocity", given.visible_velocity, n_visible),
        ("hidden_bias", given.hidden_bias, n_hidden),
        ("hidden_velocity", given.hidden_velocity, n_hidden),
    ):
        if value is not None or name.endswith("bias"):
            layer_name = name.partition("_")[0]
            tensor(op, name, value, torch.float32, (size,), f"(n_{layer_name},)")
    velocities = velocity, given.visible_velocity, given.hidden_velocity
    n_given = sum(each is not None for each in velocities)
    if n_given not in (0, 3):
        rule = "velocities must be all given or all None"
        raise error(op, rule, f"{n_given} of 3", "Pass three or none.")
    digits(op, "to_hidden", given.to_hidden, n_hidden, n_visible)
    digits(op, "to_visible", given.to_visible, n_visible, n_hidden)
    both_directions(op, given.to_hidden, given.to_visible)
    _same_format(op, given.to_hidden, given.to_visible)
    named = given._asdict()
    same_device(op, **named)
    for name, value in named.items():
        if value is not None:
            contiguous(op, name, value)
    integer(op, "n_labels", n_labels, 0, n_visible)
    return shape


def gradients(op: str, given: Gradients, of: Parameters) -> Gradients:
    """Of checked parameters, or None."""
    if not isinstance(given, Gradients):
        remedy = "Make one of tensors."
        raise error(op, "gradients must be ops.Gradients", typed(given), remedy)
    if given.by_strength is not None and of.connection_strength is None:
        rule = "by_strength must be None where there are no strengths"
        raise error(op, rule, typed(given.by_strength), "Leave it out.")
    moved = of.weight, of.connection_strength, of.visible_bias, of.hidden_bias
    words = _PAIR, _PAIR, "(n_visible,)", "(n_hidden,)"
    for (name, gradient), like, text in zip(given._asdict().items(), moved, words, strict=True):
        if gradient is not None and like is not None:
            tensor(op, name, gradient, torch.float32, tuple(like.shape), text)
    same_device(op, weight=of.weight, **given._asdict())
    return given


def chains(op: str, given: Tensor | None, n_chains: int | None, n_visible: int, n_rows: int) -> int:
    """Packed persistent chains, which are written, or None for CD; their number."""
    if given is None:
        if n_chains not in (None, n_rows):
            rule = f"n_chains must be None or n_rows ({n_rows}) where chains is None"
            raise error(op, rule, n_chains, "Leave it out, or pass chains.")
        return n_rows
    if n_chains is None:
        rule, remedy = "n_chains must be given with chains", "Packed words do not tell it."
        raise error(op, rule, None, remedy)
    n_chains = integer(op, "n_chains", n_chains, 1, MAX_CHAINS)
    packed(op, "chains", given, n_visible, n_chains)
    contiguous(op, "chains", given)
    return n_chains


def batch(op: str, given: Batch, n_visible: int) -> Batch:
    """One batch of a training step, or the first of several; its number of chains is filled in."""
    n_rows = integer(op, "n_rows", given.n_rows, 1, MAX_CHAINS)
    states(op, "visible_data", given.visible_data, n_visible, n_rows)
    n_chains = chains(op, given.chains, given.n_chains, n_visible, n_rows)
    integer(op, "n_steps", given.n_steps, 1, MAX_SWEEPS)
    return given._replace(n_chains=n_chains)


def own_memory(op: str, chains: Tensor | None, visible_data: Tensor) -> None:
    """Chains are written while data are read; fake ones, as torch.compile has, lie nowhere."""
    given = type(chains), type(visible_data)
    if torch.compiler.is_compiling() or chains is None or given != (Tensor, Tensor):
        return
    (start, end), (data_start, data_end) = map(_addresses, (chains, visible_data))
    apart = chains.device != visible_data.device or end <= data_start or data_end <= start
    if not apart:
        rule = "chains must not share memory with visible_data"
        raise error(op, rule, "the same addresses", "Use chains.clone().")


def _addresses(tensor: Tensor) -> tuple[int, int]:
    """From the first byte to just after the last; strides are not negative in torch."""
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    last = sum((size - 1) * stride for size, stride in steps)
    start = tensor.data_ptr()
    return start, start + (last + 1) * tensor.element_size()


def rates(op: str, given: Rates, velocity: Any = True) -> Rates:
    """Rates of an update, within float32; velocity: None where there are no velocities."""
    checked = Rates(
        number(op, "lr", given.lr, 0.0, MAX_FLOAT32),
        number(op, "lr_strength", given.lr_strength, 0.0, MAX_FLOAT32),
        number(op, "momentum", given.momentum, 0.0, 1.0),
        number(op, "weight_decay", given.weight_decay, 0.0, MAX_FLOAT32),
    )
    if checked.momentum and velocity is None:
        rule, remedy = "velocities must be given with momentum", "Pass zeros like the parameters."
        raise error(op, rule, None, remedy)
    return checked


def lr_factors(op: str, given: Tensor | None, n_batches: int, weight: Tensor) -> Tensor | None:
    """Of the rates, one a batch; on a GPU their values are not looked at."""
    if given is None:
        return None
    tensor(op, "lr_factors", given, torch.float32, (n_batches,), "(n_batches,)")
    same_device(op, weight=weight, lr_factors=given)
    if shows_values(given):
        low, high = torch.aminmax(given)
        if not 0 <= float(low) <= float(high) <= MAX_FLOAT32:
            rule, actual = "lr_factors must be finite and at least 0", f"{low:g} to {high:g}"
            raise error(op, rule, actual, "Pass 1 for the rates as they are.")
    return given.detach()


def offsets(op: str, given: Offsets | None, of: Parameters) -> Offsets:
    """Of centred gradients of checked parameters; on a GPU their values are not looked at."""
    if given is None:
        return Offsets()
    if not isinstance(given, Offsets):
        remedy = "Make one of tensors."
        raise error(op, "offsets must be ops.Offsets or None", typed(given), remedy)
    for (layer, offset), bias in zip(
        given._asdict().items(), (of.visible_bias, of.hidden_bias), strict=True
    ):
        name = f"offsets.{layer}"
        tensor(op, name, offset, torch.float32, tuple(bias.shape), f"(n_{layer},)")
        same_device(op, weight=of.weight, **{name: offset})
        contiguous(op, name, offset)
        if shows_values(offset) and offset.numel():
            low, high = torch.aminmax(offset.detach())
            if not 0 <= float(low) <= float(high) <= 1:
                rule, actual = f"{name} must be means in [0, 1]", f"{low:g} to {high:g}"
                raise error(op, rule, actual, "Pass means of states.")
    return given


def limits(op: str, least: float, most: float) -> tuple[float, float]:
    """The range of max |W∘A| within which batches follow each other."""
    least = number(op, "least", least, 0.0)
    if not isinstance(most, int | float) or isinstance(most, bool) or not most >= 0:
        raise error(op, "most must be a number of at least 0, or inf", most, "Leave it out.")
    return least, float(most) if most < MAX_FLOAT32 else math.inf
