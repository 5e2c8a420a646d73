"""``ncg-fast info``: version, back ends, instruction set, threads; the paths of a machine."""

from __future__ import annotations

import argparse
import json
import platform
from typing import Any

import torch

import ncg_fast
from ncg_fast import backends
from ncg_fast.benchmark import paths
from ncg_fast.benchmark.paths import Paths
from ncg_fast.cli import options
from ncg_fast.model import digits
from ncg_fast.model.digits import EVALUATION_DIGITS, TRAINING_DIGITS


def run(args: argparse.Namespace) -> int:
    """Prints a line each, or JSON."""
    options.check_machine(vars(args))
    found = None if args.visible is None else _machine(args)
    lines = {
        "ncg_fast": ncg_fast.__version__,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    served = backends.report()
    limit = digits.crossover()
    if args.json:
        sparse = {"largest_density": limit, "least_pairs": digits.LEAST_PAIRS}
        everything = {**lines, "backends": served, "sparse_digits": sparse}
        if found is not None:
            everything["paths"] = found | {"half_steps": _as_json(found["half_steps"])}
        print(json.dumps(everything, indent=2))
        return 0
    lines["digits"] = "dense"
    if limit is not None:
        pairs = f"{digits.LEAST_PAIRS} or more pairs of units"
        lines["digits"] = f"sparse up to density {limit:g}, of {pairs}"
    lines |= {f"backend {name}": line for name, line in served.items()}
    _print(lines)
    if found is not None:
        _print_machine(found)
    return 0


def _print(lines: dict[str, Any]) -> None:
    for name, value in lines.items():
        print(f"{name:<16}{value}")


# --- the paths of a machine ---


def _machine(args: argparse.Namespace) -> dict[str, Any]:
    sizes = {
        "n_visible": args.visible,
        "n_hidden": args.hidden,
        "density": 1.0 if args.density is None else args.density,
        "batch_size": 128 if args.batch_size is None else args.batch_size,
    }
    n_visible, n_hidden, density, n_rows = sizes.values()
    held = digits.path(n_hidden, n_visible, density)
    half_steps = paths.of_machine(n_visible, n_hidden, density, n_rows)
    return {**sizes, "digits": held, "half_steps": half_steps}


def _as_json(half_steps: dict[str, dict[int, Paths]] | None) -> Any:
    return half_steps and {
        name: {n: found._asdict() for n, found in by_digits.items()}
        for name, by_digits in half_steps.items()
    }


def _print_machine(found: dict[str, Any]) -> None:
    units = f"{found['n_visible']} visible and {found['n_hidden']} hidden units"
    rest = f"density {found['density']:g}, batch size {found['batch_size']}"
    print(f"\nHalf steps with {units}, {rest}, on the CPU:")
    lines = {"digits": found["digits"]}
    if found["half_steps"] is None:
        lines["half steps"] = "by the slow reference: the CPU kernels were not built"
    else:
        for name, by_digits in zip(("v → h", "h → v"), found["half_steps"].values(), strict=True):
            lines[name], of_three = (
                _words(by_digits[n]) for n in (TRAINING_DIGITS, EVALUATION_DIGITS)
            )
            if of_three != lines[name]:
                lines[f"{name}, {EVALUATION_DIGITS} digits"] = of_three
    _print(lines)


def _words(found: Paths) -> str:
    """As in: lists of the inputs that are on, while at most 20 % are, then tables of sums."""
    otherwise = paths.WORDS[found.otherwise]
    if found.lists_up_to is None or found.otherwise == "lists":
        return otherwise
    percent = float(f"{100 * found.lists_up_to:.2g}")
    return f"{paths.WORDS['lists']}, while at most {percent:g} % are, then {otherwise}"
