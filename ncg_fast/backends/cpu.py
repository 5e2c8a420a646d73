"""CPU back end: the ops of ``reference.py`` by the kernels of ``_cpu``.

``NCG_FAST_ISA`` (base, avx2, avx512, amx) forces an instruction set; without it the best is used.
Threads are torch's; on a busy machine, where a team would be slower than one thread, one works.
``NCG_FAST_TEAMS=always`` forms teams there, too.
"""

from __future__ import annotations

import os
from typing import Any

import torch

from ncg_fast import _cpu
from ncg_fast.backends.launcher import Launcher

instruction_set = _cpu.instruction_set
instruction_sets = _cpu.instruction_sets
use_instruction_set = _cpu.use_instruction_set
half_step_path = _cpu.half_step_path

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


_PROCESS = os.getpid()


def _run(op: str, *arguments: Any) -> None:
    """With torch's threads; one in a forked child, where the threads of OpenMP are missing."""
    n_threads = torch.get_num_threads() if os.getpid() == _PROCESS else 1
    getattr(_cpu, op)(*arguments, n_threads)


_launcher = Launcher(_run)
pack_states = _launcher.pack_states
unpack_states = _launcher.unpack_states
pack_weights = _launcher.pack_weights
hidden_mean = _launcher.hidden_mean
visible_mean = _launcher.visible_mean
sample_hidden = _launcher.sample_hidden
sample_visible = _launcher.sample_visible
gibbs_steps = _launcher.gibbs_steps
connection_gradient = _launcher.connection_gradient
ncg_update_ = _launcher.ncg_update_
train_step_ = _launcher.train_step_
train_steps_ = _launcher.train_steps_
free_energy = _launcher.free_energy
anneal = _launcher.anneal
