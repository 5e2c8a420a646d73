"""Checks of what is to be drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ncg_fast import checks
from ncg_fast.connectivity import topology
from ncg_fast.model.rbm import RBM

Array = np.ndarray[Any, np.dtype[Any]]
ImageShape = tuple[int, int] | None
Records = Sequence[Mapping[str, Any]]


def machine(op: str, rbm: Any, image_shape: Any) -> tuple[Array, Array]:
    """Weights and mask of a machine, label units left out."""
    if not isinstance(rbm, RBM):
        kind = type(rbm).__name__
        raise checks.error(op, "rbm must be an ncg_fast.RBM", kind, "Pass a machine.")
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
    if not is_tensor or given.dim() != 2 or given.numel() == 0 or given.is_complex():
        actual = str(tuple(given.shape)) if is_tensor else type(given).__name__
        rule = "samples must be a tensor (n_samples, n_visible)"
        raise checks.error(op, rule, actual, "Pass one row a sample.")
    checks.integer(op, "n_labels", n_labels, 0, given.shape[1] - 1)
    _image_shape(op, image_shape, given.shape[1] - n_labels)
    states = torch.from_numpy(without_labels(given.float(), n_labels))
    return np.asarray(checks.probabilities(op, "samples", states))


def records(op: str, given: Any, keys: Iterable[str]) -> Records:
    """Records with an epoch each and at least one of the keys."""
    remedy = "Pass history.to_dicts(), or the lines of metrics.jsonl."
    rule = "records must be a sequence of mappings"
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise checks.error(op, rule, type(given).__name__, remedy)
    if not given:
        raise checks.error(op, "records must hold an epoch", "none", "Train first.")
    recorded = False
    for each in given:
        if not isinstance(each, Mapping):
            raise checks.error(op, rule, type(each).__name__, remedy)
        if not _is_number(each.get("epoch")):
            rule = "records must have the number of their epoch"
            raise checks.error(op, rule, each.get("epoch"), remedy)
        found = {key: each[key] for key in keys if each.get(key) is not None}
        for key, value in found.items():
            if not _is_number(value):
                raise checks.error(op, "records must hold numbers", f"{key} = {value!r}", remedy)
        recorded = recorded or bool(found)
    if not recorded:
        rule = f"records must hold one of {', '.join(keys)}"
        raise checks.error(op, rule, ", ".join(given[0]), remedy)
    return list(given)


def mixing(op: str, given: Any) -> Mapping[str, Any]:
    """Sweeps, two curves as long as these, and where they agree."""
    try:
        n, agree = len(given["sweeps"]), given["n_agree"]
        rows = [given["sweeps"]]
        for name in ("from_data", "from_noise"):
            rows += [given[name][key] for key in ("mean", "low", "high")]
        table = np.array(rows, dtype=float)
        good = n > 0 and table.shape == (7, n) and (agree is None or _is_number(agree))
    except (KeyError, TypeError, ValueError):
        good = False
    if not good:
        rule = "record must hold sweeps, from_data, from_noise and n_agree"
        remedy = "Pass mixing(...).to_dict(), or the contents of mixing.json."
        raise checks.error(op, rule, type(given).__name__, remedy)
    found: Mapping[str, Any] = given
    return found


def without_labels(states: Tensor, n_labels: int) -> Array:
    """The columns before the last n_labels, as an array."""
    array: Array = states[:, : states.shape[1] - n_labels].detach().cpu().numpy()
    return array


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _image_shape(op: str, image_shape: Any, n_pixels: int) -> None:
    sides = image_shape if isinstance(image_shape, tuple | list) else ()
    whole = len(sides) == 2 and all(type(side) is int and side >= 1 for side in sides)
    if image_shape is not None and not (whole and math.prod(sides) == n_pixels):
        rule = f"image_shape must be (rows, cols) with rows * cols = {n_pixels}"
        actual = tuple(sides) if whole else repr(image_shape)
        raise checks.error(op, rule, actual, "Leave label units out of it.")
