"""scan_weights: every back end gives the bits of reference.py, and any change shows in them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from backend_choice import BackEnd
from calls import call
from parity import same_bits
from torch import Tensor

from ncg_fast.backends import reference
from ncg_fast.backends.numerics import CHUNK, mixed32, mixed64

SIZES = [(1, 1), (1, 2), (5, 7), (33, 31), (32, 32), (1, CHUNK + 1), (61, 67), (3, 2 * CHUNK - 1)]


def machine(n_hidden: int, n_visible: int, density: float = 0.5) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(n_hidden + n_visible)
    weight = torch.randn(n_hidden, n_visible, generator=g)
    return weight, torch.rand(n_hidden, n_visible, generator=g) < density


def agrees(backend: BackEnd, weight: Tensor, mask: Tensor) -> None:
    want = reference.scan_weights(weight, mask)
    there = weight.to(backend.device), mask.to(backend.device)
    for variant in backend.variants():
        same_bits(call(backend.kernels, "scan_weights", *there).cpu(), want, variant)


@pytest.mark.parametrize("density", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("n_hidden", "n_visible"), SIZES)
def test_sizes(backend: BackEnd, n_hidden: int, n_visible: int, density: float) -> None:
    agrees(backend, *machine(n_hidden, n_visible, density))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_no_pairs(backend: BackEnd, shape: tuple[int, int]) -> None:
    agrees(backend, torch.zeros(shape), torch.zeros(shape, dtype=torch.bool))


@pytest.mark.parametrize("bad", [math.nan, -math.nan, math.inf, -math.inf, -3e38, -0.0, 1e-45])
def test_special_values(backend: BackEnd, bad: float) -> None:
    weight, mask = machine(61, 67)
    for on in (True, False):
        weight[60, 66], mask[60, 66] = bad, on
        agrees(backend, weight, mask)


def test_views_without_alignment(backend: BackEnd) -> None:
    weight, mask = machine(1, 2 * CHUNK + 3)
    agrees(backend, weight[:, 1:], mask[:, 1:])
    agrees(backend, weight.t().contiguous().t(), mask[:, ::2].repeat(1, 2)[:, 1:])


@pytest.mark.slow
def test_many_pairs(cpu_backend: BackEnd) -> None:
    """Shared out among threads; what runs on past 32 bits is the same."""
    agrees(cpu_backend, *machine(3000, 3000))


def test_what_is_found() -> None:
    weight = torch.tensor([[1.0, -5.0, 9.0], [math.nan, 2.0, math.inf]])
    mask = torch.tensor([[True, True, False], [False, True, False]])

    def found() -> tuple[float, int]:
        bits, n_on, *_ = reference.scan_weights(weight, mask).tolist()
        return float(torch.tensor(bits, dtype=torch.int32).view(torch.float32)), n_on

    assert found() == (5.0, 3)
    mask[1, 2] = True
    assert found() == (math.inf, 4)
    mask[1, 0] = True
    assert math.isnan(found()[0]) and found()[1] == 5
    mask[:] = False
    assert found() == (0.0, 0)


def test_permutations_are_those_of_murmurhash() -> None:
    one = torch.tensor([1])
    assert int(mixed32(one)) == 0x514E28B7
    assert int(mixed64(one)) % 2**64 == 0xB456BCFC34C2CB2C


def fingerprint(weight: Tensor, mask: Tensor) -> tuple[int, ...]:
    return tuple(reference.scan_weights(weight, mask)[2:].tolist())


def changes(weight: Tensor, mask: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Machines that differ from this one."""
    bits, count = weight.view(torch.int32).flatten(), weight.numel()

    def with_bits(changed: Tensor) -> Tensor:
        return changed.view(torch.float32).view(weight.shape)

    g = torch.Generator().manual_seed(0)
    on = mask.flatten().nonzero().flatten()
    for element in on[torch.randperm(len(on), generator=g)[:20]].tolist():
        for bit in range(32):
            changed = bits.clone()
            changed[element] ^= 1 << bit if bit < 31 else -(1 << 31)
            yield f"bit {bit} of {element}", with_bits(changed), mask
    for element in torch.randperm(count, generator=g)[:200].tolist():
        switched = mask.flatten().clone()
        switched[element] ^= True
        yield f"switch {element}", weight, switched.view(mask.shape)
    for _ in range(300):
        a, b = torch.randint(count, (2,), generator=g).tolist()
        if bits[a] != bits[b] and mask.view(-1)[a] and mask.view(-1)[b]:
            changed = bits.clone()
            changed[a], changed[b] = bits[b], bits[a]
            yield f"{a} and {b} change places", with_bits(changed), mask
    yield "another sign", -weight, mask
    yield "double", 2 * weight, mask
    for by in (1, 2, 64, CHUNK, 2 * CHUNK):
        yield f"{by} on", weight.flatten().roll(by).view(weight.shape), mask
        yield f"mask {by} on", weight, mask.flatten().roll(by).view(mask.shape)


@pytest.mark.parametrize(("n_hidden", "n_visible"), [(61, 67), (8, CHUNK), (5, 7)])
def test_every_change_shows(n_hidden: int, n_visible: int) -> None:
    weight, mask = machine(n_hidden, n_visible)
    seen = {fingerprint(weight, mask): "nothing"}
    for what, *changed in changes(weight, mask):
        found = fingerprint(*changed)
        assert n_visible * n_hidden < CHUNK or found not in seen, (what, seen.get(found))
        assert found != fingerprint(weight, mask), what
        seen[found] = what


@pytest.mark.parametrize("value", [0.0, 1.0, -0.5])
@pytest.mark.parametrize("n", [2, 8, 33, 64])
def test_patterns_of_equal_weights_differ(n: int, value: float) -> None:
    """Sums over places that a pattern and its mirror image share tell them apart nevertheless."""
    weight, eye = torch.full((n, n), value), torch.eye(n, dtype=torch.bool)
    line, square = torch.arange(n) < n // 2, torch.zeros(n, n, dtype=torch.bool)
    square[: n // 2] = True
    patterns = [eye, eye.fliplr(), eye.roll(1, 0), eye.roll(1, 1).roll(1, 0).fliplr()]
    patterns += [square, square.t(), square.flipud(), line[:, None] ^ line, line[:, None] == line]
    patterns += [~pattern for pattern in patterns]
    different = {tuple(pattern.flatten().tolist()) for pattern in patterns}
    assert len({fingerprint(weight, pattern) for pattern in patterns}) == len(different)


def test_weights_that_are_off_do_not_show() -> None:
    weight, mask = machine(61, 67)
    want = reference.scan_weights(weight, mask)
    for value in (0.0, -3.0, 1e30, math.inf, math.nan):
        assert torch.equal(reference.scan_weights(torch.where(mask, weight, value), mask), want)
