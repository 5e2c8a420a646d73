"""Registration of the ops with torch.library: schemas, fake implementations, back ends.

The registered ops trust their arguments more than the public ones do, which check first: back ends
refuse only what would let a kernel leave its memory. Torch knows no records, so their fields are
passed one after the other; here, and only here, they become records again.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from string import ascii_lowercase
from typing import Any, get_type_hints

import torch
from torch import Tensor

from ncg_fast import backends
from ncg_fast.backends import records
from ncg_fast.backends.results import RESULTS, returned
from ncg_fast.backends.signatures import RECORDS, SIGNATURES, arguments

_WRITING = "phase_sums", "ncg_update_", "update_from_sums_", "gradient_update_", "train_steps_"
_WRITTEN = {*records.Parameters._fields, "chains", "sums_products", "sums_visible", "sums_hidden"}
_WRITTEN |= {"offsets_hidden"}


_TYPES = {Tensor: "Tensor", Tensor | None: "Tensor?", int: "int", float: "float"}


def _fields(kind: str, name: str) -> list[tuple[str, str]]:
    """Type and name of what is passed for an argument: of a record, of each of its fields."""
    record = RECORDS.get(kind)
    if record is None:
        return [(kind, name)]
    # An op may take two of the first; names of others' fields say what they are.
    prefix = f"{name}_" if record in (records.PhaseSums, records.Offsets) else ""
    return [(_TYPES[kind], prefix + field) for field, kind in get_type_hints(record).items()]


def _schema(op: str) -> str:
    """What torch parses: the fields of records, those that are written marked."""
    letters = iter(ascii_lowercase)
    flat = []
    for name, kind in arguments(op).items():
        for type_, field in _fields(kind, name):
            written = op in _WRITING and field in _WRITTEN
            mark = f"Tensor({next(letters)}!)" if written else "Tensor"
            flat.append(f"{type_.replace('Tensor', mark)} {field}")
    return f"{op}({', '.join(flat)}) -> {SIGNATURES[op].partition(' -> ')[2]}"


_NAMED = {
    op: [(name, RECORDS.get(kind)) for name, kind in arguments(op).items()] for op in SIGNATURES
}


def named(op: str, flat: tuple[Any, ...]) -> dict[str, Any]:
    """The arguments of a registered op by name, records made again from their fields."""
    given, rest = {}, iter(flat)
    for name, record in _NAMED[op]:
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
    LIBRARY.define(_schema(_op))
    for _device_type in backends.DEVICE_TYPES:
        LIBRARY.impl(_op, _implementation(_op, _device_type), _device_type.upper())
    torch.library.register_fake(f"ncg_fast::{_op}", _fake(_op), lib=LIBRARY)

registered: Any = torch.ops.ncg_fast
