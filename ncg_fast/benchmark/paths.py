"""Which path a half step takes on the CPU, the fastest of those that give the same bits.

From packed states, that is: real-valued inputs are always multiplied as bytes.
"""

from __future__ import annotations

from typing import NamedTuple

from ncg_fast import backends
from ncg_fast.model import digits
from ncg_fast.model.digits import EVALUATION_DIGITS, TRAINING_DIGITS

WORDS = {
    "products": "products of bytes",
    "lists": "lists of the inputs that are on",
    "tables": "tables of sums",
    "sparse": "lists of the connections that are on",
}


class Paths(NamedTuple):
    """The paths of a half step by the share of its inputs that is on."""

    lists_up_to: float | None  # the largest share with path "lists"; None: not even 0
    otherwise: str


def of_layer(n_out: int, n_in: int, n_digits: int, n_chains: int) -> Paths:
    """The paths with dense digits; needs the compiled kernels.

    Args:
        n_out: units that are drawn.
        n_in: units of the other layer, the inputs.
        n_digits: 2 or 3.
        n_chains: rows or chains.
    """
    from ncg_fast.backends.cpu import half_step_path as path

    n_inputs = n_in * n_chains
    low, high = -1, n_inputs  # inputs on: lists up to low; unknown from there to high
    while low < high:
        middle = (low + high + 1) // 2
        if path(n_out, n_in, n_digits, n_chains, middle) == "lists":
            low = middle
        else:
            high = middle - 1
    everything_on = path(n_out, n_in, n_digits, n_chains, n_inputs)
    return Paths(low / n_inputs if low >= 0 else None, everything_on)


def of_machine(
    n_visible: int, n_hidden: int, density: float, n_chains: int
) -> dict[str, dict[int, Paths]] | None:
    """The paths to the hidden and to the visible units, by number of digits.

    None where the slow reference serves.

    Args:
        n_visible: visible units.
        n_hidden: hidden units.
        density: share of the connections that is on.
        n_chains: rows of a batch, or chains.
    """
    if backends.instruction_set() is None:
        return None
    layers = {"to_hidden": (n_hidden, n_visible), "to_visible": (n_visible, n_hidden)}
    sparse = digits.path(n_hidden, n_visible, density) == "sparse"
    return {
        name: {
            n: Paths(None, "sparse") if sparse else of_layer(*sizes, n, n_chains)
            for n in (TRAINING_DIGITS, EVALUATION_DIGITS)
        }
        for name, sizes in layers.items()
    }
