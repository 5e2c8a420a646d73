"""Compiles Triton's kernels for one kind of GPU: ``compile_triton.py CAPABILITY``, such as 90.

Prints each kernel and its bytes of stack; fails where registers spill or arithmetic is inexact.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from parity import SEED, Machine

from ncg_fast.backends import formats
from ncg_fast.backends.numerics import HIDDEN_STREAM
from ncg_fast.backends.records import (
    Batch,
    Draw,
    Gradients,
    Model,
    Offsets,
    Phases,
    PhaseSums,
    Rates,
)

# Flushed subnormals, approximate operations: of float32 none may appear.
INEXACT = re.compile(r"\b(?:add|sub|mul|fma|div|rcp|sqrt|ex2)[.\w]*(?:ftz|approx|full)[.\w]*\.f32")


def machine(n_digits: int) -> Machine:
    """A machine whose digits are those of GPUs."""
    m = Machine((7, 5, 3, 4), n_digits)
    given = m.weight, m.mask, n_digits, m.exponent
    m.digits = formats.pack_weights(*given, dense=formats.DigitFormat.PANELS)
    return m


def launches() -> None:
    """Calls ops with arguments that together lead to every kernel."""
    from ncg_fast.backends import triton as ops

    m = machine(2)
    model = Model(*m.digits, m.visible_bias, m.hidden_bias, m.exponent)
    n_chains: dict[str, Any] = {"n_chains": m.n_rows}
    real = {"n_chains": m.n_rows, "layer": model.hidden_layer}
    draw = Draw(SEED, chain_offset=5, step=1, beta=m.beta)
    ops.pack_states(states=m.rows)
    ops.unpack_states(packed=m.data, **n_chains)
    ops.sample(states=m.levels, draw=draw, stream=HIDDEN_STREAM, **real)
    sweeps = {"n_steps": 1, "draw": draw, "clamped": m.clamped}
    ops.gibbs_steps(visible=m.data, model=model, **n_chains, **sweeps)
    ops.free_energy(visible=m.levels, visible_bias=m.visible_bias, **real)
    hidden = torch.zeros(3, 5, dtype=torch.int32), torch.zeros(4, 5, dtype=torch.int32)
    phases = Phases(hidden[0], m.levels, hidden[1], m.chains)
    ops.connection_gradient(phases=phases, weight=m.weight, mask=m.mask)
    sums = PhaseSums(*(torch.zeros(n, dtype=torch.int64) for n in ((5, 7), 7, 5)))
    ops.phase_sums(hidden=phases.hidden_data, visible=m.levels, sums=sums)

    m = machine(3)
    model = Model(*m.digits, m.visible_bias, m.hidden_bias, m.exponent)
    exponent: dict[str, Any] = {"weight_exponent": m.exponent}
    ops.pack_weights(weight=m.weight, mask=m.mask, n_digits=3, capacity=None, **exponent)
    ops.scan_weights(weight=m.weight, mask=m.mask)
    betas = torch.linspace(0, 1, 2, dtype=torch.float64)
    ladder = {"base_bias": m.visible_bias, "betas": betas, "draw": draw._replace(beta=None)}
    ops.anneal(visible=m.data, model=model, **n_chains, **ladder)
    given = {
        "parameters": m.parameters(momentum=True),
        "rates": Rates(0.3, 2.0, 0.9, 0.001),
        "n_labels": 1,
        **exponent,
    }
    batch = Batch(m.levels.unsqueeze(0), m.chains, m.n_rows, m.n_chains, 1)
    rest = {"draw": Draw(SEED), "least": 0.0, "most": 1.0}
    rest["lr_factors"] = torch.ones(1)
    for offsets in (Offsets(), Offsets(m.visible_bias, m.hidden_bias)):
        ops.train_steps_(batch=batch, offsets=offsets, **rest, **given)
    counts = {"n_rows": m.n_rows, "n_chains": m.n_chains, "data_levels": True}
    ops.update_from_sums_(data=sums, model=sums, **counts, **given)
    gradients = Gradients(m.weight, m.strength, m.visible_bias, m.hidden_bias)
    for wanted in (gradients, Gradients(by_hidden=m.hidden_bias)):
        ops.gradient_update_(gradients=wanted, **given)


def compile_only(capability: int) -> Any:
    """Stands in for JITFunction.run: compiles what would be launched, and looks at the result."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = {"int64": "i64", "int32": "i32", "int8": "i8", "uint8": "u8"}
    names |= {"float32": "fp32", "float64": "fp64"}
    tool = next(Path(triton.__file__).parent.glob("backends/nvidia/bin/cuobjdump"))
    seen: set[str] = set()

    def compile(self: Any, *, grid: Any, warmup: bool, **arguments: Any) -> None:
        signature, constants, alignment = {}, {}, {}
        for place, parameter in enumerate(self.params):
            value = arguments.pop(parameter.name)
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
        compiled = triton.compile(source, target=target, options=arguments)
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
