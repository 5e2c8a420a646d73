"""x = bias + (W∘A) states for one tile: 64 chains and a panel of 32 units."""

import triton
import triton.language as tl

from ncg_fast.backends.triton.numerics import fma
from ncg_fast.backends.triton.packing import high_byte, low_byte, unpack


@triton.jit
def digit_tile(p_digits, n_blocks, block, digit, n_digits: tl.constexpr):
    """One digit of 64 inputs (first axis) and 32 outputs; zeros where there is no such digit."""
    p_tile = p_digits + (tl.zeros((1, 1), tl.int64) + digit * n_blocks + block) * 2048
    place = tl.arange(0, 32)[None, :] * 64 + tl.arange(0, 64)[:, None]
    asked = tl.zeros((64, 32), tl.int32) + digit
    return tl.load(p_tile + place, mask=(asked >= 0) & (asked < n_digits), other=0)


@triton.jit
def x_of_packed(states, word, n_words, p_digits, n_in, n_digits: tl.constexpr):
    """Digit sums of packed states from the highest down, in steps."""
    sum0 = tl.zeros((64, 32), tl.int32)
    sum1 = tl.zeros((64, 32), tl.int32)
    sum2 = tl.zeros((64, 32), tl.int32)
    n_blocks = tl.cdiv(n_in, 64)
    for block in range(0, n_blocks):
        unit = block * 64 + tl.arange(0, 64).to(tl.int64)
        bits = unpack(tl.load(states + unit * n_words + word, mask=unit < n_in, other=0))
        given = p_digits, n_blocks, block
        sum0 = tl.dot(bits, digit_tile(*given, 0, n_digits), sum0, out_dtype=tl.int32)
        sum1 = tl.dot(bits, digit_tile(*given, 1, n_digits), sum1, out_dtype=tl.int32)
        if n_digits == 3:
            sum2 = tl.dot(bits, digit_tile(*given, 2, n_digits), sum2, out_dtype=tl.int32)
    x = sum1.to(tl.float32)
    if n_digits == 3:
        x = fma(sum2.to(tl.float32), 256.0, x)
    return fma(x, 256.0, sum0.to(tl.float32))


@triton.jit
def place_sum(states, n_rows, p_digits, n_in, n_digits: tl.constexpr, place):
    """Sum of one place of levels: low bytes times that digit, high bytes times the one below.

    Of the first n_rows of 64. Bytes enter less 128, for which the sums of the digits make up; sums
    of 32768 inputs fit 32 bits.
    """
    total = tl.zeros((64, 32), tl.int64)
    n_blocks = tl.cdiv(n_in, 64)
    for first in range(0, n_blocks, 512):
        products = tl.zeros((64, 32), tl.int32)
        digit_sum = tl.zeros((32,), tl.int32)
        for block in range(first, tl.minimum(first + 512, n_blocks)):
            unit = block * 64 + tl.arange(0, 64)
            row = tl.arange(0, 64)[:, None]
            inside = (row < n_rows) & (unit[None, :] < n_in)
            levels = tl.load(states + (row * n_in + unit[None, :]), mask=inside, other=0)
            tile = digit_tile(p_digits, n_blocks, block, place, n_digits)
            products = tl.dot(low_byte(levels), tile, products, out_dtype=tl.int32)
            digit_sum += tl.sum(tile.to(tl.int32), 0)
            tile = digit_tile(p_digits, n_blocks, block, place - 1, n_digits)
            products = tl.dot(high_byte(levels), tile, products, out_dtype=tl.int32)
            digit_sum += tl.sum(tile.to(tl.int32), 0)
        total += products.to(tl.int64) + (digit_sum * 128).to(tl.int64)[None, :]
    return total


@triton.jit
def x_of_levels(states, n_rows, p_digits, n_in, n_digits: tl.constexpr):
    """Place sums of levels from the highest down, in steps."""
    x = tl.zeros((64, 32), tl.float32)
    for i in range(0, n_digits + 1):
        place = n_digits - i
        total = place_sum(states, n_rows, p_digits, n_in, n_digits, place)
        x = fma(x, 256.0, total.to(tl.float32))
    return x


@triton.jit
def preactivation(
    states,
    digits,
    bias,
    step_size,
    n_in,
    n_out,
    n_chains,
    n_words,
    word,
    panel,
    n_digits: tl.constexpr,
    kind: tl.constexpr,
):
    """x for the chains of a word and the units of a panel; step_size is that of x's integers."""
    p_digits = digits + panel * n_digits * tl.cdiv(n_in, 64) * 2048
    if kind == "levels":
        first = word * 64
        p_rows = states + first * n_in
        x = x_of_levels(p_rows, n_chains - first, p_digits, n_in, n_digits)
    else:
        x = x_of_packed(states, word, n_words, p_digits, n_in, n_digits)
    unit = panel * 32 + tl.arange(0, 32)
    offset = tl.load(bias + unit, mask=unit < n_out, other=0.0)
    return fma(x, step_size, tl.broadcast_to(offset[None, :], (64, 32)))
