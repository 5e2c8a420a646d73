"""Data sets as matrices of visible units, one row per sample, split into train and test."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ncg_fast import checks, files
from ncg_fast.data import files as _data_files
from ncg_fast.data import formats
from ncg_fast.data.files import Source
from ncg_fast.data.formats import Array, fault
from ncg_fast.data.levels import MAX_LEVELS, taken

Binarize = Literal["stochastic", "threshold"]

_FOLDER_VARIABLE = "NCG_FAST_DATA"
_BARS = "bars-and-stripes"
_SEVERAL_LETTERS = 255  # the label of a bitmap that stands for more than one
_MAX_COMPLETE_SIDE = 15  # 2^16 rows; each further side doubles them
_MAX_BARS_SIDE = 62  # the number of a pattern is held in 64 bits
_N_BARS_TRAIN, _N_BARS_TEST = 2**14, 2**12
_OPENML_NAMES = {"fashion-mnist": "Fashion-MNIST", "mnist": "mnist_784"}
_IMAGE_SHAPES = {
    ("binarized-mnist", 784): (28, 28),
    ("caltech101-silhouettes-28", 784): (28, 28),
    ("ocr-letters", 128): (16, 8),
}
_ROWS_PER_BLOCK = 4096


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Visible units of a data set, split into train and test; shown in one line.

    Attributes:
        name: name as ``load`` takes it, or the stem of the file, with '-' for '_'.
        train, test: (n, n_visible), uint8 of 0 and 1, or float32 in [0, 1].
        train_labels, test_labels: (n,), int64 as the source numbers its classes, -1 for rows of
            several (ocr-letters), or None.
        image_shape: (rows, cols) with rows * cols = n_visible, or None.
        taken_as: what the values of the source were taken as, in words.
    """

    name: str
    train: Tensor
    test: Tensor
    train_labels: Tensor | None
    test_labels: Tensor | None
    image_shape: tuple[int, int] | None
    taken_as: str

    def __repr__(self) -> str:
        sizes = f"train {tuple(self.train.shape)}, test {tuple(self.test.shape)}"
        return f"Dataset({self.name}, {sizes}, {self.taken_as})"


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
    name_or_path: str | Path,
    *,
    binarize: Binarize | None = "stochastic",
    seed: int = 0,
    levels: int | None = None,
    alphabet: str | None = None,
) -> Dataset:
    """Loads a data set as rows of visible units, binarised on request.

        stochastic: v = [u <= grey],  u ~ U[0, 1)         threshold: v = [grey >= 0.5]

    Grey is value / (levels - 1) with ``levels``, value / 16 in "digits", the value itself where all
    are in [0, 1], and value / 255 for integers that reach above 100. Other values are refused: no
    range is guessed. ``Dataset.taken_as`` says which it was. Sets that hold only 0 and 1 stay as
    they are.

    Splits: files with a train and a test array keep that split, and validation rows are left out
    (Connect-4: 16000 / 47557, mushrooms: 2000 / 5624). Of any other file the first array among x,
    train, test, valid is permuted by numpy's default_rng(0), and the last n // 5 rows (at least 1)
    are the test set. "digits": the first 1437 rows train, the last 360 test. Bars and stripes: all
    2 * 2^N rows (uniform images twice) are both sets while that is at most 2^16, N <= 15; beyond,
    where no memory holds them, 2^14 training and 2^12 test rows are drawn with numpy's
    default_rng(0), without repetition, from those that are not uniform, half bars, half stripes.

    Args:
        name_or_path: a name in ``available()`` ('-' and '_' are the same), "bars-and-stripes-N",
            1 <= N <= 62, or a path that ends in one of these:
            .npz, .npy: train or x_train, test or x_test, or x, of shape (n, n_visible) or
            (n, rows, cols), bool, integer or float; labels y_train, y_test, y, integer of shape
            (n,); d: rows are d packed bits (numpy.packbits, axis 1); alphabet, text or array:
            values are states, which become one-hot in columns position * n_states + state.
            .npz of scipy.sparse.save_npz: rows, which become dense.
            .csv, .csv.gz: a row a line, a column a unit; the first line names the columns if no
            field of it is a number, and one that is named y or label holds labels.
            .fasta, .fa, .faa, .fna, .afa, also with .gz: aligned sequences, states of ``alphabet``.
        binarize: "stochastic", "threshold", or None for grey values.
        seed: of the uniforms, 0 <= seed < 2^63.
        levels: how many whole numbers from 0 on the values of a file can be, in [2, 2^32].
        alphabet: the letters of a FASTA file in the order of their states, or of the states of
            another file that does not say.

    Returns:
        The data set; uint8 rows of 0 and 1, or float32 in [0, 1] for grey rows and binarize=None.

    Raises:
        ValueError: unknown name, binarize, seed, levels or alphabet; a file that is missing,
            damaged or different; values whose range is not known.
        RuntimeError: scikit-learn or SciPy is missing, or MNIST is neither on disk nor within
            reach.

    Note:
        Deterministic: u is from numpy's default_rng(seed), train first. Pickles are never read.

    Example:
        >>> load("bars-and-stripes")
        Dataset(bars-and-stripes, train (32, 16), test (32, 16), 0 and 1 as they are)

    Source: bars and stripes: D. MacKay, Information Theory, Inference, and Learning Algorithms
    (2003), chapter 43. Stochastic binarisation: R. Salakhutdinov and I. Murray (ICML 2008).
    """
    if binarize not in ("stochastic", "threshold", None):
        raise fault("binarize", 'be "stochastic", "threshold" or None', repr(binarize), "Pick one")
    checks.integer("data.load", "seed", seed, 0, checks.MAX_SEED)
    if levels is not None:
        checks.integer("data.load", "levels", levels, 2, MAX_LEVELS)
    _check_alphabet(alphabet)
    remedy = "Pass a name of data.available(), or a path"
    path = files.checked_path("data.load", "name_or_path", name_or_path, f"{remedy}.")
    is_path = bool(formats.kind_of(path))
    name = formats.name_of(path) if is_path else str(name_or_path).replace("_", "-")
    source = _built_in(name) if not is_path else None
    if source is None:
        arrays = formats.read(path, alphabet) if is_path else _of_folder(name)
        source = _data_files.split(name, _with_alphabet(name, arrays, alphabet), levels)
    elif levels not in (None, source.largest + 1) or alphabet is not None:
        rule, actual = f"levels and alphabet must be left out for {name}", (levels, alphabet)
        raise checks.error("data.load", rule, actual, "Its values are known.")
    parts = [rows.reshape(len(rows), -1) for rows in source[:2]]
    train, test, taken_as = _visible(parts, source, binarize, seed)
    labels = [None if y is None else torch.from_numpy(y.astype(np.int64)) for y in source[2:4]]
    if name == "ocr-letters":
        labels = [None if y is None else y.masked_fill(y == _SEVERAL_LETTERS, -1) for y in labels]
    shape = source.train.shape[1:]
    image_shape = shape if len(shape) == 2 else _IMAGE_SHAPES.get((name, shape[0]))
    return Dataset(name, train, test, labels[0], labels[1], image_shape, taken_as)


def _check_alphabet(alphabet: Any) -> None:
    if alphabet is None:
        return
    letters = alphabet if isinstance(alphabet, str) else ""
    sound = letters.isascii() and letters.isprintable() and not {*letters} & {" ", ">"}
    if not sound or len(letters) < 2 or len({*letters}) < len(letters):
        rule, remedy = "be two or more different ASCII letters, as text", 'Pass such as "-ACGU"'
        raise fault("alphabet", rule, checks.shown(alphabet), remedy)


def _with_alphabet(name: str, arrays: dict[str, Array], alphabet: str | None) -> dict[str, Array]:
    """Arrays of states whose letters the caller knows."""
    if alphabet is None:
        return arrays
    own = arrays.get("alphabet")
    if own is not None and own.tolist() != alphabet:
        raise fault("alphabet", f"be left out for {name}", repr(alphabet), "The file has its own")
    return {**arrays, "alphabet": np.array(alphabet)}


def _built_in(name: str) -> Source | None:
    """A set that is computed, or comes with another package or from afar."""
    bars = re.fullmatch(rf"{_BARS}(?:-(\d+))?", name)
    if bars:
        return _bars_and_stripes(int(bars[1] or 4))
    if name == "digits":
        found, n = formats.extra("sklearn.datasets", "scikit-learn").load_digits(), 1437
        images, labels = found.images, found.target
        return Source(images[:n], images[n:], labels[:n], labels[n:], largest=16)
    if name in _OPENML_NAMES and name not in _set_folders():
        return _fetch_openml(name)
    return None


def _of_folder(name: str) -> dict[str, Array]:
    """The arrays of a set in the directory of sets."""
    folders = _set_folders()
    if name in folders:
        return _data_files.read_folder(folders[name])
    rule = f"be a path to {formats.SUFFIXES}, {_BARS}-N, or one of {', '.join(available())}"
    state = os.environ.get(_FOLDER_VARIABLE) or "unset"
    remedy = f"For more, set {_FOLDER_VARIABLE} (now {state}) to a directory with a folder per set"
    raise fault("name_or_path", rule, repr(name), remedy)


def _bars_and_stripes(side: int) -> Source:
    """Images with constant rows, bit r of the pattern is row r, then images with constant columns.

    All of them, or a sample without repetition where they are too many.
    """
    if not 1 <= side <= _MAX_BARS_SIDE:
        rule = f"have a side in [1, {_MAX_BARS_SIDE}]"
        raise fault(_BARS, rule, str(side), f"Use {_BARS}-4")
    if side <= _MAX_COMPLETE_SIDE:
        images = _bars_then_stripes(np.arange(2**side), np.arange(2**side), side)
        return Source(images, images)
    generator, n = np.random.default_rng(0), _N_BARS_TRAIN + _N_BARS_TEST
    patterns = 1 + generator.choice(2**side - 2, n, replace=False)  # 0 and the last are uniform
    train, test = np.split(patterns.reshape(2, -1), [_N_BARS_TRAIN // 2], axis=1)
    first, last = (_bars_then_stripes(bars, stripes, side) for bars, stripes in (train, test))
    return Source(first, last)


def _bars_then_stripes(bars: Array, stripes: Array, side: int) -> Array:
    bits = (((patterns[:, None] >> np.arange(side)) & 1) for patterns in (bars, stripes))
    rows = [np.repeat(each.astype(np.uint8)[:, :, None], side, axis=2) for each in bits]
    return np.concatenate([rows[0], rows[1].transpose(0, 2, 1)])


def _fetch_openml(name: str) -> Source:
    fetch = formats.extra("sklearn.datasets", "scikit-learn").fetch_openml
    try:  # parser="auto" would need pandas
        fetched = fetch(_OPENML_NAMES[name], version=1, as_frame=False, parser="liac-arff")
    except (OSError, ValueError, EOFError, HTTPException) as error:
        raise RuntimeError(
            f"data.load: {name} could not be fetched from openml.org ({error}). Go online, or set"
            f" {_FOLDER_VARIABLE} to a directory that holds {name}/{name}.npz."
        ) from error
    (images,), largest = taken({f"pixels of {name}": fetched.data}, levels=256)
    images, n = images.astype(np.uint8).reshape(-1, 28, 28), 60_000
    return Source(images[:n], images[n:], fetched.target[:n], fetched.target[n:], largest)


def _set_folders() -> dict[str, Path]:
    root = os.environ.get(_FOLDER_VARIABLE)
    if not root:
        return {}
    try:
        folders = sorted(folder for folder in Path(root).iterdir() if any(folder.glob("*.npz")))
    except OSError as error:
        rule, actual = "name a directory that can be read", f"{root!r} ({files.reason(error)})"
        raise fault(_FOLDER_VARIABLE, rule, actual, "Correct or unset it") from error
    return {folder.name.replace("_", "-"): folder for folder in folders}


def _visible(
    parts: list[Array], source: Source, binarize: Binarize | None, seed: int
) -> tuple[Tensor, Tensor, str]:
    """Rows of both parts as they are trained on, and what their values were taken as."""
    if source.largest == 1 and all(((rows == 0) | (rows == 1)).all() for rows in parts):
        words = f"states one-hot in {source.n_states} units" if source.n_states else ""
        first, last = (torch.from_numpy(rows.astype(np.uint8)) for rows in parts)
        return first, last, words or "0 and 1 as they are"
    uniforms = np.random.default_rng(seed)
    visible = []
    for rows in parts:
        states = np.empty(rows.shape, np.float32 if binarize is None else np.uint8)
        for start in range(0, len(rows), _ROWS_PER_BLOCK):  # bounds the float64 temporaries
            block = slice(start, start + _ROWS_PER_BLOCK)
            grey = np.divide(rows[block], source.largest, dtype=np.float64)
            level = uniforms.random(grey.shape) if binarize == "stochastic" else 0.5
            states[block] = grey if binarize is None else level <= grey
        visible.append(torch.from_numpy(states))
    value = "value" if source.largest == 1 else f"value / {source.largest}"
    probability = f"{value} as probability of 1"
    words = {
        "stochastic": f"{probability}, drawn with seed {seed}",
        "threshold": f"1 where {value} >= 0.5",
    }.get(binarize or "", probability)
    return visible[0], visible[1], words
