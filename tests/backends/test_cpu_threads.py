"""Teams of threads: several callers at once, and a process that ends while helpers sleep."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import torch

from ncg_fast import RBM
from ncg_fast.backends import cpu


def trained(n_threads: int) -> list[torch.Tensor]:
    torch.set_num_threads(n_threads)  # each Python thread has its own number
    rbm = RBM(211, 190, density=0.5, seed=1)
    x = torch.rand(100, 211, generator=torch.Generator().manual_seed(2)) < 0.2
    for _ in range(20):
        rbm.train_step_(x, 2, lr=0.1, lr_strength=0.5)
    return [value.clone() for value in rbm.state_dict().values()]


def test_callers_at_once() -> None:
    threads = torch.get_num_threads()
    cpu.form_teams(True)
    try:
        alone = trained(1)
        with ThreadPoolExecutor(4) as callers:
            results = list(callers.map(trained, (1, 2, 3, 4) * 2))
    finally:
        cpu.form_teams(False)
        torch.set_num_threads(threads)
    for result in results:
        assert all(torch.equal(a, b) for a, b in zip(alone, result, strict=True))


def test_process_ends_after_a_team() -> None:
    code = (
        "import torch, ncg_fast\n"
        "torch.set_num_threads(3)\n"
        "ncg_fast.RBM(300, 300, density=0.5, seed=1).sample(200, n_steps=2)\n"
        "print('done')"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout, found.stderr) == (0, "done\n", "")


def test_a_forked_child_works_alone() -> None:
    """The threads of OpenMP stay with the parent."""
    code = (
        "import os, torch\n"
        "from ncg_fast.backends import cpu\n"
        "torch.set_num_threads(3)\n"
        "seen = []\n"
        "cpu._call(lambda *given: seen.append(given[-1]), torch.zeros(1))\n"
        "if os.fork() == 0:\n"
        "    cpu._call(lambda *given: os._exit(given[-1]), torch.zeros(1))\n"
        "print(seen[0], os.waitstatus_to_exitcode(os.wait()[1]))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.stdout == "3 1\n", found.stderr
