"""The limits of the computer, measured in the run that they are compared with: see limits.cpp."""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch

from ncg_fast.backends import cpu

# Multiply-adds of a pass, by instruction set.
PRODUCTS = {"amx": 7 * 4 * 16 * 16 * 64, "avx512": 12 * 64, "avx2": 12 * 32}
SIZES = {"cache": 8 << 20, "far": 1 << 30}  # bytes, of all threads together
_PASSES = 1 << 16
Rates = dict[str, dict[str, float]]
_int64 = ctypes.c_int64
_ROUND, _N_ROUNDS = 0.05, 7  # seconds; the best round counts


def build(folder: str) -> ctypes.CDLL:
    """Compiles limits.cpp with the compiler that builds the package."""
    library = Path(folder) / "limits.so"
    source = Path(__file__).with_suffix(".cpp")
    flags = ["-std=c++17", "-O3", "-march=native", "-shared", "-fPIC"]
    flags.append(f"-I{source.parents[1] / 'csrc'}")
    compiler = shlex.split(os.environ.get("CXX", "g++"))
    subprocess.run([*compiler, *flags, source, "-o", library], check=True)
    return ctypes.CDLL(str(library))


def measure(n_threads: int) -> Rates:
    """Multiply-adds a second by instruction set; bytes a second, read, and read and written."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(n_threads) as threads:
        library, best = build(folder), partial(_best, threads, n_threads)
        rates: Rates = {"products": {}, "read": {}, "update": {}}
        for name, n_products in PRODUCTS.items():
            if name in cpu.instruction_sets():
                run = getattr(library, f"products_{name}")
                n_passes = best(lambda _, n, run=run: run(_int64(n * _PASSES))) * _PASSES
                rates["products"][name] = n_passes * n_products * n_threads
        for size, n_bytes in SIZES.items():
            buffers = torch.ones(n_threads, n_bytes // n_threads // 4)
            for name, n_ways in (("read", 1), ("update", 2)):
                work = partial(_pass_through, getattr(library, f"{name}_memory"), buffers)
                rates[name][size] = best(work) * n_bytes * n_ways
    return rates


def better(one: Rates, other: Rates) -> Rates:
    """The higher rate of each two."""
    return {
        kind: {name: max(rate, other[kind][name]) for name, rate in found.items()}
        for kind, found in one.items()
    }


def _pass_through(run: Callable[..., None], buffers: torch.Tensor, thread: int, n: int) -> None:
    buffer = buffers[thread]
    run(ctypes.c_void_p(buffer.data_ptr()), _int64(buffer.nbytes), _int64(n))


def _best(threads: ThreadPoolExecutor, n_threads: int, work: Callable[[int, int], None]) -> float:
    """Passes a second of work(thread, passes) on all threads at once; ctypes releases the GIL."""

    def seconds(count: int) -> float:
        start = time.perf_counter()
        list(threads.map(lambda thread: work(thread, count), range(n_threads)))
        return time.perf_counter() - start

    count = 1
    while (spent := seconds(count)) < _ROUND:
        count = max(2 * count, int(count * _ROUND / spent))
    return count / min(seconds(count) for _ in range(_N_ROUNDS))


def cache_bytes() -> int:
    """Size of the last cache; data beyond it is held against the far rate."""
    try:
        text = Path("/sys/devices/system/cpu/cpu0/cache/index3/size").read_text().strip()
    except OSError:
        return 32 << 20
    return int(text.rstrip("K")) << 10
