"""Formats of states and digits; packing kernels take 64 chains or units a side of a tile."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ncg_fast.backends.formats import DigitFormat, new_digits, new_packed, state_format
from ncg_fast.backends.numerics import CHUNK, digit_step
from ncg_fast.backends.triton.numerics import launch, round_even


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
    """The low byte less 128, int8: products with digits take signed bytes alone."""
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


@triton.jit(do_not_specialize=["n_hidden"])
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


@triton.jit
def mixed32(h):
    """The permutation of ``numerics.mixed32``, uint32."""
    h = (h ^ h >> 16) * 0x85EBCA6B
    h = (h ^ h >> 13) * 0xC2B2AE35
    return h ^ h >> 16


@triton.jit
def mixed64(h):
    """The permutation of ``numerics.mixed64``, uint64."""
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCD
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53
    return h ^ h >> 33


@triton.jit
def scan_weights_kernel(weight, mask, found, n_pairs: tl.int64):
    """What a chunk of 1024 elements adds: see ``csrc/common/fingerprint.h``."""
    chunk = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, 1024)
    element = chunk * 1024 + place
    on = tl.load(mask + element, mask=element < n_pairs, other=0) != 0
    bits = tl.load(weight + element, mask=on, other=0.0).to(tl.int32, bitcast=True)
    tl.atomic_max(found, tl.max(bits & 0x7FFFFFFF).to(tl.int64))
    tl.atomic_add(found + 1, tl.sum(on.to(tl.int64)))
    word = tl.where(on, bits, -1).to(tl.uint32, bitcast=True)
    keyed = word + mixed32(place.to(tl.uint32) + 1)
    even, odd = tl.split(tl.reshape(word, (512, 2)))
    pairs = tl.sum(odd.to(tl.uint64) << 32 | even.to(tl.uint64))
    even, odd = tl.split(tl.reshape(keyed, (512, 2)))
    products = tl.sum(even.to(tl.uint64) * odd.to(tl.uint64))
    first = mixed64(products + (chunk.to(tl.uint64) + 1) * 0x9E3779B97F4A7C15)
    second = mixed64(pairs + first)
    tl.atomic_add(found + 2, first.to(tl.int64, bitcast=True))
    tl.atomic_add(found + 3, second.to(tl.int64, bitcast=True))


def kind_of(states: Tensor) -> str:
    """The format of states as kernels are told: "packed" or "levels"."""
    return state_format(states).name.lower()


def pack_states(states: Tensor) -> Tensor:
    n_chains, n_units = states.shape
    packed = new_packed(states, n_units, n_chains)
    launch(
        pack_states_kernel,
        triton.cdiv(n_units, 64) * packed.shape[1],
        states=states.contiguous().view(torch.uint8),
        packed=packed,
        n_units=n_units,
        n_chains=n_chains,
        n_words=packed.shape[1],
    )
    return packed


def unpack_states(packed: Tensor, n_chains: int) -> Tensor:
    n_units, n_words = packed.shape
    states = packed.new_empty(n_chains, n_units, dtype=torch.uint8)
    launch(
        unpack_states_kernel,
        triton.cdiv(n_units, 64) * n_words,
        packed=packed.contiguous(),
        states=states,
        n_units=n_units,
        n_chains=n_chains,
        n_words=n_words,
    )
    return states


def pack_weights(
    weight: Tensor,
    mask: Tensor | None,
    n_digits: int,
    weight_exponent: int,
    capacity: int | None,
) -> tuple[Tensor, Tensor]:
    if capacity is not None:
        rule = f"pack_weights: capacity must be None on this device, got {capacity}"
        raise ValueError(f"{rule}. Use dense digits, or tensors on the CPU.")
    n_hidden, n_visible = weight.shape
    to_hidden, to_visible = new_digits(
        weight, n_hidden, n_visible, n_digits, None, DigitFormat.PANELS
    )
    launch(
        pack_weights_kernel,
        triton.cdiv(n_hidden, 64) * triton.cdiv(n_visible, 64),
        weight=weight.contiguous(),
        mask=None if mask is None else mask.contiguous().view(torch.uint8),
        to_hidden=to_hidden,
        to_visible=to_visible,
        inverse_step=1 / digit_step(weight_exponent, n_digits),
        n_hidden=n_hidden,
        n_visible=n_visible,
        n_digits=n_digits,
        num_warps=8,
    )
    return to_hidden, to_visible


def scan_weights(weight: Tensor, mask: Tensor) -> Tensor:
    found = weight.new_zeros(4, dtype=torch.int64)
    launch(
        scan_weights_kernel,
        triton.cdiv(weight.numel(), CHUNK),
        weight=weight.contiguous(),
        mask=mask.contiguous().view(torch.uint8),
        found=found,
        n_pairs=weight.numel(),
    )
    return found
