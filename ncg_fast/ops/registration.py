"""Registration of the ops with torch.library: schemas, fake implementations, back ends.

The registered ops trust their arguments more than the public ones do, which check first: back ends
refuse only what would let a kernel leave its memory. Torch knows no records, so their fields are
passed one after the other; here, and only here, they become records again.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from string import ascii_lowercase
from typing import Any, NamedTuple, get_type_hints

import torch
from torch import Tensor

from ncg_fast import backends
from ncg_fast.backends import records
from ncg_fast.backends.results import RESULTS, returned

# The functions of a back end, in the order of a compiled module. A record stands for its fields.
SIGNATURES = {
    "pack_states": "Tensor states -> Tensor",
    "unpack_states": "Tensor packed, int n_chains -> Tensor",
    "pack_weights": "Tensor weight, Tensor? mask, int n_digits, int weight_exponent, int? capacity "
    "-> (Tensor, Tensor)",
    "mean": "Tensor states, int n_chains, Layer layer -> Tensor",
    "sample": "Tensor states, int n_chains, Layer layer, Draw draw, int stream -> Tensor",
    "gibbs_steps": "Tensor visible, int n_chains, Model model, int n_steps, Draw draw, "
    "Tensor? clamped -> (Tensor, Tensor)",
    "connection_gradient": "Phases phases, Tensor? weight, Tensor? mask "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    "phase_sums": "Tensor hidden, Tensor visible, PhaseSums sums -> ()",
    "ncg_update_": "Parameters parameters, Phases phases, Rates rates, int weight_exponent, "
    "int n_labels -> Tensor",
    "update_from_sums_": "Parameters parameters, PhaseSums data, PhaseSums model, int n_rows, "
    "int n_chains, bool data_levels, Rates rates, int weight_exponent, int n_labels -> Tensor",
    "train_steps_": "Parameters parameters, Batch batch, Rates rates, Draw draw, "
    "int weight_exponent, int n_labels, float least, float most -> Tensor",
    "free_energy": "Tensor visible, int n_chains, Layer layer, Tensor visible_bias -> Tensor",
    "anneal": "Tensor visible, int n_chains, Model model, Tensor base_bias, Tensor betas, "
    "Draw draw -> (Tensor, Tensor)",
}
_WRITING = "phase_sums", "ncg_update_", "update_from_sums_", "train_steps_"
_WRITTEN = {*records.Parameters._fields, "chains", "sums_products", "sums_visible", "sums_hidden"}


_RECORDS: dict[str, Any] = {
    record.__name__: record
    for record in (
        records.Layer,
        records.Model,
        records.Draw,
        records.Phases,
        records.PhaseSums,
        records.Batch,
        records.Rates,
        records.Parameters,
    )
}
_TYPES = {Tensor: "Tensor", Tensor | None: "Tensor?", int: "int", float: "float"}


class Argument(NamedTuple):
    """An argument of a back end's function, and the record that it is, if any."""

    name: str
    record: Any


def _fields(kind: str, name: str) -> list[tuple[str, str]]:
    """Type and name of what is passed for an argument: of a record, of each of its fields."""
    record = _RECORDS.get(kind)
    if record is None:
        return [(kind, name)]
    prefix = f"{name}_" if record is records.PhaseSums else ""  # an op may take two
    return [(_TYPES[kind], prefix + field) for field, kind in get_type_hints(record).items()]


def _parsed(op: str) -> tuple[tuple[Argument, ...], str]:
    """The arguments of the back ends' function, and the schema of the registered op."""
    given, _, results = SIGNATURES[op].partition(" -> ")
    arguments, flat, letters = [], [], iter(ascii_lowercase)
    for text in given.split(", "):
        kind, name = text.split(" ")
        arguments.append(Argument(name, _RECORDS.get(kind)))
        for type_, field in _fields(kind, name):
            written = op in _WRITING and field in _WRITTEN
            mark = f"Tensor({next(letters)}!)" if written else "Tensor"
            flat.append(f"{type_.replace('Tensor', mark)} {field}")
    return tuple(arguments), f"{op}({', '.join(flat)}) -> {results}"


_ARGUMENTS = {op: _parsed(op)[0] for op in SIGNATURES}


def named(op: str, flat: tuple[Any, ...]) -> dict[str, Any]:
    """The arguments of a registered op by name, records made again from their fields."""
    given, rest = {}, iter(flat)
    for name, record in _ARGUMENTS[op]:
        if record is None:
            given[name] = next(rest)
        else:
            given[name] = record._make(islice(rest, len(record._fields)))
    return given


def call(backend: Any, op: str, flat: tuple[Any, ...]) -> Any:
    """Runs a registered op, its arguments one after the other, on a back end."""
    return getattr(backend, op)(**named(op, flat))


def _implementation(op: str, device_type: str) -> Callable[..., Any]:
    """What torch calls; where arguments are written it also moves their version counters."""

    def run(*flat: Any) -> Any:
        return call(backends.select(device_type), op, flat)

    def run_and_count(*flat: Any) -> Any:
        result = run(*flat)
        tensors = (flat[i] for i in written)
        counted = [t for t in tensors if t is not None and not t.is_inference()]
        torch.autograd.graph.increment_version(counted)
        return result

    arguments = getattr(torch.ops.ncg_fast, op).default._schema.arguments
    written = [i for i, argument in enumerate(arguments) if argument.is_write]
    return run_and_count if written else run


def _fake(op: str) -> Callable[..., Any]:
    """Results as torch.compile needs them: shapes and dtypes without values."""
    return lambda *flat: returned(RESULTS[op](**named(op, flat)))


LIBRARY = torch.library.Library("ncg_fast", "DEF")
for _op in SIGNATURES:
    LIBRARY.define(_parsed(_op)[1])
    for _device_type in backends.DEVICE_TYPES:
        LIBRARY.impl(_op, _implementation(_op, _device_type), _device_type.upper())
    torch.library.register_fake(f"ncg_fast::{_op}", _fake(_op), lib=LIBRARY)

registered: Any = torch.ops.ncg_fast
