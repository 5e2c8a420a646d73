"""What speed.py needs for a GPU: its clock and limits, CUDA graphs, what a user would run there.

Short jobs of ours are replayed as CUDA graphs, as ``fit`` runs them; so are those of torch.compile.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable
from functools import partial

import baselines
import jobs
import torch
from jobs import OURS, Job
from limits import Rates

from ncg_fast import backends
from ncg_fast.backends import records
from ncg_fast.backends.launcher import Launcher
from ncg_fast.benchmark.jobs import Case, Eager, same
from ncg_fast.benchmark.timing import Clock, Run, cuda_clock
from ncg_fast.model.digits import TRAINING_DIGITS
from ncg_fast.ops.registration import registered

PRODUCTS = "int8"  # tensor cores
_SIDE = 8192  # of the matrices whose product gives the rate
_SIZES = {"cache": 16 << 20, "far": 4 << 30}  # bytes
_N_ROUNDS = 7  # the best counts


def clock() -> Clock:
    return cuda_clock()


def computer() -> dict[str, object]:
    """What the figures depend on."""
    return {
        "processor": torch.cuda.get_device_name(),
        "instruction_set": "cuda" if isinstance(backends.select("cuda"), Launcher) else "triton",
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def cache_bytes() -> int:
    return torch.cuda.get_device_properties(0).L2_cache_size


def free_memory() -> int:
    return torch.cuda.mem_get_info()[0]


def _best(run: Run, n_calls: int = 10) -> float:
    """Seconds a call, warm: nothing is flushed."""
    run()
    spans = []
    for _ in range(_N_ROUNDS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(n_calls):
            run()
        end.record()
        spans.append((start, end))
    torch.cuda.synchronize()
    return min(start.elapsed_time(end) for start, end in spans) / 1e3 / n_calls


def limits(n_threads: int) -> Rates:
    """Multiply-adds a second of cuBLAS in int8; bytes a second, read, and read and written."""
    a, b = (torch.randint(-9, 9, (_SIDE, _SIDE), dtype=torch.int8, device="cuda") for _ in range(2))
    rates: Rates = {"products": {}, "read": {}, "update": {}}
    rates["products"][PRODUCTS] = _SIDE**3 / _best(lambda: torch._int_mm(a, b.t()))
    for size, n_bytes in _SIZES.items():
        buffer = torch.ones(n_bytes // 4, device="cuda")
        rates["read"][size] = n_bytes / _best(lambda buffer=buffer: buffer.sum())
        rates["update"][size] = 2 * n_bytes / _best(lambda buffer=buffer: buffer.mul_(0.999))
    return rates


def graphed(run: Run) -> Run:
    """Replays what one call launches."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()

    def replay(run: Run = run) -> None:  # `run` holds what the graph reads and writes
        graph.replay()

    return replay


def training_step(case: Case, n_steps: int = 1) -> Job:
    """CD-k."""
    job, rbm = jobs.training_step(case, n_steps), case.rbm
    (_, work), *_ = job.own.values()
    to_hidden, to_visible, b, c, exponent = rbm._model(TRAINING_DIGITS)
    written = rbm.weight.detach(), rbm.connection_strength, rbm.mask, b, c, to_hidden, to_visible
    batch = records.Batch(case.visible.unsqueeze(0), None, case.n_rows, case.n_rows, n_steps)
    rates, draw = records.Rates(1e-4, 1e-4), records.Draw(0)
    options = *batch, *rates, None, None, None, *draw, exponent, 0, 0.0, math.inf
    arguments = *written, None, None, None, *options
    replay = graphed(partial(registered.train_steps_, *arguments))

    def check() -> None:
        job.check()
        twins = [tensor.clone() for tensor in written]
        registered.train_steps_(*twins, *arguments[len(written) :])
        replay()
        same("train_step_ as a CUDA graph", list(written), twins)

    return job._replace(own={OURS: (replay, work)}, check=check)


def as_graph(make: Callable[[Case], Job]) -> Callable[[Case], Job]:
    """The same job, ours replayed."""

    def job(case: Case) -> Job:
        found = make(case)
        own = {name: (graphed(run), work) for name, (run, work) in found.own.items()}
        return found._replace(own=own)

    return job


def _with_tf32(run: Run) -> Run:
    def call() -> None:
        torch.backends.cuda.matmul.allow_tf32 = True
        run()
        torch.backends.cuda.matmul.allow_tf32 = False

    return call


def low_precision(case: Case, draw: str, job: Callable[[Eager], Run]) -> dict[str, Run]:
    return {
        "eager TF32": _with_tf32(job(Eager(case, draw))),
        "eager bf16": job(Eager(case, draw, torch.bfloat16)),
    }


def compiled(case: Case, job: Job, notes: list[str]) -> dict[str, Run]:
    """torch.compile after its longest search for the fastest kernels, in TF32, as a CUDA graph."""
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        found = baselines.compiled(case, job, notes, mode="max-autotune-no-cudagraphs")
        return {f"{name}, TF32, CUDA graph": graphed(run) for name, run in found.items()}
    except RuntimeError as error:  # of what a graph cannot hold
        notes.append(f"torch.compile as a CUDA graph is left out: {type(error).__name__}.")
        return {}
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
