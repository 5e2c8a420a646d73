"""A user's rows as states: what packed states, or levels, of the same values give."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from backend_choice import BackEnd
from parity import SHAPES, Machine, Shape, close, same_bits, wanted
from torch import Tensor

from ncg_fast import ops
from ncg_fast.backends.formats import pack_rows, pack_states
from ncg_fast.backends.numerics import to_levels
from ncg_fast.ops.registration import registered

WITH_VALUES = [shape for shape in SHAPES if shape != (31, 33, 0, 0)]


def agree(backend: BackEnd, rows: Tensor, m: Machine, digits: Any = None) -> None:
    """Means and free energies, in every variant, of rows and of what they stand for."""
    given = (digits or m.digits)[0], m.visible_bias, m.hidden_bias, m.exponent, len(rows)
    all_bits = bool(((rows == 0) | (rows == 1)).all())
    states = pack_states(rows == 1) if all_bits else to_levels(rows)
    mean = wanted("hidden_mean", states, m.digits[0], *given[2:])
    energy = wanted("free_energy", states, m.digits[0], *given[1:])
    for variant in backend.variants():
        what = f"{rows.dtype}, {backend.name}, {variant}"
        same_bits(backend.run("hidden_mean", rows, given[0], *given[2:]), mean, what)
        close(backend.run("free_energy", rows, *given), energy, what)


def grey(m: Machine) -> Tensor:
    """A fifth of the values between 0 and 1, others 0; of 16 bits."""
    g = torch.Generator().manual_seed(0)
    rows = torch.rand(m.rows.shape, generator=g)
    return rows * (torch.rand(m.rows.shape, generator=g) < 0.2)


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_of_bits(backend: BackEnd, shape: Shape, n_digits: int) -> None:
    m = Machine(shape, n_digits)
    for dtype in (torch.float32, torch.uint8, torch.bool):
        agree(backend, m.rows.to(dtype), m)


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_of_probabilities(backend: BackEnd, shape: Shape, n_digits: int) -> None:
    m = Machine(shape, n_digits)
    for rows in (grey(m), torch.floor(256 * grey(m)) / 255, m.levels / 65535):
        agree(backend, rows, m)


@pytest.mark.parametrize("shape", WITH_VALUES)
def test_one_value_makes_all_rows_levels(backend: BackEnd, shape: Shape) -> None:
    m = Machine(shape, 3)
    for value in (0.5, 1e-40, 1 - 2**-24, 0.5 / 65535, 2.5 / 65535):
        rows = m.rows.float()
        rows[-1, -1] = value
        agree(backend, rows, m)


def test_minus_zero_is_zero(backend: BackEnd) -> None:
    m = Machine((67, 35, 5, 6), 3)
    agree(backend, m.rows.float().masked_fill(~m.rows, -0.0), m)
    agree(backend, grey(m).masked_fill(~m.rows, -0.0), m)


def test_strided_rows(backend: BackEnd) -> None:
    m = Machine((67, 35, 5, 6), 3)
    for rows in (m.rows.float(), m.rows, grey(m)):
        agree(backend, rows.t().contiguous().t(), m)
        agree(backend, torch.stack([rows, rows], 2)[..., 1], m)


def test_visible_means(backend: BackEnd) -> None:
    m = Machine((35, 67, 5, 6), 3)
    given = m.digits[1], m.visible_bias, m.exponent, 5
    rows = torch.rand(5, 67, generator=torch.Generator().manual_seed(0))
    mean = wanted("visible_mean", to_levels(rows), *given)
    for variant in backend.variants():
        same_bits(backend.run("visible_mean", rows, *given), mean, variant)


@pytest.mark.parametrize("capacity", [None, 127 * 5])
def test_many_rows(cpu_backend: BackEnd, capacity: int | None) -> None:
    """So many that threads share the reading of them, too."""
    m = Machine((127, 5, 1100, 1), 3)
    digits = ops.pack_weights(m.weight, m.mask, 3, m.exponent, capacity=capacity)
    for rows in (m.rows, m.rows.float(), grey(m)):
        agree(cpu_backend, rows, m, digits)


@pytest.mark.parametrize("row", [0, 137, 412, 687, 1099])
def test_one_value_in_any_of_many_rows(cpu_backend: BackEnd, row: int) -> None:
    """Whichever thread reads it."""
    m = Machine((127, 5, 1100, 1), 3)
    rows = m.rows.float()
    rows[row, -1] = 0.5
    agree(cpu_backend, rows, m)
    rows[row, -1] = float("nan")
    for variant in cpu_backend.variants():
        with pytest.raises(ValueError, match=r"^hidden_mean: visible must .*, got NaN"):
            cpu_backend.run("hidden_mean", rows, *m.to_hidden())
            pytest.fail(variant)


@pytest.mark.parametrize("shape", WITH_VALUES)
def test_rows_with_sparse_digits(cpu_backend: BackEnd, shape: Shape) -> None:
    m = Machine(shape, 3, density=0.2)
    digits = ops.pack_weights(m.weight, m.mask, 3, m.exponent, capacity=m.weight.numel())
    for rows in (m.rows, grey(m)):
        agree(cpu_backend, rows, m, digits)


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("n_visible", [8192, 8193, 16449])
def test_levels_of_many_inputs(cpu_backend: BackEnd, n_visible: int, n_digits: int) -> None:
    """One more than sums of 32 bits hold, and some more."""
    m = Machine((n_visible, 3, 5, 5), n_digits)
    agree(cpu_backend, torch.rand(5, n_visible, generator=torch.Generator().manual_seed(0)), m)


@pytest.mark.parametrize("n_visible", [8192, 11100])  # so many at once would wrap
@pytest.mark.parametrize("level", [0x00FF, 0xFF00, 0xFEFE, 0xFFFE])
@pytest.mark.parametrize("digits", [(-128, 127, -127), (-128, -128, -127), (127, -128, 127)])
def test_extreme_sums_of_levels(
    cpu_backend: BackEnd, digits: tuple[int, int, int], level: int, n_visible: int
) -> None:
    """Products at the points where sums of digits and of bytes are largest."""
    m = Machine((n_visible, 3, 5, 5), 3)
    q = sum(digit << 8 * place for place, digit in enumerate(digits))
    packed = pack_rows(torch.full((3, n_visible), q), 3)
    m.digits, m.exponent = (packed, packed), -13
    rows = torch.full((5, n_visible), level / 65535)
    assert 0 < float(wanted("hidden_mean", to_levels(rows), *m.to_hidden())[0].min()) < 1
    agree(cpu_backend, rows, m)


WRONG = {
    "NaN": float("nan"),
    "-1.1e-6": -1.1e-6,
    "1 + 1.1e-6": 1 + 1.1e-6,
    "inf": float("inf"),
    "-inf": -float("inf"),
}


@pytest.mark.parametrize("op", ["hidden_mean", "free_energy"])
@pytest.mark.parametrize("value", WRONG)
def test_other_values_are_refused(backend: BackEnd, value: str, op: str) -> None:
    m = Machine((67, 35, 5, 6), 3)
    biases = (m.hidden_bias,) if op == "hidden_mean" else (m.visible_bias, m.hidden_bias)
    for rows in (m.rows.float(), m.levels / 65535):
        for at in ((0, 0), (-1, -1)):
            rows[at] = WRONG[value]
            for variant in backend.variants():
                with pytest.raises(ValueError, match=rf"^{op}: visible must hold values in \[0, 1"):
                    backend.run(op, rows, m.digits[0], *biases, m.exponent, 5)
                    pytest.fail(variant)


@pytest.mark.parametrize("op", ["hidden_mean", "free_energy"])
@pytest.mark.parametrize("value", [-1e-7, -1e-45, 1 + 2**-23])
def test_what_rounding_put_outside_counts_as_the_end(
    backend: BackEnd, value: float, op: str
) -> None:
    m = Machine((67, 35, 5, 6), 3)
    biases = (m.hidden_bias,) if op == "hidden_mean" else (m.visible_bias, m.hidden_bias)
    for rows in (m.rows.float(), m.levels / 65535):
        for at in ((0, 0), (-1, -1)):
            rows[at] = value
        clipped = rows.clamp(0, 1)
        assert not torch.equal(rows, clipped)
        for _ in backend.variants():
            found, want = (
                backend.run(op, each, m.digits[0], *biases, m.exponent, 5)
                for each in (rows, clipped)
            )
            assert torch.equal(found[0], want[0])


def test_other_bytes_are_refused(backend: BackEnd) -> None:
    m = Machine((67, 35, 5, 6), 3)
    rows = m.rows.to(torch.uint8)
    rows[-1, -1] = 255
    message = r"^hidden_mean: visible must hold only 0 and 1, got values in \[0, 255\]\."
    for variant in backend.variants():
        with pytest.raises(ValueError, match=message):
            backend.run("hidden_mean", rows, *m.to_hidden())
            pytest.fail(variant)


def test_rows_of_other_sizes_are_refused() -> None:
    m = Machine((67, 35, 5, 6), 3)
    message = r"^hidden_mean: visible must have shape \(B, n_units\)"
    with pytest.raises(ValueError, match=message):
        ops.hidden_mean(m.rows[:4], *m.to_hidden())
    with pytest.raises(ValueError, match=r"^hidden_mean: to_hidden must have shape"):
        ops.hidden_mean(m.rows[:, :-1], *m.to_hidden())
    layer = m.digits[0], m.hidden_bias, m.exponent
    for dtype in (torch.float32, torch.uint8, torch.bool):
        rows = m.rows.to(dtype)
        for wrong in (rows[:, :-1], rows[:-1], rows[0], rows[:0]):
            with pytest.raises(ValueError, match=r"^mean: \w+ must "):
                registered.mean(wrong, 5, *layer)
            with pytest.raises(ValueError, match=r"^free_energy: \w+ must "):
                registered.free_energy(wrong, 5, *layer, m.visible_bias)


def test_ops_that_take_no_rows_say_so() -> None:
    m = Machine((67, 35, 5, 6), 3)
    rows = m.rows.float()
    with pytest.raises(ValueError, match=r"^sample_hidden: visible must .*Use pack_states"):
        ops.sample_hidden(rows, *m.to_hidden(), seed=0)
    with pytest.raises(ValueError, match=r"^gibbs_steps: visible must .*Use pack_states"):
        ops.gibbs_steps(rows, *m.model(), 1, seed=0)
    layer = m.digits[0], m.hidden_bias, m.exponent
    with pytest.raises(ValueError, match=r"^sample: \w+ must "):
        registered.sample(rows, 5, *layer, 0, 0, 0, None, 0, 0)
