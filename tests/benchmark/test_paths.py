"""The path that is named is the path that the kernels take."""

from __future__ import annotations

import ctypes
import functools
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from backend_choice import ISAS
from checkout import AMX_ON_HOST, ROOT, SUPPORT, built, commands, kernels
from torch import Tensor

from ncg_fast import ops
from ncg_fast.backends import cpu
from ncg_fast.backends.formats import described, is_sparse
from ncg_fast.benchmark import paths
from ncg_fast.benchmark.jobs import Case
from ncg_fast.model.digits import TRAINING_DIGITS, forced_path

# (n_out, n_in, n_chains), the last two about the most inputs of tables.
SIZES = [(500, 784, 128), (29, 331, 1), (16, 16, 5), (67, 61, 290), (5, 65535, 65), (5, 65536, 65)]


Taken = Callable[[Tensor, tuple[int, int, int], int, Tensor], str]


@functools.cache
def compiled(isa: str, folder: Path) -> Any:
    """A half step of these kernels, made so that they tell which products they call."""
    unit = f"csrc/cpu/isa/{isa}.cpp"
    choices = re.findall(r"^#define NCG_FAST_\w+$", (ROOT / unit).read_text(), re.MULTILINE)
    source, library, built_in = folder / "unit.cpp", folder / "unit.so", kernels()
    source.write_text("\n".join([*choices, '#include "path_taken.h"\n']))
    (compiler, *flags), include = commands(built_in)[unit], [f"-I{SUPPORT}/path_on_host"]
    if (isa == "amx" and "amx" not in ISAS) or "NCG_FAST_SANITIZE" in os.environ:
        include.append(f"-I{AMX_ON_HOST}")  # tiles in plain C++
    flags = [*include, *flags, "-O1", "-Wno-unused-function", "-shared"]
    linked = [built_in / f"csrc/cpu/{name}.o" for name in ("team/barrier", "scratch")]
    subprocess.run([compiler, *flags, source, *linked, "-o", library], cwd=ROOT, check=True)
    kernel = ctypes.CDLL(str(library)).path_taken
    size, pointer = ctypes.c_int64, ctypes.c_void_p
    kernel.argtypes = [size, size, ctypes.c_int, size, pointer, pointer, pointer, size, pointer]
    kernel.restype = ctypes.c_char_p
    return kernel


_FOLDERS: dict[str, Path] = {}


@pytest.fixture
def taken(isa: str, tmp_path_factory: pytest.TempPathFactory) -> Taken:
    """Runs a half step, and says which products it took."""
    if isa not in _FOLDERS:
        _FOLDERS[isa] = tmp_path_factory.mktemp("path")
    kernel = compiled(isa, _FOLDERS[isa])

    def run(digits: Tensor, sizes: tuple[int, int, int], n_digits: int, states: Tensor) -> str:
        n_out, n_in, n_chains = sizes
        sampled = torch.empty(n_out, states.shape[1], dtype=torch.int64)
        held = [digits.data_ptr(), None, 0]
        if is_sparse(digits):
            held = [None, digits.data_ptr(), described(digits).capacity]
        name = kernel(n_out, n_in, n_digits, n_chains, states.data_ptr(), *held, sampled.data_ptr())
        return str(name.decode())

    return run


def with_on(n_on: int, n_chains: int, n_in: int) -> Tensor:
    """Packed states of which so many are on."""
    return ops.pack_states((torch.arange(n_chains * n_in) < n_on).reshape(n_chains, n_in))


@built
@pytest.mark.slow
@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("sizes", SIZES)
def test_kernels_take_the_path_that_is_named(
    taken: Taken, sizes: tuple[int, int, int], n_digits: int
) -> None:
    """At both ends of the shares, and to both sides of the crossover."""
    n_out, n_in, n_chains = sizes
    found = paths.of_layer(n_out, n_in, n_digits, n_chains)
    n_inputs = n_in * n_chains
    most = -1 if found.lists_up_to is None else round(found.lists_up_to * n_inputs)
    digits, _ = ops.pack_weights(torch.zeros(n_out, n_in), None, n_digits, 0)
    for n_on in {0, max(most, 0), min(most + 1, n_inputs), n_inputs}:
        named = "lists" if n_on <= most else found.otherwise
        assert taken(digits, sizes, n_digits, with_on(n_on, n_chains, n_in)) == named, n_on


@built
@pytest.mark.slow
@pytest.mark.parametrize("density", [0.02, 0.5])
def test_kernels_take_the_path_that_a_benchmark_names(taken: Taken, density: float) -> None:
    case = Case(331, 129, 70, density)
    to_hidden, to_visible, *rest = case.rbm._model(TRAINING_DIGITS)
    draw = case.rbm._draw()
    last, hidden = ops.gibbs_steps(
        case.visible, to_hidden, to_visible, *rest, 70, 1, **draw._asdict()
    )
    assert case.half_step_paths() == [
        taken(to_hidden, (129, 331, 70), TRAINING_DIGITS, case.visible),
        taken(to_visible, (331, 129, 70), TRAINING_DIGITS, hidden),
        taken(to_hidden, (129, 331, 70), TRAINING_DIGITS, last),
    ]
    assert ("sparse" in case.half_step_paths()) == is_sparse(to_hidden)


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("sizes", [(61, 67, 9), (7, 13, 20), (40, 33, 3)])
def test_the_crossover_is_where_lists_end(
    isa: str, sizes: tuple[int, int, int], n_digits: int
) -> None:
    n_out, n_in, n_chains = sizes
    found = paths.of_layer(n_out, n_in, n_digits, n_chains)
    n_inputs = n_in * n_chains
    for n_on in range(n_inputs + 1):
        lists = found.lists_up_to is not None and n_on / n_inputs <= found.lists_up_to
        named = "lists" if lists else found.otherwise
        assert cpu.half_step_path(n_out, n_in, n_digits, n_chains, n_on) == named, n_on


def test_every_path_is_explained(isa: str) -> None:
    for forced in ("dense", "sparse"):
        with forced_path(forced):
            machine = paths.of_machine(784, 500, 0.5, 128)
        found = [layer for by_digits in machine.values() for layer in by_digits.values()]
        assert {layer.otherwise for layer in found} <= set(paths.WORDS)
        assert all((layer == (None, "sparse")) == (forced == "sparse") for layer in found)


def test_digits_that_no_kernel_has() -> None:
    message = r"^half_step_path: n_digits must be 2 or 3, got 4\. Pass one of these\.$"
    with pytest.raises(ValueError, match=message):
        cpu.half_step_path(1, 1, 4, 1, 1)
