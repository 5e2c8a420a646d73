"""Whoever writes a parameter, the machine computes with what it wrote."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ncg_fast import RBM

N_VISIBLE, N_HIDDEN, N = 13, 7, 5
V = torch.rand(N, N_VISIBLE, generator=torch.Generator().manual_seed(0)) < 0.4
NAMES = "weight", "visible_bias", "hidden_bias"


def fused(kind: type[torch.optim.Optimizer]) -> Callable[[RBM], None]:
    def step(rbm: RBM) -> None:
        for parameter in rbm.parameters():
            parameter.grad = torch.ones_like(parameter)
        kind(rbm.parameters(), lr=0.5, fused=True).step()  # type: ignore[call-arg]

    return step


def by_data(rbm: RBM) -> None:
    for name in NAMES:
        getattr(rbm, name).data.mul_(0.5)


def by_numpy(rbm: RBM) -> None:
    for name in NAMES:
        getattr(rbm, name).detach().numpy()[...] *= 0.5


def by_dlpack(rbm: RBM) -> None:
    for name in NAMES:
        torch.from_dlpack(getattr(rbm, name).detach().__dlpack__()).mul_(0.5)


def by_set(rbm: RBM) -> None:
    """``set_`` gives a parameter other memory."""
    for name in NAMES:
        parameter = getattr(rbm, name)
        parameter.data = parameter.detach() * 0.5


def by_mask(rbm: RBM) -> None:
    rbm.mask.numpy()[...] ^= True


def one_bit(rbm: RBM) -> None:
    """Of one weight that is on: the smallest change there is."""
    where = tuple(rbm.mask.nonzero()[-1].tolist())
    with torch.no_grad():
        rbm.weight[where] = 1.0
    rbm(V)
    rbm.weight.detach().numpy().view(np.int32)[where] ^= 1 << 22


def swapped(rbm: RBM) -> None:
    """Weights exchanged: any sum of them stays."""
    rbm.weight.detach().numpy()[...] = rbm.weight.detach().numpy()[::-1].copy()


WRITERS: dict[str, Callable[[RBM], None]] = {
    **{
        f"fused {kind.__name__}": fused(kind)
        for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad)
    },
    "data": by_data,
    "numpy": by_numpy,
    "dlpack": by_dlpack,
    "other memory": by_set,
    "mask": by_mask,
    "one bit": one_bit,
    "swap": swapped,
}
USES: dict[str, Callable[[RBM], Any]] = {
    "forward": lambda rbm: rbm(V),
    "reconstruct": lambda rbm: rbm.reconstruct(V),
    "free_energy": lambda rbm: rbm.free_energy(V),
    "sample_hidden": lambda rbm: rbm.sample_hidden(V),
    "gibbs_steps": lambda rbm: rbm.gibbs_steps(V, 3)[0],
    "contrastive_divergence": lambda rbm: (
        (rbm.zero_grad(), rbm.contrastive_divergence(V)) and rbm.weight.grad
    ),
    "train_step_": lambda rbm: rbm.train_step_(V, lr=0.1, lr_strength=0.5) and rbm.weight,
}


def machine() -> RBM:
    return RBM(N_VISIBLE, N_HIDDEN, density=0.6, seed=1, mask=None)


def fresh(rbm: RBM) -> RBM:
    """A machine with the same tensors that has never computed."""
    other = machine()
    for name, value in rbm.state_dict().items():
        if name != "_extra_state":
            other.state_dict()[name].copy_(value)
    draw = rbm._draw()
    other._draws[0], other._draws[1] = draw.seed, draw.step
    return other


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("writer", WRITERS)
def test_what_others_wrote_counts(writer: str, use: str) -> None:
    rbm = machine()
    USES[use](rbm)
    before = rbm(V).detach().clone()
    WRITERS[writer](rbm)
    other = fresh(rbm)
    assert torch.equal(USES[use](rbm), USES[use](other))
    assert writer == "one bit" or not torch.equal(rbm(V), before)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_a_fused_optimiser_trains_what_it_is_shown(kind: type[torch.optim.Optimizer]) -> None:
    """Its version counters stand still: 20 steps equal those of a machine made anew each time."""
    rbm, plain = machine(), machine()
    fast = kind(rbm.parameters(), lr=0.1, fused=True)  # type: ignore[call-arg]
    slow = kind(plain.parameters(), lr=0.1, fused=True)  # type: ignore[call-arg]
    for _ in range(20):
        for each, optimizer in ((rbm, fast), (plain, slow)):
            optimizer.zero_grad()
            each.contrastive_divergence(V)
            optimizer.step()
            each.update_mask_()
        plain._digits.forget()
    for name in NAMES:
        assert torch.equal(getattr(rbm, name), getattr(plain, name))


def _in_another_process(rbm: RBM) -> None:
    with torch.no_grad():
        rbm.weight.mul_(0.5)
        rbm.mask.logical_not_()


def test_parameters_shared_between_processes() -> None:
    rbm = machine().share_memory()
    before = rbm(V).detach().clone()
    context = torch.multiprocessing.get_context("spawn")
    process = context.Process(target=_in_another_process, args=(rbm,))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert torch.equal(rbm(V), fresh(rbm)(V)) and not torch.equal(rbm(V), before)


def _rank(rank: int, folder: str, results: Any) -> None:
    import torch.distributed as dist

    rendezvous = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2)
    rbm = machine()
    with torch.no_grad():
        rbm.weight.add_(rank)
    found = [rbm(V)]
    with torch.no_grad():
        dist.broadcast(rbm.weight, 0)
        found += [rbm(V)]
        rbm.weight.add_(rank)
        rbm(V)
        dist.all_reduce(rbm.weight)
        found += [rbm(V), fresh(rbm)(V)]
    torch.save(found, f"{folder}/{rank}")
    dist.destroy_process_group()


@pytest.mark.slow
def test_torch_distributed(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_rank, (str(tmp_path), None), nprocs=2)
    first, second = (torch.load(tmp_path / str(rank)) for rank in range(2))
    assert not torch.equal(first[0], second[0])
    for index in (1, 2):
        assert torch.equal(first[index], second[index])
    assert torch.equal(first[2], first[3]) and torch.equal(second[2], second[3])


def test_what_is_off_does_not_count() -> None:
    rbm, other = machine(), machine()
    rbm(V)
    with torch.no_grad():
        rbm.weight[~rbm.mask] = 1e30
    assert torch.equal(rbm(V), other(V))
    assert torch.equal(rbm.gibbs_steps(V, 3)[0], other.gibbs_steps(V, 3)[0])


def test_digits_are_kept_where_nothing_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fingerprint is what tells, so a copy onto itself makes nothing anew."""
    rbm = machine()
    rbm(V)
    kept = dict(rbm._digits._kept)
    with torch.no_grad():
        rbm.weight.copy_(rbm.weight.clone())
    rbm(V)
    assert rbm._digits._kept.keys() == kept.keys()
    assert all(rbm._digits._kept[n] is digits for n, digits in kept.items())


def test_memory_of_a_machine_that_is_gone() -> None:
    """Another one may get its addresses."""
    for seed in range(20):
        rbm = RBM(N_VISIBLE, N_HIDDEN, seed=seed)
        want = torch.sigmoid(V.double() @ (rbm.weight * rbm.mask).double().t())
        torch.testing.assert_close(rbm(V).double(), want, rtol=0, atol=1e-6)
        plain: Tensor = copy.deepcopy(rbm)(V)
        assert torch.equal(plain, rbm(V))
        del rbm
