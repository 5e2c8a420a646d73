"""Registered ops past the checks of the public ones: the binding keeps kernels in their memory.

Sizes are one past a panel, a block and a word, so that one unit or chain fewer changes every
layout. Each test is run with dense and with sparse digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from raw_calls import bad_integers, raw_calls
from torch import Tensor

from ncg_fast.backends import cpu, reference
from ncg_fast.ops.registration import SIGNATURES, call

N_VISIBLE, N_HIDDEN, N = 129, 65, 65  # one more than whole blocks
REFUSED = ValueError, RuntimeError

# These set the size of the result alone.
MAY_BE_SHORTER = {("pack_states", "states"), ("anneal", "betas")}
MAY_BE_EMPTY = {("pack_states", "states"), ("unpack_states", "packed")}
DTYPES = torch.bool, torch.uint8, torch.int16, torch.int32, torch.int64, torch.float64
ALSO_TAKEN = {("pack_states", "states", torch.uint8)}

# No tensor has as many rows as the sums.
ALLOWED_COUNTS = {("update_from_sums_", n) for n in (N - 1, N + 64)}
BAD_INTEGERS = bad_integers(N_VISIBLE, N)

_CAPACITIES: list[int | None] = [None]  # of the digits of calls()


DENSE = pytest.mark.parametrize("capacity", [None], indirect=True)


@pytest.fixture(autouse=True, params=[None, N_HIDDEN * N_VISIBLE], ids=["dense", "sparse"])
def capacity(request: Any) -> Iterator[None]:
    _CAPACITIES.append(request.param)
    yield
    _CAPACITIES.pop()


def calls() -> dict[str, tuple[Any, ...]]:
    """One correct call of each op, with every tensor given."""
    return raw_calls(N_VISIBLE, N_HIDDEN, N, _CAPACITIES[-1])


def registered(name: str) -> Any:
    return getattr(torch.ops.ncg_fast, name).default


def arguments(kind: str) -> list[tuple[str, int]]:
    """(op, position) of the arguments of this kind in the schemas."""
    return [
        (name, at)
        for name in SIGNATURES
        for at, argument in enumerate(registered(name)._schema.arguments)
        if str(argument.type).removeprefix("Optional[").rstrip("]") == kind
    ]


def argument_name(op: str, at: int) -> str:
    return registered(op)._schema.arguments[at].name


def is_written(op: str, at: int) -> bool:
    alias = registered(op)._schema.arguments[at].alias_info
    return alias is not None and alias.is_write


def with_argument(op: str, at: int, change: Callable[[Tensor], Any]) -> tuple[Any, ...]:
    given = list(calls()[op])
    given[at] = change(given[at])
    return tuple(given)


UNUSED = {("train_steps_", "beta"), ("anneal", "beta")}
TENSORS = [(op, at) for op, at in arguments("Tensor") if (op, argument_name(op, at)) not in UNUSED]
INTEGERS = arguments("int")


def each(pairs: list[tuple[str, int]]) -> Any:
    names = [f"{op}-{argument_name(op, at)}" for op, at in pairs]
    return pytest.mark.parametrize(("op", "at"), pairs, ids=names)


def test_every_argument_of_every_op_is_tried() -> None:
    assert list(calls()) == list(SIGNATURES)
    kinds = ("Tensor", "int", "float", "bool")
    n_arguments = sum(len(registered(name)._schema.arguments) for name in SIGNATURES)
    assert sum(len(arguments(kind)) for kind in kinds) == n_arguments
    assert all(isinstance(calls()[op][at], Tensor) for op, at in TENSORS)
    assert {argument_name(op, at) for op, at in INTEGERS} == set(BAD_INTEGERS)


@pytest.mark.parametrize("op", SIGNATURES)
def test_correct_calls_equal_the_reference(op: str) -> None:
    got_arguments, want_arguments = calls()[op], calls()[op]
    got, want = registered(op)(*got_arguments), call(reference, op, want_arguments)
    got, want = (r if isinstance(r, tuple) else (r,) for r in (got, want))
    for a, b in zip((*got, *got_arguments), (*want, *want_arguments), strict=True):
        if not isinstance(a, Tensor):
            continue
        if op in ("free_energy", "anneal") and a.dtype == torch.float64:
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
        else:
            assert torch.equal(a, b)


def faults(tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    yield "empty", tensor.new_empty(0)
    yield "without axes", tensor.new_zeros(())
    yield "without elements", tensor[:0]
    yield "one axis more", tensor[..., None].expand(*tensor.shape, 2)
    yield (
        "without memory",
        torch.empty(0).to(tensor.dtype).set_(torch.UntypedStorage(0), 0, (0,), (1,)),
    )


@each(TENSORS)
def test_sizes_are_checked(op: str, at: int) -> None:
    for what, fault in faults(calls()[op][at]):
        if what == "without elements" and (op, argument_name(op, at)) in MAY_BE_EMPTY:
            continue
        with pytest.raises(REFUSED):
            registered(op)(*with_argument(op, at, lambda _, fault=fault: fault))
            pytest.fail(what)
    if (op, argument_name(op, at)) not in MAY_BE_SHORTER:
        with pytest.raises(REFUSED, match=rf"{op}: \w+ must "):
            registered(op)(*with_argument(op, at, lambda t: t[..., :-1].contiguous()))


@each(TENSORS)
def test_dtypes_are_checked(op: str, at: int) -> None:
    own = calls()[op][at].dtype
    for dtype in (*DTYPES, torch.float16, torch.float32):
        if dtype != own and (op, argument_name(op, at), dtype) not in ALSO_TAKEN:
            with pytest.raises(REFUSED, match=rf"{op}: \w+ must "):
                registered(op)(*with_argument(op, at, lambda t, dtype=dtype: t.to(dtype)))


@each(TENSORS)
def test_strided_tensors(op: str, at: int) -> None:
    """They are read as their contiguous copies are, and never written."""

    def spread(tensor: Tensor) -> Tensor:
        return torch.stack([tensor, tensor], -1)[..., 0]

    strided, found = with_argument(op, at, spread), []
    if is_written(op, at):
        with pytest.raises(ValueError, match=rf"{op}: {argument_name(op, at)} must be contiguous"):
            registered(op)(*strided)
        return
    contiguous = calls()[op]
    for given in (strided, contiguous):
        result = registered(op)(*given)
        found.append([*(result if isinstance(result, tuple) else (result,)), *given])
    for got, want in zip(*found, strict=True):
        assert not isinstance(got, Tensor) or torch.equal(got, want)


@each([(op, at) for op, at in TENSORS if calls()[op][at].dim() > 1])
def test_transposed_tensors(op: str, at: int) -> None:
    """Of the right number of elements, and read as they are; or refused."""
    if calls()[op][at].dim() == 1:  # sparse digits
        return
    turned = with_argument(op, at, lambda t: t.permute(*reversed(range(t.dim()))))
    if is_written(op, at):
        with pytest.raises(REFUSED):
            registered(op)(*turned)
        return
    try:
        registered(op)(*turned)
    except REFUSED:
        return


@each(INTEGERS)
def test_integers_are_checked(op: str, at: int) -> None:
    for value in BAD_INTEGERS[argument_name(op, at)]:
        if (op, value) in ALLOWED_COUNTS:
            continue
        with pytest.raises(REFUSED):
            registered(op)(*with_argument(op, at, lambda _, value=value: value))
            pytest.fail(f"{value}")


@pytest.mark.parametrize("op", ["ncg_update_", "train_steps_"])
def test_refused_updates_write_nothing(op: str) -> None:
    given = calls()[op]
    before = [t.clone() for t in given if isinstance(t, Tensor)]
    for at in (6, 9, 11):
        with pytest.raises(ValueError):
            registered(op)(*(t[:-1] if k == at else t for k, t in enumerate(given)))
    assert all(
        torch.equal(t, old)
        for t, old in zip((t for t in given if isinstance(t, Tensor)), before, strict=True)
    )


@DENSE
def test_sizes_whose_product_overflows() -> None:
    """No units and so many chains: counts of 0 on both sides, scratch memory of 2**65 bytes."""
    n_hidden, n_rows = 2**15, 2**49
    weight, digits = torch.zeros(n_hidden, 0), torch.zeros(1, 512, 1, 64, dtype=torch.int16)
    tensors = weight, None, weight.bool(), torch.zeros(0), torch.zeros(n_hidden), digits
    back = torch.zeros(1, 0, n_hidden + 1, 64, dtype=torch.int16)
    none = None, None, None
    data = torch.zeros(1, 0, n_rows // 64, dtype=torch.int64)
    options = 0.1, 0.0, 0.0, 0.0, None, None, None, 1, 0, 0, None, 0, 0, 0, 0.0, 1e30
    batch = n_rows, n_rows, 1, *options
    with pytest.raises(ValueError, match=r"train_steps_: n_rows must be in \[1, 2147483648\]"):
        registered("train_steps_")(*tensors, back, *none, data, None, *batch)


@DENSE
def test_memory_that_was_given_back() -> None:
    given = calls()["mean"]
    given[2].untyped_storage().resize_(0)
    with pytest.raises(ValueError, match=r"digits must hold .* without memory"):
        registered("mean")(*given)


def test_memory_that_kernels_do_not_reach() -> None:
    for op, tensor in (
        ("pack_states", calls()["pack_states"][0]),
        ("mean", calls()["mean"][0]),
    ):
        given = tensor.to("meta"), *calls()[op][1:]
        with pytest.raises(
            ValueError, match=rf"{op}: \w+ must have \.is_cpu, got a tensor without"
        ):
            call(cpu.launcher, op, given)


@DENSE
@pytest.mark.parametrize(("op", "at"), [("mean", 2), ("ncg_update_", 6)])
def test_digits_of_odd_addresses(op: str, at: int) -> None:
    def moved(digits: Tensor) -> Tensor:
        memory = torch.empty(digits.numel() + 1, dtype=digits.dtype)
        return memory[1:].view(digits.shape).copy_(digits)

    with pytest.raises(ValueError, match=rf"{op}: \w+ must begin at a multiple of 16 bytes"):
        registered(op)(*with_argument(op, at, moved))


@pytest.mark.parametrize("capacity", [N_HIDDEN * N_VISIBLE], indirect=True)
def test_sparse_digits_of_one_memory() -> None:
    """Each direction is read while the other is written."""
    given = list(calls()["train_steps_"])
    n_hidden, n_visible = given[5].numel(), given[6].numel()
    memory = torch.zeros(n_hidden + n_visible - 1, dtype=torch.int32)
    memory[:n_hidden] = given[5]
    given[5], given[6] = memory[:n_hidden], memory[-n_visible:]
    given[6][:4] = calls()["train_steps_"][6][:4]
    with pytest.raises(ValueError, match="train_steps_: to_visible must have memory of its own"):
        registered("train_steps_")(*given)


@pytest.mark.parametrize("capacity", [N_HIDDEN * N_VISIBLE], indirect=True)
@pytest.mark.parametrize(
    "op", ["ncg_update_", "update_from_sums_", "gradient_update_", "train_steps_"]
)
@pytest.mark.parametrize(("at", "digits"), [(2, 5), (2, 6), (0, 5), (1, 6)])
def test_lists_of_connections_share_no_memory(op: str, at: int, digits: int) -> None:
    """They are made of the weights and the mask, which are written before."""
    given = list(calls()[op])
    memory = given[digits].view(given[at].dtype)[8:]
    given[at] = memory[: given[at].numel()].view(given[at].shape)
    with pytest.raises(ValueError, match=rf"{op}: \w+ must have memory of its own"):
        registered(op)(*given)


@DENSE
def test_messages() -> None:
    given = list(calls()["gibbs_steps"])
    given[2] = given[2].to(torch.int8)
    with pytest.raises(ValueError) as error:
        registered("gibbs_steps")(*given)
    n = math.prod(given[2].shape)
    assert str(error.value) == (
        f"gibbs_steps: to_hidden must hold {n} elements of torch.int16, got {n} of torch.int8. "
        "Call ncg_fast.ops.gibbs_steps, which checks."
    )
    given = calls()["pack_weights"]
    with pytest.raises(ValueError) as error:
        registered("pack_weights")(*given[:2], 4, 0, None)
    assert str(error.value) == (
        "pack_weights: n_digits must be in [2, 3], got 4. "
        "Call ncg_fast.ops.pack_weights, which checks."
    )
