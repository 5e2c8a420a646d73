"""The digits of a machine's weights, made anew when a tensor they come from has changed.

Here it is also chosen whether they are dense or sparse, of which no result tells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ncg_fast import backends, checks, ops
from ncg_fast.backends.formats import fits, is_sparse
from ncg_fast.backends.numerics import next_exponent

if TYPE_CHECKING:
    from ncg_fast.model.rbm import RBM

TRAINING_DIGITS = 2  # 16-bit weights: chains and learning
EVALUATION_DIGITS = 3  # 24-bit weights: means and energies

# The share of connections up to which sparse digits take less time, by instruction set: where half
# steps both ways, of 2 and of 3 digits, and a training step win together, for 10 to 128 rows of
# 784 x 500 to 784 x 16384 units. The others are those with faster products (AMX).
CROSSOVER = {"base": 0.1, "avx2": 0.1, "avx512": 0.1}
OTHER_CROSSOVER = 0.035
LEAST_PAIRS = 1 << 14  # of a machine with sparse digits: of a smaller one all is near

_ROOM = 4  # where connections are learned a quarter more may come on


# --- dense or sparse ---

_forced: str | None = None


def path(n_hidden: int, n_visible: int, density: float, device_type: str = "cpu") -> str:
    """How digits of such a machine are held: "dense", or "sparse" where half steps are faster."""
    limit = crossover(device_type)
    if limit is None:
        return "dense"
    pays = density <= limit and n_hidden * n_visible >= LEAST_PAIRS
    return _forced or ("sparse" if pays else "dense")


def crossover(device_type: str = "cpu") -> float | None:
    """The density up to which digits of a large machine are sparse; None: never, on this device."""
    if device_type != "cpu":
        return None
    kernels = backends.select(device_type)
    if not hasattr(kernels, "instruction_set"):  # the slow reference
        return None
    return CROSSOVER.get(kernels.instruction_set(), OTHER_CROSSOVER)


@contextmanager
def forced_path(name: str) -> Iterator[None]:
    """Makes digits "dense" or "sparse" whatever the density, for comparisons."""
    global _forced
    before, _forced = _forced, name
    try:
        yield
    finally:
        _forced = before


# --- the digits of a machine ---


class Digits(NamedTuple):
    """Digits of W∘A in both directions."""

    to_hidden: Tensor
    to_visible: Tensor


class Stamp(NamedTuple):
    """Which tensors, and in which version; holding them keeps later ones from their addresses."""

    tensors: tuple[Tensor, ...]
    versions: tuple[float, ...]

    @classmethod
    def of(cls, rbm: RBM) -> Stamp:
        """The tensors that digits depend on, as they are now."""
        watched = _watched(rbm)
        return cls(tuple(t.detach() for t in watched), tuple(map(_version, watched)))

    def holds(self, rbm: RBM) -> bool:
        """Whether none of them has been replaced or changed since."""
        return all(
            now.data_ptr() == then.data_ptr() and _version(now) == version
            for now, then, version in zip(_watched(rbm), *self, strict=True)
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

    def exponent(self, rbm: RBM) -> int | None:
        """The exponent that goes with the machine's present weights; None: not yet known."""
        return self._exponent if self._stamp and self._stamp.holds(rbm) else None

    def restore(self, rbm: RBM, exponent: int | None) -> None:
        """Takes a stored exponent for the machine's present weights."""
        self._exponent, self._stamp = exponent, None if exponent is None else Stamp.of(rbm)
        self._kept.clear()

    @torch.no_grad()
    def get(self, rbm: RBM, n_digits: int) -> tuple[Digits, int]:
        """Digits of the machine's present weights and mask, and their exponent.

        Raises:
            ValueError: NaN or inf in weights or biases.
        """
        exponent = self.exponent(rbm)
        if exponent is None or not self._kept:
            weight = rbm.weight.detach()
            biases = {"visible_bias": rbm.visible_bias, "hidden_bias": rbm.hidden_bias}
            checks.finite("RBM", weight=weight, **biases)
            exponent = next_exponent(exponent, float(weight.abs().max()))
            self.restore(rbm, exponent)
        if n_digits not in self._kept:
            self._n_on = int(rbm.mask.count_nonzero())
            self._kept[n_digits] = _packed(rbm, n_digits, exponent, self._n_on)
        return self._kept[n_digits], exponent

    def adopt(
        self, rbm: RBM, written: Digits, exponent: int, max_abs: float, switched: int
    ) -> None:
        """Keeps the training digits an update wrote, which switched so many more on than off.

        Unless max |W| asks for another exponent, sparse ones had no room for what was switched on,
        or so much was switched off that dense ones no longer pay. Sparse ones are kept while they
        have room, so that a density about the crossover does not change the path at each step.

        Raises:
            FloatingPointError: a parameter became NaN or infinite.
        """
        if not math.isfinite(max_abs):
            self.restore(rbm, None)
            raise FloatingPointError(
                f"RBM.train_step_: parameters must stay finite, got {max_abs:g}. "
                "Lower lr, and reload the last good state."
            )
        following = next_exponent(exponent, max_abs)
        self.restore(rbm, following)
        self._n_on += switched
        sparse = is_sparse(written.to_hidden)
        pays = fits(written.to_hidden) if sparse else _path(rbm, self._n_on) == "dense"
        if following == exponent and pays:
            self._kept[TRAINING_DIGITS] = written


def _path(rbm: RBM, n_on: int) -> str:
    density = n_on / (rbm.n_hidden * rbm.n_visible)
    return path(rbm.n_hidden, rbm.n_visible, density, rbm.mask.device.type)


def _packed(rbm: RBM, n_digits: int, exponent: int, n_on: int) -> Digits:
    capacity = None
    if _path(rbm, n_on) == "sparse":
        room = 0 if rbm.connection_strength is None else n_on // _ROOM
        capacity = min(n_on + room, rbm.n_hidden * rbm.n_visible)
    given = rbm.weight, rbm.mask, n_digits, exponent
    return Digits(*ops.pack_weights(*given, capacity=capacity))


def _watched(rbm: RBM) -> tuple[Tensor, ...]:
    return rbm.weight, rbm.mask, rbm.visible_bias, rbm.hidden_bias


def _version(tensor: Tensor) -> float:
    """The version counter; NaN, which equals nothing, for inference tensors, which have none."""
    return math.nan if tensor.is_inference() else tensor._version
