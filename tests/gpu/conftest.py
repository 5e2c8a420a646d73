"""Back ends on a GPU in the place of the kernels on the host."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

MODULES = {"cuda": "ncg_fast.backends.cuda", "triton": "ncg_fast.backends.triton"}


class OnGpu:
    """The ops of a back end for tensors on the CPU: they go to the GPU, what was written back."""

    def __init__(self, module: ModuleType):
        self._module = module

    def __getattr__(self, op: str) -> Any:
        def run(*args: Any) -> Any:
            there = [
                a.cuda() if isinstance(a, Tensor) and a.device.type == "cpu" else a for a in args
            ]
            found = getattr(self._module, op)(*there)
            for a, b in zip(args, there, strict=True):
                if op.endswith("_") and isinstance(a, Tensor):
                    a.copy_(b)
            return tuple(f.cpu() for f in found) if isinstance(found, tuple) else found.cpu()

        return run


@pytest.fixture(scope="session", params=MODULES)
def backend(request: pytest.FixtureRequest) -> ModuleType:
    if not torch.cuda.is_available():
        pytest.skip("no GPU is here")
    try:
        return importlib.import_module(MODULES[request.param])
    except ImportError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def cuda_on_host(backend: ModuleType) -> OnGpu:
    return OnGpu(backend)


@pytest.fixture
def each_gpu() -> None:
    """The one that is here."""
