"""Formats of files of rows: NumPy's arrays and archives, SciPy's sparse matrices, CSV, FASTA."""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

SUFFIXES = ".npz, .npy, .csv, .csv.gz, .fasta"
_SUFFIX = re.compile(r"\.(npz|npy|(?:(csv)|fasta|fa|faa|fna|afa)(?:\.gz)?)$", re.IGNORECASE)
_FILE_KEYS = r"(x_)?(train|test)|x|valid|y|y_(train|test|valid)|d|alphabet"
_ROW_KEYS = r"(x_)?(train|test)|x|valid"
_SPARSE_KEYS = {"format", "shape", "data"}
_LABEL_NAMES = "y", "label"
_MAX_WHOLE = 2**53  # float64 holds all whole numbers up to here
_REMEDIES = {
    "npz": "save the file again with numpy.savez, without objects",
    "csv": "write lines of numbers with commas between",
    "fasta": "write records of one length, of letters of alphabet",
}


def fault(argument: str, rule: str, actual: str, remedy: str) -> ValueError:
    """The error of a data set or of an argument of ``load``."""
    return ValueError(f"data.load: {argument} must {rule}, got {actual}. {remedy}.")


def extra(module: str, project: str) -> ModuleType:
    """A module of a project that comes with the extra.

    Raises:
        RuntimeError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        remedy = 'Run pip install "ncg_fast[experiments]".'
        raise RuntimeError(f"data.load: needs {project}, got {error}. {remedy}") from error


def kind_of(path: Path) -> str:
    """npz, of arrays and archives, csv or fasta; empty where the name has none of the suffixes."""
    found = _SUFFIX.search(path.name)
    if found is None:
        return ""
    return "npz" if found[1].lower() in ("npz", "npy") else "csv" if found[2] else "fasta"


def name_of(path: Path) -> str:
    """The stem of a file's name, with '-' for '_'."""
    return _SUFFIX.sub("", path.name).replace("_", "-")


def read(path: Path, alphabet: str | None = None) -> dict[str, Array]:
    """The arrays of a file that ``load`` knows; rows of a file that has but one array as x.

    Args:
        path: of a kind that ``kind_of`` knows.
        alphabet: the letters of a FASTA file.

    Raises:
        ValueError: the file is missing or damaged, holds no rows, or letters without an alphabet.
        RuntimeError: the file is a sparse matrix, and SciPy is missing.
    """
    kind = kind_of(path)
    if kind == "csv":
        with _sound(path, kind), _text(path) as file:
            return _csv(file)
    if kind == "fasta":
        with _sound(path, kind), _text(path) as file:
            records = _records(file)
        if alphabet is None:
            letters = "".join(sorted({*"".join(records)}))
            remedy = f"Pass all letters in the order of their states; in the file are {letters!r}"
            raise fault("alphabet", "be given with a FASTA file", "None", remedy)
        with _sound(path, kind):
            return {"x": _states(records, alphabet), "alphabet": np.array(alphabet)}
    with _sound(path, kind):
        arrays, names = _archive(path)
    if {*names} >= _SPARSE_KEYS:
        sparse = extra("scipy.sparse", "SciPy")
        with _sound(path, kind):
            return {"x": _dense(sparse.load_npz(path))}
    if not any(re.fullmatch(_ROW_KEYS, name) for name in arrays):
        raise no_rows(name_of(path), names)
    return arrays


def no_rows(name: str, found: list[str]) -> ValueError:
    """The error of a file or a folder of arrays of other names."""
    return fault(f"arrays of {name}", "be train and test, or x", str(found), "Rename them")


@contextmanager
def _sound(path: Path, kind: str) -> Iterator[None]:
    """Makes one message of whatever a damaged file raises, which is a dozen kinds."""
    try:
        yield
    except Exception as error:
        rule = {"npz": ".npz or .npy", "csv": ".csv", "fasta": ".fasta"}[kind]
        actual = f"{path}: {type(error).__name__}: {error}"
        remedy = f"Check the path, or {_REMEDIES[kind]}"
        raise fault("name_or_path", f"be a sound {rule} file", actual, remedy) from error


def _archive(path: Path) -> tuple[dict[str, Array], list[str]]:
    """The known arrays of a .npz file, or the one of a .npy file, as x; all names, in order."""
    with path.open("rb") as file:  # numpy would leave it open when the archive is damaged
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"x": loaded}, ["x"]
        known = [key for key in loaded.files if re.fullmatch(_FILE_KEYS, key)]
        return {key: np.asarray(loaded[key]) for key in known}, loaded.files


def _dense(matrix: Any) -> Array:
    """A sparse matrix as rows; bytes where all that is stored is 0 or 1."""
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)  # indices that are outside would be followed
    matrix = matrix.tocsr()
    matrix.sum_duplicates()
    if ((matrix.data == 0) | (matrix.data == 1)).all():
        matrix = matrix.astype(np.uint8)
    rows: Array = matrix.toarray()
    return rows


def _text(path: Path) -> io.TextIOWrapper:
    opened: Any = gzip.open if path.suffix.lower() == ".gz" else open
    file: io.TextIOWrapper = opened(path, "rt", encoding="utf-8-sig", newline=None)
    return file


def _csv(file: io.TextIOWrapper) -> dict[str, Array]:
    """Lines of numbers, after a line of names if no field of the first is a number."""
    first: list[str] = next(csv.reader([file.readline()]), [])
    names = [] if any(map(_is_number, first)) else [name.strip().lower() for name in first]
    if "" in names:
        raise ValueError("a column without a name, as of an index")
    if not names:
        file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of no rows, which are refused below
        table = np.loadtxt(file, delimiter=",", ndmin=2, comments=None, quotechar='"')
    if not table.size:
        raise ValueError("no rows")
    if names and len(names) != table.shape[1]:
        raise ValueError(f"{len(names)} names of {table.shape[1]} columns")
    labels = [column for column, name in enumerate(names) if name in _LABEL_NAMES]
    if not labels:
        return {"x": _whole(table)}
    if len(labels) > 1:
        raise ValueError("two columns of labels")
    return {"x": _whole(np.delete(table, labels, axis=1)), "y": _whole(table[:, labels[0]])}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _whole(values: Array) -> Array:
    """As integers where all are."""
    with np.errstate(invalid="ignore"):
        whole = (values == np.rint(values)) & (np.abs(values) <= _MAX_WHOLE)
    return values.astype(np.int64) if whole.all() else values


def _records(file: io.TextIOWrapper) -> list[str]:
    """The sequences of a FASTA file, without their names."""
    records: list[list[str]] = []
    for line in map(str.strip, file):
        if line.startswith(">"):
            records.append([])
        elif line and not records:
            raise ValueError("letters before the first line with >")
        elif line:
            records[-1].append(line)
    if not records:
        raise ValueError("no records")
    return ["".join(lines) for lines in records]


def _states(records: list[str], alphabet: str) -> Array:
    """The place of each letter in the alphabet."""
    place = {letter: state for state, letter in enumerate(alphabet)}
    n_letters = len(records[0])
    states = np.empty((len(records), n_letters), np.uint8)
    for number, record in enumerate(records, 1):
        if len(record) != n_letters:
            raise ValueError(f"{len(record)} letters in record {number}, {n_letters} in the first")
        others = {*record} - place.keys()
        if others:
            raise ValueError(f"{min(others)!r} in record {number} is not in {alphabet!r}")
        states[number - 1] = [place[letter] for letter in record]
    return states
