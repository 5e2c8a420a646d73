"""The formats of ``csrc/common/layout.h`` in integer torch: packed states, digits, sparse digits.

Both formats of digits hold the same integers q = round(W∘A / step). Dense digits are int8 with five
axes, sparse digits int32 with one: n_digits, n_out, n_in, n_connections; offsets (n_out + 1);
connections (capacity, 2), each an input and its q, those of output i from offsets[i] to before
offsets[i + 1], inputs ascending; what is not used is 0. Of more connections than the capacity
nothing is held: n_connections is -1 and all after it 0.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import torch
from torch import Tensor

from ncg_fast.backends.numerics import BLOCK, PANEL, WORD, pack_digits, quantise


class StateFormat(enum.Enum):
    """How the states of one layer are held; the value is the dtype."""

    PACKED = torch.int64  # bits, 64 chains a word
    LEVELS = torch.int32  # 16-bit fixed point


def state_format(states: Tensor) -> StateFormat:
    """The format of states; packed where the dtype is of neither, which checks then refuse."""
    levels = states.dtype == StateFormat.LEVELS.value
    return StateFormat.LEVELS if levels else StateFormat.PACKED


def n_words(n_chains: int) -> int:
    """Words of packed states."""
    return -(-n_chains // WORD)


def new_packed(like: Tensor, n_units: int, n_chains: int) -> Tensor:
    """Memory for packed states."""
    return like.new_empty(n_units, n_words(n_chains), dtype=StateFormat.PACKED.value)


def pack_states(states: Tensor) -> Tensor:
    """0/1 states (n_chains, n_units), bool or uint8 -> packed states."""
    n_chains, n_units = states.shape
    words = n_words(n_chains)
    bits = torch.zeros(words * WORD, n_units, dtype=torch.int64)
    bits[:n_chains] = states.to(torch.int64)
    places = torch.arange(WORD).view(1, WORD, 1)
    return (bits.view(words, WORD, n_units) << places).sum(1).t().contiguous()


def unpack_states(packed: Tensor, n_chains: int) -> Tensor:
    """Packed states -> uint8 (n_chains, n_units)."""
    bits = packed.t().unsqueeze(1) >> torch.arange(WORD).view(1, WORD, 1) & 1
    return bits.reshape(-1, packed.shape[0])[:n_chains].to(torch.uint8)


SPARSE_HEADER = 4  # n_digits, n_out, n_in, n_connections


def sparse_words(n_out: int, capacity: int) -> int:
    """The length of sparse digits of one direction."""
    return SPARSE_HEADER + n_out + 1 + 2 * capacity


def new_digits(
    like: Tensor, n_hidden: int, n_visible: int, n_digits: int, capacity: int | None
) -> tuple[Tensor, Tensor]:
    """Memory for digits to the hidden and to the visible units, sparse where capacity is given."""

    def one_way(n_out: int, n_in: int) -> Tensor:
        if capacity is not None:
            return like.new_empty(sparse_words(n_out, capacity), dtype=torch.int32)
        shape = -(-n_out // PANEL), n_digits, -(-n_in // BLOCK), PANEL, BLOCK
        return like.new_empty(shape, dtype=torch.int8)

    return one_way(n_hidden, n_visible), one_way(n_visible, n_hidden)


class Held(NamedTuple):
    """How a tensor of digits holds them."""

    n_digits: int
    capacity: int | None  # room for connections of sparse digits; None: dense


def is_sparse(digits: Tensor) -> bool:
    """Whether they are sparse digits."""
    return digits.dtype == torch.int32


def described(digits: Tensor) -> Held:
    """What a tensor of digits says of itself."""
    if not is_sparse(digits):
        return Held(digits.shape[1], None)
    n_digits, n_out = digits[:2].tolist()
    return Held(n_digits, (len(digits) - sparse_words(n_out, 0)) // 2)


def fits(digits: Tensor) -> bool:
    """Whether digits hold all connections: sparse ones may lack the room."""
    return not is_sparse(digits) or int(digits[SPARSE_HEADER - 1]) >= 0


def pack_weights(
    weight: Tensor,
    mask: Tensor | None,
    n_digits: int,
    weight_exponent: int,
    capacity: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Digits of W∘A in both layouts, sparse where a capacity is given: (to_hidden, to_visible)."""
    q = quantise(weight, mask, n_digits, weight_exponent)
    if capacity is None:
        return pack_digits(q, n_digits), pack_digits(q.t(), n_digits)
    turned = None if mask is None else mask.t()
    to_hidden = pack_sparse(q, mask, n_digits, capacity)
    return to_hidden, pack_sparse(q.t(), turned, n_digits, capacity)


def pack_sparse(q: Tensor, mask: Tensor | None, n_digits: int, capacity: int) -> Tensor:
    """Integers (n_out, n_in) as sparse digits: those of the mask, row by row."""
    n_out, n_in = q.shape
    rows, inputs = (torch.ones_like(q) if mask is None else mask).nonzero(as_tuple=True)
    digits = torch.zeros(sparse_words(n_out, capacity), dtype=torch.int32)
    n = len(rows)
    digits[:SPARSE_HEADER] = torch.tensor([n_digits, n_out, n_in, n if n <= capacity else -1])
    if n <= capacity:
        first = sparse_words(n_out, 0)
        counts = torch.bincount(rows, minlength=n_out)
        digits[SPARSE_HEADER + 1 : first] = counts.cumsum(0).to(torch.int32)
        connections = torch.stack([inputs, q[rows, inputs]], 1)
        digits[first : first + 2 * n] = connections.flatten().to(torch.int32)
    return digits


def unpack_sparse(digits: Tensor) -> Tensor:
    """Sparse digits as integers (n_out, n_in)."""
    _, n_out, n_in, n = digits[:SPARSE_HEADER].tolist()
    first = sparse_words(n_out, 0)
    counts = digits[SPARSE_HEADER:first].diff().long()
    rows = torch.repeat_interleave(torch.arange(n_out), counts)
    inputs, values = digits[first : first + 2 * n].view(-1, 2).long().unbind(1)
    q = torch.zeros(n_out, n_in, dtype=torch.int64)
    q[rows, inputs] = values
    return q


def dense_digits(digits: Tensor) -> Tensor:
    """The same digits in the dense format."""
    if not is_sparse(digits):
        return digits
    return pack_digits(unpack_sparse(digits), described(digits).n_digits)
