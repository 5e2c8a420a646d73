"""Disks without space, and files that may not grow."""

import errno
import os
import resource
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_size_limit(n_bytes):
    """Lets no file grow beyond n_bytes: a write fails half-way, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_for(monkeypatch, name):
    """Files of this name find no space."""
    replace = os.replace

    def fill_up(source, target):
        return full_disk() if Path(target).name == name else replace(source, target)

    monkeypatch.setattr(os, "replace", fill_up)
