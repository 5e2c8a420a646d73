"""Small machines and runs for the tests of training."""

import numpy as np
import torch

from ncg_fast.model.rbm import RBM
from ncg_fast.training.fit import fit

N_VISIBLE, N_HIDDEN, N_ROWS = 7, 5, 13
ORDER_STREAM = 4


def machine(**options):
    return RBM(N_VISIBLE, N_HIDDEN, **{"density": 0.6, "seed": 3, **options})


def binary_rows(n=N_ROWS, seed=0):
    uniforms = np.random.default_rng(seed).random((n, N_VISIBLE))
    return torch.from_numpy((uniforms < 0.4).astype(np.uint8))


def grey_rows(n=N_ROWS):
    return torch.from_numpy(np.random.default_rng(1).random((n, N_VISIBLE)).astype(np.float32))


def train(rbm, x=None, **options):
    defaults = {"epochs": 2, "batch_size": 5, "lr": 0.3, "lr_strength": 1.0, "progress": False}
    return fit(rbm, binary_rows() if x is None else x, **{**defaults, **options})


def bits(rbm):
    return {name: value.clone() for name, value in rbm.state_dict().items()}


def assert_same_bits(one, other):
    one, other = (each if isinstance(each, dict) else bits(each) for each in (one, other))
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def without_time(history):
    return [{**record, "seconds": None} for record in history.to_dicts()]


def order(seed, epoch, n=N_ROWS):
    return np.random.default_rng([seed, ORDER_STREAM, epoch]).permutation(n)


def held_out():
    return binary_rows(6, seed=5)
