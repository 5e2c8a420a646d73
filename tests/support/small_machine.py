"""Sizes, and what is compared, in the tests of the module; conftest.py has rbm and v."""

from __future__ import annotations

import torch

from ncg_fast import RBM

N_VISIBLE, N_HIDDEN, N = 13, 7, 9


def masked(rbm: RBM) -> torch.Tensor:
    return rbm.weight.detach().double() * rbm.mask


def same(a: RBM, b: RBM) -> None:
    assert torch.equal(a.sample(20, n_steps=3), b.sample(20, n_steps=3))
    assert torch.equal(a.mask, b.mask)
