"""This checkout: its folders, and what setup.py compiled in it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests" / "support"
AMX_ON_HOST = SUPPORT / "amx_on_host"


def kernels() -> Path:
    """The folder that ninja compiles in."""
    return next(ROOT.glob("build/ncg_fast._cpu-*"))


def _is_current(built: Path) -> bool:
    """Whether an object's source is still there."""
    source = Path(*built.parts[built.parts.index("csrc") :]).with_suffix(".cpp")
    return (ROOT / source).exists()


def objects() -> list[Path]:
    """Of the kernels of each instruction set, and of the choice among them."""
    return sorted(
        path
        for path in ROOT.glob("build/ncg_fast._cpu-*/csrc/cpu/**/*.o")
        if path.stem not in ("helpers", "scratch") and _is_current(path)
    )


built = pytest.mark.skipif(not objects(), reason="the package was not built in this checkout")


def commands(folder: Path) -> dict[str, list[str]]:
    """The command of setup.py for each source, less the names of the files."""
    text = (folder / "build.ninja").read_text().replace("$\n", " ")
    start = re.search(r"command = (.*) \$flags ", text)[1]
    flags = re.findall(r"^build .*: *compile +(\S+)\n +flags =(.*)", text, re.MULTILINE)
    return {source: shlex.split(f"{start} {found}") for source, found in flags}
