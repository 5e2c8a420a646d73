"""Argument checks with messages of one form.

op: argument must RULE, got ACTUAL. REMEDY.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ncg_fast import backends
from ncg_fast.numerics import BLOCK, MAX_EXPONENT, MIN_EXPONENT, PANEL, WORD

MAX_SEED = 2**63 - 1


def require(condition: bool, op: str, rule: str, actual: Any, remedy: str = "") -> None:
    """Raises ValueError ``op: rule, got actual. remedy`` unless the condition holds."""
    if not condition:
        raise ValueError(f"{op}: {rule}, got {actual}." + (f" {remedy}" if remedy else ""))


def tensor(
    op: str,
    name: str,
    value: Any,
    dtype: torch.dtype,
    shape: tuple[int, ...],
    axes: str,
    remedy: str = "",
) -> None:
    """A tensor of this dtype and shape, on a device that has a back end; axes names the shape."""
    require(isinstance(value, Tensor), op, f"{name} must be a torch.Tensor", type(value).__name__)
    if not remedy and tuple(value.shape) == tuple(reversed(shape)) and len(shape) == 2:
        remedy = f"Did you pass {name}.T?"
    require(
        tuple(value.shape) == shape,
        op,
        f"{name} must have shape {axes} = {shape}",
        tuple(value.shape),
        remedy,
    )
    kind = str(dtype).removeprefix("torch.")
    require(
        value.dtype == dtype,
        op,
        f"{name} must be {kind}",
        str(value.dtype),
        f"Use {name}.to({dtype}).",
    )


def same_device(op: str, **tensors: Tensor | None) -> None:
    """All tensors on the device of the first."""
    given = {name: value for name, value in tensors.items() if value is not None}
    first, device = next((name, value.device) for name, value in given.items())
    for name, value in given.items():
        rule = f"{name} must be on the device of {first} ({device})"
        require(value.device == device, op, rule, value.device, f"Use {name}.to({str(device)!r}).")
    if device.type != "cpu":
        backends.select(device.type)


def integer(op: str, name: str, value: Any, low: int, high: int | None = None) -> int:
    """An int in [low, high]; bool and float are refused."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    require(whole, op, f"{name} must be an int", f"{type(value).__name__} {value!r}")
    limits = (
        f"{name} must be at least {low}" if high is None else f"{name} must be in [{low}, {high}]"
    )
    require(value >= low and (high is None or value <= high), op, limits, value)
    return int(value)


def number(op: str, name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite real number in [low, high]."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    require(real, op, f"{name} must be a number", f"{type(value).__name__} {value!r}")
    require(math.isfinite(value), op, f"{name} must be finite", value)
    limits = (
        f"{name} must be at least {low:g}"
        if high == math.inf
        else f"{name} must be in [{low:g}, {high:g}]"
    )
    require(low <= value <= high, op, limits, value)
    return float(value)


def choice(op: str, name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """One of the allowed words."""
    words = ", ".join(repr(word) for word in allowed)
    require(value in allowed, op, f"{name} must be one of {words}", repr(value))
    return str(value)


def finite(op: str, **tensors: Tensor | None) -> None:
    """No NaN and no infinity."""
    for name, value in tensors.items():
        if value is not None and not bool(torch.isfinite(value).all()):
            bad = int((~torch.isfinite(value)).sum())
            rule = f"{name} must hold finite numbers"
            remedy = "A rate that is too high is the usual cause; reload the last good checkpoint."
            require(False, op, rule, f"{bad} that are NaN or infinite", remedy)


# --- arguments of the ops ---


def packed_argument(op: str, name: str, states: Tensor, n_units: int, n_chains: int) -> None:
    """Packed states of n_chains chains."""
    shape = n_units, -(-n_chains // WORD)
    tensor(op, name, states, torch.int64, shape, "(n_units, ceil(B / 64))", "Use pack_states.")


def states_argument(op: str, name: str, states: Tensor, n_units: int, n_chains: int) -> None:
    """Packed states, or levels, of n_chains rows."""
    if states.dtype == torch.int32:
        tensor(op, name, states, torch.int32, (n_chains, n_units), "(B, n_units)")
    else:
        packed_argument(op, name, states, n_units, n_chains)


def digits_argument(op: str, name: str, digits: Tensor, n_out: int, n_in: int) -> None:
    """Digits of one direction."""
    n_digits = digits.shape[1] if digits.dim() == 5 else 2
    shape = -(-n_out // PANEL), n_digits, -(-n_in // BLOCK), PANEL, BLOCK
    axes = "(panels, n_digits, blocks, 32, 64)"
    tensor(op, name, digits, torch.int8, shape, axes, "Use pack_weights.")
    integer(op, "n_digits", n_digits, 2, 3)


def layer_argument(
    op: str,
    states: tuple[str, Tensor],
    digits: tuple[str, Tensor],
    bias: tuple[str, Tensor],
    n_in: int,
    n_chains: int,
    weight_exponent: int,
) -> None:
    """States, digits and bias of one half step."""
    integer(op, "n_chains", n_chains, 0)
    n_out = bias[1].shape[0]
    tensor(op, *bias, torch.float32, (n_out,), "(n_units,)")
    states_argument(op, *states, n_in, n_chains)
    digits_argument(op, *digits, n_out, n_in)
    integer(op, "weight_exponent", weight_exponent, MIN_EXPONENT, MAX_EXPONENT)
    same_device(op, **dict([states, digits, bias]))


def draw_argument(
    op: str, seed: int, chain_offset: int, step: int, beta: Tensor | None, n_chains: int
) -> None:
    """What a draw depends on."""
    integer(op, "seed", seed, 0, MAX_SEED)
    integer(op, "chain_offset", chain_offset, 0, 2**32 - 1)
    integer(op, "step", step, 0, 2**55)
    if beta is not None:
        tensor(op, "beta", beta, torch.float32, (n_chains,), "(n_chains,)")
        same_device(op, beta=beta)


def model_argument(
    op: str,
    visible: Tensor,
    to_hidden: Tensor,
    to_visible: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    weight_exponent: int,
    n_chains: int,
) -> None:
    """Both directions, for ops that go to and fro."""
    n_visible = visible_bias.shape[0]
    biases = ("visible_bias", visible_bias), ("hidden_bias", hidden_bias)
    layer_argument(
        op,
        ("visible", visible),
        ("to_hidden", to_hidden),
        biases[1],
        n_visible,
        n_chains,
        weight_exponent,
    )
    tensor(op, *biases[0], torch.float32, (n_visible,), "(n_visible,)")
    digits_argument(op, "to_visible", to_visible, n_visible, hidden_bias.shape[0])
    same_device(op, visible=visible, to_visible=to_visible, visible_bias=visible_bias)


def phase_arguments(
    op: str, hidden_data: Tensor, visible_data: Tensor, hidden_model: Tensor, visible_model: Tensor
) -> None:
    """The four state matrices of the two phases."""
    two_axes = hidden_data.dim() == 2 and hidden_model.dim() == 2 and visible_model.dim() == 2
    require(two_axes, op, "states must have two axes", f"{hidden_data.dim()}, {hidden_model.dim()}")
    n_hidden, n_visible = hidden_data.shape[1], visible_model.shape[0]
    n_rows, n_chains = hidden_data.shape[0], hidden_model.shape[0]
    require(
        n_rows > 0 and n_chains > 0, op, "both phases must have rows", f"{n_rows} and {n_chains}"
    )
    for name, hidden, count in (
        ("hidden_data", hidden_data, n_rows),
        ("hidden_model", hidden_model, n_chains),
    ):
        tensor(op, name, hidden, torch.int32, (count, n_hidden), "(B, n_hidden)")
    states_argument(op, "visible_data", visible_data, n_visible, n_rows)
    packed_argument(op, "visible_model", visible_model, n_visible, n_chains)
    phases = {"visible_data": visible_data, "visible_model": visible_model}
    same_device(op, hidden_data=hidden_data, hidden_model=hidden_model, **phases)


def parameter_arguments(op: str, parameters: Any, n_labels: int) -> None:
    """The tensors an update writes: shapes, dtypes, contiguous, on one device."""
    named = parameters._asdict()
    for name in ("weight", "mask", "visible_bias", "hidden_bias", "to_hidden", "to_visible"):
        given = isinstance(named[name], Tensor)
        require(given, op, f"{name} must be a torch.Tensor", type(named[name]).__name__)
    n_hidden, n_visible = parameters.weight.shape
    pair, axes = (n_hidden, n_visible), "(n_hidden, n_visible)"
    for name in ("weight", "connection_strength", "weight_velocity", "mask"):
        if named[name] is not None:
            kind = torch.bool if name == "mask" else torch.float32
            tensor(op, name, named[name], kind, pair, axes)
    for layer, size in (("visible", n_visible), ("hidden", n_hidden)):
        for name in (f"{layer}_bias", f"{layer}_velocity"):
            if named[name] is not None:
                tensor(op, name, named[name], torch.float32, (size,), f"(n_{layer},)")
    velocities = [named[f"{name}_velocity"] is None for name in ("weight", "visible", "hidden")]
    require(len(set(velocities)) == 1, op, "velocities must be all given or all None", velocities)
    digits_argument(op, "to_hidden", parameters.to_hidden, n_hidden, n_visible)
    digits_argument(op, "to_visible", parameters.to_visible, n_visible, n_hidden)
    same_device(op, **named)
    for name, value in named.items():
        if value is not None:
            rule = f"{name} must be contiguous"
            require(
                value.is_contiguous(), op, rule, f"strides {value.stride()}", "Use .contiguous()."
            )
    integer(op, "n_labels", n_labels, 0, n_visible)


def rate_arguments(
    op: str, lr: float, lr_strength: float, momentum: float, weight_decay: float
) -> tuple[float, float, float, float]:
    """Rates of an update."""
    return (
        number(op, "lr", lr, 0.0),
        number(op, "lr_strength", lr_strength, 0.0),
        number(op, "momentum", momentum, 0.0, 1.0),
        number(op, "weight_decay", weight_decay, 0.0),
    )


def ladder_argument(op: str, betas: Tensor) -> None:
    """Inverse temperatures from 0 to 1; torch.compile does not look at the values."""
    tensor(op, "betas", betas, torch.float64, (betas.numel(),), "(n_betas,)")
    require(betas.numel() >= 2, op, "betas must have at least two entries", betas.numel())
    if not torch.compiler.is_compiling():
        rises = bool((betas[1:] >= betas[:-1]).all())
        require(rises, op, "betas must not decrease", "a ladder that does, or NaN")
        first, last = float(betas[0]), float(betas[-1])
        ends = first == 0 and last == 1
        require(ends, op, "betas must begin with 0 and end with 1", f"{first:g} and {last:g}")
