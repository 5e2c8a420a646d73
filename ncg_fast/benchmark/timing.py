"""Time of variants that take turns within one process, and what is said of it.

A slow spell of a shared computer then hits all of them, and a ratio is that of two variants within
one round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch

Run = Callable[[], object]
Clock = Callable[[Run, int], float]  # seconds a call of so many calls
Samples = dict[str, dict[int, float]]  # seconds a call, by variant and round

# Seconds that a variant runs before the next takes its turn: several calls of a training step, so
# that caches hold what they hold in a loop.
_SLICE = 2e-2
_MIN_ROUNDS, _MAX_ROUNDS = 3, 64
_CAP = 20.0  # seconds; a variant that needs more for its fewest rounds has one round
_FLUSHED = 1 << 28  # bytes, more than the last cache of a GPU


def host_clock(run: Run, n_calls: int) -> float:
    """Seconds a call, by the clock of the processor that calls."""
    start = time.perf_counter()
    for _ in range(n_calls):
        run()
    return (time.perf_counter() - start) / n_calls


def cuda_clock() -> Clock:
    """Seconds a call on the current GPU, by its events; before each call its cache is flushed.

    While the flush runs the host gets ahead, so that the time of launches shows only where they
    take longer than what they launch.
    """
    flushed = torch.empty(_FLUSHED, dtype=torch.uint8, device="cuda")

    def seconds(run: Run, n_calls: int) -> float:
        spans: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        for _ in range(n_calls):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            flushed.zero_()
            start.record()
            run()
            end.record()
            spans.append((start, end))
        torch.cuda.synchronize()
        spent: float = sum(start.elapsed_time(end) for start, end in spans)  # milliseconds
        return spent / 1e3 / n_calls

    return seconds


def in_turn(
    variants: Mapping[str, Run], seconds: float, rest: float = 0.0, clock: Clock = host_clock
) -> Samples:
    """Runs variants one after the other, round after round; seconds a call.

    Args:
        variants: what to run.
        seconds: to spend on all of them, about; a slow variant sits rounds out.
        rest: seconds before each turn, in which threads of another library stop spinning.
        clock: takes the time of a variant's calls.
    """
    samples: Samples = {name: {} for name in variants}
    n_calls, n_rounds = {}, {}
    for name, run in variants.items():
        first = clock(run, 1)
        if first > 1:  # warming up is lost in it: it counts
            samples[name][0] = first
        usual = first if first > 1 else clock(run, 1)
        n_calls[name] = max(1, round(_SLICE / usual))
        wanted = seconds / len(variants) / max(usual, _SLICE)
        fewest = _MIN_ROUNDS if usual * _MIN_ROUNDS < _CAP else 1
        n_rounds[name] = min(max(fewest, int(wanted)), _MAX_ROUNDS)
    most = max(n_rounds.values())
    strides = {name: 1 << (most // n).bit_length() - 1 for name, n in n_rounds.items()}
    for turn in range(most):
        for name, run in variants.items():
            if turn % strides[name] == 0 and turn not in samples[name]:
                if rest:
                    time.sleep(rest)
                    run()
                samples[name][turn] = clock(run, n_calls[name])
    return samples


def quartiles(values: Iterable[float]) -> list[float]:
    """Lower quartile, median, upper quartile, to four digits."""
    found = np.percentile(list(values), [25, 50, 75])
    return [float(f"{value:.4g}") for value in found]


def spread(found: list[float]) -> str:
    """Quartiles as text: median [lower, upper]."""
    low, median, high = (f"{v:.0f}" if v >= 1000 else f"{v:.3g}" for v in found)
    return median if low == high else f"{median} [{low}, {high}]"


def milliseconds(samples: Samples) -> dict[str, list[float]]:
    """Quartiles of each variant over its rounds."""
    return {
        name: quartiles(1e3 * value for value in rounds.values())
        for name, rounds in samples.items()
    }


def speedup(samples: Samples, name: str, baseline: str) -> list[float]:
    """Quartiles of baseline / name over the rounds in which both ran."""
    mine, other = samples[name], samples[baseline]
    return quartiles(other[turn] / mine[turn] for turn in mine if turn in other)
