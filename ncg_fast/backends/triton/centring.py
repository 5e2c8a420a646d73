"""Centred gradients: G', and what the biases ascend by, as ``reference.py`` has them."""

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ncg_fast.backends.records import Offsets
from ncg_fast.backends.triton.numerics import fma, launch, round_even
from ncg_fast.backends.triton.phases import Differences, scaled_difference, unit_sums


@triton.jit
def bias_terms(terms):
    """Products in fixed point, 28 bits after the point: their sums are exact, int64."""
    q = terms * 268435456.0
    q = tl.where(q < 2147483520.0, q, 2147483520.0)
    q = tl.where(q > -2147483520.0, q, -2147483520.0)
    return tl.where(tl.abs(q) < 8388608.0, round_even(q), q).to(tl.int64)


@triton.jit
def from_bias_terms(total):
    """Their sum in float32."""
    return total.to(tl.float32) * 3.725290298461914e-09  # 2**-28


@triton.jit
def centred(g, i, j, n_hidden, n_visible, mu, hidden_offset, by_visible, by_hidden):
    """G' of a tile."""
    row, column = i < n_hidden, j < n_visible
    minus_h = tl.load(by_hidden + i, mask=row, other=0.0) * -1.0
    offset = tl.load(mu + j, mask=column, other=0.0)
    minus_lambda = tl.load(hidden_offset + i, mask=row, other=0.0) * -1.0
    v = tl.load(by_visible + j, mask=column, other=0.0)
    columns = tl.broadcast_to(offset[None, :], g.shape)
    g = tl.fma(tl.broadcast_to(minus_h[:, None], g.shape), columns, g)
    columns = tl.broadcast_to(v[None, :], g.shape)
    return tl.fma(tl.broadcast_to(minus_lambda[:, None], g.shape), columns, g)


@triton.jit
def add_bias_terms(g, i, j, n_hidden, n_visible, mu, hidden_offset, of_visible, of_hidden):
    """Adds those of a tile of A∘G'."""
    row, column = i < n_hidden, j < n_visible
    offset = tl.load(mu + j, mask=column, other=0.0)
    tl.atomic_add(of_hidden + i, tl.sum(bias_terms(g * offset[None, :]), 1), mask=row)
    offset = tl.load(hidden_offset + i, mask=row, other=0.0)
    tl.atomic_add(of_visible + j, tl.sum(bias_terms(g * offset[:, None]), 0), mask=column)


@triton.jit(do_not_specialize=["n_rows", "n_chains", "model_unit"])
def centring_kernel(
    data,
    model,
    difference,
    terms,
    offset,
    stop,
    data_scale,
    model_scale,
    model_unit: tl.int32,
    n_rows: tl.int64,
    n_chains: tl.int64,
    n_units: tl.int32,
    data_kind: tl.constexpr,
    model_kind: tl.constexpr,
):
    """Before an update, of 64 units: the difference of their means, no terms; moves the offsets."""
    if tl.load(stop) != 0:
        return
    unit = tl.program_id(0) * 64 + tl.arange(0, 64)
    inside = unit < n_units
    of_data = unit_sums(data, unit, n_rows, n_units, data_kind)
    of_model = unit_sums(model, unit, n_chains, n_units, model_kind) * model_unit
    g = scaled_difference(of_data, of_model, n_rows == n_chains, data_scale, model_scale)
    tl.store(difference + unit, g, mask=inside)
    tl.store(terms + unit, tl.zeros((64,), tl.int64), mask=inside)
    if offset is not None:
        old = tl.load(offset + unit, mask=inside, other=0.0)
        change = of_data.to(tl.float32) * data_scale - old
        tl.store(offset + unit, fma(change, 0.01, old), mask=inside)


class Centring(NamedTuple):
    """What kernels of updates are told of offsets; all None: gradients are not centred."""

    visible_offset: Tensor | None = None
    hidden_offset: Tensor | None = None
    visible_difference: Tensor | None = None  # of the means of both phases
    hidden_difference: Tensor | None = None
    visible_terms: Tensor | None = None  # what centring adds to the gradients of biases, int64
    hidden_terms: Tensor | None = None

    @classmethod
    def of(cls, offsets: Offsets) -> "Centring":
        """With memory for the rest."""
        if offsets.visible is None or offsets.hidden is None:
            return cls()
        visible, hidden = offsets.visible.contiguous(), offsets.hidden
        differences = visible.new_empty(len(visible)), hidden.new_empty(len(hidden))
        terms = (torch.empty_like(each, dtype=torch.int64) for each in differences)
        return cls(visible, hidden, *differences, *terms)

    def begin(self, differences: Differences, stop: Tensor) -> None:
        """What an update needs to know of units before it looks at pairs."""
        sides: list[tuple[Any, ...]] = [
            (differences.visible, self.visible_difference, self.visible_terms, None),
            (differences.hidden, self.hidden_difference, self.hidden_terms, self.hidden_offset),
        ]
        for of_units, difference, terms, offset in sides:
            if difference is None:
                continue
            n_units = len(difference)
            given = {"difference": difference, "terms": terms, "offset": offset, "stop": stop}
            n_tiles = triton.cdiv(n_units, 64)
            launch(centring_kernel, n_tiles, n_units=n_units, **of_units, **given)


NOT_CENTRED = Centring()
