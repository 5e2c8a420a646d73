"""Bars for what takes long."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

LONG = 10.0  # seconds; what is expected to take longer has a bar


def bar(op: str, total: int, unit: str, expected: float, *, progress: bool) -> Any:
    """A bar on stderr, after a line that says so, where ``expected`` seconds are long."""
    shown = progress and expected > LONG
    if shown:
        lasts = f"{expected:.0f} s" if expected < 100 else f"{expected / 60:.0f} minutes"
        text = f"{op}: {total} {unit}s take some {lasts}; Ctrl-C ends them at once."
        tqdm.write(text, file=sys.stderr)
    return tqdm(total=total, unit=unit, desc=op, disable=not shown)
