"""The formats of ``csrc/common/layout.h`` in integer torch: packed states, digits, sparse digits.

All formats of digits hold the same integers q = round(W∘A / step). Dense digits are rows on the
CPU, int16 with four axes, and panels on a GPU, int8 with five axes. Sparse digits are int32 with
one axis: n_digits, n_out, n_in, n_connections; offsets (n_out + 1); connections (capacity, 2), each
an input and its q, those of output i from offsets[i] to before offsets[i + 1], inputs ascending;
what is not used is 0. Of more connections than the capacity nothing is held: n_connections is -1
and all after it 0.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ncg_fast.backends.numerics import (
    BLOCK,
    PANEL,
    WORD,
    pack_digits,
    quantise,
    split_digits,
    to_levels,
)


class StateFormat(enum.Enum):
    """How the states of one layer are held; the value is the dtype."""

    PACKED = torch.int64  # bits, 64 chains a word
    LEVELS = torch.int32  # 16-bit fixed point
    ROWS = torch.float32  # or uint8, bool: a user's, of which ``encoded`` says what they stand for


_FORMATS = {kind.value: kind for kind in StateFormat}
_FORMATS |= {torch.uint8: StateFormat.ROWS, torch.bool: StateFormat.ROWS}


def state_format(states: Tensor) -> StateFormat:
    """The format of states; packed where the dtype is of none, which checks then refuse."""
    return _FORMATS.get(states.dtype, StateFormat.PACKED)


def encoded(op: str, name: str, states: Tensor, pack: Callable[[Tensor], Tensor]) -> Tensor:
    """Rows as packed states where all are 0 or 1, else as levels; other formats as they are.

    Raises:
        ValueError: rows with NaN or values outside [0, 1], or bytes that are neither 0 nor 1.
    """
    if state_format(states) is not StateFormat.ROWS:
        return states
    ones = ones_of(states)
    if ones is not None:
        return pack(ones)
    if states.dtype == torch.uint8 or not ((states >= 0) & (states <= 1)).all():
        rule = f"{op}: {name} must hold probabilities in [0, 1], or bytes 0 and 1"
        raise ValueError(f"{rule}, got other values. Call ncg_fast.ops, which says which.")
    return to_levels(states)


def ones_of(rows: Tensor) -> Tensor | None:
    """Where rows are 1, bool; None where a value is neither 0 nor 1 (NaN, too).

    By NumPy on the CPU: torch would share it out among threads, which after a pause takes longer
    than the rest of a training step.
    """
    if rows.dtype == torch.bool:
        return rows
    if rows.device.type != "cpu" or rows.dtype == torch.bfloat16:
        ones = rows == 1
        return ones if torch.equal(rows != 0, ones) else None
    values = rows.numpy()
    found = values == 1
    return torch.from_numpy(found) if np.array_equal(values != 0, found) else None


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


class DigitFormat(enum.Enum):
    """How the digits of one direction are held; the value is the dtype."""

    ROWS = torch.int16  # (planes, blocks of 64 outputs, n_in + 1, 64)
    PANELS = torch.int8  # (panels of 32 outputs, n_digits, blocks of 64 inputs, 32, 64)
    SPARSE = torch.int32


EXACT_INPUTS = 65536  # of which the two highest digits make one plane of rows


def dense_format(device_type: str) -> DigitFormat:
    """What the back ends of a device take as dense digits."""
    return DigitFormat.ROWS if device_type == "cpu" else DigitFormat.PANELS


def n_planes(n_in: int, n_digits: int) -> int:
    """The number of planes of rows."""
    return n_digits - (n_in <= EXACT_INPUTS)


def dense_shape(dense: DigitFormat, n_out: int, n_in: int, n_digits: int) -> tuple[int, ...]:
    """The axes of dense digits of one direction."""
    if dense is DigitFormat.ROWS:
        return n_planes(n_in, n_digits), -(-n_out // BLOCK), n_in + 1, BLOCK
    return -(-n_out // PANEL), n_digits, -(-n_in // BLOCK), PANEL, BLOCK


def new_digits(
    like: Tensor,
    n_hidden: int,
    n_visible: int,
    n_digits: int,
    capacity: int | None,
    dense: DigitFormat | None = None,
) -> tuple[Tensor, Tensor]:
    """Memory for digits to the hidden and to the visible units, sparse where capacity is given.

    Dense ones are of the format of the device, unless another is named.
    """
    dense = dense or dense_format(like.device.type)

    def one_way(n_out: int, n_in: int) -> Tensor:
        if capacity is not None:
            return like.new_empty(sparse_words(n_out, capacity), dtype=DigitFormat.SPARSE.value)
        shape = dense_shape(dense, n_out, n_in, n_digits)
        return like.new_empty(shape, dtype=dense.value)

    return one_way(n_hidden, n_visible), one_way(n_visible, n_hidden)


class Held(NamedTuple):
    """How a tensor of digits holds them."""

    n_digits: int
    capacity: int | None  # room for connections of sparse digits; None: dense
    format: DigitFormat


def is_sparse(digits: Tensor) -> bool:
    """Whether they are sparse digits."""
    return digits.dtype == DigitFormat.SPARSE.value


def described(digits: Tensor) -> Held:
    """What a tensor of digits says of itself."""
    if digits.dtype == DigitFormat.PANELS.value:
        return Held(digits.shape[1], None, DigitFormat.PANELS)
    if not is_sparse(digits):
        n_digits = digits.shape[0] + (digits.shape[2] - 1 <= EXACT_INPUTS)
        return Held(n_digits, None, DigitFormat.ROWS)
    n_digits, n_out = digits[:2].tolist()
    room = (len(digits) - sparse_words(n_out, 0)) // 2
    return Held(n_digits, room, DigitFormat.SPARSE)


def fits(digits: Tensor) -> bool:
    """Whether digits hold all connections: sparse ones may lack the room."""
    return not is_sparse(digits) or int(digits[SPARSE_HEADER - 1]) >= 0


def pack_weights(
    weight: Tensor,
    mask: Tensor | None,
    n_digits: int,
    weight_exponent: int,
    capacity: int | None = None,
    dense: DigitFormat = DigitFormat.ROWS,
) -> tuple[Tensor, Tensor]:
    """Digits of W∘A in both layouts, sparse where a capacity is given: (to_hidden, to_visible)."""
    q = quantise(weight, mask, n_digits, weight_exponent)
    if capacity is None:
        pack = pack_rows if dense is DigitFormat.ROWS else pack_digits
        return pack(q, n_digits), pack(q.t(), n_digits)
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


def pack_rows(q: Tensor, n_digits: int) -> Tensor:
    """Integers (n_out, n_in) as rows of weights, one for each input, and a last one of zeros."""
    n_out, n_in = q.shape
    planes = split_digits(q, n_digits)
    if n_planes(n_in, n_digits) < n_digits:
        planes[-2:] = [planes[-2] + 256 * planes[-1]]
    blocks = -(-n_out // BLOCK)
    rows = torch.zeros(len(planes), blocks * BLOCK, n_in + 1, dtype=torch.int16)
    rows[:, :n_out, :n_in] = torch.stack(planes)
    return rows.view(len(planes), blocks, BLOCK, n_in + 1).transpose(2, 3).contiguous()


def integers(digits: Tensor, n_out: int, n_in: int) -> Tensor:
    """The integers (n_out, n_in) of digits of any format."""
    if is_sparse(digits):
        return unpack_sparse(digits)
    if digits.dtype == DigitFormat.ROWS.value:
        places = digits.transpose(2, 3).flatten(1, 2)
    else:
        places = digits.permute(1, 0, 3, 2, 4).flatten(3, 4).flatten(1, 2)
    q = torch.zeros(places.shape[1:], dtype=torch.int64)
    for place in reversed(places.unbind(0)):
        q = 256 * q + place
    return q[:n_out, :n_in]
