"""The functions of the compiled module itself, without the launcher: they keep to their memory.

The launcher allocates what they fill; here results are too small, too, and counts do not go with
tensors that were allocated for others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from calls import call, launcher
from raw_calls import bad_integers, raw_calls
from torch import Tensor

from ncg_fast import _cpu
from ncg_fast.ops.registration import SIGNATURES

N_VISIBLE, N_HIDDEN, N = 129, 65, 65  # one more than whole blocks
BAD = bad_integers(N_VISIBLE, N)
NAMES = {
    op: [text.split()[1] for text in signature.partition(" -> ")[0].split(", ")]
    for op, signature in SIGNATURES.items()
}
# These say how large a result is; nothing else goes with them.
MAY_BE_SHORTER = {("anneal", "betas")}
COUNTS = {("update_from_sums_", name) for name in ("n_rows", "n_chains")}


def compiled_call(op: str, capacity: int | None) -> tuple[Callable[..., None], list[Any]]:
    """A function of the module, and what the launcher gives it."""
    found: list[Any] = []

    def note(function: Callable[..., None], *arguments: Any) -> None:
        found[:] = function, list(arguments)

    flat = raw_calls(N_VISIBLE, N_HIDDEN, N, capacity)[op]
    call(launcher(_cpu, lambda: 1, note), op, *flat)
    return found[0], found[1]


def shorter(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1)[:-1].clone()


def other_dtype(tensor: Tensor) -> Tensor:
    return tensor.to(torch.int8)


def without_memory(tensor: Tensor) -> Tensor:
    emptied = tensor.clone()
    emptied.untyped_storage().resize_(0)
    return emptied


def faults(op: str, name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Wrong values for one argument, or one field of a record."""
    if isinstance(value, Tensor):
        if (op, name) not in MAY_BE_SHORTER:
            yield f"shorter {name}", shorter(value)
        yield f"{name} of another dtype", other_dtype(value)
        yield f"{name} without memory", without_memory(value)
    elif hasattr(value, "_fields"):
        for field, own in zip(value._fields, value, strict=True):
            for what, wrong in faults(op, field, own):
                yield f"{what} of {name}", value._replace(**{field: wrong})
    elif type(value) is int and name in BAD:
        for wrong in BAD[name]:
            if (op, name) not in COUNTS or wrong not in (N - 1, N + 64):
                yield f"{name} = {wrong}", wrong


@pytest.mark.parametrize("capacity", [None, N_HIDDEN * N_VISIBLE], ids=["dense", "sparse"])
@pytest.mark.parametrize("op", SIGNATURES)
def test_wrong_memory_is_refused(op: str, capacity: int | None) -> None:
    function, arguments = compiled_call(op, capacity)
    function(*arguments)
    names = [*NAMES[op], *(f"result {i}" for i in range(len(arguments) - len(NAMES[op]) - 2))]
    n_tried = 0
    for at, name in enumerate(names):
        for what, wrong in faults(op, name, arguments[at]):
            changed = [wrong if i == at else value for i, value in enumerate(arguments)]
            with pytest.raises(ValueError, match=r"^\w+: [\w.]+ must "):
                function(*changed)
                pytest.fail(f"{op} takes {what}")
            n_tried += 1
    assert n_tried > 3
    function(*arguments)
