"""Every op releases the GIL: another thread of Python gets turns while its kernel runs."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from calls import call, launcher
from raw_calls import raw_calls

from ncg_fast import _cpu
from ncg_fast.ops.registration import SIGNATURES

_TRIES = 2000  # of a kernel: the other thread needs time to wake up, and the computer may be busy


@pytest.fixture
def no_switches() -> Iterator[None]:
    """A thread of Python runs until it lets go of the GIL."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)
    yield
    sys.setswitchinterval(before)


class Watcher:
    """Counts its turns, letting go of the GIL after each."""

    def __init__(self) -> None:
        self.turns, self._stop = 0, False
        self._thread = threading.Thread(target=self._count)

    def _count(self) -> None:
        while not self._stop:
            self.turns += 1
            time.sleep(0)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join()


def turns_during(work: Callable[[Callable[..., None]], None]) -> int:
    """Turns of another thread within the functions that ``work`` calls through its argument."""
    seen = 0
    with Watcher() as watcher:

        def run(op: Callable[..., None], *arguments: Any) -> None:
            nonlocal seen
            before = watcher.turns
            op(*arguments)
            seen += watcher.turns - before

        for _ in range(_TRIES):
            work(run)
            if seen:
                break
    return seen


@pytest.mark.parametrize("op", SIGNATURES)
def test_another_thread_gets_turns(op: str, no_switches: None) -> None:
    flat = raw_calls(257, 129, 193)[op]

    def work(run: Callable[..., None]) -> None:
        call(launcher(_cpu, torch.get_num_threads, run), op, *flat)

    assert turns_during(work) > 0


def test_what_holds_the_gil_is_seen(no_switches: None) -> None:
    """The same measure, of a function of Python's own that lets nobody else run."""
    numbers = list(range(20_000))
    global _TRIES
    before, _TRIES = _TRIES, 200
    try:
        assert turns_during(lambda run: run(sorted, numbers)) == 0
    finally:
        _TRIES = before
