"""``ncg-fast bench``: half step and training step against eager torch, in turn, in seconds."""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from typing import Any

from ncg_fast.benchmark import half_steps, jobs, timing
from ncg_fast.cli import options

SUMMARY = "Time half step and training step against eager torch."
EXAMPLES = "example: ncg-fast bench --threads 1"
OPTIONS = (options.THREADS,)
_SIZES = {"n_visible": 784, "n_hidden": 500, "n_rows": 128}
_SECONDS = 4.0  # a job


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    options.add_json(parser)
    options.add(parser, OPTIONS)


def run(args: argparse.Namespace) -> int:
    """Checks, times and prints a line a job, or JSON."""
    n_visible, n_hidden, n_rows = _SIZES.values()
    case = jobs.Case(n_visible, n_hidden, n_rows)
    case.check_sweep(case.visible)
    case.check_train_step()
    eager = jobs.Eager(case, jobs.faster_draw(case))
    timed: dict[str, dict[str, timing.Run]] = {
        "half step": {"ncg_fast": case.half_step, "eager": eager.half_step},
        "training step": {"ncg_fast": case.train_step, "eager": eager.train_step},
    }
    found = {"ncg_fast": version("ncg_fast"), **jobs.computer(), **_SIZES, "density": 0.5}
    found["digits"] = case.digits_form()
    ways = case.half_step_ways()
    results = {name: _measure(variants) for name, variants in timed.items()}
    results["half step"]["paths"], results["training step"]["paths"] = ways[:1], ways
    if args.json:
        print(json.dumps({**found, "jobs": results}, indent=2))
        return 0
    computer = f"{found['processor']}, {found['instruction_set']}, torch {found['torch']}"
    print(f"{computer}, threads: {found['threads']}")
    print(f"{n_visible} x {n_hidden} units, {n_rows} rows, half of the connections on")
    words = " and ".join(half_steps.WORDS[way] for way in dict.fromkeys(ways))
    print(f"{found['digits']} digits, half steps by {words}")
    print("median [quartiles]\n")
    print(f"{'':<15}{'ncg_fast, ms':<26}{'eager torch, ms':<26}faster by")
    for name, result in results.items():
        cells = result["ms"]["ncg_fast"], result["ms"]["eager"], result["speedup"]
        first, second, third = map(timing.spread, cells)
        print(f"{name:<15}{first:<24}  {second:<24}  {third}")
    return 0


def _measure(variants: dict[str, timing.Run]) -> dict[str, Any]:
    samples = timing.in_turn(variants, _SECONDS)
    speedup = timing.speedup(samples, "ncg_fast", "eager")
    return {"ms": timing.milliseconds(samples), "speedup": speedup}
