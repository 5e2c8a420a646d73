"""CUDA back end: the ops of ``reference.py`` by the kernels of ``_cuda``.

Kernels run on the tensors' device, on torch's current stream there, and nothing waits for them.
Importing this module raises ImportError, with the reason, where ``_cuda`` was not built.
"""

from __future__ import annotations

from typing import Any

import torch

try:
    from ncg_fast import _cuda
except ImportError as error:
    raise ImportError(
        "the CUDA kernels were not built when ncg_fast was installed (no nvcc was found, or "
        f"NCG_FAST_CUDA was 0): {error}"
    ) from None
from ncg_fast.backends.launcher import Launcher


def missing() -> str:
    """Why no tensor can be on a GPU here; empty where one can."""
    return _cuda.missing()


def _run(op: str, first: torch.Tensor, *others: Any) -> None:
    if first.is_cuda:
        with torch.cuda.device(first.device):
            getattr(_cuda, op)(first, *others, torch.cuda.current_stream().cuda_stream)
    else:
        getattr(_cuda, op)(first, *others, 0)  # says what is wrong


_launcher = Launcher(_run, _cuda.scratch_bytes)
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
