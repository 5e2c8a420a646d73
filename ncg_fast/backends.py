"""The one place that chooses a back end, and says why one is missing.

A back end is a module with the functions of ``reference.py``: ``cpu`` (compiled kernels) or
``reference`` itself, which serves, slowly, where the kernels were not built.
"""

from __future__ import annotations

import functools
import warnings
from types import ModuleType

MISSING_CUDA = (
    'backend "cuda" is not part of this version of ncg_fast. '
    'Move the tensors to the CPU: rbm.to("cpu").'
)


@functools.cache
def _cpu() -> ModuleType:
    try:
        from ncg_fast import cpu
    except ImportError as error:
        from ncg_fast import reference

        warnings.warn(
            f'backend "cpu" was not built: {error}. The slow reference serves instead, with the '
            "same results. Reinstall ncg_fast with a C++17 compiler.",
            RuntimeWarning,
            stacklevel=2,
        )
        return reference
    return cpu


def select(device_type: str) -> ModuleType:
    """The module whose functions serve tensors on this device type.

    Raises:
        RuntimeError: no back end serves the device type.
    """
    if device_type == "cpu":
        return _cpu()
    if device_type == "cuda":
        raise RuntimeError(MISSING_CUDA)
    raise RuntimeError(f'backend "{device_type}" does not exist. Use tensors on "cpu".')


def require(device_type: str) -> None:
    """Raises RuntimeError where no back end serves the device type; torch.compile traces it."""
    if device_type != "cpu":
        select(device_type)


def report() -> dict[str, str]:
    """One line on each back end: what serves it, or why it is missing."""
    try:
        from ncg_fast import cpu
    except ImportError as error:
        cpu_line = f"not built ({error}); the slow reference serves"
    else:
        cpu_line = f"{cpu.instruction_set()} (built for {', '.join(cpu.instruction_sets())})"
    return {
        "cpu": cpu_line,
        "cuda": "missing: not part of this version",
        "triton": "missing: not part of this version",
    }
