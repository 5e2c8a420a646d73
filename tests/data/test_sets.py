"""Data sets that are computed or fetched, and binarisation."""

import doctest
import re
import sys
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from data_sets import save

from ncg_fast import data


def test_doctest(no_data_folder):
    results = doctest.testmod(data.sets)
    assert results.attempted == 2
    assert results.failed == 0


def test_bars_and_stripes_2_is_every_pattern_by_hand():
    rows = data.load("bars-and-stripes-2")
    bars = [[0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]]
    stripes = [[0, 0, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 1, 1]]
    assert rows.train.tolist() == bars + stripes
    assert torch.equal(rows.train, rows.test)
    assert rows.train.data_ptr() != rows.test.data_ptr()
    assert (rows.name, rows.image_shape) == ("bars-and-stripes-2", (2, 2))
    assert rows.train_labels is None
    assert rows.test_labels is None


@pytest.mark.parametrize("binarize", ["stochastic", "threshold", None])
def test_bars_and_stripes_default_is_four_by_four(binarize):
    rows = data.load("bars_and_stripes", binarize=binarize, seed=5).train
    assert rows.dtype == torch.uint8
    assert rows.shape == (32, 16)
    patterns, counts = rows.unique(dim=0, return_counts=True)
    assert len(patterns) == 30
    assert sorted(patterns[counts == 2].sum(1).tolist()) == [0, 16]
    probabilities = counts.double() / 32
    assert -(probabilities * probabilities.log()).sum() == pytest.approx(3.379, abs=5e-4)


@pytest.mark.parametrize("side", [1, 3, 5, 12, 15])
def test_bars_and_stripes_are_complete_up_to_side_15(side):
    images = data.load(f"bars-and-stripes-{side}").train.view(-1, side, side)
    assert len(images) == 2 * 2**side
    bars, stripes = images[: 2**side], images[2**side :]
    assert torch.equal(bars[:, :, :1].expand_as(bars), bars)
    assert torch.equal(stripes, bars.transpose(1, 2))
    assert len(bars.flatten(1).unique(dim=0)) == 2**side


@pytest.mark.parametrize("side", [16, 28, 62])
def test_bars_and_stripes_of_large_sides_are_a_sample(side):
    found = data.load(f"bars-and-stripes-{side}", seed=1)
    assert (found.train.shape, found.test.shape) == ((2**14, side**2), (2**12, side**2))
    assert found.image_shape == (side, side)
    patterns = set()
    for rows in (found.train, found.test):
        bars, stripes = rows.view(2, -1, side, side)
        assert (bars == bars[:, :, :1]).all() and (stripes == stripes[:, :1]).all()
        patterns |= {("bar", *row) for row in bars[:, :, 0].tolist()}
        patterns |= {("stripe", *row) for row in stripes[:, 0].tolist()}
        assert abs(bars.double().mean() - 0.5) < 0.02
    assert len(patterns) == 2**14 + 2**12
    assert {0, side}.isdisjoint(sum(bits) for _, *bits in patterns)
    assert torch.equal(data.load(f"bars-and-stripes-{side}").test, found.test)


def test_digits():
    from sklearn.datasets import load_digits

    rows = data.load("digits", binarize=None)
    pixels, labels = load_digits(return_X_y=True)
    assert (rows.train.shape, rows.test.shape) == ((1437, 64), (360, 64))
    assert (rows.train.dtype, rows.image_shape) == (torch.float32, (8, 8))
    np.testing.assert_array_equal(torch.cat([rows.train, rows.test]) * 16, pixels)
    np.testing.assert_array_equal(torch.cat([rows.train_labels, rows.test_labels]), labels)
    assert rows.train_labels.dtype == torch.int64
    threshold = data.load("digits", binarize="threshold")
    np.testing.assert_array_equal(threshold.test, pixels[1437:] >= 8)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_openml_split_and_dtypes(name, no_data_folder, monkeypatch):
    calls = []

    def fetch_openml(*args, **options):
        calls.append((args, options))
        pixels = np.arange(784, dtype=np.float64) % 256
        labels = np.array(["3"] * 60_000 + ["7"] * 5, dtype=object)
        return SimpleNamespace(data=np.broadcast_to(pixels, (60_005, 784)), target=labels)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch_openml)
    rows = data.load(name, binarize="threshold")
    openml_name = {"mnist": "mnist_784", "fashion_mnist": "Fashion-MNIST"}[name]
    assert calls == [((openml_name,), {"version": 1, "as_frame": False, "parser": "liac-arff"})]
    assert (rows.train.shape, rows.test.shape) == ((60_000, 784), (5, 784))
    assert (rows.image_shape, rows.name) == ((28, 28), name.replace("_", "-"))
    assert rows.test[0].tolist() == [int(j % 256 >= 128) for j in range(784)]
    assert set(rows.train_labels.tolist()) == {3}
    assert rows.test_labels.tolist() == [7] * 5


def test_openml_offline_names_the_remedy(no_data_folder, monkeypatch):
    def offline(*args, **options):
        raise URLError("no route")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", offline)
    with pytest.raises(RuntimeError) as caught:
        data.load("mnist")
    assert str(caught.value) == (
        "data.load: mnist could not be fetched from openml.org (<urlopen error no route>)."
        " Go online, or set NCG_FAST_DATA to a directory that holds mnist/mnist.npz."
    )


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_missing_scikit_learn_names_the_remedy(name, no_data_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(RuntimeError) as caught:
        data.load(name)
    assert re.fullmatch(
        r"data\.load: needs scikit-learn, got .*sklearn.*\."
        r' Run pip install "ncg_fast\[experiments\]"\.',
        str(caught.value),
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16, np.float32, np.float64])
def test_grey_binarisation_is_the_formula(dtype, tmp_path):
    # More rows than one block, and both parts from one stream.
    levels = np.random.default_rng(1).integers(0, 256, (9001, 3))
    values = levels.astype(dtype) if np.dtype(dtype).kind in "iu" else (levels / 255).astype(dtype)
    grey = values.astype(np.float64) / (255 if np.dtype(dtype).kind in "iu" else 1)
    path = save(tmp_path, train=values[:9000], test=values[9000:])
    stochastic = data.load(path, seed=3)
    uniforms = np.random.default_rng(3)
    np.testing.assert_array_equal(stochastic.train, uniforms.random((9000, 3)) <= grey[:9000])
    np.testing.assert_array_equal(stochastic.test, uniforms.random((1, 3)) <= grey[9000:])
    threshold = data.load(path, binarize="threshold")
    np.testing.assert_array_equal(threshold.train, grey[:9000] >= 0.5)
    assert stochastic.train.dtype == threshold.train.dtype == torch.uint8
    raw = data.load(path, binarize=None)
    assert raw.train.dtype == torch.float32
    np.testing.assert_array_equal(raw.train, grey[:9000].astype(np.float32))


def test_a_uniform_equal_to_the_grey_level_is_on(tmp_path, monkeypatch):
    path = save(tmp_path, train=np.array([[0.25, 0.5, 0.75]]), test=np.array([[0.5, 1.0, 0.0]]))
    fixed = SimpleNamespace(random=lambda shape: np.full(shape, 0.5))
    monkeypatch.setattr(np.random, "default_rng", lambda seed: fixed)
    rows = data.load(path)
    assert rows.train.tolist() == [[0, 1, 1]]
    assert rows.test.tolist() == [[1, 1, 0]]


def test_grey_extremes_and_threshold_boundary(tmp_path):
    path = save(
        tmp_path, train=np.tile(np.uint8([0, 127, 128, 255]), (2000, 1)), test=np.uint8([[9] * 4])
    )
    assert data.load(path, binarize="threshold").train[0].tolist() == [0, 0, 1, 1]
    means = data.load(path).train.double().mean(0)
    assert means[0] == 0
    assert means[3] == 1
    assert abs(means[1] - 127 / 255) < 5 * (0.25 / 2000) ** 0.5


def test_seed_decides_and_repeats(tmp_path):
    path = save(tmp_path, x=np.full((50, 40), 0.5))
    first, again, other = (data.load(path, seed=seed).train for seed in (0, 0, 2**63 - 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_zeros_and_ones_are_never_changed(tmp_path):
    states = np.random.default_rng(2).integers(0, 2, (30, 5))
    for dtype in (np.uint8, np.float32, bool, np.int32):
        path = save(tmp_path, train=states[:20].astype(dtype), test=states[20:].astype(dtype))
        for binarize in ("stochastic", "threshold", None):
            rows = data.load(path, binarize=binarize)
            assert rows.train.dtype == torch.uint8
            np.testing.assert_array_equal(rows.train, states[:20])
            np.testing.assert_array_equal(rows.test, states[20:])
