"""Files of few rows: a part for training and a part for testing, or a message."""

import numpy as np
import pytest
import torch
from data_sets import save

from ncg_fast import data


@pytest.mark.parametrize("n", [2, 3, 4, 5, 9, 10])
def test_few_rows_are_split_so_that_both_parts_have_some(tmp_path, n):
    """The last n // 5 of numpy's permutation, at least one, are for testing."""
    rows = (np.arange(4 * n).reshape(n, 4) % 7 < 3).astype(np.uint8)
    rows[:, 0] = np.arange(n) % 2
    found = data.load(save(tmp_path, x=rows))
    order, n_test = np.random.default_rng(0).permutation(n), max(n // 5, 1)
    assert torch.equal(found.train, torch.from_numpy(rows[order[: n - n_test]]))
    assert torch.equal(found.test, torch.from_numpy(rows[order[n - n_test :]]))


@pytest.mark.parametrize("n", [0, 1])
def test_rows_that_cannot_be_split_are_refused(tmp_path, n):
    with pytest.raises(ValueError, match=r"^data\.load: .* must .*, got "):
        data.load(save(tmp_path, x=np.ones((n, 4), dtype=np.uint8)))


@pytest.mark.parametrize("grey", ["train", "test"])
def test_both_parts_are_grey_where_one_is(tmp_path, grey):
    """The other then holds grey values that happen to be the darkest two."""
    parts = {name: np.eye(4, dtype=np.uint8) for name in ("train", "test")}
    parts[grey] = parts[grey] * 200
    found = data.load(save(tmp_path, **parts), binarize="threshold")
    assert torch.equal(getattr(found, grey), torch.eye(4, dtype=torch.uint8))
    other = found.test if grey == "train" else found.train
    assert not other.any()
