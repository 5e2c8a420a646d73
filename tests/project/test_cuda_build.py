"""The CUDA kernels as nvcc made them, without a GPU."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from checkout import ROOT

LOGS = sorted(ROOT.glob("build/ncg_fast._cuda-*/csrc/cuda/**/*.log"))
built = pytest.mark.skipif(
    importlib.util.find_spec("ncg_fast._cuda") is None, reason="built without nvcc"
)


@built
@pytest.mark.skipif(not LOGS, reason="the package was not built in this checkout")
def test_kernels_keep_everything_in_registers() -> None:
    """What ptxas reports of every kernel on every architecture: no spills, no stack, and no
    products of warpgroups that it makes wait for each other."""
    for log in LOGS:
        source = Path(*log.parts[log.parts.index("csrc") :]).with_suffix("").with_suffix(".cu")
        if not (ROOT / source).exists():
            continue  # left from an older checkout
        text = log.read_text()
        frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores", text)
        assert frames, f"{log.name}: no report of ptxas"
        assert set(frames) == {("0", "0")}, f"{log.name}: {frames}"
        assert "serialized" not in text, f"{log.name}: {text}"


@built
@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_driver() -> None:
    """The module is imported; an op says what is missing."""
    from ncg_fast.backends import cuda

    assert cuda.missing()
    with pytest.raises(RuntimeError, match=r'pack_states: needs a GPU, got ".+"\. Use tensors on'):
        cuda.launcher.pack_states(states=torch.zeros(2, 3, dtype=torch.bool))


def test_without_cuda_the_import_says_why() -> None:
    code = (
        "import sys; sys.modules['ncg_fast._cuda'] = None\n"
        "try:\n    from ncg_fast.backends import cuda\nexcept ImportError as why:\n    print(why)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.startswith("the CUDA kernels were not built when ncg_fast was installed")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"NCG_FAST_CUDA": "yes"}, 'NCG_FAST_CUDA must be 0 or 1, got "yes"'),
        ({"NCG_FAST_CUDA": "1", "NCG_FAST_CUDA_ARCHS": "H200"}, "NCG_FAST_CUDA_ARCHS must be like"),
        ({"NCG_FAST_CUDA": "1", "PATH": "/nowhere"}, "NCG_FAST_CUDA=1 needs nvcc"),
    ],
)
def test_wrong_options_of_the_build(variables: dict[str, str], message: str) -> None:
    if "NCG_FAST_CUDA_ARCHS" in variables and not LOGS:
        pytest.skip("needs nvcc")
    if "PATH" in variables and Path("/usr/local/cuda/bin/nvcc").exists():
        pytest.skip("nvcc is found without PATH")
    done = subprocess.run(
        [sys.executable, "setup.py", "--version"],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0 and message in done.stderr
