"""Files that are written whole or not at all; every file of the package is written here.

op is the name for messages; empty on the command line, which puts its own before them.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ncg_fast import checks

StrPath = str | os.PathLike[str]

_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{16}\.tmp")


def checked_path(op: str, name: str, path: Any, remedy: str = "Pass the name of a file.") -> Path:
    """The path, if it is one.

    Raises:
        ValueError: neither text nor os.PathLike, empty, or with a null character.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        rule = f"{name} must be a str or os.PathLike"
        raise checks.error(op, rule, type(path).__name__, remedy)
    if not text or "\0" in text:
        raise checks.error(op, f"{name} must name a file", repr(text), remedy)
    return Path(text)


def write(op: str, path: StrPath, contents: bytes) -> None:
    """Writes a file: beside its place, down to the disk, then renamed.

    Raises:
        OSError: it cannot be written, or the disk is full; no temporary file stays, and a file that
            was there before is unchanged.
    """
    target = Path(os.path.realpath(path))
    temporary = _temporary(target)
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(contents)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise unwritable(op, path, error) from error
    _sync_folder(target.parent)


def append(op: str, path: StrPath, line: str) -> None:
    """Adds a line to a file; it is in the file when this returns.

    Raises:
        OSError: it cannot be written, or the disk is full; the file is as it was before.
    """
    n_bytes = None
    try:
        with open(path, "ab") as file:
            n_bytes = file.tell()
            file.write(f"{line}\n".encode())
    except OSError as error:
        if n_bytes is not None:
            with contextlib.suppress(OSError):
                os.truncate(path, n_bytes)
        raise unwritable(op, path, error) from error


def make_folder(op: str, name: str, folder: StrPath) -> None:
    """Makes a folder where it is missing, and sees that files can be made in it.

    Raises:
        OSError: it cannot be made or written.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # without a name: nothing is left if killed
    except OSError as error:
        rule = f"{name} must be a folder that can be written"
        actual = f"{folder} ({reason(error)})"
        raise _fault(op, error, f"{rule}, got {actual}. Pass another folder.") from error


def is_temporary(path: Path) -> bool:
    """Whether the file is what a killed process left of ``write``."""
    return _TEMPORARY.fullmatch(path.name) is not None


def sweep(folder: Path, names: Iterable[str]) -> None:
    """Removes what killed processes left of files with these names."""
    with contextlib.suppress(OSError):  # they harm nobody
        for path in folder.iterdir():
            found = _TEMPORARY.fullmatch(path.name)
            if found and found[1] in names:
                path.unlink(missing_ok=True)


def reason(error: Exception) -> str:
    """What the system says, without its number and the file's name; or what the error says."""
    return getattr(error, "strerror", None) or str(error)


def same_kind(error: OSError, message: str) -> OSError:
    """An error of the same class and number whose text is the message alone."""
    new = type(error)(message)
    new.errno = error.errno
    return new


def unwritable(op: str, path: StrPath, error: OSError) -> OSError:
    """The error of a file that could not be written, with what it was and what to do."""
    remedy = "Free space or choose another path; a file already there is unchanged."
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        remedy = "Name a file in a folder that exists."
    return _fault(op, error, f"{path} must be writable, got {reason(error)}. {remedy}")


def _fault(op: str, error: OSError, message: str) -> OSError:
    return same_kind(error, f"{op}: {message}" if op else message)


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")


def _sync_folder(folder: Path) -> None:
    """Brings a new name in the folder down to the disk, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
