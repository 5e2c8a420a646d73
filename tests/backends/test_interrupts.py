"""Signals within an op: Ctrl-C ends it soon and changes nothing; a handler may call ops."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from interrupted import OPS
from interrupted import __file__ as SCRIPT
from torch import Tensor

from ncg_fast import RBM
from ncg_fast.backends import cpu


@pytest.fixture(scope="module", params=[1, 2])
def found(request: pytest.FixtureRequest) -> dict[str, Any]:
    command = [sys.executable, SCRIPT, str(request.param), *OPS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", OPS)
def test_ctrl_c_ends_a_long_op_and_changes_nothing(name: str, found: dict[str, Any]) -> None:
    assert found["unchanged"][name]


def test_a_machine_goes_on_after_ctrl_c_as_if_nothing_had_been(found: dict[str, Any]) -> None:
    assert found["goes on"]


# Each takes some tenths of a second, and the same bits come out however often it is called.
LARGE: dict[str, Callable[[RBM, Tensor], Tensor]] = {
    "mean": lambda rbm, rows: rbm(rows),
    "sample": lambda rbm, rows: rbm.manual_seed(1).sample_hidden(rows),
    "free_energy": lambda rbm, rows: rbm.free_energy(rows),
    "connection_gradient": lambda rbm, rows: rbm.manual_seed(1).connection_gradient(rows),
}


@pytest.fixture(scope="module")
def large() -> tuple[RBM, Tensor]:
    rows = torch.rand(2500, 3001, generator=torch.Generator().manual_seed(1)) < 0.4
    return RBM(3001, 2999, density=0.5, seed=1), rows


@pytest.fixture
def signals() -> Iterator[list[Callable[[], None]]]:
    """What is called where Python handles a signal; one is sent every hundredth of a second."""
    handlers: list[Callable[[], None]] = []
    stop, handling = threading.Event(), False

    def handle(*_: object) -> None:
        nonlocal handling
        if not handling:  # signals come within a handler, too
            handling = True
            for handler in handlers:
                handler()
            handling = False

    def send() -> None:
        while not stop.wait(0.01):
            signal.raise_signal(signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handle)
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    yield handlers
    handlers.clear()
    stop.set()
    sender.join()
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_a_handler_of_signals_runs_ops_within_an_op(
    name: str,
    large: tuple[RBM, Tensor],
    signals: list[Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One signal may be handled before an op begins and one after it has ended."""
    want, other, drawn = LARGE[name](*large), RBM(200, 210, seed=2), list[Tensor]()
    expected = other.manual_seed(1).sample(200, 2)
    original, n_within = cpu.launcher._call, 0

    def call(op: Any, *arguments: Any) -> None:
        nonlocal n_within
        if op.__name__ != name:
            return original(op, *arguments)
        before = len(drawn)
        original(op, *arguments)
        n_within = max(n_within, len(drawn) - before - 2)

    monkeypatch.setattr(cpu.launcher, "_call", call)
    signals.append(lambda: drawn.append(other.manual_seed(1).sample(200, 2)))
    for _ in range(100):
        assert torch.equal(LARGE[name](*large), want)
        if n_within > 0:
            break
    assert n_within > 0
    assert all(torch.equal(each, expected) for each in drawn)
