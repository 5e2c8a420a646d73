"""Trainings in one number each."""

from __future__ import annotations

import hashlib

import torch

import ncg_fast
from ncg_fast import RBM


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
