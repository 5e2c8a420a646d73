"""Gradients, sums of a phase, and the NCG update, a 64 x 32 tile of pairs a program."""

import math
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ncg_fast.backends.formats import described
from ncg_fast.backends.numerics import digit_step
from ncg_fast.backends.records import Gradients, Offsets, Parameters, Phases, PhaseSums, Rates
from ncg_fast.backends.triton.centring import (
    NOT_CENTRED,
    Centring,
    add_bias_terms,
    centred,
    from_bias_terms,
)
from ncg_fast.backends.triton.numerics import fma, launch
from ncg_fast.backends.triton.packing import kind_of, store_digits
from ncg_fast.backends.triton.phases import (
    Differences,
    ascent,
    pair_sums,
    scaled_difference,
    tile_pairs,
    tile_units,
    unit_sums,
)

_COUNTS = ["n_rows", "n_chains", "model_unit"]


@triton.jit(do_not_specialize=["n_rows"])
def pair_sums_kernel(
    products,
    visible,
    hidden,
    n_rows: tl.int64,
    n_hidden: tl.int32,
    n_visible: tl.int32,
    kind: tl.constexpr,
):
    """Adds sums of h_i v_j."""
    i, j = tile_units(n_visible)
    first, pair, inside = tile_pairs(i, j, n_hidden, n_visible)
    total = pair_sums(visible, hidden, i, j, n_rows, n_hidden, n_visible, kind)
    total += tl.load(products + first + pair, mask=inside, other=0)
    tl.store(products + first + pair, total, mask=inside)


@triton.jit(do_not_specialize=["n_rows"])
def unit_sums_kernel(sums, states, n_rows: tl.int64, n_units: tl.int32, kind: tl.constexpr):
    """Adds sums of 64 units' states."""
    unit = tl.program_id(0) * 64 + tl.arange(0, 64)
    inside = unit < n_units
    total = unit_sums(states, unit, n_rows, n_units, kind)
    tl.store(sums + unit, tl.load(sums + unit, mask=inside, other=0) + total, mask=inside)


@triton.jit(do_not_specialize=_COUNTS)
def gradient_kernel(
    data,
    model,
    hidden_data,
    hidden_model,
    weight,
    mask,
    difference,
    by_weight,
    by_strength,
    data_scale,
    model_scale,
    model_unit: tl.int32,
    n_rows: tl.int64,
    n_chains: tl.int64,
    n_hidden: tl.int32,
    n_visible: tl.int32,
    data_kind: tl.constexpr,
    model_kind: tl.constexpr,
):
    """G, and A∘G and W∘G where asked for."""
    i, j = tile_units(n_visible)
    of_model = pair_sums(model, hidden_model, i, j, n_chains, n_hidden, n_visible, model_kind)
    of_data = pair_sums(data, hidden_data, i, j, n_rows, n_hidden, n_visible, data_kind)
    of_model *= model_unit
    g = scaled_difference(of_data, of_model, n_rows == n_chains, data_scale, model_scale)
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
def unit_gradient_kernel(
    data,
    model,
    gradient,
    data_scale,
    model_scale,
    model_unit: tl.int32,
    n_rows: tl.int64,
    n_chains: tl.int64,
    n_units: tl.int32,
    data_kind: tl.constexpr,
    model_kind: tl.constexpr,
):
    """<unit> of data minus model."""
    unit = tl.program_id(0) * 64 + tl.arange(0, 64)
    of_data = unit_sums(data, unit, n_rows, n_units, data_kind)
    of_model = unit_sums(model, unit, n_chains, n_units, model_kind) * model_unit
    g = scaled_difference(of_data, of_model, n_rows == n_chains, data_scale, model_scale)
    tl.store(gradient + unit, g, mask=unit < n_units)


@triton.jit
def rate_now(rate, lr_factors, counters):
    """The rate times the factor of the batch."""
    if lr_factors is not None:
        rate = rate * tl.load(lr_factors + tl.load(counters + 3))
    return rate


@triton.jit(do_not_specialize=[*_COUNTS, "n_learned"])
def update_kernel(
    weight,
    strength,
    mask,
    to_hidden,
    to_visible,
    velocity,
    data,
    model,
    hidden_data,
    hidden_model,
    counters,
    stop,
    lr_factors,
    visible_offset,
    hidden_offset,
    visible_difference,
    hidden_difference,
    visible_terms,
    hidden_terms,
    data_scale,
    model_scale,
    inverse_step,
    lr,
    lr_strength,
    momentum,
    minus_decay,
    model_unit: tl.int32,
    n_rows: tl.int64,
    n_chains: tl.int64,
    n_hidden: tl.int32,
    n_visible: tl.int32,
    n_learned: tl.int32,
    n_digits: tl.constexpr,
    data_kind: tl.constexpr,
    model_kind: tl.constexpr,
):
    """G, then W, S, mask and digits in place; counters gain max |W∘A| and what was switched."""
    if tl.load(stop) != 0:
        return
    lr = rate_now(lr, lr_factors, counters)
    lr_strength = rate_now(lr_strength, lr_factors, counters)
    i, j = tile_units(n_visible)
    first, pair, inside = tile_pairs(i, j, n_hidden, n_visible)
    if data_kind == "gradients":
        g = ascent(data, first + pair, inside)
    else:
        # In the other order registers spill.
        of_model = pair_sums(model, hidden_model, i, j, n_chains, n_hidden, n_visible, model_kind)
        of_data = pair_sums(data, hidden_data, i, j, n_rows, n_hidden, n_visible, data_kind)
        of_model *= model_unit
        g = scaled_difference(of_data, of_model, n_rows == n_chains, data_scale, model_scale)
    on = tl.load(mask + first + pair, mask=inside, other=0) != 0
    if visible_offset is not None:
        offsets = visible_offset, hidden_offset
        units = i, j, n_hidden, n_visible
        g = centred(g, *units, *offsets, visible_difference, hidden_difference)
        active = tl.where(on, g, 0.0)
        add_bias_terms(active, *units, *offsets, visible_terms, hidden_terms)
    old_weight = tl.load(weight + first + pair, mask=inside, other=0.0)
    direction = tl.where(minus_decay != 0.0, fma(old_weight, minus_decay, g), g)
    if velocity is not None:
        direction = fma(
            tl.load(velocity + first + pair, mask=inside, other=0.0), momentum, direction
        )
        tl.store(velocity + first + pair, tl.where(on, direction, 0.0), mask=inside)
    new_weight = tl.where(on, fma(direction, lr, old_weight), old_weight)
    tl.store(weight + first + pair, new_weight, mask=inside)
    bad = tl.zeros_like(old_weight).to(tl.int32)

    if strength is not None:
        learned = inside & (j[None, :] < n_learned)
        s = tl.load(strength + first + pair, mask=learned, other=0.0)
        if data_kind == "gradients":
            change = ascent(model, first + pair, learned)
        else:
            change = old_weight * g
        s = fma(change, lr_strength, s)
        s_bits = s.to(tl.int32, bitcast=True) & 0x7FFFFFFF
        bad = tl.where(learned & (s_bits > 0x7F800000), s_bits, 0)
        off = s < 0.5
        now_on = tl.where(learned, (s > 0.5) | (on & (off == 0)), on)
        s = tl.where(s < 0.0, 0.0, s)
        tl.store(strength + first + pair, tl.where(s > 1.0, 1.0, s), mask=learned)
        tl.store(mask + first + pair, now_on.to(tl.uint8), mask=learned)
        tl.atomic_add(counters + 1, tl.sum((now_on & (on == 0)).to(tl.int64)))
        tl.atomic_add(counters + 2, tl.sum((on & (now_on == 0)).to(tl.int64)))
        on = now_on
    value = tl.where(on, new_weight, 0.0)
    magnitude = value.to(tl.int32, bitcast=True) & 0x7FFFFFFF
    tl.atomic_max(counters, tl.max(tl.maximum(magnitude, bad)).to(tl.int64))
    store_digits(value, i, j, to_hidden, to_visible, inverse_step, n_hidden, n_visible, n_digits)


@triton.jit(do_not_specialize=_COUNTS)
def bias_kernel(
    data,
    model,
    bias,
    velocity,
    difference,
    terms,
    counters,
    stop,
    lr_factors,
    data_scale,
    model_scale,
    lr,
    momentum,
    model_unit: tl.int32,
    n_rows: tl.int64,
    n_chains: tl.int64,
    n_units: tl.int32,
    data_kind: tl.constexpr,
    model_kind: tl.constexpr,
):
    """A step of 64 biases."""
    if tl.load(stop) != 0:
        return
    lr = rate_now(lr, lr_factors, counters)
    unit = tl.program_id(0) * 64 + tl.arange(0, 64)
    inside = unit < n_units
    if data_kind == "gradients":
        g = ascent(data, unit, inside)
    elif difference is not None:
        total = tl.load(terms + unit, mask=inside, other=0)
        g = tl.load(difference + unit, mask=inside, other=0.0) - from_bias_terms(total)
    else:
        of_data = unit_sums(data, unit, n_rows, n_units, data_kind)
        of_model = unit_sums(model, unit, n_chains, n_units, model_kind) * model_unit
        g = scaled_difference(of_data, of_model, n_rows == n_chains, data_scale, model_scale)
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
    """Counters to ``found``, see ``reference.train_steps_``; stops outside the limits."""
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


def _launch_pairs(kernel: Any, n_hidden: int, n_visible: int, **arguments: Any) -> None:
    """A program a tile of pairs."""
    sizes = {"n_hidden": n_hidden, "n_visible": n_visible}
    n_tiles = triton.cdiv(n_hidden, 64) * 2 * triton.cdiv(n_visible, 64)
    launch(kernel, n_tiles, **sizes, **arguments, num_warps=8, num_stages=1)


def _launch_units(kernel: Any, n_units: int, **arguments: Any) -> None:
    """A program for 64 units."""
    launch(kernel, triton.cdiv(n_units, 64), n_units=n_units, **arguments)


def connection_gradient(
    phases: Phases, weight: Tensor | None, mask: Tensor | None
) -> tuple[Tensor, ...]:
    n_hidden, n_visible = pair = phases.hidden_data.shape[1], len(phases.visible_model)
    wanted: list[tuple[int, ...]] = [(0,) if given is None else pair for given in (mask, weight)]
    difference, by_weight, by_strength, by_visible, by_hidden = results = tuple(
        phases.hidden_data.new_empty(shape, dtype=torch.float32)
        for shape in (pair, *wanted, (n_visible,), (n_hidden,))
    )
    differences = Differences.of_phases(phases)
    _launch_pairs(
        gradient_kernel,
        n_hidden,
        n_visible,
        **differences.pairs,
        weight=None if weight is None else weight.contiguous(),
        mask=None if mask is None else mask.contiguous().view(torch.uint8),
        difference=difference,
        by_weight=by_weight,
        by_strength=by_strength,
    )
    _launch_units(unit_gradient_kernel, n_visible, **differences.visible, gradient=by_visible)
    _launch_units(unit_gradient_kernel, n_hidden, **differences.hidden, gradient=by_hidden)
    return results


def phase_sums(hidden: Tensor, visible: Tensor, sums: PhaseSums) -> None:
    hidden, visible, n_rows = hidden.contiguous(), visible.contiguous(), len(hidden)
    n_hidden, n_visible = sums.products.shape
    of_visible = {"n_rows": n_rows, "kind": kind_of(visible)}
    of_hidden = {"n_rows": n_rows, "kind": kind_of(hidden)}
    _launch_pairs(
        pair_sums_kernel,
        n_hidden,
        n_visible,
        products=sums.products,
        hidden=hidden,
        visible=visible,
        **of_visible,
    )
    _launch_units(unit_sums_kernel, n_visible, sums=sums.visible, states=visible, **of_visible)
    _launch_units(unit_sums_kernel, n_hidden, sums=sums.hidden, states=hidden, **of_hidden)


class Counters(NamedTuple):
    """What updates find, on the device."""

    counters: Tensor  # bits of max |W∘A|, connections switched on and off, batches done; int64
    stop: Tensor  # not 0 once max |W∘A| left the limits: no kernel of a step then does anything
    limits: Tensor  # least and most max |W∘A|, float64
    found: Tensor  # ``counters`` as numbers, float64

    @classmethod
    def new(cls, like: Tensor, least: float = 0.0, most: float = math.inf) -> "Counters":
        """Counters at 0."""
        limits = like.new_empty(2, dtype=torch.float64)
        limits[:1].fill_(least)
        limits[1:].fill_(most)
        return cls(
            counters=like.new_zeros(4, dtype=torch.int64),
            stop=like.new_zeros(1, dtype=torch.int64),
            limits=limits,
            found=like.new_empty(4, dtype=torch.float64),
        )


def update_(
    parameters: Parameters,
    differences: Differences,
    counters: Counters,
    rates: Rates,
    weight_exponent: int,
    n_labels: int,
    centring: Centring = NOT_CENTRED,
    lr_factors: Tensor | None = None,
) -> None:
    """One NCG step in place; of batch t the rates are lr and lr_strength times lr_factors[t]."""
    n_hidden, n_visible = parameters.weight.shape
    n_digits = described(parameters.to_hidden).n_digits
    shared: dict[str, Any] = {"lr": rates.lr, "momentum": rates.momentum}
    shared["lr_factors"] = lr_factors
    shared |= {"counters": counters.counters, "stop": counters.stop}
    centring.begin(differences, counters.stop)
    _launch_pairs(
        update_kernel,
        n_hidden,
        n_visible,
        **differences.pairs,
        **shared,
        **centring._asdict(),
        weight=parameters.weight,
        strength=parameters.connection_strength,
        mask=parameters.mask.view(torch.uint8),
        to_hidden=parameters.to_hidden,
        to_visible=parameters.to_visible,
        velocity=parameters.weight_velocity,
        inverse_step=1 / digit_step(weight_exponent, n_digits),
        lr_strength=rates.lr_strength,
        minus_decay=-rates.weight_decay,
        n_learned=n_visible - n_labels,
        n_digits=n_digits,
    )
    visible = {"bias": parameters.visible_bias, "velocity": parameters.visible_velocity}
    visible |= {"difference": centring.visible_difference, "terms": centring.visible_terms}
    hidden = {"bias": parameters.hidden_bias, "velocity": parameters.hidden_velocity}
    hidden |= {"difference": centring.hidden_difference, "terms": centring.hidden_terms}
    _launch_units(bias_kernel, n_visible, **differences.visible, **shared, **visible)
    _launch_units(bias_kernel, n_hidden, **differences.hidden, **shared, **hidden)
    launch(finish_kernel, 1, **counters._asdict())


def ncg_update_(
    parameters: Parameters,
    phases: Phases,
    rates: Rates,
    offsets: Offsets,
    weight_exponent: int,
    n_labels: int,
) -> Tensor:
    counters, differences = Counters.new(parameters.weight), Differences.of_phases(phases)
    given = parameters, differences, counters, rates, weight_exponent, n_labels
    update_(*given, Centring.of(offsets))
    return counters.found[:3]


def update_from_sums_(
    parameters: Parameters,
    data: PhaseSums,
    model: PhaseSums,
    n_rows: int,
    n_chains: int,
    data_levels: bool,
    rates: Rates,
    weight_exponent: int,
    n_labels: int,
) -> Tensor:
    counters = Counters.new(parameters.weight)
    differences = Differences.of_sums(data, model, n_rows, n_chains, data_levels)
    update_(parameters, differences, counters, rates, weight_exponent, n_labels)
    return counters.found[:3]


def gradient_update_(
    parameters: Parameters, gradients: Gradients, rates: Rates, weight_exponent: int, n_labels: int
) -> Tensor:
    if gradients.by_weight is None:  # what has no gradient stays
        parameters = parameters._replace(weight_velocity=None)
        rates = rates._replace(weight_decay=0.0)
    if gradients.by_strength is None:
        parameters = parameters._replace(connection_strength=None)
    if gradients.by_visible is None:
        parameters = parameters._replace(visible_velocity=None)
    if gradients.by_hidden is None:
        parameters = parameters._replace(hidden_velocity=None)
    counters, differences = Counters.new(parameters.weight), Differences.of_gradients(gradients)
    update_(parameters, differences, counters, rates, weight_exponent, n_labels)
    return counters.found[:3]
