"""Registration of the ops with torch.library: schemas, fake implementations, back ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ncg_fast import backends
from ncg_fast.backends.formats import new_digits
from ncg_fast.backends.numerics import WORD

_MODEL = "Tensor to_hidden, Tensor to_visible, Tensor visible_bias, Tensor hidden_bias"
_DRAW = "int seed, int chain_offset, int step"
_MUTABLE = (
    "Tensor(a!) weight, Tensor(b!)? connection_strength, Tensor(c!) mask, "
    "Tensor(d!) visible_bias, Tensor(e!) hidden_bias, Tensor(f!) to_hidden, Tensor(g!) to_visible, "
    "Tensor(h!)? weight_velocity, Tensor(i!)? visible_velocity, Tensor(j!)? hidden_velocity"
)
_PHASES = "Tensor hidden_data, Tensor visible_data, Tensor hidden_model, Tensor visible_model"
_RATES = "float lr, float lr_strength, float momentum, float weight_decay"
N_MUTABLE = 10  # the leading arguments of updates that are written

SCHEMAS = {
    "pack_states": "(Tensor states) -> Tensor",
    "unpack_states": "(Tensor packed, int n_chains) -> Tensor",
    "pack_weights": "(Tensor weight, Tensor? mask, int n_digits, int weight_exponent, "
    "int? capacity=None) -> (Tensor, Tensor)",
    "hidden_mean": "(Tensor visible, Tensor to_hidden, Tensor hidden_bias, int weight_exponent, "
    "int n_chains) -> Tensor",
    "visible_mean": "(Tensor hidden, Tensor to_visible, Tensor visible_bias, int weight_exponent, "
    "int n_chains) -> Tensor",
    "sample_hidden": "(Tensor visible, Tensor to_hidden, Tensor hidden_bias, int weight_exponent, "
    f"int n_chains, {_DRAW}, Tensor? beta) -> Tensor",
    "sample_visible": "(Tensor hidden, Tensor to_visible, Tensor visible_bias, "
    f"int weight_exponent, int n_chains, {_DRAW}, Tensor? beta) -> Tensor",
    "gibbs_steps": f"(Tensor visible, {_MODEL}, int weight_exponent, int n_chains, "
    f"int n_steps, {_DRAW}, Tensor? beta, Tensor? clamped) -> (Tensor, Tensor)",
    "connection_gradient": f"({_PHASES}, Tensor? weight, Tensor? mask) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    "ncg_update_": f"({_MUTABLE}, {_PHASES}, int weight_exponent, int n_labels, {_RATES}) "
    "-> Tensor",
    "train_step_": f"({_MUTABLE}, Tensor visible_data, Tensor(k!)? chains, int n_rows, "
    f"int n_chains, int n_steps, int weight_exponent, int n_labels, {_RATES}, int seed, int step) "
    "-> Tensor",
    "train_steps_": f"({_MUTABLE}, Tensor visible_data, Tensor(k!)? chains, int n_rows, "
    f"int n_chains, int n_steps, int weight_exponent, int n_labels, {_RATES}, int seed, int step, "
    "float least, float most) -> Tensor",
    "free_energy": "(Tensor visible, Tensor to_hidden, Tensor visible_bias, Tensor hidden_bias, "
    "int weight_exponent, int n_chains) -> Tensor",
    "anneal": f"(Tensor visible, {_MODEL}, Tensor base_bias, Tensor betas, int weight_exponent, "
    f"int n_chains, {_DRAW}) -> (Tensor, Tensor)",
}


def _words(n_chains: int) -> int:
    return -(-n_chains // WORD)


def _fake_pack_weights(
    weight: Tensor, mask: Tensor | None, n_digits: int, e: int, capacity: int | None = None
) -> Any:
    n_hidden, n_visible = weight.shape
    return new_digits(weight, n_hidden, n_visible, n_digits, capacity)


def _fake_mean(states: Tensor, digits: Tensor, bias: Tensor, e: int, n_chains: int) -> Tensor:
    return bias.new_empty(n_chains, bias.shape[0])


def _fake_sample(
    states: Tensor, digits: Tensor, bias: Tensor, e: int, n_chains: int, *_: Any
) -> Tensor:
    return bias.new_empty(bias.shape[0], _words(n_chains), dtype=torch.int64)


def _fake_gibbs(
    visible: Tensor,
    to_hidden: Tensor,
    to_visible: Tensor,
    b: Tensor,
    c: Tensor,
    e: int,
    n: int,
    *_: Any,
) -> Any:
    return tuple(bias.new_empty(bias.shape[0], _words(n), dtype=torch.int64) for bias in (b, c))


def _fake_gradient(
    hidden_data: Tensor,
    visible_data: Tensor,
    hidden_model: Tensor,
    visible_model: Tensor,
    weight: Tensor | None,
    mask: Tensor | None,
) -> Any:
    n_hidden, n_visible = hidden_data.shape[1], visible_model.shape[0]
    shapes: list[Any] = [(n_hidden, n_visible)]
    shapes += [(n_hidden, n_visible) if given is not None else (0,) for given in (mask, weight)]
    shapes += [(n_visible,), (n_hidden,)]
    return tuple(hidden_data.new_empty(shape, dtype=torch.float32) for shape in shapes)


def _fake_update(weight: Tensor, *_: Any) -> Any:
    return weight.new_empty(3, dtype=torch.float64)


def _fake_anneal(visible: Tensor, *args: Any) -> Any:
    n_chains = args[7]
    return torch.empty_like(visible), visible.new_empty(n_chains, dtype=torch.float64)


FAKES: dict[str, Callable[..., Any]] = {
    "pack_states": lambda s: s.new_empty(s.shape[1], _words(s.shape[0]), dtype=torch.int64),
    "unpack_states": lambda p, n: p.new_empty(n, p.shape[0], dtype=torch.uint8),
    "pack_weights": _fake_pack_weights,
    "hidden_mean": _fake_mean,
    "visible_mean": _fake_mean,
    "sample_hidden": _fake_sample,
    "sample_visible": _fake_sample,
    "gibbs_steps": _fake_gibbs,
    "connection_gradient": _fake_gradient,
    "ncg_update_": _fake_update,
    "train_step_": _fake_update,
    "train_steps_": lambda weight, *_: weight.new_empty(4, dtype=torch.float64),
    "free_energy": lambda v, t, b, c, e, n: b.new_empty(n, dtype=torch.float64),
    "anneal": _fake_anneal,
}


def _implementation(name: str, device_type: str) -> Callable[..., Any]:
    """The kernel torch calls; where arguments are written it also moves their version counters."""
    writes = name.endswith("_")
    chains_argument = N_MUTABLE + 1 if name.startswith("train_") else None

    def run(*args: Any) -> Any:
        result = getattr(backends.select(device_type), name)(*args)
        if writes:
            written = list(args[:N_MUTABLE])
            if chains_argument is not None:
                written.append(args[chains_argument])
            counted = [t for t in written if t is not None and not t.is_inference()]
            torch.autograd.graph.increment_version(counted)
        return result

    return run


LIBRARY = torch.library.Library("ncg_fast", "DEF")
for _name, _schema in SCHEMAS.items():
    LIBRARY.define(_name + _schema)
    for _device_type in ("cpu", "cuda"):
        LIBRARY.impl(_name, _implementation(_name, _device_type), _device_type.upper())
    torch.library.register_fake(f"ncg_fast::{_name}", FAKES[_name], lib=LIBRARY)
