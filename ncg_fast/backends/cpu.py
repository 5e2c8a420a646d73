"""CPU back end: the ops of ``reference.py`` by the kernels of ``_cpu``.

``NCG_FAST_ISA`` (base, avx2, avx512, amx) forces an instruction set; without it the best is used.
Threads are torch's; on a busy computer, where a team would be slower than one thread, one works.
``NCG_FAST_TEAMS=always`` forms teams there, too.
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

form_teams = _cpu.form_teams

if _teams := os.environ.get("NCG_FAST_TEAMS"):
    if _teams != "always":
        raise ValueError(
            f'ncg_fast: NCG_FAST_TEAMS must be "always", got "{_teams}". '
            "Unset it to form teams while cores are free."
        )
    form_teams(True)
if _wanted := os.environ.get("NCG_FAST_ISA"):
    use_instruction_set(_wanted)

_forked = False  # a child process, where the threads of OpenMP are missing


def _mark_forked() -> None:
    global _forked
    _forked = True


os.register_at_fork(after_in_child=_mark_forked)


def _call(op: Callable[..., None], like: torch.Tensor, *arguments: Any) -> None:
    """With torch's threads; one in a forked child."""
    op(*arguments, 1 if _forked else torch.get_num_threads())


def half_step_way(n_out: int, n_in: int, n_chains: int, sparse: bool) -> str:
    """How a half step of packed states sums weights: by "rows", in "tiles", or "sparse"."""
    return _cpu.half_step_way(n_out, n_in, n_chains, sparse, torch.get_num_threads())


launcher = Launcher(_cpu, _call)
