"""Data sets as matrices of visible units, one row per sample, split into train and test."""

from __future__ import annotations

import importlib
import os
import re
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ncg_fast import checks

Array = np.ndarray[Any, np.dtype[Any]]
Binarize = Literal["stochastic", "threshold"]

_FOLDER_VARIABLE = "NCG_FAST_DATA"
_BARS = "bars-and-stripes"
_MAX_BARS_SIDE = 12
_OPENML_NAMES = {"fashion-mnist": "Fashion-MNIST", "mnist": "mnist_784"}
_IMAGE_SHAPES = {
    ("binarized-mnist", 784): (28, 28),
    ("caltech101-silhouettes-28", 784): (28, 28),
    ("ocr-letters", 128): (16, 8),
}
_FILE_KEYS = r"(x_)?(train|test)|x|valid|y|y_(train|test|valid)|d|alphabet"
_ROWS_PER_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Dataset:
    """Visible units of a data set, split into train and test.

    Attributes:
        name: name as ``load`` takes it, or the stem of the file, with '-' for '_'.
        train, test: (n, n_visible), uint8 of 0 and 1, or float32 in [0, 1].
        train_labels, test_labels: (n,), int64 as the source numbers its classes, or None.
        image_shape: (rows, cols) with rows * cols = n_visible, or None.
    """

    name: str
    train: Tensor
    test: Tensor
    train_labels: Tensor | None
    test_labels: Tensor | None
    image_shape: tuple[int, int] | None


class _Source(NamedTuple):
    """Checked rows of shape (n, n_visible) or (n, rows, cols), not yet binarised."""

    train: Array
    test: Array
    train_labels: Array | None = None
    test_labels: Array | None = None


def available() -> list[str]:
    """The names that ``load`` takes, in alphabetical order.

    Returns:
        Built-in names ("mnist" and "fashion-mnist" are fetched when not on disk) and the folders in
        the directory that the environment variable NCG_FAST_DATA names.

    Raises:
        ValueError: NCG_FAST_DATA is set to something that is not a directory.

    Example:
        >>> "bars-and-stripes" in available()
        True
    """
    return sorted({_BARS, "digits", *_OPENML_NAMES, *_set_folders()})


def load(
    name_or_path: str | Path, *, binarize: Binarize | None = "stochastic", seed: int = 0
) -> Dataset:
    """Loads a data set as rows of visible units, binarised on request.

        stochastic: v = [u <= grey],  u ~ U[0, 1)         threshold: v = [grey >= 0.5]

    Grey is value / 255 for integers, value / 16 for digits, and the value itself for floats. Sets
    that hold only 0 and 1 stay as they are.

    Splits: files with a train and a test array keep that split, and validation rows are left out
    (Connect-4: 16000 / 47557, mushrooms: 2000 / 5624). Of any other file the first array among x,
    train, test, valid is permuted by numpy's default_rng(0), and the last n // 5 rows (at least 1)
    are the test set. Digits: the first 1437 rows train, the last 360 test. Bars and stripes: both.

    Args:
        name_or_path: a name in ``available()`` ('-' and '_' are the same), "bars-and-stripes-N",
            1 <= N <= 12, or a path that ends in .npz or .npy. Arrays in a file: train or x_train,
            test or x_test, or x, of shape (n, n_visible) or (n, rows, cols), bool, integer in
            [0, 255] or float in [0, 1]; labels y_train, y_test, y, integer of shape (n,); d: rows
            are d packed bits (numpy.packbits, axis 1); alphabet, text or array: values are states,
            which become one-hot in columns position * n_states + state.
        binarize: "stochastic", "threshold", or None for grey values.
        seed: of the uniforms, 0 <= seed < 2^63.

    Returns:
        The data set; uint8 rows of 0 and 1, or float32 in [0, 1] for grey rows and binarize=None.

    Raises:
        ValueError: unknown name, binarize or seed; a file that is missing, damaged or different.
        RuntimeError: scikit-learn is missing, or MNIST is neither on disk nor within reach.

    Note:
        Deterministic: u is from numpy's default_rng(seed), train first. Pickles are never read.

    Example:
        >>> load("bars-and-stripes").train.shape
        torch.Size([32, 16])

    Source: bars and stripes: D. MacKay, Information Theory, Inference, and Learning Algorithms
    (2003), chapter 43. Stochastic binarisation: R. Salakhutdinov and I. Murray (ICML 2008).
    """
    if binarize not in ("stochastic", "threshold", None):
        raise _fault("binarize", 'be "stochastic", "threshold" or None', repr(binarize), "Pick one")
    checks.integer("data.load", "seed", seed, 0, checks.MAX_SEED)
    path = Path(name_or_path)
    is_path = path.suffix in (".npz", ".npy")
    name = (path.stem if is_path else str(name_or_path)).replace("_", "-")
    source = _split(name, _read(path)) if is_path else _named(name)
    train, test = _visible([rows.reshape(len(rows), -1) for rows in source[:2]], binarize, seed)
    labels = [None if y is None else torch.from_numpy(y.astype(np.int64)) for y in source[2:]]
    shape = source.train.shape[1:]
    image_shape = shape if len(shape) == 2 else _IMAGE_SHAPES.get((name, shape[0]))
    return Dataset(name, train, test, labels[0], labels[1], image_shape)


def _fault(argument: str, rule: str, actual: str, remedy: str) -> ValueError:
    return ValueError(f"data.load: {argument} must {rule}, got {actual}. {remedy}.")


def _named(name: str) -> _Source:
    bars = re.fullmatch(rf"{_BARS}(?:-(\d+))?", name)
    if bars:
        return _bars_and_stripes(int(bars[1] or 4))
    if name == "digits":
        digits, n = _scikit_datasets().load_digits(), 1437
        images, labels = digits.images / 16.0, digits.target
        return _Source(images[:n], images[n:], labels[:n], labels[n:])
    folders = _set_folders()
    if name in folders:
        return _split(name, _read_folder(folders[name]))
    if name in _OPENML_NAMES:
        return _fetch_openml(name)
    rule = f"be a path to .npz or .npy, {_BARS}-N, or one of {', '.join(available())}"
    state = os.environ.get(_FOLDER_VARIABLE) or "unset"
    remedy = f"For more, set {_FOLDER_VARIABLE} (now {state}) to a directory with a folder per set"
    raise _fault("name_or_path", rule, repr(name), remedy)


def _bars_and_stripes(side: int) -> _Source:
    """All 2^side images with constant rows (bit r of the index is row r), then their transposes."""
    if not 1 <= side <= _MAX_BARS_SIDE:
        raise _fault(_BARS, f"have a side in [1, {_MAX_BARS_SIDE}]", str(side), f"Use {_BARS}-4")
    row_states = (np.arange(2**side)[:, None] >> np.arange(side)) & 1
    images = np.repeat(row_states[:, :, None], side, axis=2)
    images = np.concatenate([images, images.transpose(0, 2, 1)])
    return _Source(images, images)


def _scikit_datasets() -> ModuleType:
    try:
        return importlib.import_module("sklearn.datasets")
    except ImportError as error:
        remedy = 'Run pip install "ncg_fast[experiments]".'
        raise RuntimeError(f"data.load: needs scikit-learn, got {error}. {remedy}") from error


def _fetch_openml(name: str) -> _Source:
    fetch = _scikit_datasets().fetch_openml
    try:  # parser="auto" would need pandas
        fetched = fetch(_OPENML_NAMES[name], version=1, as_frame=False, parser="liac-arff")
    except (OSError, ValueError, EOFError, HTTPException) as error:
        raise RuntimeError(
            f"data.load: {name} could not be fetched from openml.org ({error}). Go online, or set"
            f" {_FOLDER_VARIABLE} to a directory that holds {name}/{name}.npz."
        ) from error
    images, n = fetched.data.astype(np.uint8).reshape(-1, 28, 28), 60_000
    return _Source(images[:n], images[n:], fetched.target[:n], fetched.target[n:])


def _set_folders() -> dict[str, Path]:
    root = os.environ.get(_FOLDER_VARIABLE)
    if not root:
        return {}
    if not Path(root).is_dir():
        raise _fault(_FOLDER_VARIABLE, "name a directory", repr(root), "Correct or unset it")
    folders = sorted(folder for folder in Path(root).iterdir() if any(folder.glob("*.npz")))
    return {folder.name.replace("_", "-"): folder for folder in folders}


def _read(path: Path) -> dict[str, Array]:
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
        raise _fault("name_or_path", "be a sound .npz or .npy file", actual, remedy) from error


def _read_folder(folder: Path) -> dict[str, Array]:
    """Reads the one file of a set, or joins NAME_train*.npz and NAME_test*.npz of x and y."""
    files = sorted(folder.glob("*.npz"))
    if len(files) == 1:
        return _read(files[0])
    arrays: dict[str, list[Array]] = {}
    for path in files:
        part, content = re.match("_(train|test)", path.stem[len(folder.name) :]), _read(path)
        if part is None or content.keys() - {"x", "y"}:
            rule = "hold one .npz, or NAME_train*.npz and NAME_test*.npz with x and y"
            raise _fault(str(folder), rule, f"{path.name} with {[*content]}", "Keep one file")
        for key, array in content.items():
            arrays.setdefault(key + part[0], []).append(array)
    try:
        return {key: np.concatenate(joined) for key, joined in arrays.items()}
    except ValueError as error:
        raise _fault(str(folder), "hold rows of one shape", str(error), "Resave them") from error


def _split(name: str, arrays: dict[str, Array]) -> _Source:
    arrays = {key.removeprefix("x_"): array for key, array in arrays.items()}
    if {"train", "test"} <= arrays.keys():
        train, test = (_part(name, part, arrays) for part in ("train", "test"))
        kinds = [f"{rows.dtype} {rows.shape[1:]}" for rows, _ in (train, test)]
        if kinds[0] != kinds[1]:
            raise _fault(name, "have train and test rows alike", " and ".join(kinds), "Resave them")
        return _Source(train[0], test[0], train[1], test[1])
    part = next((part for part in ("x", "train", "test", "valid") if part in arrays), None)
    if part is None:
        raise _fault(f"arrays of {name}", "be train and test, or x", str([*arrays]), "Rename them")
    rows, labels = _part(name, part, arrays)
    n = len(rows)
    if n < 2:
        raise _fault(f"{part} of {name}", "hold 2 rows or more", "1", "Save train and test arrays")
    first, last = np.split(np.random.default_rng(0).permutation(n), [n - max(n // 5, 1)])
    if labels is None:
        return _Source(rows[first], rows[last])
    return _Source(rows[first], rows[last], labels[first], labels[last])


def _part(name: str, part: str, arrays: dict[str, Array]) -> tuple[Array, Array | None]:
    """The rows of one part, unpacked or one-hot, and its labels, all checked."""
    where, rows, d = f"{part} of {name}", arrays[part], arrays.get("d")
    if d is not None:
        packed = rows.dtype == np.uint8 and rows.ndim == 2 and d.ndim == 0 and d.dtype.kind in "iu"
        if not packed or int(d) < 1 or rows.shape[1] != (int(d) + 7) // 8:
            actual = f"{rows.dtype} {rows.shape} with d = {d}"
            raise _fault(where, "be uint8 (n, ceil(d / 8))", actual, "Drop d, or pack the rows")
        rows = np.unpackbits(rows, axis=1, count=int(d))
    alphabet = arrays.get("alphabet", np.array("")).astype(str)
    n_states = alphabet.size if alphabet.ndim else len(alphabet.item())
    kinds = "iu" if n_states else "buif"
    if rows.dtype.kind not in kinds or rows.ndim not in (2, 3) or rows.size == 0:
        rule = "be numbers of shape (n, n_visible) or (n, rows, cols), none of them 0"
        raise _fault(where, rule, f"{rows.dtype} {rows.shape}", "Reshape or convert it")
    limit = n_states - 1 if n_states else 1 if rows.dtype.kind == "f" else 255
    low, high = rows.min(), rows.max()  # NaN if there is one
    if not (low >= 0 and high <= limit):
        raise _fault(where, f"lie in [0, {limit}]", f"{low} to {high}", "Rescale it, or drop NaN")
    if n_states:
        rows = np.eye(n_states, dtype=np.uint8)[rows].reshape(len(rows), -1)
    labels = arrays.get("y" if part == "x" else f"y_{part}")
    n = len(rows)
    if labels is not None and not (labels.shape == (n,) and np.can_cast(labels.dtype, np.int64)):
        actual = f"{labels.dtype} {labels.shape}"
        raise _fault(f"labels of {where}", f"be integers of shape ({n},)", actual, "Resave them")
    return rows, labels


def _visible(parts: list[Array], binarize: Binarize | None, seed: int) -> list[Tensor]:
    if all(((rows == 0) | (rows == 1)).all() for rows in parts):
        return [torch.from_numpy(rows.astype(np.uint8)) for rows in parts]
    scale = 1 if parts[0].dtype.kind == "f" else 255
    uniforms = np.random.default_rng(seed)
    visible = []
    for rows in parts:
        states = np.empty(rows.shape, np.float32 if binarize is None else np.uint8)
        for start in range(0, len(rows), _ROWS_PER_BLOCK):  # bounds the float64 temporaries
            block = slice(start, start + _ROWS_PER_BLOCK)
            grey = np.divide(rows[block], scale, dtype=np.float64)
            level = uniforms.random(grey.shape) if binarize == "stochastic" else 0.5
            states[block] = grey if binarize is None else level <= grey
        visible.append(torch.from_numpy(states))
    return visible
