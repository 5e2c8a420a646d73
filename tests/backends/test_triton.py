"""Triton without a GPU: its interpreter against reference.py, and machine code for three GPUs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from checkout import ROOT, SUPPORT

pytest.importorskip("triton")
pytestmark = pytest.mark.slow

CAPABILITIES = "80", "90", "100"


@pytest.fixture(scope="module")
def processes() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All at once: the interpreter, and a compiler for each kind of GPU."""
    tests = ["-m", "pytest", "-p", "no:cacheprovider", "-k", "parity", "--backends", "triton"]
    tests.append("tests/backends")
    compiler = str(SUPPORT / "compile_triton.py")
    commands = {"interpreter": tests, **{name: [compiler, name] for name in CAPABILITIES}}
    started = {}
    for name, command in commands.items():
        interpret = {"TRITON_INTERPRET": "1"} if name == "interpreter" else {}
        started[name] = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **interpret},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    yield started
    for process in started.values():
        process.kill()
        process.wait()


def output(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate()
    assert process.returncode == 0, out
    return out


def test_interpreter_equals_the_reference(processes: dict[str, subprocess.Popen[str]]) -> None:
    out = output(processes["interpreter"])
    assert re.search(r"^[1-9]\d* passed", out, re.MULTILINE), out


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_kernels_compile_without_spills(
    capability: str, processes: dict[str, subprocess.Popen[str]]
) -> None:
    """As launched: every kernel, in those variants that need the most registers."""
    kernels = {line.split()[0] for line in output(processes[capability]).splitlines()}
    assert len(kernels) == 16, kernels
