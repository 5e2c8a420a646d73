"""Arithmetic of the contract in Triton: what ``csrc/common/numerics.h`` is to the other kernels.

Each float32 operation is one IEEE operation; kernels are launched with ``enable_fp_fusion=False``.
"""

import triton
import triton.language as tl

# --- float32 operations ---


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


# --- random numbers ---


@triton.jit
def draw_block(seed, chain, word1, step, stream: tl.constexpr):
    """Philox4x32-10 with the counter (chain, word1, step, stream), blocks of one shape."""
    steps = tl.zeros_like(word1).to(tl.int64) + step
    low = (steps & 0xFFFFFFFF).to(tl.uint32)
    last = (steps >> 32 << 8 | stream).to(tl.uint32)
    c0 = (chain & 0xFFFFFFFF).to(tl.uint32)
    return tl.philox(seed, c0, word1.to(tl.uint32), low, last)


@triton.jit
def first_draws(seed, chain, panel, step, stream: tl.constexpr):
    """The first 16 bits for 64 chains and the 32 units of a panel: a Philox block for eight units.

    unit = 8 word + 2 group + half within the panel, see ``group_of`` and ``slot_of`` of numerics.h.
    """
    group = panel * 4 + tl.arange(0, 4)[None, :] + tl.zeros((64, 4), tl.int64)
    chains = chain[:, None] + tl.zeros((64, 4), tl.int64)
    w0, w1, w2, w3 = draw_block(seed, chains, group, step, stream)
    words = tl.reshape(tl.join(tl.join(w0, w2), tl.join(w1, w3)), (64, 4, 4))
    words = tl.permute(words, (0, 2, 1))
    return tl.reshape(tl.join(words & 0xFFFF, words >> 16), (64, 32))


@triton.jit
def further_bits(seed, chain, panel, step, stream: tl.constexpr):
    """The 24 bits that decide where the first 16 leave the outcome open; a block an element."""
    unit = tl.arange(0, 32)[None, :] + tl.zeros((64, 32), tl.int64)
    chains = chain[:, None] + tl.zeros((64, 32), tl.int64)
    group = panel * 4 + unit % 8 // 2
    slot = 2 * (unit // 8) + unit % 2
    w0, w1, w2, w3 = draw_block(seed, chains, 2 * group + slot // 4, step, stream + 1)
    word = slot % 4
    return tl.where(word == 0, w0, tl.where(word == 1, w1, tl.where(word == 2, w2, w3))) >> 8


@triton.jit
def bernoulli(x, seed, chain, panel, step, stream: tl.constexpr):
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


# --- formats ---


@triton.jit
def pack(on):
    """Words of 64 chains, the chains along the first axis."""
    chain = tl.arange(0, 64).to(tl.int64)[:, None]
    return tl.sum(on.to(tl.int64) << chain, 0)


@triton.jit
def unpack(words):
    """int8 0/1 (64 chains, units) of one word a unit."""
    chain = tl.arange(0, 64).to(tl.int64)[:, None]
    return (words[None, :] >> chain & 1).to(tl.int8)


@triton.jit
def low_byte(levels):
    """The low byte less 128, int8: the digits' products take signed bytes alone."""
    return ((levels & 255) - 128).to(tl.int8)


@triton.jit
def high_byte(levels):
    """The high byte less 128, int8."""
    return ((levels >> 8) - 128).to(tl.int8)


@triton.jit
def store_digits(
    value,
    i,
    j,
    to_hidden,
    to_visible,
    inverse_step,
    n_hidden,
    n_visible,
    n_digits: tl.constexpr,
):
    """Digits of a tile of W∘A in both layouts; 0 where it goes beyond the edge."""
    limit: tl.constexpr = float((1 << (8 * n_digits - 1)) - (1 << (8 * n_digits - 8)))
    q = value * inverse_step
    q = tl.where(q < limit, q, limit)
    q = tl.where(q > -limit, q, -limit)
    rest = round_even(q).to(tl.int32)
    # Offsets of 32 bits within the tile, from addresses of its first unit: half the registers.
    blocks_visible, blocks_hidden = tl.cdiv(n_visible, 64), tl.cdiv(n_hidden, 64)
    first, second = tl.min(i), tl.min(j)
    p_hidden = (
        to_hidden + (first // 32 * n_digits * blocks_visible + second // 64).to(tl.int64) * 2048
    )
    p_visible = (
        to_visible + (second // 32 * n_digits * blocks_hidden + first // 64).to(tl.int64) * 2048
    )
    panel, other_panel = (i - first) // 32, (j - second) // 32
    of_hidden = (panel * n_digits * blocks_visible * 2048 + i % 32 * 64)[:, None] + j[None, :] % 64
    of_visible = (other_panel * n_digits * blocks_hidden * 2048 + j % 32 * 64)[None, :] + i[
        :, None
    ] % 64
    in_hidden = (i < tl.cdiv(n_hidden, 32) * 32)[:, None] & (j[None, :] >= 0)
    in_visible = (j < tl.cdiv(n_visible, 32) * 32)[None, :] & (i[:, None] >= 0)
    for digit in tl.static_range(n_digits):
        value = ((rest + 128) & 255) - 128
        rest = rest - value >> 8
        next_hidden, next_visible = digit * blocks_visible * 2048, digit * blocks_hidden * 2048
        tl.store(p_hidden + next_hidden + of_hidden, value.to(tl.int8), mask=in_hidden)
        tl.store(p_visible + next_visible + of_visible, value.to(tl.int8), mask=in_visible)
