"""What commands print of training and test rows: sets of unequal size and content."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import records

from ncg_fast import evaluation
from ncg_fast.cli import main
from ncg_fast.evaluation import with_labels
from ncg_fast.training.checkpoint import load

pytestmark = pytest.mark.usefixtures("one_thread", "own_folder")

N_TRAIN, N_TEST, N_PIXELS, N_CLASSES = 23, 9, 8, 3


def rows_of(n, seed):
    """Noisy prototypes of the classes; the two sets have different shares of them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, N_CLASSES - (seed == 1), n)
    prototypes = np.random.default_rng(9).random((N_CLASSES, N_PIXELS)) < 0.5
    return (prototypes[labels] ^ (rng.random((n, N_PIXELS)) < 0.15)).astype(np.uint8), labels


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    (train, y_train), (test, y_test) = rows_of(N_TRAIN, 0), rows_of(N_TEST, 1)
    path = tmp_path_factory.mktemp("sets") / "rows.npz"
    np.savez(path, train=train, test=test, y_train=y_train, y_test=y_test)
    return path, (train, y_train), (test, y_test)


def whole(part):
    """Rows with their label units."""
    rows, labels = (torch.from_numpy(array) for array in part)
    return with_labels(rows, labels, N_CLASSES)


def metrics(folder):
    lines = Path(folder, "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def run(sets, capsys):
    """What training says, and the machine."""
    args = ["train", "--data", str(sets[0]), "--labels", "--hidden", "6", "--batch-size", "5"]
    args += ["--epochs", "8", "--nll-every", "4", "--lr", "0.5", "--output", "run", "--no-figures"]
    assert main([*args, "--threads", "1"]) == 0
    return capsys.readouterr().out, load("run/model.safetensors")


def test_the_summary_of_training(run, sets, tmp_path):
    shown, rbm = run
    _, train, test = sets
    expected = [evaluation.log_likelihood(rbm, whole(part)) for part in (train, test)]
    words = ", ".join(
        f"{name} {-found.mean:.2f} ± {found.standard_error:.2f}"
        for name, found in zip(("train", "test"), expected, strict=True)
    )
    assert f"\nNLL       {words} nats per row (log Z exact" in shown
    by = {"method": "label_units"}
    shares = [
        evaluation.accuracy(rbm, torch.from_numpy(rows), torch.from_numpy(labels), **by)
        for rows, labels in (train, test)
    ]
    assert shares[0] != shares[1]
    assert f"\nAccuracy  train {shares[0]:.4f}, test {shares[1]:.4f}\n" in shown
    every = records(tmp_path / "run")
    assert [each["epoch"] for each in every if each["train_nll"] is not None] == [4, 8]
    for epoch in (4, 8):
        last = every[epoch - 1]
        nll = f"NLL train {last['train_nll']:.2f}, test {last['test_nll']:.2f} nats per row"
        line = f"Epoch {epoch} of 8: {nll}, density {last['density']:.3f}\n"
        assert line in shown
    assert every[-1]["train_nll"] == -expected[0].mean
    assert every[-1]["test_nll"] == -expected[1].mean
    assert every[-1]["train_nll_error"] == expected[0].standard_error
    assert every[-1]["test_nll_error"] == expected[1].standard_error
    n_on, n_off = (sum(each[f"switched_{way}"] for each in every) for way in ("on", "off"))
    assert n_on != n_off
    assert f" ({n_on} connections switched on, {n_off} off)\n" in shown
    seconds = sum(each["seconds"] for each in metrics("run")) / 8
    assert f"\nEpochs    8, {seconds:.3g} s each\n" in shown
    assert re.search(rf"^Training in run: .*, {N_TRAIN} rows, RBM", shown)


def test_evaluation_of_both_sets(run, sets, capsys):
    _, rbm = run
    assert main(["evaluate", "run", "--json", "--threads", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    for name, part in zip(("train", "test"), sets[1:], strict=True):
        v, measured = whole(part), found[name]
        rows, labels = (torch.from_numpy(array) for array in part)
        likelihood = evaluation.log_likelihood(rbm, v)
        pseudo = -evaluation.pseudo_log_likelihood(rbm, v)
        assert measured["rows"] == len(v)
        assert measured["nll"] == -likelihood.mean
        assert measured["nll_standard_error"] == likelihood.standard_error
        assert measured["pseudo_nll"] == float(pseudo.mean())
        error = float(np.std(pseudo.numpy(), ddof=1)) / math.sqrt(len(v))
        assert measured["pseudo_nll_standard_error"] == pytest.approx(error)
        for method in ("label_units", "free_energy"):
            expected = evaluation.accuracy(rbm, rows, labels, method=method)
            assert measured[f"accuracy_{method}"] == expected
    assert {found[name]["rows"] for name in ("train", "test")} == {N_TRAIN, N_TEST}
    assert main(["evaluate", "run", "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    for start, key in (("NLL", "nll"), ("pseudo-NLL", "pseudo_nll")):
        (line,) = (each for each in lines if each.startswith(start))
        values = [
            f"{found[name][key]:.3f} ± {found[name][f'{key}_standard_error']:.3f}"
            for name in ("train", "test")
        ]
        assert re.search(rf" {re.escape(values[0])} +{re.escape(values[1])}$", line)
    (line,) = (each for each in lines if each.startswith("rows"))
    assert line.split() == ["rows", str(N_TRAIN), str(N_TEST)]
    (line,) = (each for each in lines if each.startswith("accuracy label units"))
    shares = [f"{found[name]['accuracy_label_units']:.4f}" for name in ("train", "test")]
    assert line.split()[-2:] == shares


@pytest.mark.parametrize(("density", "n_on"), [("0.45", 4), ("0.3", 2), ("0.05", 1), ("1", 8)])
def test_a_pattern_sees_the_nearest_share(sets, density, n_on):
    """0.45 of 8 units is 3.6 and rounds up, 0.3 is 2.4; one at least."""
    args = ["train", "--data", str(sets[0]), "--hidden", "5", "--pattern", "line", "--quiet"]
    args += ["--density", density, "--rule", "static", "--epochs", "1", "--output", "run"]
    assert main([*args, "--no-figures", "--threads", "1"]) == 0
    assert load("run/model.safetensors").mask.sum(1).tolist() == [n_on] * 5
