"""The digits of a machine's weights: kept from call to call, and never those of other weights.

Each call passes once over the weights and the mask (``scan_weights``) and compares a fingerprint of
128 bits. Version counters are not asked: fused optimisers, NumPy views, other processes and
torch.distributed write without moving them. Here it is also chosen whether digits are dense or
sparse, of which no result tells.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from ncg_fast import backends, checks
from ncg_fast.backends.formats import fits, is_sparse
from ncg_fast.backends.numerics import next_exponent

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


class Scan(NamedTuple):
    """What one pass over weights and mask finds."""

    max_abs: float  # max |W∘A|; NaN or infinite where a connection's weight is
    n_on: int  # connections
    fingerprint: tuple[int, int]  # of W∘A and A


class DigitCache:
    """Digits of one machine's weights for each number of digits, and the exponent in training.

    Digits for evaluation have the exponent that max |W∘A| alone asks for; those for training keep
    theirs from one step to the next (``numerics.next_exponent``), so it is part of a machine's
    state. Any other change of the weights starts it afresh.
    """

    def __init__(self) -> None:
        self._scan: Scan | None = None  # of the weights that all else here belongs to
        self._exponent: int | None = None
        self._kept: dict[int, Digits] = {}

    def exponent(self, weight: Tensor, mask: Tensor) -> int | None:
        """The exponent in training that goes with these weights; None: not yet known."""
        if self._exponent is None or scan(weight, mask) != self._scan:
            return None
        return self._exponent

    def restore(self, weight: Tensor, mask: Tensor, exponent: int | None) -> None:
        """Takes a stored exponent for these weights."""
        self._scan = None if exponent is None else scan(weight, mask)
        self._exponent, self._kept = exponent, {}

    @torch.no_grad()
    def get(self, weight: Tensor, mask: Tensor, n_digits: int, *, learned: bool) -> Digits:
        """Digits of these weights; those of a machine that learns its mask have room for more.

        Raises:
            ValueError: wrong shapes or dtypes, or NaN or inf in the weights.
        """
        weight, mask = _checked(weight, mask)
        found = scan(weight, mask)
        if not math.isfinite(found.max_abs):
            checks.finite("RBM", weight=torch.where(mask, weight, 0.0))
        if found != self._scan:
            self._scan, self._exponent, self._kept = found, None, {}
        kept = self._kept
        if n_digits not in kept:
            before = self._exponent if n_digits == TRAINING_DIGITS else None
            exponent = next_exponent(before, found.max_abs)
            kept[n_digits] = _packed(weight, mask, n_digits, exponent, found.n_on, learned)
            if n_digits == TRAINING_DIGITS:
                self._exponent = exponent
        return kept[n_digits]

    def adopt(self, weight: Tensor, mask: Tensor, written: Digits) -> None:
        """Keeps the training digits that an update wrote together with these weights.

        Unless max |W∘A| asks for another exponent, sparse ones had no room for what was switched
        on, or so much was switched off that dense ones no longer pay. Sparse ones are kept while
        they have room, so that a density about the crossover does not change the format each step.
        """
        found = scan(weight, mask)
        following = next_exponent(written.exponent, found.max_abs)
        self._scan, self._exponent, self._kept = found, following, {}
        sparse = is_sparse(written.to_hidden)
        pays = fits(written.to_hidden) if sparse else _form(weight, found.n_on) == "dense"
        if following == written.exponent and pays:
            self._kept[TRAINING_DIGITS] = written

    def forget(self) -> None:
        """Drops all."""
        self._scan, self._exponent, self._kept = None, None, {}


# By the address of the weights, for ops that are given tensors alone. An entry that belongs to
# other weights does no harm: their fingerprint tells.
_published: WeakValueDictionary[int, DigitCache] = WeakValueDictionary()


def publish(weight: Tensor, cache: DigitCache) -> None:
    """Lets ``cache_of`` find the cache of a machine by its weights."""
    address = weight.data_ptr()
    if _published.get(address) is not cache:
        _published[address] = cache


def cache_of(weight: Tensor) -> DigitCache:
    """The cache of the machine with these weights; an empty one where none was published."""
    return _published.get(weight.data_ptr()) or DigitCache()


def scan(weight: Tensor, mask: Tensor) -> Scan:
    """One pass over the weights and the mask."""
    backend = backends.select(weight.device.type)
    largest, n_on, *words = backend.scan_weights(
        weight=weight.detach().contiguous(), mask=mask.contiguous()
    ).tolist()
    return Scan(_float_of(largest), n_on, (words[0], words[1]))


def _float_of(bits: int) -> float:
    value: float = struct.unpack("<f", struct.pack("<i", bits))[0]
    return value


def _checked(weight: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """What a user may have put in the place of the machine's own."""
    if (
        weight.dtype != torch.float32
        or mask.dtype != torch.bool
        or weight.shape != mask.shape
        or weight.dim() != 2
    ):
        _refuse(weight, mask)
    return weight.detach().contiguous(), mask.contiguous()


def _refuse(weight: Tensor, mask: Tensor) -> None:
    op, words = "RBM", "(n_hidden, n_visible)"
    shape = checks.axes(op, "mask", mask, ("n_hidden", "n_visible"))
    checks.tensor(op, "mask", mask, torch.bool, shape, words)
    checks.tensor(op, "weight", weight, torch.float32, shape, words)


def check_biases(visible_bias: Tensor, hidden_bias: Tensor, shape: tuple[int, ...]) -> None:
    """Biases of a machine with weights of that shape.

    Raises:
        ValueError: wrong shape or dtype, NaN or inf.
    """
    for name, bias, size in (
        ("visible", visible_bias.detach(), shape[1]),
        ("hidden", hidden_bias.detach(), shape[0]),
    ):
        if bias.dtype != torch.float32 or bias.shape != (size,):
            checks.tensor("RBM", f"{name}_bias", bias, torch.float32, (size,), f"(n_{name},)")
        if not math.isfinite(bias.sum()):  # also where the sum of finite ones is too large
            checks.finite("RBM", **{f"{name}_bias": bias})


def _form(weight: Tensor, n_on: int) -> str:
    n_hidden, n_visible = weight.shape
    return form(n_hidden, n_visible, n_on / weight.numel(), weight.device.type)


def _packed(
    weight: Tensor, mask: Tensor, n_digits: int, exponent: int, n_on: int, learned: bool
) -> Digits:
    capacity = None
    if _form(weight, n_on) == "sparse":
        capacity = min(n_on + (n_on // _ROOM if learned else 0), mask.numel())
    backend = backends.select(weight.device.type)
    to_hidden, to_visible = backend.pack_weights(
        weight=weight, mask=mask, n_digits=n_digits, weight_exponent=exponent, capacity=capacity
    )
    return Digits(to_hidden, to_visible, exponent)
