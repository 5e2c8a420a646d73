"""Fixtures that several files use."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

# Their asserts say what was compared, as those of tests do.
pytest.register_assert_rewrite("command_line", "parity", "training_runs", "small_machine")

import backend_choice
import torch
from backend_choice import BackEnd
from command_line import WITH_FIGURES
from small_machine import N_HIDDEN, N_VISIBLE, N

from ncg_fast import RBM
from ncg_fast.cli import main

_ALLOWED = {
    "backend": backend_choice.NAMES,
    "cpu_backend": ("cpu", "amx"),
    "cuda_backend": ("cuda", "cuda_sm80", *backend_choice.ON_GPU),
    "gpu_backend": backend_choice.ON_GPU,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = f"back ends to test, of {', '.join(backend_choice.NAMES)}"
    parser.addoption("--backends", default=",".join(backend_choice.ON_HOST), help=help_text)


@pytest.hookimpl(trylast=True)  # so that back ends share what the reference found
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of a back end is run on each that was asked for."""
    asked = metafunc.config.getoption("backends").split(",")
    for fixture, allowed in _ALLOWED.items():
        if fixture in metafunc.fixturenames:
            slow = backend_choice.ON_HOST
            cases = [
                pytest.param(name, marks=[pytest.mark.slow] if slow.get(name) else [])
                for name in asked
                if name in allowed
            ]
            metafunc.parametrize(fixture, cases, indirect=True)
    if "isa" in metafunc.fixturenames:
        amx = ["amx"] if "amx" in asked and "amx" not in backend_choice.ISAS else []
        cases = [*backend_choice.ISAS, *(pytest.param(n, marks=pytest.mark.slow) for n in amx)]
        metafunc.parametrize("isa", cases, indirect=True)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Iterator[BackEnd]:
    """Each back end in turn: see ``--backends``."""
    with backend_choice.chosen(request.param) as found:
        yield found


@pytest.fixture
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set, forced."""
    with backend_choice.instruction_set(request.param) as name:
        yield name


cpu_backend = cuda_backend = gpu_backend = backend  # some of them: see _ALLOWED


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt also where the shell has it ignored, as nohup does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def rbm() -> RBM:
    return RBM(N_VISIBLE, N_HIDDEN, density=0.5, seed=3)


@pytest.fixture
def v() -> torch.Tensor:
    return torch.rand(N, N_VISIBLE, generator=torch.Generator().manual_seed(0)) < 0.4


@pytest.fixture
def no_data_folder(monkeypatch):
    monkeypatch.delenv("NCG_FAST_DATA", raising=False)


@pytest.fixture(scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", *WITH_FIGURES, "--epochs", "4", "--output", str(folder), "--quiet"]) == 0
    return folder
