"""Files that are written whole or not at all."""

import errno
import os
from pathlib import Path

import pytest
from full_disk import file_size_limit, full_disk

from ncg_fast import files

LEFT = ".file.0123456789abcdef.tmp"
REMEDY = "Free space or choose another path; a file already there is unchanged."


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_changes_nothing(call, tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write("op", path, b"first")
    monkeypatch.setattr(os, call, full_disk)
    with pytest.raises(OSError) as caught:
        files.write("op", path, b"second")
    assert (
        str(caught.value) == f"op: {path} must be writable, got No space left on device. {REMEDY}"
    )
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == ["file"]
    assert path.read_bytes() == b"first"


def test_a_line_that_does_not_fit_is_taken_back(tmp_path):
    path = tmp_path / "lines"
    files.append("op", path, "first")
    with pytest.raises(OSError) as caught, file_size_limit(10):
        files.append("op", path, "second")
    assert str(caught.value) == f"op: {path} must be writable, got File too large. {REMEDY}"
    assert path.read_text() == "first\n"
    files.append("op", path, "third")
    assert path.read_text() == "first\nthird\n"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as caught:
        files.make_folder("", "--output", tmp_path / "file" / "run")
    assert str(caught.value) == (
        "--output must be a folder that can be written, got "
        f"{tmp_path}/file/run (Not a directory). Pass another folder."
    )


def test_what_a_killed_process_left_is_removed_by_name(tmp_path):
    others = {LEFT.replace("file", "other"), ".file.tmp", "file"}
    for name in (LEFT, *others):
        (tmp_path / name).touch()
    files.sweep(tmp_path, ["file"])
    assert set(os.listdir(tmp_path)) == others
    files.sweep(tmp_path / "none", ["file"])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (None, "op: path must be a str or os.PathLike, got NoneType. Pass the name of a file."),
        (3, "op: path must be a str or os.PathLike, got int. Pass the name of a file."),
        (b"file", "op: path must be a str or os.PathLike, got bytes. Pass the name of a file."),
        ("", "op: path must name a file, got ''. Pass the name of a file."),
        ("a\0b", r"op: path must name a file, got 'a\x00b'. Pass the name of a file."),
    ],
)
def test_paths_that_are_none(path, message):
    with pytest.raises(ValueError) as caught:
        files.checked_path("op", "path", path)
    assert str(caught.value) == message
    assert files.checked_path("op", "path", "file") == Path("file")


def test_a_folder_is_tried_without_a_file_in_it(tmp_path, monkeypatch):
    """A process that is killed meanwhile leaves nothing."""
    try:
        os.close(os.open(tmp_path, os.O_TMPFILE | os.O_RDWR))
    except OSError:
        pytest.skip("the file system has no files without a name")
    folder = tmp_path / "folder"
    monkeypatch.setattr(os, "unlink", lambda *_, **__: pytest.fail("a file had a name"))
    files.make_folder("op", "folder", folder)
    assert os.listdir(folder) == []
