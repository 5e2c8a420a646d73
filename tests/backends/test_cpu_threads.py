"""Threads of ops: several callers at once, a process that ends or forks while helpers sleep."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from checkout import ROOT

from ncg_fast import RBM


def trained(n_threads: int) -> list[torch.Tensor]:
    torch.set_num_threads(n_threads)  # each Python thread has its own number
    rbm = RBM(211, 190, density=0.5, seed=1)
    x = torch.rand(100, 211, generator=torch.Generator().manual_seed(2)) < 0.2
    for _ in range(20):
        rbm.train_step_(x, 2, lr=0.1, lr_strength=0.5)
    return [value.clone() for value in rbm.state_dict().values()]


def test_callers_at_once() -> None:
    threads = torch.get_num_threads()
    try:
        alone = trained(1)
        with ThreadPoolExecutor(4) as callers:
            results = list(callers.map(trained, (1, 2, 3, 4) * 2))
    finally:
        torch.set_num_threads(threads)
    for result in results:
        assert all(torch.equal(a, b) for a, b in zip(alone, result, strict=True))


def says(code: str) -> str:
    """What a program prints, after it has ended without a word on stderr."""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stderr) == (0, "")
    return found.stdout


def test_process_ends_after_a_team() -> None:
    code = (
        "import torch, ncg_fast\n"
        "torch.set_num_threads(3)\n"
        "ncg_fast.RBM(300, 300, density=0.5, seed=1).sample(200, n_steps=2)\n"
        "print('done')"
    )
    assert says(code) == "done\n"


# rows: fewer than torch shares among its own threads, which a forked child does not have.
FORKING = """
import os, threading, warnings
import torch
from ncg_fast import RBM, _cpu
warnings.simplefilter("ignore")
torch.set_num_threads(3)
_cpu.await_helpers(True)  # that ops take part of
rbm = RBM(150, 170, density=0.5, seed=1)
rows = (torch.arange(200 * 150).view(200, 150) % 7 == 0).to(torch.uint8)
def drawn():
    return RBM(150, 170, density=0.5, seed=1).sample(200, n_steps=20)
"""


def test_a_forked_child_has_threads_of_its_own() -> None:
    """Also where the parent's have worked, and in a child of the child."""
    code = """
mine = drawn()
for _ in range(3):
    if os.fork() == 0:
        same = torch.equal(drawn(), mine)
        if os.fork() == 0:
            os._exit(0 if torch.equal(drawn(), mine) else 1)
        same = same and os.waitstatus_to_exitcode(os.wait()[1]) == 0
        n_threads = len(os.listdir("/proc/self/task"))
        os._exit(n_threads if same else 100)
    print(os.waitstatus_to_exitcode(os.wait()[1]), torch.equal(drawn(), mine))
"""
    assert says(FORKING + code) == "3 True\n" * 3


def test_fork_while_another_thread_is_in_an_op() -> None:
    code = """
mine, stop = drawn(), threading.Event()
def draw_on():
    torch.set_num_threads(3)
    while not stop.is_set():
        rbm.sample(200, n_steps=200)
thread = threading.Thread(target=draw_on)
thread.start()
for _ in range(5):
    if os.fork() == 0:
        os._exit(0 if torch.equal(drawn(), mine) else 1)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
stop.set()
thread.join()
"""
    assert says(FORKING + code) == "0\n" * 5


def test_a_forked_pool_maps_a_machine() -> None:
    code = """
import multiprocessing
mine = rbm(rows)
def mean(i):
    return torch.equal(rbm(rows), mine)
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(mean, range(4)))
"""
    assert says(FORKING + code) == "[True, True, True, True]\n"


@pytest.mark.parametrize("before", ["", "rbm(rows)"])
def test_a_data_loader_computes_features_in_its_workers(before: str) -> None:
    code = f"""
{before}
class Features(torch.utils.data.Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, i):
        return rbm(rows[25 * i : 25 * (i + 1)]).detach()
loader = torch.utils.data.DataLoader(Features(), batch_size=2, num_workers=2)
found = torch.cat([batch.flatten(0, 1) for batch in loader])
print(torch.equal(found, rbm(rows)))
"""
    assert says(FORKING + code) == "True\n"


@pytest.mark.slow
@pytest.mark.parametrize("checked", ["", "-fsanitize=thread"], ids=["plain", "thread sanitizer"])
@pytest.mark.parametrize("policy", ["active", "passive"])
def test_helpers_come_late_and_are_sent_away(checked: str, policy: str, tmp_path: Path) -> None:
    sources = "tests/support/team_stress.cpp", "csrc/cpu/team/helpers.cpp", "csrc/cpu/scratch.cpp"
    program = tmp_path / "stress"
    flags = f"-std=c++17 -O1 -pthread -Icsrc -Wno-psabi {checked} -o {program}"
    compiler = os.environ.get("CXX", "g++")
    subprocess.run([compiler, *flags.split(), *sources], cwd=ROOT, check=True)
    environment = {**os.environ, "OMP_WAIT_POLICY": policy}
    found = subprocess.run([program], capture_output=True, text=True, timeout=120, env=environment)
    assert (found.stdout, found.stderr, found.returncode) == ("0 wrong\n", "", 0)
