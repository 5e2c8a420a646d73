"""Files of rows: what ``data.load`` reads, checked, and split into train and test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_FILE_KEYS = r"(x_)?(train|test)|x|valid|y|y_(train|test|valid)|d|alphabet"


def fault(argument: str, rule: str, actual: str, remedy: str) -> ValueError:
    """The error of a data set or of an argument of ``load``."""
    return ValueError(f"data.load: {argument} must {rule}, got {actual}. {remedy}.")


class Source(NamedTuple):
    """Checked rows of shape (n, n_visible) or (n, rows, cols), not yet binarised."""

    train: Array
    test: Array
    train_labels: Array | None = None
    test_labels: Array | None = None


def read(path: Path) -> dict[str, Array]:
    """The arrays of a .npz file that ``load`` knows, or the one of a .npy file, as x."""
    try:
        # Opened here because numpy leaves the file open when the archive is damaged.
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"x": loaded}
            keys = [key for key in loaded.files if re.fullmatch(_FILE_KEYS, key)]
            return {key: np.asarray(loaded[key]) for key in keys}
    except Exception as error:  # a damaged archive raises a dozen kinds, all with one meaning
        actual = f"{path}: {type(error).__name__}: {error}"
        remedy = "Check the path, or save the file again with numpy.savez, without objects"
        raise fault("name_or_path", "be a sound .npz or .npy file", actual, remedy) from error


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


def split(name: str, arrays: dict[str, Array]) -> Source:
    """Training and test rows: the two arrays of these names, or a random fifth of one for tests."""
    arrays = {key.removeprefix("x_"): array for key, array in arrays.items()}
    if {"train", "test"} <= arrays.keys():
        train, test = (_part(name, part, arrays) for part in ("train", "test"))
        kinds = [f"{rows.dtype} {rows.shape[1:]}" for rows, _ in (train, test)]
        if kinds[0] != kinds[1]:
            raise fault(name, "have train and test rows alike", " and ".join(kinds), "Resave them")
        return Source(train[0], test[0], train[1], test[1])
    part = next((part for part in ("x", "train", "test", "valid") if part in arrays), None)
    if part is None:
        raise fault(f"arrays of {name}", "be train and test, or x", str([*arrays]), "Rename them")
    rows, labels = _part(name, part, arrays)
    n = len(rows)
    if n < 2:
        raise fault(f"{part} of {name}", "hold 2 rows or more", "1", "Save train and test arrays")
    first, last = np.split(np.random.default_rng(0).permutation(n), [n - max(n // 5, 1)])
    if labels is None:
        return Source(rows[first], rows[last])
    return Source(rows[first], rows[last], labels[first], labels[last])


def _part(name: str, part: str, arrays: dict[str, Array]) -> tuple[Array, Array | None]:
    """The rows of one part, unpacked or one-hot, and its labels, all checked."""
    where, rows, d = f"{part} of {name}", arrays[part], arrays.get("d")
    if d is not None:
        packed = rows.dtype == np.uint8 and rows.ndim == 2 and d.ndim == 0 and d.dtype.kind in "iu"
        if not packed or int(d) < 1 or rows.shape[1] != (int(d) + 7) // 8:
            actual = f"{rows.dtype} {rows.shape} with d = {d}"
            raise fault(where, "be uint8 (n, ceil(d / 8))", actual, "Drop d, or pack the rows")
        rows = np.unpackbits(rows, axis=1, count=int(d))
    alphabet = arrays.get("alphabet", np.array("")).astype(str)
    n_states = alphabet.size if alphabet.ndim else len(alphabet.item())
    kinds = "iu" if n_states else "buif"
    if rows.dtype.kind not in kinds or rows.ndim not in (2, 3) or rows.size == 0:
        rule = "be numbers of shape (n, n_visible) or (n, rows, cols), not empty"
        raise fault(where, rule, f"{rows.dtype} {rows.shape}", "Reshape or convert it")
    limit = n_states - 1 if n_states else 1 if rows.dtype.kind == "f" else 255
    low, high = rows.min(), rows.max()  # NaN if there is one
    if not (low >= 0 and high <= limit):
        raise fault(where, f"lie in [0, {limit}]", f"{low} to {high}", "Rescale it, or drop NaN")
    if n_states:
        rows = np.eye(n_states, dtype=np.uint8)[rows].reshape(len(rows), -1)
    labels = arrays.get("y" if part == "x" else f"y_{part}")
    n = len(rows)
    if labels is not None and not (labels.shape == (n,) and np.can_cast(labels.dtype, np.int64)):
        actual = f"{labels.dtype} {labels.shape}"
        raise fault(f"labels of {where}", f"be integers of shape ({n},)", actual, "Resave them")
    return rows, labels
