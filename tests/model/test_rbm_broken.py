"""NaN and infinity in parameters are noticed, whenever they came there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

import ncg_fast
from ncg_fast import RBM

N_VISIBLE, N_HIDDEN = 9, 7
V = torch.eye(N_VISIBLE)[:5]
H = torch.zeros(5, N_HIDDEN)
LABELS = torch.tensor([0, 1, 0, 1, 0])

USES: dict[str, Callable[[RBM], Any]] = {
    "forward": lambda rbm: rbm(V),
    "reconstruct": lambda rbm: rbm.reconstruct(V),
    "free_energy": lambda rbm: rbm.free_energy(V),
    "energy": lambda rbm: rbm.energy(V, H),
    "sample_hidden": lambda rbm: rbm.sample_hidden(V),
    "sample_visible": lambda rbm: rbm.sample_visible(H),
    "gibbs_steps": lambda rbm: rbm.gibbs_steps(V, 2),
    "sample": lambda rbm: rbm.sample(3, 2),
    "contrastive_divergence": lambda rbm: rbm.contrastive_divergence(V),
    "connection_gradient": lambda rbm: rbm.connection_gradient(V),
    "train_step_": lambda rbm: rbm.train_step_(V, lr=0.1, lr_strength=0.1),
    "fit": lambda rbm: ncg_fast.fit(rbm, V, epochs=1, batch_size=5, progress=False),
    "log_partition": ncg_fast.log_partition,
    "log_partition_ais": lambda rbm: ncg_fast.log_partition_ais(rbm, betas=5, n_chains=3),
    "log_likelihood": lambda rbm: ncg_fast.log_likelihood(rbm, V),
    "pseudo_log_likelihood": lambda rbm: ncg_fast.pseudo_log_likelihood(rbm, V),
    "classify": lambda rbm: ncg_fast.classify(rbm, V[:, :-2]),
    "accuracy": lambda rbm: ncg_fast.accuracy(rbm, V[:, :-2], LABELS),
}
# The strengths are used where they are written alone.
OF_STRENGTHS = "train_step_", "fit"
BEFORE: dict[str, Callable[[RBM], Any]] = {
    "a new machine": lambda rbm: None,
    "after a mean": lambda rbm: rbm(V),
    "after sweeps": lambda rbm: rbm.sample(3, 2),
    "after training": lambda rbm: rbm.train_step_(V, lr=0.1, lr_strength=0.1),
}


def broken(name: str, bad: float, before: str) -> RBM:
    """A machine of which one parameter is bad: the last, but no strength of a label."""
    rbm = RBM(N_VISIBLE, N_HIDDEN, density=0.5, seed=0, n_labels=2)
    BEFORE[before](rbm)
    with torch.no_grad():
        getattr(rbm, name).view(-1)[-3 if name == "connection_strength" else -1] = bad
    return rbm


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["weight", "visible_bias", "hidden_bias"])
@pytest.mark.parametrize("use", USES)
def test_what_a_machine_computes(use: str, name: str, bad: float, before: str) -> None:
    with pytest.raises(
        ValueError, match=rf"{name} must hold finite numbers, got 1 that are NaN or"
    ):
        USES[use](broken(name, bad, before))


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("use", OF_STRENGTHS)
def test_what_learns_connections(use: str, before: str) -> None:
    rbm = broken("connection_strength", math.nan, before)
    with pytest.raises((ValueError, FloatingPointError), match=r"must .*, got "):
        USES[use](rbm)


@pytest.mark.parametrize("name", ["weight", "visible_bias", "hidden_bias", "connection_strength"])
def test_nothing_is_broken_by_the_check(name: str) -> None:
    """The last good value brings the machine back."""
    rbm, other = (RBM(N_VISIBLE, N_HIDDEN, density=0.5, seed=0) for _ in range(2))
    rbm(V)
    before = getattr(rbm, name).detach().clone()
    with torch.no_grad():
        getattr(rbm, name).view(-1)[-1] = math.nan
    if name != "connection_strength":
        with pytest.raises(ValueError, match=name):
            rbm(V)
    with torch.no_grad():
        getattr(rbm, name).copy_(before)
    assert torch.equal(rbm(V), other(V))
    assert rbm.train_step_(V, lr=0.1) == other.train_step_(V, lr=0.1)
    assert torch.equal(rbm.weight, other.weight)
