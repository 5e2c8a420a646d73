"""What is compiled: the sources of each extension module with their compiler and flags."""

import os
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pybind11
from setuptools.errors import CompileError

IS_X86 = sysconfig.get_platform().endswith(("x86_64", "amd64"))
PYBIND = f"-I{shlex.quote(pybind11.get_include())}"

# No -ffast-math, no contraction: every instruction set must return the same bits. Coalescing of
# variables makes GCC 12 spill the sums of the inner loops: a quarter slower.
FLAGS = "-std=c++17 -O3 -g0 -fvisibility=hidden -pthread -Icsrc -ffp-contract=off "
FLAGS += "-fno-tree-coalesce-vars"

AVX512 = "-mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mbmi2 "
AVX512 += "-mprefer-vector-width=512"

# Set by .ci/sanitize. Python's own flags have -fwrapv, under which no signed overflow is reported.
CHECK = os.environ.get("NCG_FAST_SANITIZE", "")
FLAGS += f" -fsanitize={CHECK} -fno-sanitize-recover=all -fno-wrapv -O2 -g1 -w" if CHECK else ""


class Module(NamedTuple):
    """An extension module: flags of each source, of the linker, and of nvcc for ``.cu``."""

    name: str
    sources: dict[str, str]
    link: list[str]
    nvcc: list[str]


def cpu() -> Module:
    """The CPU kernels, each source with the flags of its instruction set."""
    # Lowest instruction set first: of an inline function compiled in several objects the linker
    # keeps the first copy, and that one must run on every processor.
    sources = {
        "csrc/bindings/module.cpp": PYBIND,
        "csrc/cpu/dispatch.cpp": "-DNCG_FAST_X86=1" if IS_X86 else "",
        "csrc/cpu/team/helpers.cpp": "",
        "csrc/cpu/scratch.cpp": "",
        "csrc/cpu/isa/base.cpp": "",
    }
    if IS_X86:
        sources |= {
            "csrc/cpu/isa/avx2.cpp": "-mavx2 -mfma -mbmi2",
            "csrc/cpu/isa/avx512.cpp": AVX512,
            "csrc/cpu/isa/amx.cpp": AVX512,  # and tiles, in assembly
        }
    return Module("ncg_fast._cpu", sources, FLAGS.split(), [])


def cuda() -> Module | None:
    """The CUDA kernels; None where nvcc is missing or NCG_FAST_CUDA is 0."""
    wanted = os.environ.get("NCG_FAST_CUDA", "")
    if wanted not in ("", "0", "1"):
        raise CompileError(
            f'setup: NCG_FAST_CUDA must be 0 or 1, got "{wanted}". '
            "Leave it unset to build with CUDA where nvcc is found."
        )
    nvcc = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if wanted == "1" and nvcc is None:
        raise CompileError(
            "setup: NCG_FAST_CUDA=1 needs nvcc, got none on PATH or in /usr/local/cuda. "
            "Install the CUDA toolkit, or unset NCG_FAST_CUDA."
        )
    if nvcc is None or wanted == "0" or CHECK:
        return None
    host, kernels = (
        [str(path) for path in sorted(Path("csrc").glob(f"cuda/**/*.{ending}"))]
        for ending in ("cpp", "cu")
    )
    home = cuda_home(nvcc)
    flags = f"{PYBIND} -I{shlex.quote(str(home / 'include'))}"
    libraries = [f"-L{home / folder}" for folder in ("lib64", "lib") if (home / folder).is_dir()]
    return Module(
        "ncg_fast._cuda",
        {"csrc/bindings/module.cpp": f"{flags} -DNCG_FAST_CUDA"}
        | dict.fromkeys(host, flags)
        | dict.fromkeys(kernels, ""),
        [*FLAGS.split(), *libraries, "-lcudart_static", "-lpthread", "-ldl", "-lrt"],
        [nvcc, *nvcc_flags()],
    )


def cuda_home(nvcc: str) -> Path:
    """The toolkit's folder: where nvcc itself says it is, as it may be a script elsewhere."""
    dry_run = [nvcc, "--dryrun", "-x", "cu", "/dev/null"]
    said = subprocess.run(dry_run, capture_output=True, text=True).stderr
    tops = [line.split("=", 1)[1] for line in said.splitlines() if line.startswith("#$ TOP=")]
    return Path(tops[0]) if tops else Path(nvcc).resolve().parents[1]


def nvcc_flags() -> list[str]:
    """Machine code for NCG_FAST_CUDA_ARCHS, and PTX of the last for later GPUs.

    90a is 90 with the products of warpgroups; every GPU of compute capability 9.0 runs it.
    """
    given = os.environ.get("NCG_FAST_CUDA_ARCHS", "80,90a,100")
    archs = [arch.strip().removeprefix("sm_") for arch in given.replace(";", ",").split(",")]
    if not all(arch.rstrip("af").isdigit() for arch in archs):
        raise CompileError(
            f'setup: NCG_FAST_CUDA_ARCHS must be like "80,90a,100", got "{given}". '
            "Name compute capabilities without a point."
        )
    targets = [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in archs]
    last = archs[-1].rstrip("af")  # whose PTX every later GPU takes
    targets.append(f"-gencode=arch=compute_{last},code=compute_{last}")
    flags = "-std=c++17 -O3 --expt-relaxed-constexpr -Xptxas=-v -Icsrc"
    return [*flags.split(), "-Xcompiler=-fPIC,-fvisibility=hidden", *targets]
