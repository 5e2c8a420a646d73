"""The digits of a machine's weights, made anew when a tensor they come from has changed.

Here it is also chosen whether they are dense or sparse, of which no result tells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from ncg_fast import backends, checks
from ncg_fast.backends.formats import fits, is_sparse
from ncg_fast.backends.numerics import next_exponent
from ncg_fast.ops.registration import registered

TRAINING_DIGITS = 2  # 16-bit weights: chains and learning
EVALUATION_DIGITS = 3  # 24-bit weights: means and energies

# The share of connections up to which sparse digits take less time, by instruction set: where
# sweeps and a training step win together, for 128 rows of 784 x 500 and 784 x 4096 units. The
# others are those with faster products (AMX).
CROSSOVER = {"base": 0.05, "avx2": 0.1, "avx512": 0.035}
OTHER_CROSSOVER = 0.035
LEAST_PAIRS = 1 << 14  # of a machine with sparse digits: of a smaller one all is near

_ROOM = 4  # where connections are learned a quarter more may come on

_forced: str | None = None


def form(n_hidden: int, n_visible: int, density: float, device_type: str = "cpu") -> str:
    """How digits of such a machine are held: "dense", or "sparse" where half steps are faster."""
    limit = crossover(device_type)
    if limit is None:
        return "dense"
    pays = density <= limit and n_hidden * n_visible >= LEAST_PAIRS
    return _forced or ("sparse" if pays else "dense")


def crossover(device_type: str = "cpu") -> float | None:
    """The density up to which digits of a large machine are sparse; None: never, on this device."""
    instruction_set = backends.instruction_set() if device_type == "cpu" else None
    if instruction_set is None:
        return None
    return CROSSOVER.get(instruction_set, OTHER_CROSSOVER)


@contextmanager
def forced_form(name: str) -> Iterator[None]:
    """Makes digits "dense" or "sparse" whatever the density, for comparisons."""
    global _forced
    before, _forced = _forced, name
    try:
        yield
    finally:
        _forced = before


class Digits(NamedTuple):
    """Digits of W∘A in both directions, dense or sparse, and the exponent of their range."""

    to_hidden: Tensor
    to_visible: Tensor
    exponent: int


class Watched(NamedTuple):
    """What digits depend on, and the biases, which are checked with the weights."""

    weight: Tensor
    mask: Tensor
    visible_bias: Tensor
    hidden_bias: Tensor


class Stamp(NamedTuple):
    """Which tensors, and in which version; holding them keeps later ones from their addresses."""

    tensors: Watched
    versions: tuple[float, ...]

    @classmethod
    def of(cls, tensors: Watched) -> Stamp:
        """The tensors as they are now."""
        return cls(Watched(*(t.detach() for t in tensors)), tuple(map(_version, tensors)))

    def holds(self, tensors: Watched) -> bool:
        """Whether none of them has been replaced or changed since."""
        return all(
            now.data_ptr() == then.data_ptr() and _version(now) == version
            for now, then, version in zip(tensors, *self, strict=True)
        )


class DigitCache:
    """Digits for each number of digits asked for, and the exponent of the weights' range.

    The exponent is a function of max |W|, with hysteresis from one training step to the next
    (``numerics.next_exponent``), so it is part of a machine's state; any other change of the
    weights starts it afresh, whether or not the machine was looked at in between.
    """

    def __init__(self) -> None:
        self._exponent: int | None = None
        self._stamp: Stamp | None = None
        self._kept: dict[int, Digits] = {}
        self._n_on = 0  # connections in the kept digits

    def exponent(self, tensors: Watched) -> int | None:
        """The exponent that goes with these tensors; None: not yet known."""
        return self._exponent if self._stamp and self._stamp.holds(tensors) else None

    def restore(self, tensors: Watched, exponent: int | None) -> None:
        """Takes a stored exponent for these tensors."""
        self._exponent, self._stamp = exponent, None if exponent is None else Stamp.of(tensors)
        self._kept.clear()

    def get(self, tensors: Watched, n_digits: int, *, learned: bool) -> Digits:
        """Digits of these tensors; those of a machine that learns its mask have room for more.

        Raises:
            ValueError: NaN or inf in weights or biases.
        """
        exponent = self.exponent(tensors)
        if exponent is not None and n_digits in self._kept:
            return self._kept[n_digits]
        with torch.no_grad():
            if exponent is None or not self._kept:
                _check(tensors)
                exponent = next_exponent(exponent, _max_abs(tensors))
                self.restore(tensors, exponent)
            self._n_on = int(tensors.mask.count_nonzero())
            self._kept[n_digits] = _packed(tensors, n_digits, exponent, self._n_on, learned)
        return self._kept[n_digits]

    def adopt(self, tensors: Watched, written: Digits, max_abs: float, switched: int) -> None:
        """Keeps the training digits an update wrote, which switched so many more on than off.

        Unless max |W| asks for another exponent, sparse ones had no room for what was switched on,
        or so much was switched off that dense ones no longer pay. Sparse ones are kept while they
        have room, so that a density about the crossover does not change the format at each step.

        Raises:
            FloatingPointError: a parameter became NaN or infinite.
        """
        if not math.isfinite(max_abs):
            self.restore(tensors, None)
            raise FloatingPointError(
                f"RBM.train_step_: parameters must stay finite, got {max_abs:g}. "
                "Lower lr, and reload the last good state."
            )
        following = next_exponent(written.exponent, max_abs)
        self.restore(tensors, following)
        self._n_on += switched
        sparse = is_sparse(written.to_hidden)
        pays = fits(written.to_hidden) if sparse else _form(tensors, self._n_on) == "dense"
        if following == written.exponent and pays:
            self._kept[TRAINING_DIGITS] = written


def _check(tensors: Watched) -> None:
    """What a user may have put in the place of the machine's own."""
    op, words = "RBM", "(n_hidden, n_visible)"
    shape = checks.axes(op, "mask", tensors.mask, ("n_hidden", "n_visible"))
    checks.tensor(op, "mask", tensors.mask, torch.bool, shape, words)
    checks.tensor(op, "weight", tensors.weight, torch.float32, shape, words)
    n_hidden, n_visible = shape
    visible, hidden = tensors.visible_bias, tensors.hidden_bias
    checks.tensor(op, "visible_bias", visible, torch.float32, (n_visible,), "(n_visible,)")
    checks.tensor(op, "hidden_bias", hidden, torch.float32, (n_hidden,), "(n_hidden,)")


def _max_abs(tensors: Watched) -> float:
    """max |W|; one pass over the weights finds it, and NaN and infinities."""
    low, high = (float(end) for end in torch.aminmax(tensors.weight))
    if not (math.isfinite(low) and math.isfinite(high)):
        checks.finite("RBM", weight=tensors.weight)
    checks.finite("RBM", visible_bias=tensors.visible_bias, hidden_bias=tensors.hidden_bias)
    return max(-low, high)


def _form(tensors: Watched, n_on: int) -> str:
    n_hidden, n_visible = tensors.weight.shape
    return form(n_hidden, n_visible, n_on / tensors.mask.numel(), tensors.mask.device.type)


def _packed(tensors: Watched, n_digits: int, exponent: int, n_on: int, learned: bool) -> Digits:
    capacity = None
    if _form(tensors, n_on) == "sparse":
        capacity = min(n_on + (n_on // _ROOM if learned else 0), tensors.mask.numel())
    given = tensors.weight, tensors.mask, n_digits, exponent, capacity
    to_hidden, to_visible = registered.pack_weights(*given)
    return Digits(to_hidden, to_visible, exponent)


def _version(tensor: Tensor) -> float:
    """The version counter; NaN, which equals nothing, for inference tensors, which have none."""
    return math.nan if tensor.is_inference() else tensor._version
