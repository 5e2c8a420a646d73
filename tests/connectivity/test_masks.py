"""Masks and strengths against definitions written out by hand."""

import doctest
import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from masks import mask_of

from ncg_fast import RBM, seeds
from ncg_fast.connectivity import (
    convolution_mask,
    dense_mask,
    initial_mask,
    initial_strength,
    line_mask,
    masks,
    random_mask,
    spiral_mask,
    topology,
)


def test_doctest():
    for module, n_examples in ((masks, 7), (topology, 5)):
        results = doctest.testmod(module)
        assert (results.attempted, results.failed) == (n_examples, 0)


def test_import_leaves_the_extras_alone():
    code = (
        "import sys, ncg_fast.connectivity, ncg_fast.data;"
        "print([name for name in ('sklearn', 'scipy', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_dense_mask():
    mask = dense_mask(5, 7)
    assert (mask.shape, mask.dtype) == ((5, 7), torch.bool)
    assert bool(mask.all())


def test_random_mask_extremes():
    assert random_mask(61, 67, 1, seed=3).all()
    assert not random_mask(61, 67, 0.0, seed=3).any()
    assert random_mask(61, 67, 0.5).dtype == torch.bool


def test_random_mask_has_the_density_everywhere():
    mask = random_mask(127, 131, 0.25, seed=4).double()
    for axis in (0, 1):
        share = mask.mean(axis)
        error = (0.25 * 0.75 / mask.shape[axis]) ** 0.5
        assert (share - 0.25).abs().max() < 5 * error
    assert abs(mask.mean() - 0.25) < 5 * (0.25 * 0.75 / mask.numel()) ** 0.5
    neighbours = (mask[:, 1:] * mask[:, :-1]).mean()
    assert abs(neighbours - 0.0625) < 0.01


def test_random_mask_is_decided_by_the_seed():
    first, again, other = (random_mask(7, 5, 0.5, seed=seed) for seed in (7, 7, 2**63 - 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    expected = np.random.default_rng(np.random.SeedSequence(7, spawn_key=(0,))).random((7, 5)) < 0.5
    np.testing.assert_array_equal(first, expected)


def test_line_mask_wraps_around():
    assert torch.equal(line_mask(4, 4, 3), mask_of("1110", "0111", "1011", "1101"))


@pytest.mark.parametrize(
    ("n_hidden", "n_visible", "starts"),
    [
        (5, 7, [0, 2, 4, 6, 1]),
        (5, 8, [0, 2, 4, 6, 1]),
        (4, 10, [0, 3, 6, 9]),
        (6, 7, [0, 2, 4, 6, 1, 3]),
        (5, 11, [0, 3, 6, 9, 1]),
        (7, 3, [0, 1, 2, 0, 1, 2, 0]),
        (1, 5, [0]),
    ],
)
def test_line_mask_starts(n_hidden, n_visible, starts):
    mask = line_mask(n_hidden, n_visible, 1)
    assert mask.sum(1).tolist() == [1] * n_hidden
    assert mask.int().argmax(1).tolist() == starts


def test_line_mask_on_mnist_fills_even_then_odd_offsets():
    starts = line_mask(500, 784, 1).int().argmax(1).tolist()
    assert starts == [*range(0, 784, 2), *range(1, 2 * 108, 2)]


@given(st.integers(1, 30), st.integers(1, 30), st.data())
@settings(deadline=None)
def test_line_mask_rows_are_one_cyclic_run(n_hidden, n_visible, data):
    n_connections = data.draw(st.integers(1, n_visible))
    mask = line_mask(n_hidden, n_visible, n_connections)
    assert mask.sum(1).tolist() == [n_connections] * n_hidden
    begins = (mask & ~mask.roll(1, 1)).sum(1).unique().tolist()
    assert begins == ([0] if n_connections == n_visible else [1])
    if n_hidden == n_visible:
        assert bool(mask.diagonal().all())
        assert mask.sum(0).tolist() == [n_connections] * n_visible
    if n_hidden <= n_visible and n_connections < n_visible:
        assert len(mask.unique(dim=0)) == n_hidden


def walk(side):
    """Pixels in the order of a walk that turns right at the border and at visited pixels."""
    path, row, col, d_row, d_col = [], 0, 0, 0, 1
    for _ in range(side**2):
        path.append(row * side + col)
        free = 0 <= row + d_row < side and 0 <= col + d_col < side
        if not free or (row + d_row) * side + col + d_col in path:
            d_row, d_col = d_col, -d_row
        row, col = row + d_row, col + d_col
    return path


def test_spiral_mask_three_by_three_by_hand():
    # Path 0 1 2 5 8 7 6 3 4, then 0 again.
    expected = {
        0: {0, 1, 2},
        1: {1, 2, 5},
        2: {2, 5, 8},
        3: {3, 4, 0},
        4: {4, 0, 1},
        5: {5, 8, 7},
        6: {6, 3, 4},
        7: {7, 6, 3},
        8: {8, 7, 6},
    }
    mask = spiral_mask(9, 9, 3)
    assert {i: set(row.nonzero().flatten().tolist()) for i, row in enumerate(mask)} == expected


@pytest.mark.parametrize("side", range(1, 8))
def test_spiral_mask_follows_the_walk(side):
    path = walk(side)
    n = side**2
    for n_connections in {1, (n + 1) // 2, n}:
        mask = spiral_mask(n, n, n_connections)
        for place, pixel in enumerate(path):
            seen = {path[(place + step) % n] for step in range(n_connections)}
            assert set(mask[pixel].nonzero().flatten().tolist()) == seen


@pytest.mark.parametrize(
    ("image_shape", "m"), [((28, 28), 22), ((4, 4), 1), ((4, 4), 4), ((5, 3), 2), ((3, 7), 3)]
)
def test_convolution_mask_is_one_patch_per_unit(image_shape, m):
    rows, cols = image_shape
    expected = torch.zeros(m, m, rows, cols, dtype=torch.bool)
    for r, c in itertools.product(range(m), repeat=2):
        expected[r, c, r : r + rows - m + 1, c : c + cols - m + 1] = True
    mask = convolution_mask(image_shape, m**2)
    assert torch.equal(mask, expected.view(m**2, rows * cols))


def test_initial_mask_calls_the_pattern():
    assert torch.equal(initial_mask("dense", 3, 5), dense_mask(3, 5))
    drawn = initial_mask("random", 30, 50, density=0.3, seed=9)
    assert torch.equal(drawn, random_mask(30, 50, 0.3, seed=9))
    assert torch.equal(initial_mask("line", 3, 5, n_connections=2), line_mask(3, 5, 2))
    assert torch.equal(initial_mask("spiral", 9, 9, n_connections=4), spiral_mask(9, 9, 4))
    patches = initial_mask("convolution", 4, 15, image_shape=(3, 5))
    assert torch.equal(patches, convolution_mask((3, 5), 4))


class HighestDraws:
    def integers(self, high, size):
        return np.full(size, high - 1)


def test_initial_strength_stays_in_its_half_open_interval(monkeypatch):
    monkeypatch.setattr(masks, "_generator", lambda *_: HighestDraws())
    on, off = initial_strength(dense_mask(1, 1)), initial_strength(random_mask_off(1, 1))
    assert on.dtype == off.dtype == torch.float32
    below_one, below_half = (np.nextafter(np.float32(x), np.float32(0)) for x in (1, 0.5))
    assert 0.999999 < on.item() <= below_one
    assert 0.499999 < off.item() <= below_half


def random_mask_off(n_hidden, n_visible):
    return torch.zeros(n_hidden, n_visible, dtype=torch.bool)


@pytest.mark.parametrize("default", [torch.float32, torch.float64])
def test_initial_strength_is_uniform_on_both_sides(default):
    mask = random_mask(301, 499, 0.5, seed=1)
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        strength = initial_strength(mask, seed=1)
    finally:
        torch.set_default_dtype(before)
    assert strength.dtype == torch.float32
    assert torch.equal(strength >= 0.5, mask)
    for values, low in ((strength[mask], 0.5), (strength[~mask], 0.0)):
        assert values.min() >= low
        assert values.max() < low + 0.5
        counts = torch.histc(values, 8, low, low + 0.5).double()
        expected = len(values) / 8
        assert ((counts - expected) ** 2 / expected).sum() < 30  # chi-square, 7 degrees: 1e-4


def test_initial_strength_does_not_reuse_the_draws_of_the_mask():
    strength = initial_strength(dense_mask(200, 200), seed=5).flatten()
    drawn = random_mask(200, 200, 0.5, seed=5).flatten()
    # A 64-bit word is one draw of the mask, and one or two draws of the strength.
    for same_words in (strength, strength[::2], strength[1::2]):
        on = drawn[: len(same_words)]
        gap = same_words[on].mean() - same_words[~on].mean()
        assert abs(gap) < 5 * (4 * 0.25 / 12 / len(on)) ** 0.5


def test_initial_strength_is_decided_by_the_seed():
    mask = random_mask(7, 5, 0.5)
    first, again, other = (initial_strength(mask, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(initial_strength(mask.T.contiguous().T), first)


def test_values_drawn_in_chunks_are_those_of_one_draw(monkeypatch):
    def drawn():
        machines = [RBM(31, 29, density=0.4, weight_init=kind) for kind in ("uniform", "normal")]
        return [value for machine in machines for value in machine.state_dict().values()]

    whole = drawn()
    monkeypatch.setattr(seeds, "_CHUNK", 100)
    assert all(torch.equal(a, b) for a, b in zip(whole, drawn(), strict=True))
