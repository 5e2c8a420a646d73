"""Files of other formats than NumPy's: sparse matrices, CSV, FASTA."""

import gzip
import re
import sys

import numpy as np
import pytest
import torch
from data_sets import error_of, save

from ncg_fast import data

STATES = np.random.default_rng(0).integers(0, 2, (10, 6))


def written(path, text):
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt") as file:
        file.write(text)
    return path


def lines(rows, *first):
    return "\n".join([*first, *(",".join(map(str, row)) for row in rows)]) + "\n"


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "bsr", "dia"])
@pytest.mark.parametrize("dtype", [np.float64, np.int64, bool])
def test_sparse_matrices_are_their_rows(layout, dtype, tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    sparse.save_npz(tmp_path / "rows.npz", sparse.csr_matrix(STATES.astype(dtype)).asformat(layout))
    np.save(tmp_path / "rows.npy", STATES)
    found, dense = data.load(tmp_path / "rows.npz"), data.load(tmp_path / "rows.npy")
    assert torch.equal(found.train, dense.train) and torch.equal(found.test, dense.test)
    assert found.taken_as == "0 and 1 as they are"


def test_counts_in_a_sparse_matrix_need_levels(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    path = tmp_path / "counts.npz"
    twice = np.array([1, 1, 1]), ([0, 0, 1], [1, 1, 0])  # one entry is in two parts
    sparse.save_npz(path, sparse.coo_matrix(twice, shape=(5, 2)))
    assert error_of(path) == (
        "data.load: x of counts must hold values in [0, 1], got values in [0, 2]. "
        "Pass levels=3 if 2 is the largest value that there can be."
    )
    found = data.load(path, levels=3, binarize=None)
    values = torch.cat([found.train, found.test]).flatten()
    assert values.sort().values.tolist() == [0] * 8 + [0.5, 1]


def test_sparse_matrices_with_places_outside_are_refused(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csr_matrix(STATES)
    matrix.indices[0] = 1000
    sparse.save_npz(tmp_path / "rows.npz", matrix)
    assert "must be a sound .npz or .npy file" in error_of(tmp_path / "rows.npz")


def test_sparse_matrices_need_scipy(tmp_path, monkeypatch):
    path = save(tmp_path, format=np.array("csr"), shape=(1, 1), data=[1])
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(RuntimeError) as caught:
        data.load(path)
    assert re.fullmatch(
        r"data\.load: needs SciPy, got .*scipy.*\. Run pip install "
        r'"ncg_fast\[experiments\]"\.',
        str(caught.value),
    )


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".CSV"])
@pytest.mark.parametrize("names", [(), ("a,b,c,d,e,f",), ('\ufeffa, b,"c",d,e,f',)])
def test_lines_of_numbers(suffix, names, tmp_path):
    np.save(tmp_path / "rows.npy", STATES)
    path = written(tmp_path / f"my_rows{suffix}", lines(STATES, *names))
    found, dense = data.load(path), data.load(tmp_path / "rows.npy")
    assert torch.equal(found.train, dense.train) and torch.equal(found.test, dense.test)
    assert (found.name, found.train_labels) == ("my-rows", None)


@pytest.mark.parametrize("name", ["label", "y", "Label"])
def test_a_column_of_labels_is_no_unit(name, tmp_path):
    labels = np.arange(10) * 3
    table = np.insert(STATES, 2, labels, axis=1)
    names = ["a", "b", name, "c", "d", "e", "f"]
    found = data.load(written(tmp_path / "rows.csv", lines(table, ",".join(names))))
    expected = data.load(save(tmp_path, x=STATES, y=labels))
    assert torch.equal(found.train, expected.train)
    assert torch.equal(found.train_labels, expected.train_labels)
    assert torch.equal(found.test_labels, expected.test_labels)


def test_grey_of_8_bits_and_real_numbers_in_lines(tmp_path):
    grey = written(tmp_path / "grey.csv", lines(STATES * 200))
    assert data.load(grey).taken_as == "value / 255 as probability of 1, drawn with seed 0"
    real = data.load(written(tmp_path / "real.csv", lines(STATES / 4)), binarize=None)
    assert real.train.unique().tolist() == [0.0, 0.25]
    assert "Pass levels=3" in error_of(written(tmp_path / "few.csv", lines(STATES * 2)))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "ValueError: no rows"),
        ("a,b\n", "ValueError: no rows"),
        ("0,1\n1,,0\n", "ValueError: .*"),
        ("0,1\n1\n", "ValueError: .*"),
        ("0;1\n1;0\n", "ValueError: .*"),
        (",a,b\n0,1,1\n1,1,0\n", "ValueError: a column without a name, as of an index"),
        ("a,b\n0,1,1\n1,1,0\n", "ValueError: 2 names of 3 columns"),
        ("y,label,c\n0,1,1\n1,1,0\n", "ValueError: two columns of labels"),
        ("1,x\n0,1\n", "ValueError: .*"),
    ],
)
def test_lines_that_are_no_rows(text, what, tmp_path):
    message = error_of(written(tmp_path / "rows.csv", text))
    assert re.fullmatch(
        r"data\.load: name_or_path must be a sound \.csv file, got \S+rows\.csv: "
        rf"{what}\. Check the path, or write lines of numbers with commas between\.",
        message,
        re.DOTALL,
    )


def test_missing_entries_in_lines(tmp_path):
    assert error_of(written(tmp_path / "rows.csv", "0,1\nnan,1\n1,1\n")) == (
        "data.load: x of rows must hold values in [0, 1], got NaN. "
        "Leave out the rows or the columns where values are missing or infinite."
    )


def test_a_damaged_archive_of_lines(tmp_path):
    path = written(tmp_path / "rows.csv.gz", lines(STATES))
    path.write_bytes(path.read_bytes()[:-9])
    assert "must be a sound .csv file" in error_of(path)


RECORDS = ">first\nAC-\nGU\n\n>second, longer name\nA--GU\n>third\nUUUUU\n"


@pytest.mark.parametrize("suffix", [".fasta", ".fa", ".faa", ".fna", ".afa", ".fasta.gz"])
def test_sequences_become_one_hot(suffix, tmp_path):
    path = written(tmp_path / f"family{suffix}", RECORDS)
    found = data.load(path, alphabet="-ACGU")
    states = torch.cat([found.train, found.test]).view(3, 5, 5)
    assert bool((states.sum(2) == 1).all())
    expected = [[1, 2, 0, 3, 4], [1, 0, 0, 3, 4], [4] * 5]
    assert sorted(states.argmax(2).tolist()) == sorted(expected)
    assert (found.name, found.taken_as) == ("family", "states one-hot in 5 units")


def test_sequences_without_an_alphabet(tmp_path):
    path = written(tmp_path / "family.fasta", RECORDS)
    assert error_of(path) == (
        "data.load: alphabet must be given with a FASTA file, got None. "
        "Pass all letters in the order of their states; in the file are '-ACGU'."
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no records"),
        ("ACG\n>first\n", "letters before the first line with >"),
        (">a\nACG\n>b\nAC\n", "2 letters in record 2, 3 in the first"),
        (">a\nACG\n>b\nACx\n", "'x' in record 2 is not in '-ACGU'"),
    ],
)
def test_sequences_that_are_not_aligned(text, what, tmp_path):
    path = written(tmp_path / "family.fasta", text)
    assert error_of(path, alphabet="-ACGU") == (
        f"data.load: name_or_path must be a sound .fasta file, got {path}: ValueError: {what}. "
        "Check the path, or write records of one length, of letters of alphabet."
    )


def test_an_alphabet_for_states_without_one(tmp_path):
    states = np.array([[2, 0], [1, 1], [0, 2]])
    own = data.load(save(tmp_path, x=states, alphabet="abc"))
    given = data.load(save(tmp_path, x=states), alphabet="abc")
    assert torch.equal(own.train, given.train) and torch.equal(own.test, given.test)
    path = save(tmp_path, x=states, alphabet="abc")
    assert torch.equal(data.load(path, alphabet="abc").train, own.train)
    assert error_of(path, alphabet="acb") == (
        "data.load: alphabet must be left out for set, got 'acb'. The file has its own."
    )
