"""The AMX kernels: where no processor here has AMX, its instructions are those of amx_on_host."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import limits
import pytest
from test_build import ROOT, objects

from ncg_fast import _cpu
from ncg_fast.backends import cpu

TESTS = Path(__file__).parent
HOST = TESTS / "amx_on_host"
NAMES = (
    "parity",
    "determinism",
    "bounds",
    "activity",
    "threads",
    "digit_paths",
    "paths",
    "info",
)  # of tests of all kernels
x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="not x86")
with_amx = pytest.mark.skipif("amx" not in cpu.instruction_sets(False), reason="not built with AMX")
built = pytest.mark.skipif(not objects(), reason="the package was not built in this checkout")


def commands(folder: Path) -> dict[str, list[str]]:
    """The command of setup.py for each source, less the names of the files."""
    text = (folder / "build.ninja").read_text().replace("$\n", " ")
    start = re.search(r"command = (.*) \$flags ", text)[1]
    flags = re.findall(r"^build .*: *compile +(\S+)\n +flags =(.*)", text, re.MULTILINE)
    return {source: shlex.split(f"{start} {found}") for source, found in flags}


@pytest.fixture(scope="module")
def emulated() -> Path:
    """_cpu with the installed objects, but for those two that know of tiles."""
    folder = objects()[0].parents[2]
    made = ROOT / "build/amx_on_host" / f"_cpu{''.join(Path(_cpu.__file__).suffixes)}"
    inputs = [*ROOT.glob("csrc/**/*.*"), *HOST.glob("**/*.h"), folder / "build.ninja", *objects()]
    if made.exists() and made.stat().st_mtime > max(path.stat().st_mtime for path in inputs):
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    linked = []
    for source, (compiler, *flags) in commands(folder).items():
        linked.append(folder / Path(source).with_suffix(".o"))
        if Path(source).stem in ("amx", "dispatch"):
            linked[-1] = made.parent / Path(source).with_suffix(".o").name
            options = [f"-I{HOST}", *flags, "-c", source, "-o", linked[-1]]
            subprocess.run([compiler, *options], cwd=ROOT, check=True)
    subprocess.run([compiler, "-shared", "-fopenmp", *linked, "-o", made], cwd=ROOT, check=True)
    return made


@x86
@built
@pytest.mark.skipif("avx512" not in cpu.instruction_sets(), reason="needs AVX-512")
def test_bits_of_every_kernel(emulated: Path) -> None:
    """The tests of all kernels, with "amx" as one more instruction set."""
    environment = os.environ | {"NCG_FAST_TEST_CPU": str(emulated), "PYTHONPATH": str(HOST)}
    files = [TESTS / f"test_{name}.py" for name in NAMES]
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "served", "-p", "no:cacheprovider", *files],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout[-5000:] + found.stderr[-5000:]


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
        wanted |= {"tdpbsud", "tdpbusd"}
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
    monkeypatch.setenv("CXX", f"{os.environ.get('CXX', 'g++')} -I{shlex.quote(str(HOST))}")
    limits.build(str(tmp_path)).products_amx(limits._int64(2))
