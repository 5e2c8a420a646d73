"""The one place that chooses a back end, and says why one is missing.

A back end has the functions of ``reference.py``, which take the records of ``records.py``. On the
CPU: the launcher of ``cpu`` (compiled kernels), or ``reference`` itself, slowly, where the kernels
were not built. On GPUs: the launcher of ``cuda`` (compiled kernels), or ``triton`` where those were
not built. ``NCG_FAST_GPU`` (cuda, triton) forces one of the two.
"""

from __future__ import annotations

import functools
import importlib
import os
import warnings
from typing import Any

import torch

DEVICE_TYPES = "cpu", "cuda"
_GPU = "cuda", "triton"


@functools.cache
def _cpu() -> Any:
    try:
        from ncg_fast.backends import cpu
    except ImportError as error:
        from ncg_fast.backends import reference

        warnings.warn(
            f'backend "cpu" was not built: {error}. The slow reference serves instead, with the '
            "same results. Reinstall ncg_fast with a C++17 compiler.",
            RuntimeWarning,
            stacklevel=2,
        )
        return reference
    return cpu.launcher


def _wanted() -> tuple[str, ...]:
    """The GPU back ends that may serve, the best first."""
    wanted = os.environ.get("NCG_FAST_GPU")
    if wanted not in (None, *_GPU):
        rule, remedy = "NCG_FAST_GPU must be cuda or triton", "Choose one, or unset it."
        raise ValueError(f"backends: {rule}, got {wanted!r}. {remedy}")
    return (wanted,) if wanted else _GPU


@functools.cache
def _gpu() -> Any:
    missing = []
    for name in _wanted():
        try:
            return _gpu_backend(name)
        except ImportError as error:
            missing.append(f'backend "{name}" is missing: {error}')
    remedy = 'Reinstall ncg_fast where nvcc is, run pip install "ncg_fast[gpu]" for Triton, or use'
    raise RuntimeError(f'{"; ".join(missing)}. {remedy} rbm.to("cpu").')


def _gpu_backend(name: str) -> Any:
    """The back end of that name; ImportError, with the reason, where it is missing."""
    module = importlib.import_module(f"ncg_fast.backends.{name}")
    if name == "triton":
        return module
    if reason := module.missing():  # no driver, or one that is too old
        raise ImportError(reason)
    return module.launcher


def select(device_type: str) -> Any:
    """The object whose functions serve tensors on this device type.

    Raises:
        RuntimeError: no back end serves the device type.
        ValueError: NCG_FAST_GPU names no back end.
    """
    if device_type == "cpu":
        return _cpu()
    if device_type == "cuda":
        return _gpu()
    raise RuntimeError(f'backend "{device_type}" does not exist. Use tensors on "cpu" or "cuda".')


def instruction_set() -> str | None:
    """Of the CPU kernels; None where the slow reference serves."""
    try:
        from ncg_fast.backends import cpu
    except ImportError:
        return None
    return cpu.instruction_set()


def missing_gpu() -> str | None:
    """Why torch has no GPU; None where it has one."""
    if torch.cuda.is_available():
        return None
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA"
    return "torch finds no GPU, or no driver for it"


def report() -> dict[str, str]:
    """One line on each back end: what serves it, or why it is missing.

    Raises:
        ValueError: NCG_FAST_GPU names no back end.
    """
    wanted = _wanted()
    try:
        from ncg_fast.backends import cpu
    except ImportError as error:
        cpu_line = f"not built ({error}); the slow reference serves"
    else:
        cpu_line = f"{cpu.instruction_set()} (of {', '.join(cpu.instruction_sets())} that run here)"
    lines, no_gpu = {"cpu": cpu_line}, missing_gpu()
    for name in _GPU:
        try:
            _gpu_backend(name)
        except ImportError as error:
            lines[name] = f"missing: {error}"
        else:
            lines[name] = f"no GPU: {no_gpu}" if no_gpu else torch.cuda.get_device_name()
        if name not in wanted:
            lines[name] += " (not wanted: NCG_FAST_GPU)"
    return lines
