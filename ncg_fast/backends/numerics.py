"""Arithmetic of the contract in integer torch: what ``csrc/common/numerics.h`` is to the kernels.

Each float32 operation is one IEEE operation, random numbers are Philox4x32-10, weights are balanced
base-256 digits.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

LEVELS = 65535  # a probability p is held as round(LEVELS p)
PANEL, BLOCK, WORD = 32, 64, 64  # output units a panel, input units a block, chains a word
# The further bits of a draw come from the stream one above.
HIDDEN_STREAM, VISIBLE_STREAM, SWAP_STREAM = 0, 2, 4
MIN_EXPONENT, MAX_EXPONENT = -60, 129


def fma(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """a b + c in float32 with one rounding.

    The float64 sum is rounded to odd, then to float32 (Boldo & Melquiond 2008).
    """
    product = a.double() * b.double()  # exact: 48 bits
    addend = c.double()
    total = product + addend
    part = total - product
    error = (product - (total - part)) + (addend - part)  # Knuth's two-sum: total + error is exact
    bits = total.view(torch.int64)
    away = (error > 0) == (total > 0)  # the exact sum is further from zero than total
    odd = torch.where(away, bits + 1, bits - 1)
    inexact = (error != 0) & torch.isfinite(total) & (bits & 1 == 0)
    return torch.where(inexact, odd, bits).view(torch.float64).float()


def f32(value: float, like: Tensor) -> Tensor:
    """A float32 scalar on the device of ``like``."""
    return torch.tensor(value, dtype=torch.float32, device=like.device)


def one_plus_exp_neg(x: Tensor) -> Tensor:
    """1 + exp(-x), x clamped to +-80, by a degree-6 polynomial of 2**f.

    The reciprocal is the sigmoid to 8.2e-8.
    """
    x = torch.where(x < 80, x, f32(80.0, x))
    x = torch.where(x > -80, x, f32(-80.0, x))
    t = x * f32(-1.44269504, x)
    n = torch.round(t)
    f = t - n
    p = f32(1.5403530e-4, x).expand_as(x)
    for c in (1.3333558e-3, 9.6181291e-3, 5.5504109e-2, 2.4022651e-1, 6.9314718e-1, 1.0):
        p = fma(p, f, f32(c, x))
    scale = ((n.to(torch.int32) + 127) << 23).view(torch.float32)
    return p * scale + 1


def to_levels(mean: Tensor) -> Tensor:
    """round(65535 p), half to even: probabilities as 16-bit fixed point."""
    if mean.device.type == "cpu" and mean.dim():  # NumPy wakes no threads for a few microseconds
        values = mean.detach().float().numpy() * np.float32(LEVELS)
        return torch.from_numpy(np.rint(values, out=values).astype(np.int32))
    return torch.round(mean.float() * float(LEVELS)).to(torch.int32)


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], seed: int) -> tuple[Tensor, ...]:
    """Philox4x32-10 (Salmon et al. 2011): four 32-bit words, in int64, for each counter.

    The key is the 64-bit seed.
    """
    low = 0xFFFFFFFF
    x0, x1, x2, x3 = counter
    k0, k1 = seed & low, seed >> 32 & low
    for _ in range(10):
        p0, p1 = (
            x0 * 0xD2511F53,
            x2 * 0xCD9E8D57,
        )  # int64 wraps: all 64 bits of the product are right
        x0, x1, x2, x3 = (p1 >> 32 & low) ^ x1 ^ k0, p1 & low, (p0 >> 32 & low) ^ x3 ^ k1, p0 & low
        k0, k1 = (k0 + 0x9E3779B9) & low, (k1 + 0xBB67AE85) & low
    return x0, x1, x2, x3


def draws(
    n_chains: int,
    n_units: int,
    seed: int,
    chain_offset: int,
    step: int,
    stream: int,
    unit_offset: int = 0,
) -> tuple[Tensor, Tensor]:
    """The 16 first and 24 further bits of every uniform, int64 (n_chains, n_units) each.

    A Philox block serves eight units of one chain: unit -> group 4 (unit / 32) + (unit % 8) / 2 and
    slot 2 (unit / 8 % 4) + unit % 2. Counter = (chain, group, step, stream), step beyond 32 bits
    continues in bits 8.. of the fourth word. The further bits come from stream + 1, counter word 1
    = 2 group + slot / 4.
    """
    chain = torch.arange(chain_offset, chain_offset + n_chains).view(-1, 1) & 0xFFFFFFFF
    unit = torch.arange(unit_offset, unit_offset + n_units).view(1, -1)
    group = 4 * (unit // 32) + unit % 8 // 2
    slot = 2 * (unit // 8 % 4) + unit % 2

    def block(word1: Tensor, stream: int) -> Tensor:
        shape = (n_chains, n_units)
        low_step = torch.full(shape, step & 0xFFFFFFFF)
        last = torch.full(shape, (step >> 32) << 8 | stream)
        return torch.stack(philox((chain.expand(shape), word1.expand(shape), low_step, last), seed))

    word = (slot // 2).expand(1, n_chains, n_units)
    first = block(group, stream).gather(0, word)[0] >> 16 * (slot % 2) & 0xFFFF
    more = (
        block(2 * group + slot // 4, stream + 1).gather(0, (slot % 4).expand(1, n_chains, n_units))[
            0
        ]
        >> 8
    )
    return first, more


def bernoulli(x: Tensor, first: Tensor, more: Tensor) -> Tensor:
    """[u (1 + exp(-x)) < 1], uint8, for u of 40 bits.

    The first 16 decide unless the threshold lies inside their interval.
    """
    one = f32(1.0, x)
    u = first.float()
    s = one_plus_exp_neg(x) * 2.0**-16
    surely = (u + 1) * s <= one
    maybe = u * s < one
    rest = more.float() * 2.0**-24 * s < fma(-u, s, one)
    return (surely | (maybe & rest)).to(torch.uint8)


OFFSET_RATE = 0.01  # the share of a batch in the moving mean of hidden units
_ONE, _LIMIT = 2.0**28, 2.0**31 - 128  # of the terms of biases: 1, and the largest float32 below


def bias_terms(terms: Tensor) -> Tensor:
    """Products of a centred gradient and an offset in fixed point: their sums are exact, int64."""
    return torch.round(terms * f32(_ONE, terms)).clamp(-_LIMIT, _LIMIT).to(torch.int64)


def from_bias_terms(total: Tensor) -> Tensor:
    """Their sum in float32."""
    value = total.float()
    return value * f32(1 / _ONE, value)


CHUNK = 1024  # elements that are hashed together


def mixed32(h: Tensor) -> Tensor:
    """The finalizer of MurmurHash3 (Austin Appleby, public domain) of 32 bits, in int64."""
    h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return h ^ h >> 16


def mixed64(h: Tensor) -> Tensor:
    """That of 64 bits, int64; products wrap."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        h = (h ^ h >> 33 & 0x7FFFFFFF) * (factor - (1 << 64))
    return h ^ h >> 33 & 0x7FFFFFFF


def next_exponent(exponent: int | None, max_abs: float) -> int:
    """The exponent p of the range [-2**p, 2**p] of the weights that are on.

    It is kept while max |W∘A| is in (2**(p-3), 127/128 2**p]. Otherwise (or where exponent is None)
    the smallest p with max |W∘A| <= 7/8 2**p. The digits' step is 2**(p + 1 - 8 n_digits). Weights
    of connections that are off have no say; one that is switched on may saturate in that step.
    """
    if exponent is not None and (
        max_abs == 0 or 2.0 ** (exponent - 3) < max_abs <= 127 / 128 * 2.0**exponent
    ):
        return exponent
    if max_abs == 0:
        return 0
    fraction, power = math.frexp(max_abs)
    return min(max(power + (fraction > 7 / 8), MIN_EXPONENT), MAX_EXPONENT)


def exponent_range(exponent: int) -> tuple[float, float]:
    """The least and the largest max |W∘A| > 0 for which ``next_exponent`` keeps the exponent."""
    return math.nextafter(2.0 ** (exponent - 3), math.inf), 127 / 128 * 2.0**exponent


def digit_step(weight_exponent: int, n_digits: int) -> float:
    """The value of one unit of the lowest digit."""
    return 2.0 ** (weight_exponent + 1 - 8 * n_digits)


def quantise(weight: Tensor, mask: Tensor | None, n_digits: int, weight_exponent: int) -> Tensor:
    """q = round(W∘A / step), half to even, saturated at 127/128 of the range; int64."""
    masked = weight if mask is None else torch.where(mask, weight, f32(0.0, weight))
    limit = float((1 << (8 * n_digits - 1)) - (1 << (8 * n_digits - 8)))
    q = masked * f32(1.0 / digit_step(weight_exponent, n_digits), weight)
    return torch.round(q).clamp(-limit, limit).to(torch.int64)


def split_digits(q: Tensor, n_digits: int) -> list[Tensor]:
    """Balanced base-256 digits in [-128, 127], lowest first: q = sum_d 256**d digit_d."""
    digits = []
    for _ in range(n_digits):
        digit = (q + 128 & 255) - 128
        digits.append(digit)
        q = q - digit >> 8
    return digits


def pack_digits(q: Tensor, n_digits: int) -> Tensor:
    """Integers (n_out, n_in) as digits in panels of 32 outputs and blocks of 64 inputs."""
    n_out, n_in = q.shape
    panels, blocks = -(-n_out // PANEL), -(-n_in // BLOCK)
    padded = torch.zeros(panels * PANEL, blocks * BLOCK, dtype=torch.int64)
    padded[:n_out, :n_in] = q
    digits = torch.stack(split_digits(padded, n_digits)).to(torch.int8)
    digits = digits.view(n_digits, panels, PANEL, blocks, BLOCK)
    return digits.permute(1, 0, 3, 2, 4).contiguous()
