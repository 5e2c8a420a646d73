"""``ncg-fast info``: version, back ends, instruction set, threads."""

from __future__ import annotations

import argparse
import json
import platform

import torch

import ncg_fast
from ncg_fast import backends, digits


def run(args: argparse.Namespace) -> int:
    """Prints a line each, or JSON."""
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
        print(json.dumps({**lines, "backends": served, "sparse_digits": sparse}, indent=2))
        return 0
    lines["digits"] = "dense"
    if limit is not None:
        pairs = f"{digits.LEAST_PAIRS} or more pairs of units"
        lines["digits"] = f"sparse up to density {limit:g}, of {pairs}"
    lines |= {f"backend {name}": line for name, line in served.items()}
    for name, value in lines.items():
        print(f"{name:<16}{value}")
    return 0
