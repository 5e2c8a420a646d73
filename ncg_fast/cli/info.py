"""``ncg-fast info``: version, back ends, instruction set, threads; how a machine is computed."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch

from ncg_fast import backends
from ncg_fast.benchmark import half_steps
from ncg_fast.checks import MAX_UNITS
from ncg_fast.cli import options
from ncg_fast.model import digits
from ncg_fast.option import Option
from ncg_fast.training.options import COUNT, SHARE

SUMMARY = "Show version, back ends and threads, and how a machine is computed."
EXAMPLES = """\
examples:
  ncg-fast info
  ncg-fast info --visible 784 --hidden 500
  ncg-fast info --visible 784 --hidden 16384 --density 0.02 --batch-size 50 --json"""
_DENSITY, _ROWS = "share of the connections that is on", "rows of a mini-batch, or chains"
OPTIONS = (
    Option("visible", int, None, "visible units", "N", within=(1, MAX_UNITS)),
    Option("hidden", int, None, "hidden units", "N", within=(1, MAX_UNITS)),
    Option("density", float, None, _DENSITY, "SHARE", within=SHARE, otherwise="1"),
    Option("batch_size", int, None, _ROWS, "ROWS", within=COUNT, otherwise="128"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    about = "how its half steps are computed on the CPU: every form gives the same bits"
    options.add(parser.add_argument_group("machine", about), OPTIONS)
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Prints a line each, or JSON."""
    _check_sizes(vars(args))
    found = None if args.visible is None else _machine(args)
    lines = {
        "ncg_fast": version("ncg_fast"),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": platform.machine(),
    }
    served = backends.report()
    limit = digits.crossover()
    if args.json:
        sparse = {"largest_density": limit, "least_pairs": digits.LEAST_PAIRS}
        everything = {**lines, "backends": served, "sparse_digits": sparse}
        if found is not None:
            everything["machine"] = found
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


def _check_sizes(values: Mapping[str, Any]) -> None:
    """Refuses a part of a machine's sizes: both layers, or none and nothing about it."""
    visible, hidden = values["visible"], values["hidden"]
    if (visible is None) != (hidden is None):
        given, missing = ("hidden", "visible") if visible is None else ("visible", "hidden")
        rule = f"--{given} must be given with --{missing}"
        raise ValueError(f"{rule}, got --{given} {values[given]} alone. Add --{missing} N.")
    for name in ("density", "batch_size"):
        if visible is None and values[name] is not None:
            rule = f"--{name.replace('_', '-')} must be left out without --visible and --hidden"
            raise ValueError(f"{rule}, got {values[name]}. Leave it out, or add both.")


def _machine(args: argparse.Namespace) -> dict[str, Any]:
    sizes = {
        "n_visible": args.visible,
        "n_hidden": args.hidden,
        "density": 1.0 if args.density is None else args.density,
        "batch_size": 128 if args.batch_size is None else args.batch_size,
    }
    n_visible, n_hidden, density, n_rows = sizes.values()
    held = digits.form(n_hidden, n_visible, density)
    ways = half_steps.of_machine(n_visible, n_hidden, density, n_rows)
    return {**sizes, "digits": held, "half_steps": ways}


def _print_machine(found: dict[str, Any]) -> None:
    units = f"{found['n_visible']} visible and {found['n_hidden']} hidden units"
    rest = f"density {found['density']:g}, batch size {found['batch_size']}"
    print(f"\nHalf steps with {units}, {rest}, on the CPU:")
    lines = {"digits": found["digits"]}
    if found["half_steps"] is None:
        lines["half steps"] = "by the slow reference: the CPU kernels were not built"
    else:
        for name, way in zip(("v → h", "h → v"), found["half_steps"].values(), strict=True):
            lines[name] = half_steps.WORDS[way]
    _print(lines)
