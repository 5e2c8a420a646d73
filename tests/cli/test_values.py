"""The command line says what it took the values of a data set as, and is told their range."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import fails, fails_untouched

from ncg_fast.cli import main

pytestmark = pytest.mark.usefixtures("one_thread", "own_folder")
TRAIN = ["train", "--hidden", "3", "--epochs", "1", "--no-figures", "--threads", "1"]


@pytest.fixture
def six_levels(own_folder):
    np.save("rows.npy", np.arange(48).reshape(12, 4) % 6)


@pytest.mark.usefixtures("six_levels")
def test_levels_are_asked_for_said_and_kept(capsys):
    refused = r"ncg-fast train: data\.load: x of rows must hold values in \[0, 1\], got values in "
    refused += r"\[0, 5\]\. Pass levels=6 if 5 is the largest value that there can be\."
    fails(capsys, [*TRAIN, "--data", "rows.npy", "--output", "run"], 2, refused)
    assert not Path("run").exists()
    said = "value / 5 as probability of 1, drawn with seed 0"
    assert main([*TRAIN, "--data", "rows.npy", "--levels", "6", "--output", "run"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == f"Values    {said}"
    assert json.loads(Path("run", "config.json").read_text())["levels"] == 6
    assert main(["train", "--output", "run", "--resume", "--no-figures", "--quiet"]) == 0
    assert main(["evaluate", "run"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == f"Values: {said}"
    again = ["evaluate", "run", "--json", "--data", "rows.npy"]
    assert main([*again, "--levels", "11"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["values"] == "value / 10 as probability of 1, drawn with seed 0"
    fails(capsys, again, 2, refused.replace("train", "evaluate", 1))


@pytest.mark.usefixtures("six_levels")
def test_levels_of_evaluate_go_with_data(capsys):
    assert main([*TRAIN, "--data", "rows.npy", "--levels", "6", "--output", "run", "--quiet"]) == 0
    message = (
        r"ncg-fast evaluate: --levels and --alphabet must go with --data, got --levels alone\."
    )
    fails(capsys, ["evaluate", "run", "--levels", "6"], 2, rf"{message} Name the data set\.")


def test_levels_out_of_range(capsys):
    message = r"ncg-fast train: --levels must be at least 2, got 1\. See ncg-fast train --help\."
    fails_untouched(capsys, ["train", "--levels", "1"], message)


def test_sequences_are_trained_on(capsys):
    Path("family.fasta").write_text(4 * ">a\nAC-\n>b\nGU-\n>c\nGUA\n")
    args = [*TRAIN, "--data", "family.fasta", "--output", "run"]
    message = r"ncg-fast train: data\.load: alphabet must be given with a FASTA file, got None\. .*"
    fails(capsys, args, 2, message)
    assert main([*args, "--alphabet=-ACGU"]) == 0
    assert "RBM(15, 3, " in capsys.readouterr().out
    assert json.loads(Path("run", "config.json").read_text())["alphabet"] == "-ACGU"
    assert main(["evaluate", "run", "--data", "family.fasta", "--alphabet=-ACGU"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "Values: states one-hot in 5 units"
