"""Exact sums over rows: <h v> of both phases for a 64 x 32 tile of pairs, and <v>, <h>.

Sums of 32 bits are carried into 64 before they overflow. Offsets within a tile have 32 bits.
"""

import triton
import triton.language as tl

from ncg_fast.backends.triton.numerics import unpack


@triton.jit
def signed_bytes(levels, inside):
    """Levels as (low, high) bytes less 128; 0 outside. levels = low + 256 high + 32896."""
    low = tl.where(inside, (levels & 255) - 128, 0).to(tl.int8)
    high = tl.where(inside, (levels >> 8) - 128, 0).to(tl.int8)
    return low, high


@triton.jit
def hidden_bytes(hidden, i, tile, n_rows, n_hidden):
    """Hidden levels of 64 units (first axis) and 32 rows as signed bytes."""
    row = tl.arange(0, 32)
    start = tile.to(tl.int64) * 32
    inside = (i[:, None] < n_hidden) & (row[None, :] < n_rows - start)
    place = row[None, :] * n_hidden + i[:, None]
    return signed_bytes(tl.load(hidden + start * n_hidden + place, mask=inside, other=0), inside)


@triton.jit
def visible_bits(visible, j, tile, n_words, n_visible):
    """Packed states of 32 rows (first axis) and 32 units, int8."""
    place = j.to(tl.int64) * n_words + tile // 2
    words = tl.load(visible + place, mask=j < n_visible, other=0)
    shift = (tile % 2 * 32 + tl.arange(0, 32)).to(tl.int64)
    return (words[None, :] >> shift[:, None] & 1).to(tl.int8)


@triton.jit
def pair_sums(hidden, visible, i, j, n_rows, n_hidden, n_visible):
    """Sum over rows of h_i v_j, v packed: int64 (64, 32)."""
    total = tl.zeros((64, 32), tl.int64)
    n_words = tl.cdiv(n_rows, 64)
    for first in range(0, 2 * n_words, 262144):
        low = tl.zeros((64, 32), tl.int32)
        high = tl.zeros((64, 32), tl.int32)
        n_on = tl.zeros((32,), tl.int32)
        for k in range(first, tl.minimum(first + 262144, 2 * n_words)):
            tile = tl.zeros((1,), tl.int64) + k
            h_low, h_high = hidden_bytes(hidden, i, tile, n_rows, n_hidden)
            v = visible_bits(visible, j, tile, n_words, n_visible)
            low = tl.dot(h_low, v, low, out_dtype=tl.int32)
            high = tl.dot(h_high, v, high, out_dtype=tl.int32)
            n_on += tl.sum(v.to(tl.int32), 0)
        total += low.to(tl.int64) + high.to(tl.int64) * 256
        total += (n_on.to(tl.int64) * 32896)[None, :]
    return total


@triton.jit
def pair_sums_of_levels(hidden, visible, i, j, n_rows, n_hidden, n_visible):
    """Sum over rows of h_i v_j, both levels: int64 (64, 32)."""
    total = tl.zeros((64, 32), tl.int64)
    n_tiles = tl.cdiv(n_rows, 32)
    for first in range(0, n_tiles, 1024):
        low = tl.zeros((64, 32), tl.int32)
        middle = tl.zeros((64, 32), tl.int32)
        high = tl.zeros((64, 32), tl.int32)
        h_sum = tl.zeros((64,), tl.int32)
        v_sum = tl.zeros((32,), tl.int32)
        for k in range(first, tl.minimum(first + 1024, n_tiles)):
            tile = tl.zeros((1,), tl.int64) + k
            h_low, h_high = hidden_bytes(hidden, i, tile, n_rows, n_hidden)
            v_low, v_high = visible_bytes(visible, j, tile, n_rows, n_visible)
            low = tl.dot(h_low, v_low, low, out_dtype=tl.int32)
            middle = tl.dot(h_low, v_high, middle, out_dtype=tl.int32)
            middle = tl.dot(h_high, v_low, middle, out_dtype=tl.int32)
            high = tl.dot(h_high, v_high, high, out_dtype=tl.int32)
            h_sum += tl.sum(h_low.to(tl.int32) + h_high.to(tl.int32) * 256, 1)
            v_sum += tl.sum(v_low.to(tl.int32) + v_high.to(tl.int32) * 256, 0)
        total += low.to(tl.int64) + middle.to(tl.int64) * 256 + high.to(tl.int64) * 65536
        total += (h_sum[:, None].to(tl.int64) + v_sum[None, :].to(tl.int64)) * 32896
    return total + n_rows.to(tl.int64) * 1082146816  # 32896**2


@triton.jit
def visible_bytes(visible, j, tile, n_rows, n_visible):
    """Visible levels of 32 rows (first axis) and 32 units as signed bytes."""
    row = tl.arange(0, 32)
    start = tile.to(tl.int64) * 32
    inside = (row[:, None] < n_rows - start) & (j[None, :] < n_visible)
    place = row[:, None] * n_visible + j[None, :]
    return signed_bytes(tl.load(visible + start * n_visible + place, mask=inside, other=0), inside)


@triton.jit
def scaled_difference(data, model, data_scale, model_scale, equal: tl.constexpr):
    """One difference and one scale where rows and chains are equally many, else two of each."""
    if equal:
        return (data - model).to(tl.float32) * data_scale
    return data.to(tl.float32) * data_scale - model.to(tl.float32) * model_scale


@triton.jit
def phase_difference(
    hidden_data,
    visible_data,
    hidden_model,
    visible_model,
    i,
    j,
    data_scale,
    model_scale,
    n_rows,
    n_chains,
    n_hidden,
    n_visible,
    levels: tl.constexpr,
    equal: tl.constexpr,
):
    """G of a 64 x 32 tile of pairs."""
    model = pair_sums(hidden_model, visible_model, i, j, n_chains, n_hidden, n_visible)
    if levels:
        model = model * 65535
        data = pair_sums_of_levels(hidden_data, visible_data, i, j, n_rows, n_hidden, n_visible)
    else:
        data = pair_sums(hidden_data, visible_data, i, j, n_rows, n_hidden, n_visible)
    return scaled_difference(data, model, data_scale, model_scale, equal)


@triton.jit
def unit_sums(states, unit, n_rows, n_units, levels: tl.constexpr):
    """Sum over rows of 64 units' packed states, or levels; int64."""
    total = tl.zeros((64,), tl.int64)
    n_words = tl.cdiv(n_rows, 64)
    for word in range(0, n_words):
        if levels:
            row = tl.arange(0, 64)
            start = (tl.zeros((1,), tl.int64) + word) * 64
            inside = (row[:, None] < n_rows - start) & (unit[None, :] < n_units)
            place = row[:, None] * n_units + unit[None, :]
            values = tl.load(states + start * n_units + place, mask=inside, other=0)
        else:
            place = unit.to(tl.int64) * n_words + word
            values = unpack(tl.load(states + place, mask=unit < n_units, other=0)).to(tl.int32)
        total += tl.sum(values, 0).to(tl.int64)
    return total
