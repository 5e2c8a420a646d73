"""Classification against its formulas, on hand-built and trained machines."""

from __future__ import annotations

import numpy as np
import pytest
import textbook
import torch
from machines import random_rbm, random_rows

from ncg_fast import RBM
from ncg_fast import evaluation as ev


def hand_built():
    """Hidden unit i sees feature i and label i: feature i on means label i."""
    mask = torch.zeros(3, 6, dtype=torch.bool)
    mask[:, :3] = torch.eye(3, dtype=torch.bool)
    rbm = RBM(6, 3, mask=mask, n_labels=3)
    with torch.no_grad():
        rbm.weight[:, :3] = 8 * torch.eye(3)
        rbm.weight[:, 3:] = 6 * torch.eye(3) - 2
        rbm.hidden_bias.fill_(-4)
    return rbm


@pytest.mark.parametrize("method", ["label_units", "free_energy"])
def test_a_hand_built_machine_classifies(method):
    rbm, x, labels = hand_built(), torch.eye(3).repeat(21, 1), torch.arange(3).repeat(21)
    predicted = ev.classify(rbm, x, method=method)
    assert predicted.dtype == torch.int64
    assert torch.equal(predicted, labels)
    assert ev.accuracy(rbm, x, labels, method=method) == 1
    assert ev.accuracy(rbm, x, (labels + 1) % 3, method=method) == 0
    assert ev.accuracy(rbm, x, torch.zeros_like(labels), method=method) == pytest.approx(1 / 3)
    assert ev.classify(rbm, x[1], method=method).tolist() == [1]
    assert ev.classify(rbm, x[:0], method=method).shape == (0,)


def test_classification_follows_its_formulas():
    rbm, x = random_rbm(10, 11, n_labels=3, seed=5, scale=1.5), random_rows(128, 7)
    machine, v = textbook.of(rbm), x.numpy().astype(np.float64)
    half = np.hstack([v, np.full((128, 3), 0.5)])
    up_down = textbook.visible_mean(machine, textbook.hidden_mean(machine, half))[:, 7:]
    assert torch.equal(ev.classify(rbm, x), torch.from_numpy(up_down.argmax(1)))
    rivals = [np.hstack([v, np.eye(3)[[k] * 128]]) for k in range(3)]
    log_p = np.stack([textbook.log_probability(machine, rival) for rival in rivals], 1)
    predicted = ev.classify(rbm, x, method="free_energy")
    assert torch.equal(predicted, torch.from_numpy(log_p.argmax(1)))
    assert len(set(predicted.tolist())) == 3
    assert not torch.equal(predicted, ev.classify(rbm, x))


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.float32])
def test_labels_are_appended_one_hot(kind):
    x = random_rows(4, 5).to(kind)
    joined = ev.with_labels(x, torch.tensor([2, 0, 1, 2], dtype=torch.uint8), 3)
    assert joined.dtype == kind
    assert torch.equal(joined[:, :5], x)
    expected = [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert joined[:, 5:].int().tolist() == expected


def test_a_trained_machine_classifies_both_ways():
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 3, 300))
    prototypes = rng.random((3, 16)) < 0.5
    noisy = prototypes[labels] ^ (rng.random((300, 16)) < 0.1)
    x = torch.from_numpy(noisy.astype(np.uint8))
    rbm = RBM(19, 11, density=0.5, weight_scale=0.1, seed=1, n_labels=3)
    for _ in range(40):
        for batch in ev.with_labels(x, labels, 3).split(100):
            rbm.train_step_(batch, 1, lr=0.5, lr_strength=0.5)
    for method in ("label_units", "free_energy"):
        assert ev.accuracy(rbm, x, labels, method=method) > 0.95
