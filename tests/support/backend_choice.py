"""The back ends that tests run on, by name, and how one of them runs a public op."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
import torch
from amx_on_host import build as amx_build
from calls import launcher, serving
from checkout import objects
from cuda_on_host import build as cuda_build
from torch import Tensor

from ncg_fast import _cpu, ops
from ncg_fast.backends import cpu, formats, reference
from ncg_fast.backends.formats import DigitFormat
from ncg_fast.backends.numerics import pack_digits

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
ISAS = cpu.instruction_sets()

# By name, whether ``make test`` leaves it to ``make test-slow``.
ON_HOST = {"cpu": False, "cuda": False, "cuda_sm80": True, "amx": True}
ON_GPU = "gpu_cuda", "gpu_triton"
NAMES = (*ON_HOST, "triton", *ON_GPU)


class BackEnd(NamedTuple):
    """A back end in the place of the one that would be chosen."""

    name: str
    kernels: Any  # has the functions of reference.py
    compiled: Any = None  # its module, where it is one of the CPU's
    device: str = "cpu"

    @property
    def interpreted(self) -> bool:
        """Whether Triton's interpreter runs it, a thousand times slower."""
        return self.name == "triton"

    def variants(self) -> Iterator[str]:
        """Each instruction set with 1 and 2 threads, in turn; the first state is restored."""
        if self.compiled is None:
            yield self.name
            return
        isa, threads = self.compiled.instruction_set(), torch.get_num_threads()
        self.compiled.await_helpers(True)  # two threads are two, however busy the computer
        try:
            for name in (isa,) if self.name == "amx" else ISAS:
                self.compiled.use_instruction_set(name)
                for n in (1, 2):
                    torch.set_num_threads(n)
                    yield f"{name}, {n} threads"
        finally:
            self.compiled.await_helpers(False)
            self.compiled.use_instruction_set(isa)
            torch.set_num_threads(threads)

    def run(self, op: str, *args: Any, **options: Any) -> tuple[Tensor, ...]:
        """What a public op returns and, where it writes its arguments, what they then hold."""
        writes = op.endswith("_") or op == "phase_sums"
        args, options = (self._there(given, writes) for given in (args, options))
        sizes = _sizes(args)
        if self.name not in ("cpu", "amx", "reference"):
            args = _as_panels(args, sizes)
        with serving(self.kernels):
            returned = getattr(ops, op)(*args, **options)
        found = [*_tensors(returned)]
        if op.endswith("_"):
            found += _tensors([args[0], options.get("chains"), options.get("offsets")])
        return tuple(_as_rows([tensor.cpu() for tensor in found], args))

    def _there(self, value: Any, copied: bool) -> Any:
        """The value with its tensors on this back end's device."""
        if isinstance(value, Tensor):
            return (value.clone() if copied else value).to(self.device)
        if isinstance(value, dict):
            return {name: self._there(each, copied) for name, each in value.items()}
        if isinstance(value, tuple):
            moved = [self._there(each, copied) for each in value]
            return type(value)(*moved) if hasattr(value, "_fields") else tuple(moved)
        return value


def _sizes(args: Any) -> list[int]:
    """Numbers of units of the layers that an op is about: of its biases, or of its weights."""
    tensors = list(_tensors(args))
    biases = [len(t) for t in tensors if t.dim() == 1 and t.dtype == torch.float32]
    return biases or [n for t in tensors[:1] for n in t.shape]


def _as_panels(value: Any, sizes: list[int]) -> Any:
    """Arguments with rows of digits as panels, which GPUs take."""
    if isinstance(value, Tensor) and value.dtype == DigitFormat.ROWS.value:
        n_in = value.shape[2] - 1
        n_out = next((n for n in sizes if n != n_in), n_in)
        q = formats.integers(value.cpu(), n_out, n_in)
        return pack_digits(q, formats.described(value).n_digits).to(value.device)
    if isinstance(value, tuple):
        moved = [_as_panels(each, sizes) for each in value]
        return type(value)(*moved) if hasattr(value, "_fields") else tuple(moved)
    return value


def _as_rows(found: list[Tensor], args: Any) -> Iterator[Tensor]:
    """Results with panels of digits, to the hidden and then to the visible units, as rows."""
    weights = [t for t in _tensors(args) if t.dim() == 2 and t.dtype == torch.float32]
    way = tuple(weights[0].shape) if weights else ()
    for tensor in found:
        if tensor.dtype == DigitFormat.PANELS.value:
            n_digits = formats.described(tensor).n_digits
            yield formats.pack_rows(formats.integers(tensor, *way), n_digits)
            way = way[::-1]
        else:
            yield tensor


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _tensors(each)


REFERENCE = BackEnd("reference", reference)
CPU = BackEnd("cpu", cpu.launcher, _cpu)


@functools.cache
def made(name: str) -> BackEnd | str:
    """The back end of this name, or why it is not there."""
    if name == "cpu":
        return CPU
    if name == "amx":
        if "avx512" not in ISAS or not objects():
            return "needs AVX-512, and the package built in this checkout"
        compiled = amx_build.module()
        return BackEnd(name, launcher(compiled, torch.get_num_threads), compiled)
    if name in ("cuda", "cuda_sm80"):
        return BackEnd(name, cuda_build.launcher())
    if name == "triton" and not INTERPRETED:
        return "needs TRITON_INTERPRET=1"
    if name in ON_GPU and not torch.cuda.is_available():
        return "no GPU is here"
    try:
        module = importlib.import_module(f"ncg_fast.backends.{name.removeprefix('gpu_')}")
    except ImportError as error:
        return str(error)
    device = "cpu" if name == "triton" else "cuda"
    return BackEnd(name, getattr(module, "launcher", module), device=device)


@contextmanager
def chosen(name: str) -> Iterator[BackEnd]:
    """The back end of this name; without it the test is skipped."""
    found = made(name)
    if isinstance(found, str):
        pytest.skip(found)
    with pytest.MonkeyPatch.context() as patch:
        # Clusters, and products of warpgroups for more than 64 chains; or neither of them.
        patch.setenv("ON_HOST_CAPABILITY", "8" if name == "cuda_sm80" else "9")
        yield found


@contextmanager
def instruction_set(name: str) -> Iterator[str]:
    """Forces one of the CPU's; "amx" is that of the kernels in plain C++ where it is missing."""
    if name in ISAS:
        before = cpu.instruction_set()
        cpu.use_instruction_set(name)
        yield name
        cpu.use_instruction_set(before)
        return
    with chosen(name) as backend, serving(backend.kernels), pytest.MonkeyPatch.context() as patch:
        for each in ("instruction_set", "instruction_sets"):
            patch.setattr(cpu, each, getattr(backend.compiled, each))
        patch.setattr(cpu, "_cpu", backend.compiled)
        yield name
