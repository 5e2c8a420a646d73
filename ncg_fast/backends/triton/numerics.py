"""Arithmetic of the contract in Triton: what ``csrc/common/numerics.h`` is to the other kernels.

Each float32 operation is one IEEE operation, which ``launch`` sees to.
"""

from typing import Any, NamedTuple, TypeVar

import torch
import triton
import triton.language as tl
from torch import Tensor

Record = TypeVar("Record", bound=NamedTuple)


def contiguous(record: Record) -> Record:
    """The record with its tensors contiguous."""
    return record._make(t.contiguous() if isinstance(t, Tensor) else t for t in record)


def launch(
    kernel: Any, n_tiles: int, *, num_warps: int = 4, num_stages: int = 3, **arguments: Any
) -> None:
    """Runs one program a tile on the device of the tensors, on its current stream.

    Multiplications and additions are not fused.
    """
    options = {"num_warps": num_warps, "num_stages": num_stages, "enable_fp_fusion": False}
    like = next(value for value in arguments.values() if isinstance(value, Tensor))
    with torch.cuda.device_of(like):
        kernel[(n_tiles,)](**arguments, **options)


@triton.jit
def fma(a, b, c):
    """A b + c with one rounding, a a block, b a number, c a block of the same shape."""
    return tl.fma(a, tl.full(a.shape, b, tl.float32), c)


@triton.jit
def round_even(x):
    """To the nearest integer, half to even, for |x| < 2**23: float32 holds no halves from there."""
    magnitude = (tl.abs(x) + 8388608.0) - 8388608.0
    return tl.where(x < 0, -magnitude, magnitude)


@triton.jit
def exp2_term(p, f, coefficient: tl.constexpr):
    """One step of Horner's rule."""
    return tl.fma(p, f, tl.full(p.shape, coefficient, tl.float32))


@triton.jit
def one_plus_exp_neg(x):
    """1 + exp(-x), x clamped to +-80: degree-6 polynomial of 2**f, |f| <= 1/2."""
    x = tl.where(x < 80.0, x, 80.0)
    x = tl.where(x > -80.0, x, -80.0)
    t = x * -1.44269504
    n = round_even(t)
    f = t - n
    p = exp2_term(tl.full(x.shape, 1.5403530e-4, tl.float32), f, 1.3333558e-3)
    p = exp2_term(p, f, 9.6181291e-3)
    p = exp2_term(p, f, 5.5504109e-2)
    p = exp2_term(p, f, 2.4022651e-1)
    p = exp2_term(p, f, 6.9314718e-1)
    p = exp2_term(p, f, 1.0)
    scale = ((n.to(tl.int32) + 127) << 23).to(tl.float32, bitcast=True)
    return p * scale + 1.0


@triton.jit
def mean_of(x):
    """The sigmoid of x."""
    y = one_plus_exp_neg(x)
    return tl.div_rn(tl.full(y.shape, 1.0, tl.float32), y)


@triton.jit
def draw_block(seed, chain, word1, step, stream):
    """Philox4x32-10 with the counter (chain, word1, step, stream), blocks of one shape."""
    word0, word1 = chain.to(tl.uint32), word1.to(tl.uint32)
    word2 = tl.zeros_like(word0) + step.to(tl.uint32)
    word3 = tl.zeros_like(word0) + (step >> 32 << 8 | stream).to(tl.uint32)
    return tl.philox(seed, word0, word1, word2, word3)


@triton.jit
def first_draws(seed, chain, panel, step, stream):
    """The first 16 bits for 64 chains and the 32 units of a panel: a Philox block for eight units.

    unit = 8 word + 2 group + half within the panel, see ``group_of`` and ``slot_of`` of numerics.h.
    """
    group = panel.to(tl.int32) * 4 + tl.arange(0, 4)[None, :] + tl.zeros((64, 4), tl.int32)
    chains = chain[:, None] + tl.zeros((64, 4), tl.int64)
    w0, w1, w2, w3 = draw_block(seed, chains, group, step, stream)
    words = tl.reshape(tl.join(tl.join(w0, w2), tl.join(w1, w3)), (64, 4, 4))
    words = tl.permute(words, (0, 2, 1))
    return tl.reshape(tl.join(words & 0xFFFF, words >> 16), (64, 32))


@triton.jit
def further_bits(seed, chain, panel, step, stream):
    """The 24 bits that decide where the first 16 leave the outcome open; a block an element."""
    unit = tl.arange(0, 32)[None, :] + tl.zeros((64, 32), tl.int32)
    chains = chain[:, None] + tl.zeros((64, 32), tl.int64)
    group = panel.to(tl.int32) * 4 + unit % 8 // 2
    slot = 2 * (unit // 8) + unit % 2
    w0, w1, w2, w3 = draw_block(seed, chains, 2 * group + slot // 4, step, stream + 1)
    word = slot % 4
    return tl.where(word == 0, w0, tl.where(word == 1, w1, tl.where(word == 2, w2, w3))) >> 8


@triton.jit
def bernoulli(x, seed, chain, panel, step, stream):
    """[u (1 + exp(-x)) < 1] for 64 chains and the units of a panel, u of 40 bits."""
    u = first_draws(seed, chain, panel, step, stream).to(tl.int32).to(tl.float32)
    s = one_plus_exp_neg(x) * 1.52587890625e-05  # 2**-16
    on = (u + 1.0) * s <= 1.0
    undecided = (u * s < 1.0) & (on == 0)
    if tl.max(undecided.to(tl.int32)) > 0:
        more = further_bits(seed, chain, panel, step, stream).to(tl.int32).to(tl.float32)
        rest = tl.fma(-u, s, tl.full(u.shape, 1.0, tl.float32))
        on = on | (undecided & (more * 5.9604644775390625e-08 * s < rest))  # 2**-24
    return on
