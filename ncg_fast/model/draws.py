"""Which draws come next: sweeps are reserved before they are drawn, so that no two calls share one.

A machine's draws are int64 (seed, number of the next sweep) on the CPU: a tensor, which compiled
graphs can move on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ncg_fast.backends.records import Draw

_lock = threading.Lock()


def _new_lock() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_new_lock)  # another thread may have held it


def new(seed: int, step: int = 0) -> Tensor:
    """The draws of a machine."""
    return torch.tensor((seed, step), dtype=torch.int64, device="cpu")


class Reserved:
    """Sweeps that one call alone may draw.

    Attributes:
        draw: the first of them.
        n_used: how many it drew; the rest goes back if an error ends the call, and no other call
            has reserved sweeps since.
    """

    def __init__(self, draw: Draw) -> None:
        self.draw, self.n_used = draw, 0


@contextmanager
def reserved(draws: Tensor, n_sweeps: int) -> Iterator[Reserved]:
    """The next n_sweeps."""
    counter = draws.numpy()
    with _lock:
        seed, step = counter.tolist()
        counter[1] = step + n_sweeps
    mine = Reserved(Draw(seed, step=step))
    try:
        yield mine
    except BaseException:
        with _lock:
            if counter[1] == step + n_sweeps:
                counter[1] = step + mine.n_used
        raise
