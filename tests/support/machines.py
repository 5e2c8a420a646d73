"""Random machines and rows for tests."""

from __future__ import annotations

import numpy as np
import torch

from ncg_fast import RBM


def random_rbm(n_visible, n_hidden, *, seed=0, scale=0.9, **arguments):
    """Half the connections on; weights and biases N(0, scale**2)."""
    arguments = {"density": 0.5, "weight_init": "normal", "weight_scale": scale, **arguments}
    rbm = RBM(n_visible, n_hidden, seed=seed, **arguments)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for bias in (rbm.visible_bias, rbm.hidden_bias):
            bias.copy_(torch.from_numpy(rng.normal(0, scale, len(bias))))
    return rbm


def random_rows(n, n_units, seed=0):
    """Independent units, each with a rate of its own; uint8."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy((rng.random((n, n_units)) < rng.random(n_units)).astype(np.uint8))
