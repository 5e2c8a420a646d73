"""The CUDA kernels and their bindings compiled by the host's compiler, to run without a GPU.

The headers of this folder come first, so that ``cuda_runtime.h``, ``cuda/ptx.h`` and
``cuda/launch.h`` are the host's twins.
"""

from __future__ import annotations

import fcntl
import functools
import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import calls
import ninja
import pybind11
from checkout import ROOT

from ncg_fast.backends.launcher import Launcher

HERE = Path(__file__).parent
FOLDER = ROOT / "build" / "cuda_on_host"
FLAGS = (
    "-std=c++17 -O2 -g1 -fPIC -fvisibility=hidden -ffp-contract=off -Wall -Wno-unknown-pragmas "
    # What a GPU would not report, or would end the program for: misaligned accesses above all.
    "-fsanitize=alignment,bounds,shift,signed-integer-overflow -fno-sanitize-recover=all "
    f"-I{HERE} -I{ROOT / 'csrc'}"
)


def compiler() -> str:
    return os.environ.get("CXX", "g++")


def write_plan(plan: Path, target: str, sources: list[Path], flags: str, link: str) -> None:
    with plan.open("w") as file:
        rules = ninja.Writer(file)
        rules.variable("builddir", str(FOLDER / f"{target}.log"))
        compile_it = f"{compiler()} {FLAGS} {flags} -x c++ -MMD -MF $out.d -c $in -o $out"
        rules.rule("compile", compile_it, depfile="$out.d", deps="gcc")
        rules.rule("link", f"{compiler()} $in {link} -o $out")
        objects = [str(FOLDER / target / f"{source.stem}.o") for source in sources]
        for source, output in zip(sources, objects, strict=True):
            rules.build(output, "compile", str(source))
        rules.build(str(FOLDER / target / "linked.so"), "link", objects)


def run_ninja(target: str, sources: list[Path], flags: str, link: str) -> Path:
    """Compiles what has changed and links it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    plan = FOLDER / f"{target}.ninja"
    with (FOLDER / "lock").open("w") as lock:  # of several pytests, one compiles
        fcntl.flock(lock, fcntl.LOCK_EX)
        write_plan(plan, target, sources, flags, link)
        done = subprocess.run(
            [sys.executable, "-m", "ninja", "-f", str(plan)], capture_output=True, text=True
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return FOLDER / target / "linked.so"


def load(name: str, sources: list[Path]) -> ModuleType:
    """The extension module of this name made from the sources."""
    include = f"-I{pybind11.get_include()} -I{sysconfig.get_path('include')} -DNCG_FAST_CUDA"
    library = run_ninja(
        name, sorted([*sources, HERE / "fibers.cpp"]), include, "-shared -fsanitize=undefined"
    )
    spec = importlib.util.spec_from_file_location(name, library)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@functools.cache
def launcher() -> Launcher:
    """The ops of ``ncg_fast.backends.cuda`` for tensors on the CPU; the stream is always 0."""
    csrc = ROOT / "csrc"
    kernels = [path for ending in ("cpp", "cu") for path in csrc.glob(f"cuda/**/*.{ending}")]
    compiled = load("_cuda", [csrc / "bindings" / "module.cpp", *kernels])
    return calls.launcher(compiled, lambda: 0)
