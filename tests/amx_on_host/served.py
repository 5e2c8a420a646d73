"""Pytest plugin: the file NCG_FAST_TEST_CPU serves as ncg_fast._cpu, not the installed one."""

from __future__ import annotations

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location

_spec = spec_from_file_location("ncg_fast._cpu", os.environ["NCG_FAST_TEST_CPU"])
assert _spec is not None and _spec.loader is not None
_cpu = sys.modules["ncg_fast._cpu"] = module_from_spec(_spec)
_spec.loader.exec_module(_cpu)

import ncg_fast  # noqa: E402

ncg_fast._cpu = _cpu


def pytest_sessionstart() -> None:
    """The tests run over what this says."""
    assert _cpu.instruction_sets()[-1] == "amx", _cpu.instruction_sets()
