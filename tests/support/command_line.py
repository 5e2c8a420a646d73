"""Small runs of the command line, and what they leave behind, for its tests."""

import json
import re
from pathlib import Path

from ncg_fast.cli import main
from ncg_fast.training.checkpoint import load

WITH_FIGURES = ["--data", "bars-and-stripes-3", "--hidden", "5", "--batch-size", "6"]
WITH_FIGURES += ["--steps", "2", "--threads", "1", "--lr-decay", "none"]  # may go on for longer
TINY = [*WITH_FIGURES, "--no-figures"]


def fails(capsys, args, status, message):
    """The command ends with this status and says this, in one line."""
    assert main(args) == status
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert shown.count("\n") == 1, shown
    assert re.fullmatch(message, shown.rstrip("\n")), shown


def fails_untouched(capsys, args, message):
    """The command is refused, and neither prints nor makes anything."""
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(message + "\n", err), err
    assert not list(Path.cwd().iterdir())


def records(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{**json.loads(line), "seconds": None} for line in lines]


def bits(folder):
    state = load(folder / "model.safetensors").state_dict()
    return {name: value.numpy().tobytes() for name, value in state.items()}
