"""What evaluation and classification say of wrong arguments."""

from __future__ import annotations

import math

import pytest
import torch

from ncg_fast import RBM
from ncg_fast import evaluation as ev

SMALL, WIDE = RBM(7, 5), RBM(26, 26)
LABELLED = RBM(10, 5, n_labels=3)
X, Y = torch.zeros(4, 7), torch.zeros(4, dtype=torch.int64)


def nan_rbm():
    rbm = RBM(7, 5)
    with torch.no_grad():
        rbm.weight[0, 0] = math.nan
    return rbm


def ladder(*values):
    return lambda: ev.log_partition_ais(SMALL, betas=torch.tensor(values, dtype=torch.float64))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ev.log_partition(RBM(784, 500)),
            "log_partition: needs min(n_visible, n_hidden) <= 25, got 500. Use log_partition_ais.",
        ),
        (
            lambda: ev.log_partition(nan_rbm()),
            "log_partition: weight must hold finite numbers, got 1 that are NaN or infinite. "
            "A rate that is too high is the usual cause; reload the last good checkpoint.",
        ),
        (
            lambda: ev.log_partition_ais(SMALL, n_chains=1),
            "log_partition_ais: n_chains must be at least 2, got 1. Pass 2 or more.",
        ),
        (
            lambda: ev.log_partition_ais(SMALL, seed=-1),
            "log_partition_ais: seed must be at least 0, got -1. Pass 0 or more.",
        ),
        (
            lambda: ev.log_partition_ais(SMALL, base="flat"),
            "log_partition_ais: base must be one of 'data', 'sampled', 'uniform', "
            "got 'flat'. Choose one of these.",
        ),
        (
            lambda: ev.log_partition_ais(SMALL, base="data"),
            'log_partition_ais: data must be given with base="data", got None. '
            'Pass the training rows, or use base="sampled".',
        ),
        (
            lambda: ev.log_partition_ais(SMALL, data=torch.zeros(4, 6)),
            "log_partition_ais: data must have shape (n_rows, n_units) = (any, 7), got (4, 6). "
            "Pass one row of 7 units a sample.",
        ),
        (
            lambda: ev.log_partition_ais(SMALL, betas=1),
            "log_partition_ais: betas must be at least 2, got 1. Pass 2 or more.",
        ),
        (
            lambda: ev.log_partition_ais(SMALL, betas=0.5),
            "log_partition_ais: betas must be an int, got float 0.5. Pass a whole number.",
        ),
        (
            lambda: ev.log_partition_ais(SMALL, betas=torch.tensor([0, 1])),
            "log_partition_ais: betas must be floating, got torch.int64. Use betas.double().",
        ),
        (
            ladder(0.5),
            "log_partition_ais: betas must have at least two entries, got 1. "
            "Pass two ends, and values between.",
        ),
        (
            ladder(0.1, 1.0),
            "log_partition_ais: betas must begin with 0 and end with 1, got 0.1 and 1. "
            "Add the ends, or turn it round.",
        ),
        (
            ladder(0.0, 0.6, 0.5, 1.0),
            "log_partition_ais: betas must either rise or fall, got a ladder that does both, "
            "or NaN. Sort them.",
        ),
        (
            ladder(0.0, math.nan, 1.0),
            "log_partition_ais: betas must either rise or fall, got a ladder that does both, "
            "or NaN. Sort them.",
        ),
        (
            ladder(0.0, 1.0000001),
            "log_partition_ais: betas must be in [0, 1], got ends 0 and 1.0000001. "
            "Pass inverse temperatures up to 1.",
        ),
        (
            ladder(0.0, 0.9999999),
            "log_partition_ais: betas must begin with 0 and end with 1, got 0 and 0.9999999. "
            "Add the ends, or turn it round.",
        ),
        (
            ladder(1.0, 0.0),
            "log_partition_ais: betas must begin with 0 and end with 1, got 1 and 0. "
            "Add the ends, or turn it round.",
        ),
        (
            lambda: ev.log_partition_ais(SMALL, progress=1),
            "log_partition_ais: progress must be True or False, got int 1. Pass one of the two.",
        ),
        (
            lambda: ev.log_partition(SMALL, progress=None),
            "log_partition: progress must be True or False, got NoneType None. "
            "Pass one of the two.",
        ),
        (
            lambda: ev.log_partition_bounds(SMALL, n_sweeps=0),
            "log_partition_bounds: n_sweeps must be at least 1, got 0. Pass 1 or more.",
        ),
        (
            lambda: ev.log_partition_bounds(SMALL, base="data"),
            'log_partition_bounds: data must be given with base="data", got None. '
            'Pass the training rows, or use base="sampled".',
        ),
        (
            lambda: ev.log_partition_bounds(SMALL, data=X[:0]),
            "log_partition_bounds: data must have at least one row, got (0, 7). "
            "Pass the training rows.",
        ),
        (
            lambda: ev.log_likelihood(SMALL, X, log_z=1.0, bounds=True),
            "log_likelihood: options of AIS must be left out with log_z, got bounds. "
            "Pass one of the two.",
        ),
        (
            lambda: ev.log_likelihood(SMALL, X, bounds="both"),
            "log_likelihood: bounds must be True or False, got str 'both'. Pass one of the two.",
        ),
        (
            lambda: ev.log_likelihood(SMALL, X[:0]),
            "log_likelihood: x must have at least one row, got (0, 7). Pass the rows to evaluate.",
        ),
        (
            lambda: ev.log_likelihood(SMALL, X + 0.5),
            "log_likelihood: x must hold only 0 and 1, got values in between. Binarise it.",
        ),
        (
            lambda: ev.log_likelihood(SMALL, X.to(torch.uint8) + 255),
            "log_likelihood: x must hold only 0 and 1, got values in [255, 255]. "
            "Binarise it, or pass x / 255 as probabilities.",
        ),
        (
            lambda: ev.log_likelihood(SMALL, X.t()),
            "log_likelihood: x must have shape (n_rows, n_units) = (any, 7), got (7, 4). "
            "Did you pass x.T?",
        ),
        (
            lambda: ev.log_likelihood(SMALL, X, log_z="high"),
            "log_likelihood: log_z must be a number, got str 'high'. Pass an int or a float.",
        ),
        (
            lambda: ev.log_likelihood(WIDE, torch.zeros(4, 26), betas=1),
            "log_likelihood: betas must be at least 2, got 1. Pass 2 or more.",
        ),
        (
            lambda: ev.pseudo_log_likelihood(SMALL, X.to(torch.complex64)),
            "pseudo_log_likelihood: x must be bool, an integer or floating (16 bits or more), "
            "got torch.complex64. Pass real numbers.",
        ),
        (
            lambda: ev.pseudo_log_likelihood(SMALL, X, seed=0.5),
            "pseudo_log_likelihood: seed must be an int, got float 0.5. Pass a whole number.",
        ),
        (
            lambda: ev.classify(SMALL, X),
            "classify: rbm must have label units, got n_labels = 0. Use RBM(..., n_labels=...).",
        ),
        (
            lambda: ev.classify(LABELLED, X, method="both"),
            "classify: method must be one of 'label_units', 'free_energy', got 'both'. "
            "Choose one of these.",
        ),
        (
            lambda: ev.classify(LABELLED, torch.zeros(4, 10)),
            "classify: x must have shape (n_rows, n_units) = (any, 7), got (4, 10). "
            "Pass one row of 7 units a sample.",
        ),
        (
            lambda: ev.accuracy(LABELLED, X, Y[:3]),
            "accuracy: labels must have shape (n,) = (4,), got (3,). Pass one label a row.",
        ),
        (
            lambda: ev.accuracy(LABELLED, X[:0], Y[:0]),
            "accuracy: x must have at least one row, got (0, 7). Pass the rows to classify.",
        ),
        (
            lambda: ev.with_labels(X, Y + 3, 3),
            "with_labels: labels must be in [0, 3), got values in [3, 3]. Count classes from 0.",
        ),
        (
            lambda: ev.with_labels(X, Y.float(), 3),
            "with_labels: labels must be integers, got torch.float32. Use labels.to(torch.int64).",
        ),
        (
            lambda: ev.with_labels(X, [0, 1], 3),
            "with_labels: labels must be a torch.Tensor, got list. Use torch.tensor(labels).",
        ),
        (
            lambda: ev.with_labels(X[0], Y, 3),
            "with_labels: x must have two axes (n, n_features), got (7,). Reshape it.",
        ),
        (
            lambda: ev.with_labels(X.to(torch.complex64), Y, 3),
            "with_labels: x must be bool, an integer or floating (16 bits or more), "
            "got torch.complex64. Pass real numbers.",
        ),
        (
            lambda: ev.with_labels(X, Y, 0),
            "with_labels: n_labels must be at least 1, got 0. Pass 1 or more.",
        ),
    ],
)
def test_what_is_wrong_is_said(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message
