"""Several threads call one machine: none shares a draw with another, and none is lost."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from ncg_fast import RBM

N_VISIBLE, N_HIDDEN, N, N_CALLS, N_THREADS = 130, 70, 90, 60, 4


@pytest.fixture
def many_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def rbm() -> RBM:
    return RBM(N_VISIBLE, N_HIDDEN, density=0.5, seed=3)


V = torch.rand(N, N_VISIBLE, generator=torch.Generator().manual_seed(0)) < 0.4
SAMPLERS: dict[str, tuple[int, Callable[[RBM], Tensor]]] = {
    "sample_hidden": (1, lambda rbm: rbm.sample_hidden(V)),
    "gibbs_steps": (3, lambda rbm: rbm.gibbs_steps(V, 3)[0]),
    "sample": (6, lambda rbm: rbm.sample(N, 5)),
}


@pytest.mark.usefixtures("many_switches")
@pytest.mark.parametrize("name", SAMPLERS)
def test_calls_at_once_draw_what_calls_in_turn_draw(rbm: RBM, name: str) -> None:
    n_sweeps, call = SAMPLERS[name]
    other = copy.deepcopy(rbm)
    want = {tuple(call(other).flatten().tolist()) for _ in range(N_CALLS)}
    with ThreadPoolExecutor(N_THREADS) as pool:
        states = list(pool.map(lambda _: call(rbm), range(N_CALLS)))
    found = {tuple(each.flatten().tolist()) for each in states}
    assert len(want) == N_CALLS
    if name != "sample":  # whose start and sweeps are reserved one after the other
        assert found == want
    assert len(found) == N_CALLS
    assert rbm._gibbs_step == other._gibbs_step == n_sweeps * N_CALLS


@pytest.mark.usefixtures("many_switches")
def test_means_at_once(rbm: RBM) -> None:
    want = rbm(V), rbm.free_energy(V)
    with ThreadPoolExecutor(N_THREADS) as pool:
        for mean in pool.map(lambda _: rbm(V), range(N_CALLS)):
            assert torch.equal(mean, want[0])
        for energy in pool.map(lambda _: rbm.free_energy(V), range(N_CALLS)):
            assert torch.equal(energy, want[1])


def test_what_failed_gives_its_sweeps_back(rbm: RBM) -> None:
    other = copy.deepcopy(rbm)
    for call in (
        lambda: rbm.gibbs_steps(V.float() + 1),
        lambda: rbm.gibbs_steps(V, clamp=torch.full((N_VISIBLE,), 0.5)),
        lambda: rbm.sample_hidden(V.float() - 1),
    ):
        with pytest.raises(ValueError, match="must"):
            call()
    with pytest.raises(FloatingPointError):
        rbm.train_step_(V, lr=3e38, weight_decay=3e38)
    assert rbm._gibbs_step == 1  # the sweep of the step that went wrong
    other.sample_hidden(V)
    rbm.load_state_dict(other.state_dict())
    assert torch.equal(rbm.sample(5, 3), other.sample(5, 3))
