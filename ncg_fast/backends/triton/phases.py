"""Exact sums over rows, <h v> for a 64 x 32 tile of pairs, <v>, <h>; their differences.

Sums of 32 bits are carried into 64 before they overflow. Offsets within a tile have 32 bits.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from ncg_fast.backends.numerics import LEVELS
from ncg_fast.backends.records import Gradients, Phases, PhaseSums
from ncg_fast.backends.triton.numerics import contiguous
from ncg_fast.backends.triton.packing import high_byte, kind_of, low_byte, unpack


@triton.jit
def tile_units(n_visible):
    """64 hidden and 32 visible units; tiles cover whole blocks of the digits."""
    tiles = 2 * tl.cdiv(n_visible, 64)
    i = tl.program_id(0) // tiles * 64 + tl.arange(0, 64)
    return i, tl.program_id(0) % tiles * 32 + tl.arange(0, 32)


@triton.jit
def tile_pairs(i, j, n_hidden, n_visible):
    """The first pair of the tile, the others' 32-bit offsets from there, and which are inside."""
    first = tl.min(i).to(tl.int64) * n_visible
    pair = (i - tl.min(i))[:, None] * n_visible + j[None, :]
    return first, pair, (i[:, None] < n_hidden) & (j[None, :] < n_visible)


@triton.jit
def signed_bytes(levels, inside):
    """Levels as (low, high) bytes less 128; 0 outside. levels = low + 256 high + 32896."""
    return tl.where(inside, low_byte(levels), 0), tl.where(inside, high_byte(levels), 0)


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
def visible_bytes(visible, j, tile, n_rows, n_visible):
    """Visible levels of 32 rows (first axis) and 32 units as signed bytes."""
    row = tl.arange(0, 32)
    start = tile.to(tl.int64) * 32
    inside = (row[:, None] < n_rows - start) & (j[None, :] < n_visible)
    place = row[:, None] * n_visible + j[None, :]
    return signed_bytes(tl.load(visible + start * n_visible + place, mask=inside, other=0), inside)


@triton.jit
def pair_sums_of_packed(hidden, visible, i, j, n_rows, n_hidden, n_visible):
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
def pair_sums(visible, hidden, i, j, n_rows, n_hidden, n_visible, kind: tl.constexpr):
    """Sum over rows of h_i v_j: int64 (64, 32).

    kind: what ``visible`` holds: "packed" states or "levels"; or the "sums" themselves.
    """
    if kind == "sums":
        first, pair, inside = tile_pairs(i, j, n_hidden, n_visible)
        total = tl.load(visible + first + pair, mask=inside, other=0)
    elif kind == "levels":
        total = pair_sums_of_levels(hidden, visible, i, j, n_rows, n_hidden, n_visible)
    else:
        total = pair_sums_of_packed(hidden, visible, i, j, n_rows, n_hidden, n_visible)
    return total


@triton.jit
def unit_sums(states, unit, n_rows, n_units, kind: tl.constexpr):
    """Sum over rows of 64 units' states, int64 (64,); ``kind`` as above."""
    if kind == "sums":
        total = tl.load(states + unit, mask=unit < n_units, other=0)
    else:
        total = tl.zeros((64,), tl.int64)
        n_words = tl.cdiv(n_rows, 64)
        for word in range(0, n_words):
            if kind == "levels":
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


@triton.jit
def scaled_difference(data, model, equal, data_scale, model_scale):
    """One difference and one scale where rows and chains are equally many, else two of each."""
    one = (data - model).to(tl.float32) * data_scale
    two = data.to(tl.float32) * data_scale - model.to(tl.float32) * model_scale
    return tl.where(equal, one, two)


@triton.jit
def ascent(gradient, place, mask):
    """Of a gradient of the loss; where there is none -0, which added to x leaves it."""
    if gradient is None:
        found = tl.where(mask, -0.0, 0.0)
    else:
        found = tl.load(gradient + place, mask=mask, other=0.0) * -1.0
    return found


class Differences(NamedTuple):
    """What kernels are told of the two phases, by the names of their arguments."""

    pairs: dict[str, Any]  # of <h v>
    visible: dict[str, Any]  # of <v>
    hidden: dict[str, Any]  # of <h>

    @classmethod
    def of_phases(cls, phases: Phases) -> "Differences":
        """From states."""
        hidden_data, visible_data, hidden_model, visible_model = contiguous(phases)
        kind = kind_of(visible_data)
        kinds = {"data_kind": kind, "model_kind": "packed"}
        visible = {"data": visible_data, "model": visible_model, **kinds}
        kinds = {"data_kind": "levels", "model_kind": "levels"}
        hidden = {"data": hidden_data, "model": hidden_model, **kinds}
        pairs = {**visible, "hidden_data": hidden_data, "hidden_model": hidden_model}
        counts = len(hidden_data), len(hidden_model)
        return cls(pairs, visible, hidden)._scaled(*counts, kind == "levels")

    @classmethod
    def of_sums(
        cls, data: PhaseSums, model: PhaseSums, n_rows: int, n_chains: int, data_levels: bool
    ) -> "Differences":
        """From their sums."""
        data, model = contiguous(data), contiguous(model)
        kinds = {"data_kind": "sums", "model_kind": "sums"}
        products = {"data": data.products, "model": model.products}
        pairs = {**products, "hidden_data": None, "hidden_model": None, **kinds}
        visible = {"data": data.visible, "model": model.visible, **kinds}
        hidden = {"data": data.hidden, "model": model.hidden, **kinds}
        return cls(pairs, visible, hidden)._scaled(n_rows, n_chains, data_levels)

    @classmethod
    def of_gradients(cls, gradients: Gradients) -> "Differences":
        """In their place what is ascended by; the model's place is that of the strengths."""
        of_weight, of_strength, of_visible, of_hidden = (
            None if gradient is None else gradient.contiguous() for gradient in gradients
        )
        kinds = {"data_kind": "gradients", "model_kind": "gradients", "model": None}
        pairs = {**kinds, "model": of_strength, "data": of_weight}
        pairs |= {"hidden_data": None, "hidden_model": None}
        visible, hidden = ({**kinds, "data": by_bias} for by_bias in (of_visible, of_hidden))
        return cls(pairs, visible, hidden)._scaled(1, 1, False)

    def _scaled(self, n_rows: int, n_chains: int, data_levels: bool) -> "Differences":
        """With counts and scales; a visible 1 of the data counts as levels or as a bit."""
        visible_unit = LEVELS if data_levels else 1

        def scaled(terms: dict[str, Any], one: int, model_unit: int) -> dict[str, Any]:
            counts = {"n_rows": n_rows, "n_chains": n_chains, "model_unit": model_unit}
            scales = {"data_scale": 1 / (one * n_rows), "model_scale": 1 / (one * n_chains)}
            return {**terms, **counts, **scales}

        return Differences(
            pairs=scaled(self.pairs, LEVELS * visible_unit, visible_unit),
            visible=scaled(self.visible, visible_unit, visible_unit),
            hidden=scaled(self.hidden, LEVELS, 1),
        )
