"""make gpu-check on a computer without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from checkout import ROOT

SCRIPT = ROOT / ".ci" / "gpu-check"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_missing_gpu_is_said() -> None:
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    wanted = "needs a GPU that torch can use, got none. Run it on a computer with one."
    assert done.stderr == f".ci/gpu-check: {wanted}\n"
