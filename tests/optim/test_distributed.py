"""Processes that share the rows and average their gradients end with the same bits."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from machines import random_rbm, random_rows
from torch import distributed, multiprocessing

from ncg_fast.optim import NCG

N_RANKS, N_STEPS = 2, 10
LIMIT = 120.0  # seconds, after which a rank that hangs is ended


def train(rank: int, folder: Path) -> None:
    """One rank: a share of the rows, draws of its own, gradients averaged over all ranks."""
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'store'}",
        rank=rank,
        world_size=N_RANKS,
        timeout=timedelta(seconds=LIMIT / 2),
    )
    rbm = random_rbm(61, 67, seed=3)
    rows = random_rows(40, 61).chunk(N_RANKS)[rank]
    optimizer = NCG(rbm.parameters(), lr=0.2, momentum=0.9)
    gradients, start = [], rbm.mask.clone()

    rbm.manual_seed(3 + rank)
    for _ in range(N_STEPS):
        optimizer.zero_grad()
        rbm.contrastive_divergence(rows)
        gradients.append(rbm.weight.grad.clone())
        for parameter in rbm.parameters():
            distributed.all_reduce(parameter.grad)
            parameter.grad /= N_RANKS
        optimizer.step()

    drawn = rbm.manual_seed(3 + rank).sample(5, 1, start=torch.zeros(5, 61))
    found = {"rbm": rbm.state_dict(), "drawn": drawn, "gradients": gradients, "start": start}
    torch.save(found | {"optimizer": optimizer.state_dict()}, folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(not distributed.is_available(), reason="torch without torch.distributed")
def test_ranks_stay_equal(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ranks = [context.Process(target=train, args=(rank, tmp_path)) for rank in range(N_RANKS)]
    for process in ranks:
        process.start()
    try:
        for process in ranks:
            process.join(LIMIT)
        assert [process.exitcode for process in ranks] == [0] * N_RANKS
    finally:
        for process in ranks:
            process.kill()
            process.join()
    a, b = (torch.load(tmp_path / f"{rank}.pt") for rank in range(N_RANKS))
    assert not torch.equal(a["drawn"], b["drawn"])
    assert not torch.equal(a["gradients"][0], b["gradients"][0])
    assert not torch.equal(a["rbm"]["mask"], a["start"])
    for name in ("weight", "connection_strength", "mask", "visible_bias", "hidden_bias"):
        assert torch.equal(a["rbm"][name], b["rbm"][name]), name
    states = (each["optimizer"]["state"].values() for each in (a, b))
    for ours, theirs in zip(*states, strict=True):
        assert torch.equal(ours["momentum_buffer"], theirs["momentum_buffer"])
