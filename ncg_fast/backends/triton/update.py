"""Gradients and the NCG update, a 64 x 32 tile of pairs a program."""

import math
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ncg_fast.backends.numerics import LEVELS, digit_step
from ncg_fast.backends.triton.launch import launch
from ncg_fast.backends.triton.numerics import fma, store_digits
from ncg_fast.backends.triton.phases import phase_difference, scaled_difference, unit_sums

_COUNTS = ["n_rows", "n_chains"]


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


@triton.jit(do_not_specialize=_COUNTS)
def gradient_kernel(
    hidden_data,
    visible_data,
    hidden_model,
    visible_model,
    weight,
    mask,
    difference,
    by_weight,
    by_strength,
    data_scale,
    model_scale,
    n_rows: tl.int64,
    n_chains: tl.int64,
    n_hidden: tl.int32,
    n_visible: tl.int32,
    levels: tl.constexpr,
    equal: tl.constexpr,
):
    """G, and A∘G and W∘G where asked for."""
    i, j = tile_units(n_visible)
    states = hidden_data, visible_data, hidden_model, visible_model
    sizes = n_rows, n_chains, n_hidden, n_visible
    g = phase_difference(*states, i, j, data_scale, model_scale, *sizes, levels, equal)
    first, pair, inside = tile_pairs(i, j, n_hidden, n_visible)
    tl.store(difference + first + pair, g, mask=inside)
    if mask is not None:
        on = tl.load(mask + first + pair, mask=inside, other=0) != 0
        tl.store(by_weight + first + pair, tl.where(on, g, 0.0), mask=inside)
    if weight is not None:
        tl.store(
            by_strength + first + pair, tl.load(weight + first + pair, mask=inside) * g, mask=inside
        )


@triton.jit(do_not_specialize=_COUNTS)
def update_kernel(
    weight,
    strength,
    mask,
    to_hidden,
    to_visible,
    velocity,
    hidden_data,
    visible_data,
    hidden_model,
    visible_model,
    counters,
    stop,
    data_scale,
    model_scale,
    inverse_step,
    lr,
    lr_strength,
    momentum,
    minus_decay,
    n_rows: tl.int64,
    n_chains: tl.int64,
    n_hidden: tl.int32,
    n_visible: tl.int32,
    n_learned: tl.int32,
    n_digits: tl.constexpr,
    levels: tl.constexpr,
    equal: tl.constexpr,
    decays: tl.constexpr,
):
    """G, then W, S, mask and digits in place; counters gain max |W| and what was switched."""
    if stop is not None and tl.load(stop) != 0:
        return
    i, j = tile_units(n_visible)
    states = hidden_data, visible_data, hidden_model, visible_model
    sizes = n_rows, n_chains, n_hidden, n_visible
    g = phase_difference(*states, i, j, data_scale, model_scale, *sizes, levels, equal)

    first, pair, inside = tile_pairs(i, j, n_hidden, n_visible)
    old_weight = tl.load(weight + first + pair, mask=inside, other=0.0)
    on = tl.load(mask + first + pair, mask=inside, other=0) != 0
    direction = g
    if decays:
        direction = fma(old_weight, minus_decay, g)
    if velocity is not None:
        direction = fma(
            tl.load(velocity + first + pair, mask=inside, other=0.0), momentum, direction
        )
        tl.store(velocity + first + pair, tl.where(on, direction, 0.0), mask=inside)
    new_weight = tl.where(on, fma(direction, lr, old_weight), old_weight)
    tl.store(weight + first + pair, new_weight, mask=inside)
    largest = new_weight.to(tl.int32, bitcast=True) & 0x7FFFFFFF

    if strength is not None:
        learned = inside & (j[None, :] < n_learned)
        s = tl.load(strength + first + pair, mask=learned, other=0.0)
        s = fma(old_weight * g, lr_strength, s)
        s_bits = s.to(tl.int32, bitcast=True) & 0x7FFFFFFF
        largest = tl.maximum(largest, tl.where(learned & (s_bits > 0x7F800000), s_bits, 0))
        off = s < 0.5
        now_on = tl.where(learned, (s > 0.5) | (on & (off == 0)), on)
        s = tl.where(s < 0.0, 0.0, s)
        tl.store(strength + first + pair, tl.where(s > 1.0, 1.0, s), mask=learned)
        tl.store(mask + first + pair, now_on.to(tl.uint8), mask=learned)
        tl.atomic_add(counters + 1, tl.sum((now_on & (on == 0)).to(tl.int64)))
        tl.atomic_add(counters + 2, tl.sum((on & (now_on == 0)).to(tl.int64)))
        on = now_on
    tl.atomic_max(counters, tl.max(largest).to(tl.int64))
    value = tl.where(on, new_weight, 0.0)
    store_digits(value, i, j, to_hidden, to_visible, inverse_step, n_hidden, n_visible, n_digits)


@triton.jit(do_not_specialize=_COUNTS)
def bias_kernel(
    data,
    model,
    gradient,
    bias,
    velocity,
    counters,
    stop,
    data_scale,
    model_scale,
    model_unit: tl.int32,
    lr,
    momentum,
    n_rows: tl.int64,
    n_chains: tl.int64,
    n_units: tl.int32,
    data_levels: tl.constexpr,
    model_levels: tl.constexpr,
    equal: tl.constexpr,
):
    """<unit> of data minus model: into ``gradient``, or a step of the bias."""
    if stop is not None and tl.load(stop) != 0:
        return
    unit = tl.program_id(0) * 64 + tl.arange(0, 64)
    inside = unit < n_units
    of_data = unit_sums(data, unit, n_rows, n_units, data_levels)
    of_model = unit_sums(model, unit, n_chains, n_units, model_levels) * model_unit
    g = scaled_difference(of_data, of_model, data_scale, model_scale, equal)
    if gradient is not None:
        tl.store(gradient + unit, g, mask=inside)
    if bias is not None:
        if velocity is not None:
            g = fma(tl.load(velocity + unit, mask=inside, other=0.0), momentum, g)
            tl.store(velocity + unit, g, mask=inside)
        new = fma(g, lr, tl.load(bias + unit, mask=inside, other=0.0))
        tl.store(bias + unit, new, mask=inside)
        bits = new.to(tl.int32, bitcast=True) & 0x7FFFFFFF
        bad = tl.where(inside & (bits >= 0x7F800000), bits, 0)
        tl.atomic_max(counters, tl.max(bad).to(tl.int64))


@triton.jit
def finish_kernel(counters, stop, limits, found):
    """Counters to ``found``: max |W|, switched on, off, batches done; stops outside the limits."""
    if tl.load(stop) != 0:
        return
    largest = tl.load(counters).to(tl.int32).to(tl.float32, bitcast=True).to(tl.float64)
    n_done = tl.load(counters + 3) + 1
    tl.store(found, largest)
    tl.store(found + 1, tl.load(counters + 1).to(tl.float64))
    tl.store(found + 2, tl.load(counters + 2).to(tl.float64))
    tl.store(found + 3, n_done.to(tl.float64))
    sound = (largest >= tl.load(limits)) & (largest <= tl.load(limits + 1))
    tl.store(counters, 0)
    tl.store(counters + 3, n_done)
    tl.store(stop, (sound == 0).to(tl.int64))


class Phases(NamedTuple):
    """States of both phases, contiguous."""

    hidden_data: Tensor
    visible_data: Tensor
    hidden_model: Tensor
    visible_model: Tensor

    @classmethod
    def of(cls, *states: Tensor) -> "Phases":
        """The states, copied where they are not contiguous."""
        return cls(*(t.contiguous() for t in states))

    @property
    def n_rows(self) -> tuple[int, int]:
        """Rows of the data and chains of the model."""
        return len(self.hidden_data), len(self.hidden_model)

    @property
    def levels(self) -> bool:
        """Whether the visible data are levels."""
        return self.visible_data.dtype == torch.int32

    @property
    def visible_unit(self) -> int:
        """What a visible 1 counts in the data."""
        return LEVELS if self.levels else 1

    def scales(self, one: int) -> tuple[float, float]:
        """Of the sums of data and of model, where a 1 counts ``one``."""
        n_rows, n_chains = self.n_rows
        return 1 / (one * n_rows), 1 / (one * n_chains)

    @property
    def kind(self) -> tuple[bool, bool]:
        """Whether the data are levels; whether rows and chains are equally many."""
        return self.levels, self.n_rows[0] == self.n_rows[1]


def _n_tiles(n_hidden: int, n_visible: int) -> int:
    return int(triton.cdiv(n_hidden, 64) * 2 * triton.cdiv(n_visible, 64))


def _bias_steps(
    phases: Phases, targets: tuple[tuple[Tensor | None, ...], ...], *rates_and_stop: Any
) -> None:
    """Both layers: targets are (gradient, bias, velocity) of the visible and the hidden units."""
    counters, stop, lr, momentum = rates_and_stop
    equal = phases.kind[1]
    visible = phases.visible_data, phases.visible_model, phases.visible_unit, phases.levels, False
    hidden = phases.hidden_data, phases.hidden_model, 1, True, True
    ones = phases.visible_unit, LEVELS
    for layer, one, target in zip((visible, hidden), ones, targets, strict=True):
        data, model, unit, *levels = layer
        n_units = phases.hidden_data.shape[1] if levels[1] else len(model)
        sizes = *phases.n_rows, n_units
        scales = phases.scales(one)
        given = data, model, *target, counters, stop, *scales, unit, lr, momentum, *sizes
        launch(bias_kernel, triton.cdiv(n_units, 64), *given, *levels, equal)


def connection_gradient(
    hidden_data: Tensor,
    visible_data: Tensor,
    hidden_model: Tensor,
    visible_model: Tensor,
    weight: Tensor | None,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    phases = Phases.of(hidden_data, visible_data, hidden_model, visible_model)
    pair = n_hidden, n_visible = hidden_data.shape[1], len(visible_model)
    shapes = pair, *((0,) if given is None else pair for given in (mask, weight))
    difference, by_weight, by_strength, of_visible, of_hidden = results = tuple(
        hidden_data.new_empty(shape, dtype=torch.float32)
        for shape in (*shapes, (n_visible,), (n_hidden,))
    )
    values = None if weight is None else weight.contiguous()
    bits = None if mask is None else mask.contiguous().view(torch.uint8)
    scales = phases.scales(LEVELS * phases.visible_unit)
    given = *phases, values, bits, *results[:3], *scales, *phases.n_rows, *pair, *phases.kind
    launch(gradient_kernel, _n_tiles(*pair), *given, num_warps=8, num_stages=1)
    _bias_steps(phases, ((of_visible, None, None), (of_hidden, None, None)), None, None, 0.0, 0.0)
    return difference, by_weight, by_strength, of_visible, of_hidden


class Counters(NamedTuple):
    """What an update finds, on the device.

    Attributes:
        counts: bits of max |W|, connections switched on and off, batches done.
        stop: not 0 once max |W| left the limits: no kernel of a step then does anything.
        limits: least and most max |W|, float64.
        found: ``counts`` as numbers, float64.
    """

    counts: Tensor
    stop: Tensor
    limits: Tensor
    found: Tensor

    @classmethod
    def new(cls, like: Tensor, least: float, most: float) -> "Counters":
        """Counters at 0."""
        counts = like.new_zeros(4, dtype=torch.int64)
        limits = like.new_empty(2, dtype=torch.float64)
        limits[:1].fill_(least)
        limits[1:].fill_(most)
        stop = like.new_zeros(1, dtype=torch.int64)
        return cls(counts, stop, limits, like.new_empty(4, dtype=torch.float64))


def update_(
    parameters: tuple[Any, ...],
    phases: Phases,
    counters: Counters,
    weight_exponent: int,
    n_labels: int,
    lr: float,
    lr_strength: float,
    momentum: float,
    weight_decay: float,
) -> None:
    """One NCG step in place; parameters are the ten tensors that ``ncg_update_`` writes."""
    weight, strength, mask, visible_bias, hidden_bias, *digits, velocity = parameters[:8]
    n_hidden, n_visible = weight.shape
    n_digits = digits[0].shape[1]
    tensors = weight, strength, mask.view(torch.uint8), *digits, velocity, *phases
    numbers = (
        *phases.scales(LEVELS * phases.visible_unit),
        1 / digit_step(weight_exponent, n_digits),
    )
    rates = lr, lr_strength, momentum, -weight_decay
    sizes = *phases.n_rows, n_hidden, n_visible, n_visible - n_labels
    kind = n_digits, *phases.kind, bool(weight_decay)
    given = *tensors, *counters[:2], *numbers, *rates, *sizes, *kind
    launch(update_kernel, _n_tiles(n_hidden, n_visible), *given, num_warps=8, num_stages=1)
    targets = (None, visible_bias, parameters[8]), (None, hidden_bias, parameters[9])
    _bias_steps(phases, targets, *counters[:2], lr, momentum)
    launch(finish_kernel, 1, *counters)


def ncg_update_(*arguments: Any) -> Tensor:
    parameters, states, options = arguments[:10], arguments[10:14], arguments[14:]
    counters = Counters.new(arguments[0], 0.0, math.inf)
    update_(parameters, Phases.of(*states), counters, *options)
    return counters.found[:3]
