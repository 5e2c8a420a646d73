"""The data set and the machine that the options of a run describe."""

import numpy as np
import pytest
import torch

from ncg_fast import RBM, data
from ncg_fast.experiments import config, setup
from ncg_fast.experiments.config import Config


@pytest.fixture
def grey(tmp_path):
    """Rows of grey values; a class is that of the first pixel, and some rows have none."""
    rng = np.random.default_rng(0)
    rows = {name: rng.random((n, 6)) for name, n in (("train", 20), ("test", 9))}
    labels = {f"y_{name}": np.arange(len(part)) % 4 - 1 for name, part in rows.items()}
    np.savez(tmp_path / "grey.npz", **rows, **labels)
    return str(tmp_path / "grey.npz")


@pytest.mark.parametrize("seed", [0, 5])
def test_the_seed_of_the_run_binarises(grey, seed):
    task, expected = setup.load(Config(data=grey, seed=seed)), data.load(grey, seed=seed)
    assert torch.equal(task.train.rows, expected.train)
    assert torch.equal(task.test.rows, expected.test)
    assert not torch.equal(expected.train, data.load(grey, seed=seed + 1).train)


def test_rows_of_no_class_are_left_out(grey):
    """Label -1 is that of several classes; 0 is a class."""
    task, whole = setup.load(Config(data=grey, labels=True)), data.load(grey)
    assert task.config.classes == (0, 1, 2)
    for part, rows, labels in (
        (task.train, whole.train, whole.train_labels),
        (task.test, whole.test, whole.test_labels),
    ):
        known = labels >= 0
        assert torch.equal(part.labels, labels[known])
        assert torch.equal(part.rows[:, :6], rows[known])
        assert torch.equal(part.rows[:, 6:], torch.eye(3, dtype=torch.uint8)[labels[known]])


def test_the_machine_has_the_options_of_the_run(grey):
    options = {"hidden": 7, "density": 0.3, "weight_init": "normal", "weight_scale": 0.7, "seed": 4}
    config = Config(data=grey, labels=True, visible_bias="zero", **options)
    rbm = setup.machine(setup.load(config))
    del options["hidden"]
    expected = RBM(9, 7, n_labels=3, **options)
    for name, value in expected.state_dict().items():
        assert torch.equal(value, rbm.state_dict()[name]), name
    assert (rbm.n_visible, rbm.n_hidden, rbm.n_labels) == (9, 7, 3)


def test_the_share_of_a_pattern_is_of_the_pixels(tmp_path):
    rows = np.random.default_rng(0).integers(2, size=(12, 6))
    np.savez(tmp_path / "rows.npz", x=rows, y=np.arange(12) % 3)
    options = {"hidden": 4, "pattern": "line", "density": 0.5, "labels": True}
    rbm = setup.machine(setup.load(Config(data=str(tmp_path / "rows.npz"), **options)))
    assert rbm.mask[:, :6].sum(1).tolist() == [3] * 4  # of 6 pixels, not of 9 units
    assert rbm.mask[:, 6:].all()


def test_a_whole_number_is_a_rate_in_config(tmp_path):
    (tmp_path / "config.json").write_text('{"lr": 1, "momentum": 0}')
    assert config.read(tmp_path) == Config(lr=1.0, momentum=0.0)
