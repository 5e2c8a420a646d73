"""Checks of what ``plotting.py`` is asked to draw."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ncg_fast import checks
from ncg_fast.connectivity import topology
from ncg_fast.model.rbm import RBM

Array = np.ndarray[Any, np.dtype[Any]]
ImageShape = tuple[int, int] | None
Records = Sequence[Mapping[str, Any]]


def machine(op: str, rbm: Any, image_shape: Any) -> tuple[Array, Array]:
    """Weights and mask of a machine, label units left out."""
    kind = type(rbm).__name__
    checks.require(isinstance(rbm, RBM), op, "rbm must be an ncg_fast.RBM", kind, "Pass a machine.")
    checks.finite(op, weight=rbm.weight.detach())
    _image_shape(op, image_shape, rbm.n_visible - rbm.n_labels)
    return without_labels(rbm.weight.double(), rbm.n_labels), without_labels(rbm.mask, rbm.n_labels)


def mask(op: str, given: Any, image_shape: Any, n_labels: Any) -> Array:
    """A mask, label units left out."""
    topology.check_mask(op, "mask", given)
    checks.integer(op, "n_labels", n_labels, 0, given.shape[1] - 1)
    _image_shape(op, image_shape, given.shape[1] - n_labels)
    return without_labels(given, n_labels)


def samples(op: str, given: Any, image_shape: Any, n_labels: Any) -> Array:
    """Samples as float32, label units left out."""
    is_tensor = isinstance(given, Tensor)
    actual = str(tuple(given.shape)) if is_tensor else type(given).__name__
    sound = is_tensor and given.dim() == 2 and given.numel() > 0 and not given.is_complex()
    rule, remedy = "samples must be a tensor (n_samples, n_visible)", "Pass one row a sample."
    checks.require(sound, op, rule, actual, remedy)
    checks.integer(op, "n_labels", n_labels, 0, given.shape[1] - 1)
    _image_shape(op, image_shape, given.shape[1] - n_labels)
    states = without_labels(given.float(), n_labels)
    low, high = states.min(), states.max()  # NaN if there is one
    remedy = "Binarise them, or pass probabilities."
    in_range = bool(low >= 0 and high <= 1)
    checks.require(in_range, op, "samples must lie in [0, 1]", f"{low:g} to {high:g}", remedy)
    return states


def records(op: str, given: Any, keys: Iterable[str]) -> Records:
    """Records with an epoch each and at least one of the keys."""
    remedy = "Pass history.to_dicts(), or the lines of metrics.jsonl."
    sequence = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    rule = "records must be a sequence of mappings"
    checks.require(sequence, op, rule, type(given).__name__, remedy)
    checks.require(len(given) > 0, op, "records must hold an epoch", "none", "Train first.")
    recorded = False
    for each in given:
        checks.require(isinstance(each, Mapping), op, rule, type(each).__name__, remedy)
        rule_epoch = "records must have the number of their epoch"
        checks.require(_is_number(each.get("epoch")), op, rule_epoch, each.get("epoch"), remedy)
        found = {key: each[key] for key in keys if each.get(key) is not None}
        for key, value in found.items():
            actual = f"{key} = {value!r}"
            checks.require(_is_number(value), op, "records must hold numbers", actual, remedy)
        recorded = recorded or bool(found)
    rule = f"records must hold one of {', '.join(keys)}"
    checks.require(recorded, op, rule, ", ".join(given[0]), remedy)
    return list(given)


def without_labels(states: Tensor, n_labels: int) -> Array:
    """The columns before the last n_labels, as an array."""
    array: Array = states[:, : states.shape[1] - n_labels].detach().cpu().numpy()
    return array


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _image_shape(op: str, image_shape: Any, n_pixels: int) -> None:
    sides = image_shape if isinstance(image_shape, tuple | list) else ()
    whole = len(sides) == 2 and all(type(side) is int and side >= 1 for side in sides)
    fits = image_shape is None or (whole and math.prod(sides) == n_pixels)
    rule = f"image_shape must be (rows, cols) with rows * cols = {n_pixels}"
    actual = tuple(sides) if whole else repr(image_shape)
    checks.require(fits, op, rule, actual, "Leave label units out of it.")
