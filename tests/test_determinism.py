"""A whole training gives the same bits on every instruction set and with 1 and 2 threads."""

from __future__ import annotations

import hashlib

import pytest
import torch
from test_parity import variants

import ncg_fast
from ncg_fast import RBM
from ncg_fast.backends import cpu


def trained_hash(
    x: torch.Tensor, device: str = "cpu", density: float = 0.5, **options: object
) -> str:
    rbm = RBM(x.shape[1], 101, density=density, seed=7).to(device)
    settings = {"epochs": 3, "batch_size": 50, "lr": 0.1, "lr_strength": 0.5, "progress": False}
    ncg_fast.fit(rbm, x.to(device), **(settings | options))
    digest = hashlib.sha256(rbm.sample(100, n_steps=5).cpu().numpy().tobytes())
    for value in rbm.state_dict().values():
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize(
    "options",
    [
        {"n_steps": 3},
        {"n_steps": 2, "persistent": True, "n_chains": 70},
        {"n_steps": 1, "momentum": 0.5, "weight_decay": 1e-4},
    ],
)
def test_three_epochs(options: dict[str, object]) -> None:
    x = ncg_fast.data.load("digits").train[:470]
    hashes = {variant: trained_hash(x, **options) for variant in variants()}
    assert len(hashes) == 2 * len(cpu.instruction_sets())
    assert len(set(hashes.values())) == 1, hashes


def test_probabilities_as_data() -> None:
    x = ncg_fast.data.load("digits", binarize=None).train[:200]
    assert len({trained_hash(x, epochs=1, n_steps=1) for _ in variants()}) == 1


def test_the_bits_are_those_of_every_other_machine() -> None:
    """reference.py made the digest; who disagrees breaks the contract of numbers."""
    x = ncg_fast.data.load("bars-and-stripes").train
    rbm = RBM(16, 16, density=0.5, seed=1)
    ncg_fast.fit(rbm, x, epochs=20, batch_size=5, n_steps=3, lr=0.05, progress=False)
    digest = hashlib.sha256()
    for value in rbm.state_dict().values():
        digest.update(value.contiguous().numpy().tobytes())
    assert digest.hexdigest()[:16] == "930739bf0cf78558"
