"""From numbers to probabilities: scale, levels, and what load says it took values as."""

import doctest

import numpy as np
import pytest
import torch
from data_sets import error_of, save

from ncg_fast import data


def test_doctest():
    results = doctest.testmod(data.levels)
    assert results.attempted == 1
    assert results.failed == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_levels_are_divided_by_the_largest(dtype, tmp_path):
    values = np.arange(17).reshape(1, 17)
    path = save(tmp_path, train=values.astype(dtype), test=values[:, ::-1].astype(dtype))
    found = data.load(path, levels=17, binarize=None)
    np.testing.assert_array_equal(found.train, (values / 16).astype(np.float32))
    np.testing.assert_array_equal(found.test, (values[:, ::-1] / 16).astype(np.float32))
    assert found.taken_as == "value / 16 as probability of 1"


def test_levels_hold_where_only_the_darkest_occur(tmp_path):
    path = save(tmp_path, x=np.eye(4, dtype=np.uint8))
    found = data.load(path, levels=5, binarize=None)
    assert sorted(found.train.unique().tolist()) == [0.0, 0.25]
    assert data.load(path, levels=2).taken_as == "0 and 1 as they are"


@pytest.mark.parametrize(
    ("values", "actual", "remedy"),
    [
        ([[0, 6]], "values in [0, 6]", "Correct levels, or leave it out."),
        ([[-1, 5]], "values in [-1, 5]", "Correct levels, or leave it out."),
        ([[0.5, 5.0]], "values in [0.5, 5]", "Correct levels, or leave it out."),
        (
            [[np.nan, 5.0]],
            "NaN",
            "Leave out the rows or the columns where values are missing or infinite.",
        ),
    ],
)
def test_values_that_are_no_levels(values, actual, remedy, tmp_path):
    path = save(tmp_path, train=np.array(values), test=np.array(values))
    assert error_of(path, levels=6) == (
        "data.load: train of set must hold whole numbers from 0 to 5 with levels=6, got "
        f"{actual}. {remedy}"
    )


def test_levels_of_packed_bits_and_of_states(tmp_path):
    rule = (
        "data.load: levels must be left out where rows are states or packed bits, got 3. Drop it."
    )
    packed = save(tmp_path, x=np.ones((4, 1), np.uint8), d=3)
    assert error_of(packed, levels=3) == rule
    assert error_of(save(tmp_path, x=np.ones((4, 1), np.uint8), alphabet="abc"), levels=3) == rule


def test_what_rounding_put_outside_is_clipped(tmp_path):
    values = np.array([[-1e-6, 0.25], [1 + 1e-6, 0.5], [0.75, 1.0]])
    found = data.load(save(tmp_path, train=values, test=values), binarize=None)
    np.testing.assert_array_equal(found.train, np.clip(values, 0, 1).astype(np.float32))
    states = data.load(save(tmp_path, train=values[:, :1].round(5), test=values[:, :1].round()))
    assert set(states.train.unique().tolist()) <= {0, 1}


SAID = {
    ("stochastic", 3): "value / 255 as probability of 1, drawn with seed 3",
    ("threshold", 0): "1 where value / 255 >= 0.5",
    (None, 0): "value / 255 as probability of 1",
}


@pytest.mark.parametrize(("binarize", "seed"), SAID)
def test_load_says_what_it_took_values_as(binarize, seed, tmp_path):
    path = save(tmp_path, train=np.array([[0, 101]], np.uint8), test=np.array([[0, 1]], np.uint8))
    found = data.load(path, binarize=binarize, seed=seed)
    assert found.taken_as == SAID[binarize, seed]
    assert repr(found) == f"Dataset(set, train (1, 2), test (1, 2), {found.taken_as})"
    grey = data.load(save(tmp_path, x=np.full((4, 2), 0.5)), binarize=binarize, seed=seed)
    assert grey.taken_as == SAID[binarize, seed].replace(" / 255", "")


def test_digits_have_a_known_range():
    pytest.importorskip("sklearn")
    assert data.load("digits", levels=17).taken_as == (
        "value / 16 as probability of 1, drawn with seed 0"
    )
    assert error_of("digits", levels=16) == (
        "data.load: levels and alphabet must be left out for digits, got (16, None). "
        "Its values are known."
    )


def scale_error(*args):
    with pytest.raises(ValueError) as caught:
        data.scale(*args)
    return str(caught.value)


def test_scale_is_the_formula():
    x = torch.tensor([[-3.0, 1.0, 5.0]], dtype=torch.float64)
    assert data.scale(x, -3, 5).tolist() == [[0.0, 0.5, 1.0]]
    assert data.scale(x, -3, 5).dtype == torch.float64
    for values in (x.float(), x.to(torch.int8), x.numpy().astype(np.int16)):
        found = data.scale(values, -3, 5)
        assert (found.tolist(), found.dtype) == ([[0.0, 0.5, 1.0]], torch.float32)
    assert data.scale(np.array([-1, 1]), -1, 1).tolist() == [0.0, 1.0]
    missing = torch.tensor([0.0, torch.nan])
    assert data.scale(missing, 0, 1).isnan().tolist() == [False, True]
    assert data.scale(torch.zeros(0, 3), 0, 1).shape == (0, 3)


def test_scale_never_wraps_and_never_leaves_the_range():
    large = torch.tensor([0, 256, 2**62])
    assert data.scale(large, 0, 2**62).tolist() == [0.0, 2.0**-54, 1.0]
    third = torch.tensor([0.1, 0.3])  # float32 rounds one end up
    found = data.scale(third, 0.1, 0.3)
    assert found.min() >= 0 and found.max() == 1
    assert data.scale(third, 0.3 - 0.2, 0.3).max() == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            (torch.tensor([0, 256]), 0, 255),
            "x must hold values from low = 0 to high = 255, got values in [0, 256]. "
            "Pass the ends of the range that its values can have.",
        ),
        (
            (torch.tensor([0.0, 1.00001, torch.nan]).double(), 0, 1),
            "x must hold values from low = 0 to high = 1, got values in [0, 1.00001]. "
            "Pass the ends of the range that its values can have.",
        ),
        ((torch.ones(1), 1, 1), "high must be above low = 1.0, got 1.0. Pass the ends in order."),
        (([0, 1], 0, 1), "x must be a torch.Tensor, got list. Use torch.tensor(x)."),
        (
            (np.array(["a"]), 0, 1),
            "x must hold real numbers, got <U1. Convert it.",
        ),
        (
            (torch.ones(1, dtype=torch.complex64), 0, 1),
            "x must hold real numbers, got torch.complex64. Convert it.",
        ),
    ],
)
def test_scale_messages(args, message):
    assert scale_error(*args) == f"data.scale: {message}"


def test_numbers_that_differ_look_different():
    assert scale_error(torch.tensor([0.0, 1.000003]), 0, 1) == (
        "data.scale: x must hold values from low = 0 to high = 1, got values in [0, 1.000003]. "
        "Pass the ends of the range that its values can have."
    )
