"""The AMX kernels as compiled; their results are tested with ``--backends amx``."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import limits
import pytest
from checkout import AMX_ON_HOST, built, objects

from ncg_fast.backends import cpu

x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="not x86")
with_amx = pytest.mark.skipif("amx" not in cpu.instruction_sets(False), reason="not built with AMX")


@pytest.mark.skipif(shutil.which("objdump") is None, reason="needs objdump")
@with_amx
@built
def test_tiles_are_in_one_object() -> None:
    """Configured in each region before use, and released: see team.h."""
    for path in objects():
        command = ["objdump", "--disassemble", "--no-show-raw-insn", path]
        code = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = set(re.findall(r"\t(tdp\w+|tile\w+|ldtilecfg)", code))
        wanted = {"ldtilecfg", "tileloadd", "tilestored", "tilezero", "tilerelease"}
        wanted |= {"tdpbuud", "tdpbusd"}
        assert found == (wanted if path.stem == "amx" else set()), path.name


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="needs Linux")
@with_amx
def test_amx_serves_where_the_kernel_lists_it() -> None:
    listed = set(Path("/proc/cpuinfo").read_text().split())
    expected = {"amx_tile", "amx_int8"} <= listed and "avx512" in cpu.instruction_sets()
    assert ("amx" in cpu.instruction_sets()) == expected


@x86
def test_limit_of_products_is_measured_with_the_same_instructions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", f"{os.environ.get('CXX', 'g++')} -I{shlex.quote(str(AMX_ON_HOST))}")
    limits.build(str(tmp_path)).products_amx(limits._int64(2))
