"""Every header of csrc stands alone, so that an editor and clang-tidy can read it."""

from __future__ import annotations

import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pybind11
import pytest
from cuda_on_host import build

ROOT = build.ROOT
sys.path.insert(0, str(ROOT / "csrc"))
from sources import AVX512, FLAGS, IS_X86  # noqa: E402

CSRC = ROOT / "csrc"
# Headers of the CUDA toolkit are those of the stand-in, which has its own of these, too.
HEADERS = [
    path.relative_to(CSRC)
    for path in sorted(CSRC.rglob("*.h"))
    if not (build.HERE / path.relative_to(CSRC)).exists()
]
INSTRUCTIONS = {
    "vec_avx2.h": "-mavx2 -mfma",
    "vec_avx512.h": AVX512,
    "product_tiles.h": f"{AVX512} -DNCG_FAST_AVX512",  # of the unit that has tiles
}
X86_ONLY = {*INSTRUCTIONS, "tiles.h"}


@pytest.mark.slow
@pytest.mark.parametrize("header", HEADERS, ids=str)
def test_header_parses_alone(header: Path) -> None:
    if header.name in X86_ONLY and not IS_X86:
        pytest.skip("needs x86")
    folders = [build.HERE, CSRC, pybind11.get_include(), sysconfig.get_path("include")]
    include = [f"-I{folder}" for folder in folders]
    flags = shlex.split(f"{FLAGS} {INSTRUCTIONS.get(header.name, '')} -Wno-unknown-pragmas")
    command = [*shlex.split(build.compiler()), *include, *flags, "-fsyntax-only", "-x", "c++"]
    done = subprocess.run([*command, CSRC / header], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
