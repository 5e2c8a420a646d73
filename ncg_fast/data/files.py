"""Rows of a file or a folder, checked, and split into train and test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ncg_fast.data.formats import Array, fault, no_rows, read
from ncg_fast.data.levels import taken


class Source(NamedTuple):
    """Checked rows of shape (n, n_visible) or (n, rows, cols), not yet binarised.

    Attributes:
        largest: the value that stands for probability 1.
        n_states: where the rows are states, one-hot: how many there are; else 0.
    """

    train: Array
    test: Array
    train_labels: Array | None = None
    test_labels: Array | None = None
    largest: int = 1
    n_states: int = 0


def read_folder(folder: Path) -> dict[str, Array]:
    """Reads the one file of a set, or joins NAME_train*.npz and NAME_test*.npz of x and y."""
    files = sorted(folder.glob("*.npz"))
    if len(files) == 1:
        return read(files[0])
    arrays: dict[str, list[Array]] = {}
    for path in files:
        part, content = re.match("_(train|test)", path.stem[len(folder.name) :]), read(path)
        if part is None or content.keys() - {"x", "y"}:
            rule = "hold one .npz, or NAME_train*.npz and NAME_test*.npz with x and y"
            raise fault(str(folder), rule, f"{path.name} with {[*content]}", "Keep one file")
        for key, array in content.items():
            arrays.setdefault(key + part[0], []).append(array)
    try:
        return {key: np.concatenate(joined) for key, joined in arrays.items()}
    except ValueError as error:
        raise fault(str(folder), "hold rows of one shape", str(error), "Resave them") from error


def split(name: str, arrays: dict[str, Array], levels: int | None = None) -> Source:
    """Training and test rows: the two arrays of these names, or a random fifth of one for tests."""
    arrays = {key.removeprefix("x_"): array for key, array in arrays.items()}
    n_states = _n_states(arrays)
    if levels is not None and (n_states or "d" in arrays):
        rule = "be left out where rows are states or packed bits"
        raise fault("levels", rule, str(levels), "Drop it")
    both = {"train", "test"} <= arrays.keys()
    names = ("train", "test") if both else ("x", "train", "test", "valid")
    found = [part for part in names if part in arrays][: 2 if both else 1]
    if not found:
        raise no_rows(name, [*arrays])
    parts, labels = zip(*(_part(name, part, arrays, n_states) for part in found), strict=True)
    kinds = [f"{rows.dtype} {rows.shape[1:]}" for rows in parts]
    if kinds[0] != kinds[-1]:
        raise fault(name, "have train and test rows alike", " and ".join(kinds), "Resave them")
    where = [f"{part} of {name}" for part in found]
    rows, largest = taken(dict(zip(where, parts, strict=True)), levels)
    if not both:
        rows, labels = _parted(where[0], rows[0], labels[0])
    return Source(rows[0], rows[1], labels[0], labels[1], largest, n_states)


def _n_states(arrays: dict[str, Array]) -> int:
    """Of the alphabet that comes with the rows; 0 without one."""
    alphabet = arrays.get("alphabet", np.array("")).astype(str)
    return alphabet.size if alphabet.ndim else len(alphabet.item())


def _parted(
    where: str, rows: Array, labels: Array | None
) -> tuple[list[Array], tuple[Array | None, ...]]:
    """Permuted by seed 0; the last fifth is for tests."""
    n = len(rows)
    if n < 2:
        raise fault(where, "hold 2 rows or more", "1", "Save train and test arrays")
    order = np.split(np.random.default_rng(0).permutation(n), [n - max(n // 5, 1)])
    labelled = [None if labels is None else labels[part] for part in order]
    return [rows[part] for part in order], tuple(labelled)


def _part(
    name: str, part: str, arrays: dict[str, Array], n_states: int
) -> tuple[Array, Array | None]:
    """The rows of one part, unpacked or one-hot, and its labels, all but values checked."""
    where, rows, d = f"{part} of {name}", arrays[part], arrays.get("d")
    if d is not None:
        packed = rows.dtype == np.uint8 and rows.ndim == 2 and d.ndim == 0 and d.dtype.kind in "iu"
        if not packed or int(d) < 1 or rows.shape[1] != (int(d) + 7) // 8:
            actual = f"{rows.dtype} {rows.shape} with d = {d}"
            raise fault(where, "be uint8 (n, ceil(d / 8))", actual, "Drop d, or pack the rows")
        rows = np.unpackbits(rows, axis=1, count=int(d))
    kinds = "iu" if n_states else "buif"
    if rows.dtype.kind not in kinds or rows.ndim not in (2, 3) or rows.size == 0:
        rule = "be numbers of shape (n, n_visible) or (n, rows, cols), not empty"
        raise fault(where, rule, f"{rows.dtype} {rows.shape}", "Reshape or convert it")
    if n_states:
        low, high = rows.min(), rows.max()
        if low < 0 or high >= n_states:
            rule = f"hold states from 0 to {n_states - 1}, places in the alphabet"
            raise fault(where, rule, f"{low} to {high}", "Complete the alphabet")
        rows = np.eye(n_states, dtype=np.uint8)[rows].reshape(len(rows), -1)
    labels = arrays.get("y" if part == "x" else f"y_{part}")
    n = len(rows)
    if labels is not None and not (labels.shape == (n,) and np.can_cast(labels.dtype, np.int64)):
        actual = f"{labels.dtype} {labels.shape}"
        raise fault(f"labels of {where}", f"be integers of shape ({n},)", actual, "Resave them")
    return rows, labels
