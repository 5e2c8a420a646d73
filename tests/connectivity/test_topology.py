"""Topology measures against definitions written out by hand or brute force."""

import itertools
import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from masks import mask_of

from ncg_fast.connectivity import (
    degrees,
    dense_mask,
    density,
    protect_labels,
    random_mask,
    topology_distance,
)


@st.composite
def masks(draw, n_masks, max_hidden=5, max_visible=6):
    n_hidden = draw(st.integers(1, max_hidden))
    n_visible = draw(st.integers(1, max_visible))
    bits = st.lists(st.booleans(), min_size=n_hidden * n_visible, max_size=n_hidden * n_visible)
    return [torch.tensor(draw(bits)).view(n_hidden, n_visible) for _ in range(n_masks)]


def test_protect_labels_switches_the_last_columns_on():
    mask = mask_of("0101", "1000")
    expected = {0: mask, 1: mask_of("0101", "1001"), 3: mask_of("0111", "1111")}
    for n_labels, protected in expected.items():
        assert torch.equal(protect_labels(mask, n_labels), protected)
    assert protect_labels(mask, 4).all()
    assert torch.equal(mask, mask_of("0101", "1000"))
    protect_labels(mask, 0)[0, 0] = True
    assert torch.equal(mask, mask_of("0101", "1000"))


def test_density_leaves_the_labels_out():
    mask = mask_of("0101", "1001", "0001")
    assert density(mask) == 5 / 12
    assert density(mask, 1) == 2 / 9
    assert density(mask, n_labels=3) == 1 / 3
    assert density(mask.T) == 5 / 12


def test_degrees():
    mask = mask_of("0101", "1001", "0001")
    hidden, visible = degrees(mask)
    assert hidden.tolist() == [2, 2, 1]
    assert visible.tolist() == [1, 1, 0, 3]
    assert hidden.dtype == visible.dtype == torch.int64
    assert degrees(mask.T).hidden.tolist() == [1, 1, 0, 3]


def brute_force_distance(mask_a, mask_b):
    sets_a, sets_b = ([set(np.flatnonzero(row)) for row in m.numpy()] for m in (mask_a, mask_b))

    def unit_distance(a, b):
        return len(a ^ b) / len(a | b) if a | b else 0.0

    return min(
        math.fsum(map(unit_distance, sets_a, order)) / len(sets_a)
        for order in itertools.permutations(sets_b)
    )


@given(masks(2))
@settings(deadline=None)
def test_topology_distance_is_the_best_of_all_matchings(pair):
    distance = topology_distance(*pair)
    assert distance == pytest.approx(brute_force_distance(*pair), abs=1e-12)
    assert 0 <= distance <= 1


@given(masks(3))
@settings(deadline=None)
def test_topology_distance_is_a_distance(three):
    a, b, c = three
    assert topology_distance(a, b) == pytest.approx(topology_distance(b, a), abs=1e-12)
    detour = topology_distance(a, b) + topology_distance(b, c)
    assert topology_distance(a, c) <= detour + 1e-12


@given(masks(1), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_topology_distance_ignores_the_order_of_hidden_units(one, random):
    (mask,) = one
    order = list(range(len(mask)))
    random.shuffle(order)
    assert topology_distance(mask, mask[order]) == 0.0


def test_topology_distance_by_hand():
    a, b = mask_of("1100", "0011"), mask_of("0001", "1110")
    # 1100 with 1110: 1/3; 0011 with 0001: 1/2.
    assert topology_distance(a, b) == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert topology_distance(mask_of("1100"), mask_of("0011")) == 1.0
    assert topology_distance(mask_of("0000"), mask_of("0000")) == 0.0
    assert topology_distance(mask_of("0000"), mask_of("0001")) == 1.0


def test_topology_distance_leaves_the_labels_out():
    a, b = mask_of("10011", "01011"), mask_of("01000", "10000")
    assert topology_distance(a, b, n_labels=2) == 0.0
    assert topology_distance(a, b) > 0


def test_topology_distance_of_large_masks():
    mask = random_mask(500, 784, 0.3)
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    assert topology_distance(mask, mask[order]) == 0.0
    # Of two independent masks: 1 - 0.09 / 0.51 unmatched, a little less after matching.
    assert 0.7 < topology_distance(mask, random_mask(500, 784, 0.3, seed=1)) < 0.8235


def test_missing_scipy_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(RuntimeError) as caught:
        topology_distance(dense_mask(2, 2), dense_mask(2, 2))
    assert str(caught.value).startswith("topology_distance: needs SciPy, got ")
    assert str(caught.value).endswith(' Run pip install "ncg_fast[experiments]".')
