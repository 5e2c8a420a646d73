"""A message for each fault of data sets, their files and the options of data.load."""

import re
import zipfile

import numpy as np
import pytest
from data_sets import SOUND, error_of, save

from ncg_fast import data

MISSING = "Leave out the rows or the columns where values are missing or infinite."
LEVELS = "Pass levels={} if {} is the largest value that there can be."
SCALE = (
    "Binarise it, or save ncg_fast.data.scale(x, low, high) as probabilities, low and high the "
    "ends of the range that its values can have."
)
SHAPES = "be numbers of shape (n, n_visible) or (n, rows, cols), not empty"
FAULTS = {
    "one axis": (
        {"x": np.zeros(4)},
        f"x of set must {SHAPES}, got float64 (4,). Reshape or convert it.",
    ),
    "four axes": (
        {"train": np.zeros((4, 1, 2, 2)), "test": SOUND},
        f"train of set must {SHAPES}, got float64 (4, 1, 2, 2). Reshape or convert it.",
    ),
    "no axis": (
        {"x": np.float64(1)},
        f"x of set must {SHAPES}, got float64 (). Reshape or convert it.",
    ),
    "no rows": (
        {"x_train": SOUND, "x_test": np.zeros((0, 4))},
        f"test of set must {SHAPES}, got float64 (0, 4). Reshape or convert it.",
    ),
    "no columns": (
        {"x": np.zeros((4, 0))},
        f"x of set must {SHAPES}, got float64 (4, 0). Reshape or convert it.",
    ),
    "text": (
        {"x": np.array([["a", "b"]])},
        f"x of set must {SHAPES}, got <U1 (1, 2). Reshape or convert it.",
    ),
    "complex": (
        {"x": SOUND * 1j},
        f"x of set must {SHAPES}, got complex128 (4, 4). Reshape or convert it.",
    ),
    "one row": (
        {"x": np.ones((1, 4))},
        "x of set must hold 2 rows or more, got 1. Save train and test arrays.",
    ),
    "NaN": (
        {"x": np.array([[0.0, np.nan], [1.0, 0.0]])},
        f"x of set must hold values in [0, 1], got NaN. {MISSING}",
    ),
    "inf": (
        {"train": SOUND, "test": np.array([[0, 0, 0, np.inf]])},
        f"test of set must hold values in [0, 1], got values in [0, inf]. {MISSING}",
    ),
    "float grey of 255": (
        {"x": np.array([[0.0, 255.0], [3.0, 4.0]])},
        f"x of set must hold values in [0, 1], got values in [0, 255]. {LEVELS.format(256, 255)}",
    ),
    "integer of 256": (
        {"x": np.array([[0, 256], [3, 4]])},
        f"x of set must hold values in [0, 1], got values in [0, 256]. {LEVELS.format(257, 256)}",
    ),
    "spins": (
        {"x": np.array([[-1, 1], [1, -1]])},
        "x of set must hold values in [0, 1], got spins -1 and +1. Save (x + 1) / 2.",
    ),
    "spins with zeros": (
        {"x": np.array([[-1, 0], [1, -1]])},
        f"x of set must hold values in [0, 1], got values in [-1, 1]. {SCALE}",
    ),
    "six levels": (
        {"x": np.array([[0, 5], [3, 4]], np.uint8)},
        f"x of set must hold values in [0, 1], got values in [0, 5]. {LEVELS.format(6, 5)}",
    ),
    "six levels, fewer in one part": (
        {"train": np.array([[0, 3]]), "test": np.array([[0, 5]])},
        f"train of set must hold values in [0, 1], got values in [0, 3]. {LEVELS.format(6, 5)}",
    ),
    "100 of 8 bits": (
        {"x": np.array([[0, 100], [3, 4]], np.uint8)},
        f"x of set must hold values in [0, 1], got values in [0, 100]. {LEVELS.format(101, 100)}",
    ),
    "more than bytes hold": (
        {"x": np.array([[256, 0], [512, 1]])},
        f"x of set must hold values in [0, 1], got values in [0, 512]. {LEVELS.format(513, 512)}",
    ),
    "real numbers": (
        {"x": np.array([[0.0, 0.5], [2.5, 1.0]])},
        f"x of set must hold values in [0, 1], got values in [0, 2.5]. {SCALE}",
    ),
    "more than rounding": (
        {"x": np.array([[0.0, 0.5], [1.000002, 1.0]])},
        f"x of set must hold values in [0, 1], got values in [0, 1.000002]. {SCALE}",
    ),
    "state past the alphabet": (
        {"x": np.array([[0, 3], [1, 2]]), "alphabet": "abc"},
        "x of set must hold states from 0 to 2, places in the alphabet, got 0 to 3. "
        "Complete the alphabet.",
    ),
    "states that are no integers": (
        {"x": np.array([[0.0, 1.0], [1.0, 1.0]]), "alphabet": "abc"},
        f"x of set must {SHAPES}, got float64 (2, 2). Reshape or convert it.",
    ),
    "unequal columns": (
        {"train": np.ones((4, 3)), "test": np.ones((4, 2))},
        "set must have train and test rows alike, got float64 (3,) and float64 (2,). Resave them.",
    ),
    "unequal dtypes": (
        {"train": np.ones((4, 3)), "test": np.ones((4, 3), np.uint8)},
        "set must have train and test rows alike, got float64 (3,) and uint8 (3,). Resave them.",
    ),
    "too many labels": (
        {"x": SOUND, "y": np.arange(5)},
        "labels of x of set must be integers of shape (4,), got int64 (5,). Resave them.",
    ),
    "labels that are no integers": (
        {"train": SOUND, "test": SOUND, "y_test": np.zeros(4)},
        "labels of test of set must be integers of shape (4,), got float64 (4,). Resave them.",
    ),
    "packed rows too short": (
        {"x": np.zeros((4, 2), np.uint8), "d": 17},
        "x of set must be uint8 (n, ceil(d / 8)), got uint8 (4, 2) with d = 17."
        " Drop d, or pack the rows.",
    ),
    "packed rows of 64 bits": (
        {"x": np.zeros((4, 2), np.int64), "d": 16},
        "x of set must be uint8 (n, ceil(d / 8)), got int64 (4, 2) with d = 16."
        " Drop d, or pack the rows.",
    ),
    "d below 1": (
        {"x": np.zeros((4, 0), np.uint8), "d": 0},
        "x of set must be uint8 (n, ceil(d / 8)), got uint8 (4, 0) with d = 0."
        " Drop d, or pack the rows.",
    ),
    "d that is no integer": (
        {"x": np.zeros((4, 2), np.uint8), "d": 16.0},
        "x of set must be uint8 (n, ceil(d / 8)), got uint8 (4, 2) with d = 16.0."
        " Drop d, or pack the rows.",
    ),
    "no known array": (
        {"images": SOUND, "y": np.arange(4)},
        "arrays of set must be train and test, or x, got ['images', 'y']. Rename them.",
    ),
    "a capital": (
        {"X": SOUND},
        "arrays of set must be train and test, or x, got ['X']. Rename them.",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_content_faults_are_named(fault, tmp_path):
    arrays, message = FAULTS[fault]
    assert error_of(save(tmp_path, **arrays)) == f"data.load: {message}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"binarize": "round"},
            'data.load: binarize must be "stochastic", "threshold" or None, got \'round\'.'
            " Pick one.",
        ),
        ({"seed": -1}, "data.load: seed must be at least 0, got -1. Pass 0 or more."),
        (
            {"seed": 2**63},
            f"data.load: seed must be at most {2**63 - 1}, got {2**63}. Pass {2**63 - 1} or less.",
        ),
        ({"seed": 1.0}, "data.load: seed must be an int, got float 1.0. Use int(seed)."),
        ({"levels": 1}, "data.load: levels must be at least 2, got 1. Pass 2 or more."),
        (
            {"levels": 17},
            "data.load: levels and alphabet must be left out for bars-and-stripes, got (17, None). "
            "Its values are known.",
        ),
        (
            {"alphabet": "-AA"},
            "data.load: alphabet must be two or more different ASCII letters, as text, got '-AA'. "
            'Pass such as "-ACGU".',
        ),
        (
            {"alphabet": ["A", "C"]},
            "data.load: alphabet must be two or more different ASCII letters, as text, got "
            "['A', 'C']. Pass such as \"-ACGU\".",
        ),
    ],
)
def test_option_faults_are_named(options, message):
    assert error_of("bars-and-stripes", **options) == message


@pytest.mark.parametrize("value", [None, 3, b"digits"])
def test_a_name_that_is_no_text(value):
    assert error_of(value) == (
        f"data.load: name_or_path must be a str or os.PathLike, got {type(value).__name__}."
        " Pass a name of data.available(), or a path."
    )


def test_unknown_name_lists_the_known_ones(no_data_folder):
    assert error_of("mnits") == (
        "data.load: name_or_path must be a path to .npz, .npy, .csv, .csv.gz, .fasta,"
        " bars-and-stripes-N, or one of bars-and-stripes, digits, fashion-mnist, mnist,"
        " got 'mnits'."
        " For more, set NCG_FAST_DATA (now unset) to a directory with a folder per set."
    )


def test_names_cannot_leave_the_folder(tmp_path, monkeypatch):
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").mkdir()
    save(tmp_path / "outside", x=SOUND)
    monkeypatch.setenv("NCG_FAST_DATA", str(tmp_path / "inside"))
    assert "got '../outside'" in error_of("../outside")


@pytest.mark.parametrize("side", [0, 63])
def test_bars_and_stripes_of_bad_side(side):
    assert error_of(f"bars-and-stripes-{side}") == (
        f"data.load: bars-and-stripes must have a side in [1, 62], got {side}."
        " Use bars-and-stripes-4."
    )


def test_data_folder_that_is_none(monkeypatch, tmp_path):
    missing = tmp_path / "missing"
    monkeypatch.setenv("NCG_FAST_DATA", str(missing))
    actual = f"{str(missing)!r} (No such file or directory)"
    assert error_of("mnist") == (
        f"data.load: NCG_FAST_DATA must name a directory that can be read, got {actual}."
        " Correct or unset it."
    )
    data.load("bars-and-stripes")


def unsound(path, kind_of_error):
    return (
        r"data\.load: name_or_path must be a sound \.npz or \.npy file, got "
        rf"{re.escape(str(path))}: {kind_of_error}: .*\. Check the path, or save the"
        r" file again with numpy\.savez, without objects\."
    )


def test_missing_file_and_directory(tmp_path):
    path = tmp_path / "missing.npz"
    assert re.fullmatch(unsound(path, "FileNotFoundError"), error_of(path))
    path.mkdir()
    assert re.fullmatch(unsound(path, "IsADirectoryError"), error_of(path))


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_truncated_file_at_every_length(suffix, tmp_path):
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    rows = np.random.default_rng(0).random((9, 7))
    if suffix == ".npz":
        np.savez_compressed(whole, train=rows, test=rows)
    else:
        np.save(whole, rows)
    content = whole.read_bytes()
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        assert re.fullmatch(unsound(cut, r"\w+"), error_of(cut), re.DOTALL)
    data.load(whole)


def test_foreign_files(tmp_path):
    path = tmp_path / "foreign.npz"
    path.write_text("label,pixel\n1,0\n")
    assert re.fullmatch(unsound(path, "ValueError"), error_of(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", "no array")
    assert error_of(path) == (
        f"data.load: x of foreign must {SHAPES}, got |S8 (). Reshape or convert it."
    )


class Canary:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_pickles_are_never_read(tmp_path):
    sung = tmp_path / "sung"
    objects = np.array([[Canary(sung)], [Canary(sung)]], dtype=object)
    path = save(tmp_path, x=objects)
    assert re.fullmatch(unsound(path, "ValueError"), error_of(path))
    path = tmp_path / "canary.npy"
    np.save(path, objects)
    assert re.fullmatch(unsound(path, "ValueError"), error_of(path))
    assert not sung.exists()
