"""Arithmetic and random numbers of the contract against published vectors, libm, integers."""

from __future__ import annotations

import ctypes
import ctypes.util
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncg_fast.backends import numerics

SIZES = [(1, 1), (7, 5), (61, 67), (127, 131)]


def libm_fma(a, b, c):
    name = ctypes.util.find_library("m")
    if name is None:
        pytest.skip("needs the C library of mathematics")
    function = ctypes.CDLL(name).fmaf
    function.argtypes, function.restype = [ctypes.c_float] * 3, ctypes.c_float
    rows = zip(a.tolist(), b.tolist(), c.tolist(), strict=True)
    return torch.tensor([function(*row) for row in rows], dtype=torch.float32)


def hard_cases():
    """Products whose sum with the addend cancels, lies near a tie, is denormal or overflows."""
    rng = np.random.default_rng(0)
    n = 4000

    def floats(low, high):
        return np.ldexp(
            rng.integers(2**23, 2**24, n) * rng.choice([-1.0, 1.0], n),
            rng.integers(low, high, n) - 23,
        )

    a, b = floats(-3, 3), floats(-3, 3)
    tie = np.ldexp(1 + np.ldexp(1.0, -rng.integers(1, 24, n)), rng.integers(-60, 60, n))
    tiny = np.ldexp(rng.choice([-1.0, 1.0], n), rng.integers(-149, -120, n))
    groups = [
        (a, b, floats(-30, 30)),
        (a, b, -(a * b)),  # cancels but for the rounding of c
        (tie, tie, tiny),  # the product is often a tie in float32, c breaks it far below
        (floats(-75, -60), floats(-75, -60), tiny),  # denormal results
        (floats(-149, -126), floats(-3, 3), floats(-149, -126)),  # denormal inputs
        (floats(60, 66), floats(60, 64), floats(120, 127)),  # overflow
    ]
    parts = [torch.from_numpy(np.concatenate(part)).float() for part in zip(*groups, strict=True)]
    special = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1e-45, -1e-45, 3.4028235e38]
    table = torch.tensor(list(itertools.product(special, repeat=3)))
    return [torch.cat([part, column]) for part, column in zip(parts, table.t(), strict=True)]


def same_bits(x, y):
    return torch.equal(x.isnan(), y.isnan()) and torch.equal(
        x.nan_to_num(0).view(torch.int32), y.nan_to_num(0).view(torch.int32)
    )


def test_fma_equals_libm_where_one_rounding_matters():
    a, b, c = hard_cases()
    expected = libm_fma(a, b, c)
    assert same_bits(numerics.fma(a, b, c), expected)
    assert (expected.abs() < 2**-126).logical_and(expected != 0).sum() > 100  # denormals occur
    naive = (a.double() * b.double() + c.double()).float()
    assert not same_bits(naive, expected)  # these cases tell a double rounding


def test_reciprocal_of_one_plus_exp_neg_is_the_sigmoid_to_8e8():
    x = torch.cat([torch.linspace(-80, 80, 400_001), torch.linspace(-2, 2, 200_001)])
    one_plus = numerics.one_plus_exp_neg(x)
    exact = 1 / (1 + torch.exp(-x.double()))
    assert (1 / one_plus.double() - exact).abs().max() <= 8.2e-8
    # far in the tail the error is relative
    assert ((1 / one_plus.double()) / exact - 1).abs().max() < 1e-5


def test_one_plus_exp_neg_clamps_at_80():
    x = torch.tensor([1e4, 80.0, math.inf, -1e4, -80.0, -math.inf])
    y = numerics.one_plus_exp_neg(x)
    assert torch.equal(y[:3], torch.ones(3))
    assert torch.isfinite(y).all()
    assert len(set(y[3:].tolist())) == 1


def test_levels_are_probabilities_in_16_bits():
    mean = torch.tensor([0.0, 0.5, 1.0, 0.5 / 65535, 1.5 / 65535])
    assert numerics.to_levels(mean).tolist() == [0, 32768, 65535, 0, 2]
    assert numerics.to_levels(mean).dtype == torch.int32


def unpack_digits(digits, n_out, n_in):
    """The integers q that digits in panels and blocks stand for, and what the padding holds."""
    panels, n_digits, blocks, rows, columns = digits.shape
    place = 256 ** torch.arange(n_digits).view(1, -1, 1, 1, 1)
    q = (digits.long() * place).sum(1).permute(0, 2, 1, 3).reshape(panels * rows, blocks * columns)
    padding = q.clone()
    padding[:n_out, :n_in] = 0
    return q[:n_out, :n_in], padding


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("n_digits", [2, 3])
def test_digits_are_the_rounded_masked_weights(size, n_digits):
    rng = np.random.default_rng(2)
    weight = torch.from_numpy(rng.normal(0, 0.3, size)).float()
    mask = torch.from_numpy(rng.random(size) < 0.5)
    q = numerics.quantise(weight, mask, n_digits, 0)
    step = numerics.digit_step(0, n_digits)
    inside = (weight.abs() <= 127 / 128) & mask
    assert ((q * step - weight.double()).abs()[inside] <= step / 2).all()
    assert (q[~mask] == 0).all()
    for target in (q, q.t()):
        restored, padding = unpack_digits(numerics.pack_digits(target, n_digits), *target.shape)
        assert torch.equal(restored, target)
        assert not padding.any()


@given(st.lists(st.integers(-(2**23), 2**23), min_size=1, max_size=20), st.integers(2, 3))
def test_digits_sum_to_the_integer(values, n_digits):
    limit = 127 * 256 ** (n_digits - 1)
    q = torch.tensor(values).clamp(-limit, limit)
    digits = numerics.split_digits(q, n_digits)
    assert all(digit.min() >= -128 and digit.max() <= 127 for digit in digits)
    assert torch.equal(sum(digit * 256**d for d, digit in enumerate(digits)), q)


@pytest.mark.parametrize("n_digits", [2, 3])
def test_weights_beyond_the_range_saturate(n_digits):
    weight = torch.tensor([[5.0, -5.0, 0.995, -0.995]])
    q = numerics.quantise(weight, None, n_digits, 0)
    limit = 127 * 256 ** (n_digits - 1)
    assert q.tolist() == [[limit, -limit, limit, -limit]]
    assert [int(digit.max()) for digit in numerics.split_digits(q, n_digits)][-1] == 127


def test_rounding_to_digits_is_half_to_even():
    step = numerics.digit_step(0, 2)
    halves = torch.tensor([[0.5, 1.5, 2.5, -0.5, -1.5]]) * step
    assert numerics.quantise(halves, None, 2, 0).tolist() == [[0, 2, 2, 0, -2]]


magnitudes = st.floats(1e-18, 1e30)


@given(magnitudes, st.integers(-4, 6))
@settings(max_examples=300)
def test_exponent_covers_the_weights_and_stays(max_abs, offset):
    fresh = numerics.next_exponent(None, max_abs)
    assert 7 / 8 * 2.0 ** (fresh - 1) < max_abs <= 7 / 8 * 2.0**fresh
    old = fresh + offset
    new = numerics.next_exponent(old, max_abs)
    assert new == (old if 2.0 ** (old - 3) < max_abs <= 127 / 128 * 2.0**old else fresh)
    assert numerics.next_exponent(new, max_abs) == new


@given(magnitudes, st.integers(-20, 20))
def test_exponent_follows_powers_of_two(max_abs, shift):
    fresh = numerics.next_exponent(None, max_abs)
    moved = numerics.next_exponent(None, max_abs * 2.0**shift)
    expected = min(max(fresh + shift, numerics.MIN_EXPONENT), numerics.MAX_EXPONENT)
    assert moved == expected


def test_exponent_of_zero_tiny_and_largest_weights():
    assert numerics.next_exponent(None, 0.0) == 0
    assert numerics.next_exponent(5, 0.0) == 5
    assert numerics.next_exponent(None, 1e-45) == numerics.MIN_EXPONENT
    assert numerics.next_exponent(None, 3.4028235e38) == numerics.MAX_EXPONENT


def test_exponent_range_is_where_the_exponent_stays():
    for exponent in (numerics.MIN_EXPONENT, -3, 0, 5, 100):
        least, most = numerics.exponent_range(exponent)
        for value in (least, most, (least + most) / 2):
            assert numerics.next_exponent(exponent, value) == exponent
        assert numerics.next_exponent(exponent, math.nextafter(most, math.inf)) > exponent
        below = numerics.next_exponent(exponent, math.nextafter(least, 0.0))
        assert below < exponent or exponent == numerics.MIN_EXPONENT


@pytest.mark.parametrize("p", [-9, 0, 5])
def test_the_range_reaches_seven_eighths_of_its_power(p):
    assert numerics.next_exponent(None, 0.875 * 2.0**p) == p
    assert numerics.next_exponent(None, np.nextafter(0.875 * 2.0**p, np.inf)) == p + 1
