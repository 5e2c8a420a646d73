"""Times every job against its baselines, in turn, on checked results, within ten minutes.

python benchmarks/speed.py                  writes benchmarks/results/MACHINE.json
python benchmarks/speed.py --device cuda    the same for the GPU
With --write its tables go into README.md and benchmarks/README.md, too.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import baselines
import gpu
import jobs
import layer
import limits
import tables
import torch
from jobs import Job, Work

from ncg_fast.backends import cpu
from ncg_fast.benchmark.jobs import Case, Eager, computer, faster_draw
from ncg_fast.benchmark.timing import Clock, Run, host_clock, in_turn, milliseconds, speedup

RESULTS = Path(__file__).parent / "results"
_REST = 0.1  # seconds; idle threads of OpenBLAS, which scikit-learn uses, spin for some hundredths
_OURS, _EAGER = 18, 44  # bytes a connection that a machine takes while it is made; the eager one


class Target(NamedTuple):
    """What is measured, and how."""

    device: str
    computer: dict[str, object]  # what the figures depend on
    products: str  # of limits: how it multiplies
    clock: Clock
    limits: Callable[[int], limits.Rates]  # by number of threads
    cache_bytes: int
    free_memory: Callable[[], int]
    low_precision: Callable[[Case, str, Callable[[Eager], Run]], dict[str, Run]]
    compiled: Callable[[Case, Job, list[str]], dict[str, Run]]
    last_start: int  # seconds; later machines are left out, with a note
    last_end: int  # seconds; then the one that is measured is stopped


def target(device: str) -> Target:
    if device == "cpu":
        low, compiled = baselines.low_precision, baselines.compiled
        how = computer(), cpu.instruction_set(), host_clock, limits.measure
        return Target("cpu", *how, limits.cache_bytes(), free_memory, low, compiled, 480, 600)
    how = gpu.computer(), gpu.PRODUCTS, gpu.clock(), gpu.limits
    others = gpu.low_precision, gpu.compiled
    return Target("cuda", *how, gpu.cache_bytes(), gpu.free_memory, *others, 180, 240)


class Shape(NamedTuple):
    """A machine, the jobs to time on it, and the seconds for each."""

    n_threads: int  # 0: of a GPU
    n_visible: int
    n_hidden: int
    n_rows: int
    density: float
    jobs: tuple[Callable[[Case], Job], ...]
    seconds: float = 2.0
    all_baselines: bool = False


def gpu_plan() -> Iterator[Shape]:
    """What is timed on a GPU, what matters most first."""
    there, back, gradient, update, energy, anneal = map(
        gpu.as_graph,
        (
            jobs.half_step,
            jobs.half_step_back,
            jobs.connection_gradient,
            jobs.ncg_update,
            jobs.free_energy,
            jobs.anneal,
        ),
    )
    step, gibbs = gpu.training_step, gpu.as_graph(jobs.gibbs_steps)
    ten = partial(step, n_steps=10)
    yield Shape(0, 784, 500, 128, 0.5, (step,), 4.0, all_baselines=True)
    yield Shape(0, 784, 500, 512, 0.5, (gibbs,), 4.0, all_baselines=True)
    yield Shape(0, 784, 500, 65536, 0.5, (gibbs,), 4.0, all_baselines=True)
    yield Shape(0, 784, 4096, 512, 0.5, (step,), 4.0, all_baselines=True)
    yield Shape(0, 4096, 4096, 1024, 0.5, (step,), 4.0, all_baselines=True)
    yield Shape(0, 784, 500, 50, 0.5, (jobs.mnist_epoch,), 4.0)
    yield Shape(0, 784, 1048576, 64, 0.5, (there, step))
    yield Shape(0, 784, 500, 128, 0.5, (there, back, gradient, update, ten))
    yield Shape(0, 784, 4096, 512, 0.5, (there, gradient, update))
    yield Shape(0, 784, 500, 512, 0.5, (energy,))
    yield Shape(0, 784, 500, 100, 0.5, (anneal,))


def plan() -> Iterator[Shape]:
    """What is timed on a CPU, what matters least last."""
    there, back, step = jobs.half_step, jobs.half_step_back, jobs.training_step
    ten, lower = partial(step, n_steps=10), cpu.instruction_sets()
    lower = tuple(reversed(lower[: lower.index(cpu.instruction_set())]))
    every = partial(step, lower=lower)
    gradients = jobs.connection_gradient, jobs.ncg_update
    yield Shape(1, 784, 500, 128, 0.5, (there, every), 4.0)
    yield Shape(1, 784, 4096, 512, 0.5, (there, step))
    yield Shape(2, 784, 500, 128, 0.5, (there, every), 4.0)
    yield Shape(2, 784, 500, 128, 0.5, (there, step), 4.0, all_baselines=True)
    yield Shape(2, 784, 500, 128, 0.5, (back, *gradients, ten))
    yield Shape(1, 16, 16, 5, 0.5, (jobs.epoch_of_batches,))
    for n_rows in (1, 16, 64, 512):
        yield Shape(2, 784, 500, n_rows, 0.5, (layer.forward, layer.backward, layer.free_energy))
    yield Shape(2, 784, 500, 128, 0.5, (layer.optimizer_step,))
    yield Shape(2, 784, 500, 5, 0.5, (there, step))
    yield Shape(2, 784, 500, 50, 0.5, (there, step, ten))
    yield Shape(2, 784, 500, 512, 0.5, (there, step, jobs.free_energy))
    yield Shape(2, 784, 500, 512, 0.5, (jobs.gibbs_steps,), 4.0, all_baselines=True)
    yield Shape(2, 784, 500, 100, 0.5, (jobs.anneal,))
    yield Shape(2, 784, 4096, 512, 0.5, (there, back, *gradients, step, jobs.free_energy))
    yield Shape(2, 4096, 4096, 128, 0.5, (there, step))
    yield Shape(2, 784, 16384, 128, 0.5, (there, back, jobs.ncg_update, step))
    for density in (0.1, 0.02):
        yield Shape(2, 784, 16384, 128, density, (there, step))
    yield Shape(2, 784, 500, 50, 0.5, (jobs.mnist_epoch,))
    yield Shape(2, 784, 262144, 64, 0.5, (there, step))
    yield Shape(2, 784, 1048576, 64, 0.5, (there, step))
    for n_hidden, density in ((500, 0.1), (500, 0.02), (500, 1.0), (16384, 1.0)):
        yield Shape(2, 784, n_hidden, 128, density, (there, step))


def programs(
    job: Job, case: Case, shape: Shape, draw: str, target: Target, notes: list[str]
) -> dict[str, Run]:
    """What the job is held against."""
    if target.free_memory() < _EAGER * case.rbm.weight.numel():
        notes.append(f"{title(shape)}: memory does not hold the eager baseline.")
        return {}
    found: dict[str, Run] = {baselines.EAGER: job.eager(Eager(case, draw))}
    if shape.all_baselines:
        found |= target.low_precision(case, draw, job.eager)
        found |= target.compiled(case, job, notes)
    if shape.all_baselines and job.name == "CD-1 step":
        found |= baselines.rbms(case, notes)
        found |= baselines.scikit_learn(case, notes) if target.device == "cpu" else {}
    return found


def measure(shape: Shape, target: Target, notes: list[str]) -> Iterator[dict[str, Any]]:
    """Checks each job, times it and its baselines in turn; a record of each."""
    case = Case(*shape[1:5], target.device)
    large = case.rbm.weight.numel() > 1 << 22  # where both draws cost the same
    draw = "rand < p" if large else faster_draw(case, target.clock)
    for make in shape.jobs:
        try:
            job = make(case)
        except (OSError, RuntimeError) as error:  # data that are not on disk
            notes.append(f"{title(shape)}: left out. {error}")
            continue
        job.check()
        own: dict[str, Run] = {name: run for name, (run, _) in job.own.items()}
        others = programs(job, case, shape, draw, target, notes)
        rest = _REST if shape.all_baselines and target.device == "cpu" else 0.0
        samples = in_turn(own | others, shape.seconds, rest, target.clock)
        times = milliseconds(samples)
        results = {
            name: {
                "work": work,
                "paths": (job.paths or {}).get(name, []),
                "speedup": {other: speedup(samples, name, other) for other in others},
            }
            for name, (_, work) in job.own.items()
        }
        n_rounds = {name: len(taken) for name, taken in samples.items()}
        record = {"job": job.name, "note": job.note, "draw": draw, "digits": case.digits_form()}
        record |= dict(zip(Shape._fields[:5], shape, strict=False))
        yield {**record, "ms": times, "n_rounds": n_rounds, "own": results}


def rates(
    work: Work, seconds: float, variant: str, target: Target, limit: limits.Rates
) -> dict[str, Any]:
    """Work a second, and the share of the computer's limit: the longer of products and memory."""
    size = "cache" if work.resident <= target.cache_bytes else "far"
    memory = work.read / limit["read"][size] + work.updated / limit["update"][size]
    forced = variant in cpu.instruction_sets()
    rate = limit["products"].get(variant if forced else target.products)
    least = max(work.products / rate, memory) if rate else None
    return {
        "multiply_adds_per_s": work.multiply_adds / seconds,
        "bytes_per_s": (work.read + work.updated) / seconds,
        "share": least and round(least / seconds, 4),
    }


def free_memory() -> int:
    """Bytes that can be had without swapping."""
    found = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
    return int(found[1]) << 10 if found else 0


def title(shape: Shape) -> str:
    return f"{shape.n_rows} x {shape.n_visible} x {shape.n_hidden}"


class TimeIsUp(BaseException):  # which nothing that is measured takes for an error of its own
    """The time of a run has ended."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises TimeIsUp in what has not ended by then."""

    def stop(*_: Any) -> None:
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run(shapes: Sequence[Shape], target: Target) -> dict[str, Any]:
    """The records of these shapes, and what they depend on."""
    start = time.perf_counter()
    notes: list[str] = []
    records: list[dict[str, Any]] = []
    failed = False
    threads = sorted({shape.n_threads for shape in shapes})
    limit = {n: target.limits(n) for n in threads}
    for shape in shapes:
        if target.free_memory() < _OURS * shape.n_visible * shape.n_hidden:
            notes.append(f"{title(shape)}: left out, memory does not hold it.")
            continue
        if time.perf_counter() - start > target.last_start:
            notes.append(f"{title(shape)}: left out, the time is up.")
            continue
        if shape.n_threads:
            torch.set_num_threads(shape.n_threads)
        spent = time.perf_counter() - start
        try:
            with time_limit(target.last_end - spent):
                for record in measure(shape, target, notes):
                    records.append(record)
                    spent = time.perf_counter() - start
                    line = f"{title(shape)}  {record['job']}: {record['ms']}"
                    print(f"{spent:4.0f} s  {line}", flush=True)
        except TimeIsUp:
            notes.append(f"{title(shape)}: stopped, the time is up.")
        except Exception as error:  # what was measured before it is kept
            notes.append(f"{title(shape)}: stopped by {type(error).__name__}: {error}")
            traceback.print_exc()
            failed = True
    for n in threads:  # again: a busy spell may have hit the first
        limit[n] = limits.better(limit[n], target.limits(n))
    for record in records:
        for variant, own in record["own"].items():
            seconds = record["ms"][variant][1] / 1e3
            own |= rates(own.pop("work"), seconds, variant, target, limit[record["n_threads"]])
            if record["digits"] == "sparse" and variant != jobs.DENSE:
                own |= {"bytes_per_s": None, "share": None}  # those are of dense digits
    found = {**target.computer, "commit": commit(), "seconds": round(time.perf_counter() - start)}
    found.pop("threads", None)
    found |= {"failed": failed, "limits": limit, "notes": list(dict.fromkeys(notes))}
    return {**found, "records": records}


def commit() -> str:
    """The commit, marked where files differ from it."""
    git = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(git, cwd=RESULTS.parent, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--write", action="store_true", help="put the tables into both READMEs")
    args = parser.parse_args()
    shapes = [*(plan() if args.device == "cpu" else gpu_plan())]
    found = run(shapes, target(args.device))
    words = f"{found['processor']} {found.get('instruction_set', '')}".lower().strip()
    path = RESULTS / f"{re.sub('[^a-z0-9]+', '-', words)}.json"
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    if args.write:
        tables.write(json.loads(path.read_text()), path.name, args.device)
    print("\n".join([*found["notes"], f"{found['seconds']} s, written to {path}"]))
    sys.exit(found["failed"])


if __name__ == "__main__":
    main()
