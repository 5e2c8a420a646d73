"""Triton without a GPU: its interpreter against reference.py, and machine code for three GPUs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from test_parity import SEED, Machine, parameters

pytest.importorskip("triton")
ROOT = Path(__file__).parents[1]

# Flushed subnormals, approximate operations: of float32 none may appear.
INEXACT = re.compile(r"\b(?:add|sub|mul|fma|div|rcp|sqrt|ex2)[.\w]*(?:ftz|approx|full)[.\w]*\.f32")


CAPABILITIES = "80", "90", "100"


@pytest.fixture(scope="module")
def processes() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All at once: the interpreter, and a compiler for each kind of GPU."""
    tests = ["-m", "pytest", "-p", "no:cacheprovider", "-rs", "tests/test_triton_parity.py"]
    commands = {"interpreter": tests, **{name: [__file__, name] for name in CAPABILITIES}}
    started = {}
    for name, command in commands.items():
        interpret = {"TRITON_INTERPRET": "1"} if name == "interpreter" else {}
        started[name] = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **interpret},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    yield started
    for process in started.values():
        process.kill()
        process.wait()


def output(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate()
    assert process.returncode == 0, out
    return out


def test_interpreter_equals_the_reference(processes: dict[str, subprocess.Popen[str]]) -> None:
    out = output(processes["interpreter"])
    assert "passed" in out and "needs a GPU" not in out, out


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_kernels_compile_without_spills(
    capability: str, processes: dict[str, subprocess.Popen[str]]
) -> None:
    """As launched: every kernel, in those variants that need the most registers."""
    kernels = {line.split()[0] for line in output(processes[capability]).splitlines()}
    assert len(kernels) == 11, kernels


# --- the process that compiles ---


def launches() -> None:
    """Calls ops with arguments that together lead to every kernel."""
    from ncg_fast.backends import triton as ops

    m = Machine((7, 5, 3, 4), 2)
    biases = m.visible_bias, m.hidden_bias
    ops.pack_states(m.rows)
    ops.unpack_states(m.data, m.n_rows)
    ops.sample_hidden(m.levels, *m.to_hidden(), SEED, 5, 1, m.beta)
    ops.gibbs_steps(m.data, *m.model(), 1, SEED, 5, 1, m.beta, m.clamped)
    hidden = torch.zeros(3, 5, dtype=torch.int32), torch.zeros(4, 5, dtype=torch.int32)
    ops.connection_gradient(hidden[0], m.levels, hidden[1], m.chains, m.weight, m.mask)
    ops.free_energy(m.levels, m.digits[0], *biases, m.exponent, m.n_rows)

    m = Machine((7, 5, 3, 4), 3)
    ops.pack_weights(m.weight, m.mask, 3, m.exponent)
    betas = torch.linspace(0, 1, 2, dtype=torch.float64)
    ladder = m.visible_bias, betas, m.exponent, m.n_rows, SEED, 3, 2
    ops.anneal(m.data, *m.digits, *biases, *ladder)
    batch = m.n_rows, m.n_chains, 1, m.exponent, 1, 0.3, 2.0, 0.9, 0.001, SEED, 9
    ops.train_step_(*parameters(m, False, True), m.levels, m.chains, *batch)


def compile_only(capability: int) -> Any:
    """Stands in for JITFunction.run: compiles what would be launched, and looks at the result."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = {"int64": "i64", "int32": "i32", "int8": "i8", "uint8": "u8"}
    names |= {"float32": "fp32", "float64": "fp64"}
    tool = next(Path(triton.__file__).parent.glob("backends/nvidia/bin/cuobjdump"))
    seen: set[str] = set()

    def compile(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        signature, constants, alignment = {}, {}, {}
        for place, (parameter, value) in enumerate(zip(self.params, args, strict=True)):
            kind = parameter.annotation_type or "fp32"
            if value is None or parameter.is_constexpr:
                kind, constants[place,] = "constexpr", value
            elif isinstance(value, torch.Tensor):
                kind = "*" + names[str(value.dtype).removeprefix("torch.")]
                alignment[place,] = [["tt.divisibility", 16]]
            signature[parameter.name] = kind
        variant = f"{self.__name__} {signature} {constants}"
        if variant in seen:
            return
        seen.add(variant)
        source = ASTSource(fn=self, signature=signature, constexprs=constants, attrs=alignment)
        target = GPUTarget("cuda", capability, 32)
        compiled = triton.compile(source, target=target, options=options)
        assert not INEXACT.findall(compiled.asm["ptx"]), variant
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(compiled.asm["cubin"])
            file.flush()
            usage = subprocess.run(
                [tool, "-res-usage", file.name], capture_output=True, text=True, check=True
            ).stdout
        (stack,) = re.findall(r"STACK:(\d+)", usage)
        print(self.__name__, stack)
        exponential = self.__name__ in ("free_energy_kernel", "log_weight_kernel")  # of float64
        assert stack == "0" or exponential, f"{stack} bytes of stack: {variant}"

    return compile


if __name__ == "__main__":
    from triton.runtime import JITFunction

    JITFunction.run = compile_only(int(sys.argv[1]))
    launches()
