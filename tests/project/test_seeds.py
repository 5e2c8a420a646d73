"""Numbers drawn for different purposes come from different seeds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ncg_fast import RBM, connectivity, fit, seeds
from ncg_fast.evaluation import annealing, bounds, diagnostics
from ncg_fast.model import tempering
from ncg_fast.seeds import derived_seed


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What NumPy's generators are made of, in order."""
    found, make = [], np.random.default_rng

    def noted(seed: object = None) -> np.random.Generator:
        found.append(tuple(seed) if isinstance(seed, list) else seed)
        return make(seed)

    monkeypatch.setattr(np.random, "default_rng", noted)
    return found


def test_every_purpose_has_a_generator_of_its_own(used: list[object]) -> None:
    """Mask, weights, strengths and the orders of the rows; nothing is drawn without a seed."""
    rbm = RBM(7, 5, density=0.5, seed=3)
    fit(rbm, torch.ones(9, 7), epochs=3, batch_size=4, progress=False)
    assert len(used) == 6
    assert len(set(used)) == len(used)
    assert None not in used


def test_a_seed_of_another_machine_shares_nothing(used: list[object]) -> None:
    for seed in (0, 1, 2, 3):
        RBM(7, 5, density=0.5, seed=seed)
    assert len(set(used)) == len(used)


def test_initial_values_are_those_of_their_seeds() -> None:
    rbm = RBM(7, 5, density=0.5, seed=3)
    mask = connectivity.random_mask(5, 7, 0.5, seed=derived_seed(3, 0))
    assert torch.equal(rbm.mask, mask)
    weight = np.random.default_rng([3, 1]).random((5, 7))
    np.testing.assert_allclose(rbm.weight.detach(), 2 * weight - 1, rtol=1e-6, atol=1e-7)
    strength = connectivity.initial_strength(mask, seed=derived_seed(3, 2))
    assert torch.equal(rbm.connection_strength.detach(), strength)


def test_derived_seeds_are_seeds_and_differ() -> None:
    found = {derived_seed(seed, purpose) for seed in range(50) for purpose in range(8)}
    assert len(found) == 400
    assert all(0 <= seed < 2**63 for seed in found)


def test_a_row_longer_than_a_chunk_is_drawn_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds, "_CHUNK", 100)
    assert [part.shape for part in seeds.row_chunks(np.empty((3, 101)))] == [(1, 101)] * 3


def test_purposes_are_told_apart() -> None:
    evaluation = annealing._AIS_PURPOSE, annealing._BASE_PURPOSE, bounds._PURPOSE
    purposes = [0, 1, 2, *evaluation, diagnostics._PURPOSE, tempering._PURPOSE]
    assert len(set(purposes)) == len(purposes)
