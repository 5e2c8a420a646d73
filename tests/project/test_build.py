"""What was compiled, and the choice among it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT, built, objects

from ncg_fast import RBM, _cpu
from ncg_fast.backends import cpu

HARMLESS = ("DW.ref.__gxx_personality_v0",)  # of the exception tables; no code


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm")
@built
def test_kernels_share_no_symbols() -> None:
    """With a weak symbol in two objects the linker would choose whose instructions run."""
    for path in objects():
        listing = subprocess.run(
            ["nm", "--defined-only", "--extern-only", path],
            capture_output=True,
            text=True,
            check=True,
        )
        symbols = [line.split()[-2:] for line in listing.stdout.splitlines() if line]
        shared = [name for kind, name in symbols if kind in "VvWwuC" and name not in HARMLESS]
        assert not shared, f"{path.name}: {shared}"
        if path.stem in cpu.instruction_sets(False):
            tables = [name for kind, name in symbols if name not in HARMLESS]
            assert len(tables) == 1 and "Table" in tables[0], f"{path.name}: {tables}"


@pytest.mark.skipif("NCG_FAST_SANITIZE" not in os.environ, reason="not under a sanitizer")
def test_sanitized_kernels_are_the_ones_tested() -> None:
    folder = ROOT / "build" / os.environ["NCG_FAST_SANITIZE"]
    assert Path(_cpu.__file__).is_relative_to(folder)


@pytest.mark.parametrize("name", cpu.instruction_sets())
def test_environment_forces_an_instruction_set(name: str) -> None:
    code = "from ncg_fast.backends import cpu; print(cpu.instruction_set())"
    environment = {**os.environ, "NCG_FAST_ISA": name}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == name


def test_environment_refuses_an_unknown_instruction_set() -> None:
    environment = {**os.environ, "NCG_FAST_ISA": "sse9"}
    code = "from ncg_fast import RBM; import torch; RBM(2, 2)(torch.zeros(1, 2))"
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert found.returncode != 0
    assert "name must be supported by this processor (base" in found.stderr
    assert 'got "sse9"' in found.stderr


def test_import_needs_no_compiled_back_end() -> None:
    """Without _cpu the reference serves, with one warning and the same bits."""
    code = (
        "import sys, warnings\n"
        "sys.modules['ncg_fast._cpu'] = None\n"
        "import ncg_fast\n"
        "rbm = ncg_fast.RBM(9, 5, density=0.5, seed=3)\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    print(rbm.sample(4, n_steps=3).tolist())\n"
        "print([(w.category.__name__, 'slow reference' in str(w.message)) for w in caught])\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    states, report = found.stdout.splitlines()
    assert states == str(RBM(9, 5, density=0.5, seed=3).sample(4, n_steps=3).tolist())
    assert report == "[('RuntimeWarning', True)]"


def test_import_is_quick_beyond_torch() -> None:
    """Heavy packages are imported only where they are used."""
    code = (
        "import sys, ncg_fast\n"
        "heavy = 'matplotlib', 'sklearn', 'scipy', 'triton'\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
