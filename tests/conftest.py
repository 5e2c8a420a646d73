"""Fixtures that several files use."""

from __future__ import annotations

import pytest
import torch
from command_line import WITH_FIGURES
from cuda_on_host import build
from small_machine import N_HIDDEN, N_VISIBLE, N

from ncg_fast import RBM
from ncg_fast.backends.launcher import Launcher
from ncg_fast.cli import main

# --- the module ---


@pytest.fixture
def rbm() -> RBM:
    return RBM(N_VISIBLE, N_HIDDEN, density=0.5, seed=3)


@pytest.fixture
def v() -> torch.Tensor:
    return torch.rand(N, N_VISIBLE, generator=torch.Generator().manual_seed(0)) < 0.4


# --- CUDA kernels without a GPU ---


@pytest.fixture(scope="session")
def cuda_on_host() -> Launcher:
    return build.launcher()


# --- data sets ---


@pytest.fixture
def no_data_folder(monkeypatch):
    monkeypatch.delenv("NCG_FAST_DATA", raising=False)


# --- the command line ---


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
