"""CPU back end: the ops of ``reference.py`` by the kernels of ``_cpu``.

``NCG_FAST_ISA`` (base, avx2, avx512, amx) forces an instruction set; without it the best is used.
There are as many threads as torch has, but not torch's: no op waits for one that has not begun.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch

from ncg_fast import _cpu
from ncg_fast.backends.launcher import Launcher

instruction_set = _cpu.instruction_set
instruction_sets = _cpu.instruction_sets
use_instruction_set = _cpu.use_instruction_set

if _wanted := os.environ.get("NCG_FAST_ISA"):
    use_instruction_set(_wanted)


def _call(op: Callable[..., None], like: torch.Tensor, *arguments: Any) -> None:
    op(*arguments, torch.get_num_threads())


def half_step_way(n_out: int, n_in: int, n_chains: int, sparse: bool) -> str:
    """How a half step of packed states sums weights: by "rows", in "tiles", or "sparse"."""
    return _cpu.half_step_way(n_out, n_in, n_chains, sparse, torch.get_num_threads())


launcher = Launcher(_cpu, _call)
