"""Checks of the arguments that several ops share: shapes, dtypes, devices and ranges.

Each raises ValueError where its argument is wrong. The values of states, digits and biases are not
looked at: see ``ncg_fast.ops``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ncg_fast.backends.formats import (
    SPARSE_HEADER,
    DigitFormat,
    StateFormat,
    dense_shape,
    described,
    is_sparse,
    n_words,
    ones_of,
    sparse_words,
    state_format,
)
from ncg_fast.backends.numerics import MAX_EXPONENT, MIN_EXPONENT, PANEL
from ncg_fast.backends.records import (
    Draw,
    Layer,
    Model,
)
from ncg_fast.checks import (
    MAX_CHAINS,
    MAX_OFFSET,
    MAX_SEED,
    MAX_STEP,
    MAX_UNITS,
    apart,
    axes,
    dense,
    error,
    integer,
    probabilities,
    same_device,
    shows_values,
    tensor,
)

MAX_CAPACITY = 2**31 - 1  # connections of sparse digits


def packed(op: str, name: str, states: Tensor, n_units: int, n_chains: int) -> Tensor:
    """Packed states of n_chains chains."""
    integer(op, "n_chains", n_chains, 0, MAX_CHAINS)
    shape = n_units, n_words(n_chains)
    words = "(n_units, ceil(B / 64))"
    return tensor(op, name, states, StateFormat.PACKED.value, shape, words, "Use pack_states.")


def states(
    op: str, name: str, given: Tensor, n_units: int, n_chains: int, *, rows: bool = False
) -> Tensor:
    """Packed states, or levels, of n_chains rows; or a user's rows, if the op takes them."""
    kind = state_format(given) if isinstance(given, Tensor) else StateFormat.PACKED
    if kind is StateFormat.PACKED or (kind is StateFormat.ROWS and not rows):
        return packed(op, name, given, n_units, n_chains)
    integer(op, "n_chains", n_chains, 0, MAX_CHAINS)
    return tensor(op, name, given, given.dtype, (n_chains, n_units), "(B, n_units)")


def of_states(
    op: str, name: str, function: Callable[..., Tensor], states: Tensor, *others: Any
) -> Tensor:
    """What a registered op makes of states, which may be a user's rows.

    Raises:
        ValueError: the back end found values that are no states, and of rows also which.
    """
    try:
        return function(states, *others)
    except ValueError:
        if state_format(states) is StateFormat.ROWS and ones_of(states) is None:
            inside = probabilities(op, name, states)
            if inside is not states:  # rounding had put some outside
                return function(inside, *others)
        raise


def digits(op: str, name: str, given: Tensor, n_out: int, n_in: int) -> Tensor:
    """Digits of one direction, dense or sparse; torch.compile does not look into sparse ones."""
    n_axes = dense(op, name, given).dim()
    if n_axes == 1 and is_sparse(given):
        return _sparse(op, name, given, n_out, n_in)
    held, axes_of_it, words = DigitFormat.ROWS, 4, "(planes, blocks, n_in + 1, 64)"
    if given.dtype == DigitFormat.PANELS.value:
        held, axes_of_it, words = DigitFormat.PANELS, 5, "(panels, n_digits, blocks, 32, 64)"
    readable = n_axes == axes_of_it and given.dtype == held.value
    n_digits = described(given).n_digits if readable else 2
    shape = dense_shape(held, n_out, n_in, n_digits)
    tensor(op, name, given, held.value, shape, words, "Use pack_weights.")
    integer(op, "n_digits", n_digits, 2, 3)
    return given


def _sparse(op: str, name: str, given: Tensor, n_out: int, n_in: int) -> Tensor:
    least, n = sparse_words(n_out, 0), given.shape[0]
    if n < least or (n - least) % 2:
        rule = f"{name} must have {least} words and two a connection"
        raise error(op, rule, n, "Use pack_weights.")
    if torch.compiler.is_compiling():
        return given
    n_digits, *sizes, n_connections = given[:SPARSE_HEADER].tolist()
    if sizes != [n_out, n_in]:
        rule = f"{name} must be of (n_out, n_in) = ({n_out}, {n_in}) units"
        raise error(op, rule, tuple(sizes), "Use pack_weights.")
    integer(op, "n_digits", n_digits, 2, 3)
    capacity = (n - least) // 2
    if not 0 <= n_connections <= capacity:
        rule, actual = f"{name} must hold all connections", f"more than its capacity of {capacity}"
        raise error(op, rule, actual, "Use pack_weights with a larger capacity.")
    return given


def bias(op: str, name: str, given: Tensor) -> Tensor:
    """A bias, float32 (n_units,)."""
    shape = axes(op, name, given, ("n_units",))
    if given.dtype != torch.float32:
        tensor(op, name, given, torch.float32, shape, "(n_units,)")
    return given


def exponent(op: str, weight_exponent: int) -> int:
    """The exponent of the digits."""
    return integer(op, "weight_exponent", weight_exponent, MIN_EXPONENT, MAX_EXPONENT)


def layer(
    op: str, side: str, given: Tensor, one_way: Layer, n_chains: int, *, rows: bool = False
) -> Layer:
    """States, digits and bias of one half step, from ``side``, "visible" or "hidden", to the other.

    Returns:
        the layer with its bias detached.
    """
    other = "hidden" if side == "visible" else "visible"
    to_other, other_bias = f"to_{other}", f"{other}_bias"
    held, biases, weight_exponent = one_way
    n_out = len(bias(op, other_bias, biases))
    shape = axes(op, side, given, ("n_units", "words"))
    n_in = shape[0] if state_format(given) is StateFormat.PACKED else shape[1]
    states(op, side, given, n_in, n_chains, rows=rows)
    digits(op, to_other, held, n_out, n_in)
    exponent(op, weight_exponent)
    if not given.device == held.device == biases.device:
        same_device(op, **{side: given, to_other: held, other_bias: biases})
    return Layer(held, biases.detach(), weight_exponent)


def draw(op: str, given: Draw, like: Tensor, n_chains: int) -> Draw:
    """What a draw depends on; beta, of n_chains chains, on the device of ``like``."""
    integer(op, "seed", given.seed, 0, MAX_SEED)
    integer(op, "chain_offset", given.chain_offset, 0, MAX_OFFSET)
    integer(op, "step", given.step, 0, MAX_STEP)
    integer(op, "unit_offset", given.unit_offset, 0, MAX_UNITS - 1)
    if given.unit_offset % PANEL:
        rule, remedy = f"unit_offset must be a multiple of {PANEL}", "Cut layers between panels."
        raise error(op, rule, given.unit_offset, remedy)
    if given.beta is not None:
        tensor(op, "beta", given.beta, torch.float32, (n_chains,), "(n_chains,)")
        same_device(op, states=like, beta=given.beta)
    return given


def model(op: str, visible: Tensor, both_ways: Model, n_chains: int) -> Model:
    """Both directions, for ops that go to and fro; the biases come back detached."""
    n_visible = bias(op, "visible_bias", both_ways.visible_bias).shape[0]
    states(op, "visible", visible, n_visible, n_chains)
    layer(op, "visible", visible, both_ways.hidden_layer, n_chains)
    n_hidden = both_ways.hidden_bias.shape[0]
    to_visible = digits(op, "to_visible", both_ways.to_visible, n_visible, n_hidden)
    both_directions(op, both_ways.to_hidden, to_visible)
    same_device(op, visible=visible, to_visible=to_visible, visible_bias=both_ways.visible_bias)
    biases = both_ways.visible_bias.detach(), both_ways.hidden_bias.detach()
    return both_ways._replace(visible_bias=biases[0], hidden_bias=biases[1])


def both_directions(op: str, to_hidden: Tensor, to_visible: Tensor) -> None:
    """Equally many digits both ways: they are of the same weights."""
    if torch.compiler.is_compiling() and is_sparse(to_hidden):
        return
    n_digits, given = described(to_hidden).n_digits, described(to_visible).n_digits
    if given != n_digits:
        rule = f"to_visible must have as many digits as to_hidden ({n_digits})"
        raise error(op, rule, given, "Use pack_weights for both.")


def ladder(op: str, betas: Tensor) -> Tensor:
    """Inverse temperatures, up or down; on a GPU their values are not looked at."""
    (n_betas,) = axes(op, "betas", betas, ("n_betas",))
    tensor(op, "betas", betas, torch.float64, (n_betas,), "(n_betas,)")
    if n_betas < 2:
        remedy = "Pass two ends, and values between."
        raise error(op, "betas must have at least two entries", n_betas, remedy)
    if shows_values(betas):
        if not ((betas[1:] >= betas[:-1]).all() or (betas[1:] <= betas[:-1]).all()):
            actual = "a ladder that does both, or NaN"
            raise error(op, "betas must either rise or fall", actual, "Sort them.")
        first, last = float(betas[0]), float(betas[-1])
        if not (0 <= first <= 1 and 0 <= last <= 1):
            ends = apart(first, last, 0.0, 1.0)
            actual, remedy = f"ends {ends[0]} and {ends[1]}", "Pass inverse temperatures up to 1."
            raise error(op, "betas must be in [0, 1]", actual, remedy)
    return betas
