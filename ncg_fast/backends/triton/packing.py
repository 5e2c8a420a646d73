"""Formats: packed states and digits, 64 chains or units a side of a tile."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ncg_fast.backends.formats import new_digits
from ncg_fast.backends.numerics import WORD, digit_step
from ncg_fast.backends.triton.launch import launch
from ncg_fast.backends.triton.numerics import pack, store_digits, unpack


@triton.jit(do_not_specialize=["n_chains", "n_words"])
def pack_states_kernel(states, packed, n_units: tl.int32, n_chains: tl.int64, n_words: tl.int64):
    """A word of 64 chains of 64 units."""
    word, block = tl.program_id(0).to(tl.int64) % n_words, tl.program_id(0) // n_words
    chain = word * 64 + tl.arange(0, 64)
    unit = block * 64 + tl.arange(0, 64).to(tl.int64)
    inside = (chain[:, None] < n_chains) & (unit[None, :] < n_units)
    values = tl.load(states + chain[:, None] * n_units + unit[None, :], mask=inside, other=0)
    tl.store(packed + unit * n_words + word, pack(values & 1), mask=unit < n_units)


@triton.jit(do_not_specialize=["n_chains", "n_words"])
def unpack_states_kernel(packed, states, n_units: tl.int32, n_chains: tl.int64, n_words: tl.int64):
    """A word of 64 chains of 64 units."""
    word, block = tl.program_id(0).to(tl.int64) % n_words, tl.program_id(0) // n_words
    chain = word * 64 + tl.arange(0, 64)
    unit = block * 64 + tl.arange(0, 64).to(tl.int64)
    words = tl.load(packed + unit * n_words + word, mask=unit < n_units, other=0)
    inside = (chain[:, None] < n_chains) & (unit[None, :] < n_units)
    values = unpack(words).to(tl.uint8)
    tl.store(states + chain[:, None] * n_units + unit[None, :], values, mask=inside)


@triton.jit
def pack_weights_kernel(
    weight,
    mask,
    to_hidden,
    to_visible,
    inverse_step,
    n_hidden: tl.int32,
    n_visible: tl.int32,
    n_digits: tl.constexpr,
):
    """Digits of 64 x 64 pairs in both layouts."""
    blocks = tl.cdiv(n_visible, 64)
    i = tl.program_id(0) // blocks * 64 + tl.arange(0, 64)
    j = tl.program_id(0) % blocks * 64 + tl.arange(0, 64)
    pair = i.to(tl.int64)[:, None] * n_visible + j[None, :]
    inside = (i[:, None] < n_hidden) & (j[None, :] < n_visible)
    on = inside
    if mask is not None:
        on = tl.load(mask + pair, mask=inside, other=0) != 0
    value = tl.load(weight + pair, mask=on, other=0.0)
    store_digits(value, i, j, to_hidden, to_visible, inverse_step, n_hidden, n_visible, n_digits)


def new_packed(like: Tensor, n_units: int, n_chains: int) -> Tensor:
    """Room for packed states."""
    return like.new_empty(n_units, triton.cdiv(n_chains, WORD), dtype=torch.int64)


def pack_states(states: Tensor) -> Tensor:
    n_chains, n_units = states.shape
    packed = new_packed(states, n_units, n_chains)
    n_words, values = packed.shape[1], states.contiguous().view(torch.uint8)
    n_tiles = triton.cdiv(n_units, 64) * n_words
    launch(pack_states_kernel, n_tiles, values, packed, n_units, n_chains, n_words)
    return packed


def unpack_states(packed: Tensor, n_chains: int) -> Tensor:
    n_units, n_words = packed.shape
    states = packed.new_empty(n_chains, n_units, dtype=torch.uint8)
    n_tiles = triton.cdiv(n_units, 64) * n_words
    given = packed.contiguous(), states, n_units, n_chains, n_words
    launch(unpack_states_kernel, n_tiles, *given)
    return states


def pack_weights(
    weight: Tensor,
    mask: Tensor | None,
    n_digits: int,
    weight_exponent: int,
    capacity: int | None = None,
) -> tuple[Tensor, Tensor]:
    if capacity is not None:
        rule = f"pack_weights: capacity must be None on this device, got {capacity}"
        raise ValueError(f"{rule}. Use dense digits, or tensors on the CPU.")
    n_hidden, n_visible = weight.shape
    digits = new_digits(weight, n_hidden, n_visible, n_digits, None)
    bits = None if mask is None else mask.contiguous().view(torch.uint8)
    given = weight.contiguous(), bits, *digits, 1 / digit_step(weight_exponent, n_digits)
    n_tiles = triton.cdiv(n_hidden, 64) * triton.cdiv(n_visible, 64)
    launch(pack_weights_kernel, n_tiles, *given, n_hidden, n_visible, n_digits, num_warps=8)
    return digits
