"""CUDA back end: the ops of ``reference.py`` by the kernels of ``_cuda``.

Kernels run on the tensors' device, on torch's current stream there, and nothing waits for them.
Importing this module raises ImportError, with the reason, where ``_cuda`` was not built.
"""

from __future__ import annotations

from collections.abc import Callable
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


def _call(op: Callable[..., None], like: torch.Tensor, *arguments: Any) -> None:
    if not like.is_cuda:
        return op(*arguments, 0)  # says what is wrong
    with torch.cuda.device(like.device):
        op(*arguments, torch.cuda.current_stream().cuda_stream)


launcher = Launcher(_cuda, _call)
