"""The command line: options that are refused before anything is printed, made or written."""

import json
from pathlib import Path

import pytest

from ncg_fast.cli import main

pytestmark = pytest.mark.usefixtures("one_thread", "own_folder")


@pytest.mark.parametrize(("side", "rows"), [(1, 4), (4, 32), (5, 50)])
def test_the_default_batch_is_no_larger_than_the_data_set(side, rows, capsys):
    args = ["train", "--data", f"bars-and-stripes-{side}", "--hidden", "3", "--epochs", "1"]
    assert main([*args, "--output", "run", "--no-figures"]) == 0
    assert json.loads(Path("run", "config.json").read_text())["batch_size"] == rows
    args = ["train", "--output", "run", "--resume", "--epochs", "2", "--no-figures"]
    assert main([*args, "--batch-size", str(rows)]) == 0
