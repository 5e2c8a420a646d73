"""The command line: runs that go on with other options of the run itself."""

import json

import pytest
from command_line import TINY, bits, fails, records

from ncg_fast.cli import main
from ncg_fast.training import checkpoint
from ncg_fast.training.checkpoint import load_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread", "own_folder")


def train(*args):
    assert main(["train", *args, "--no-figures", "--quiet"]) == 0


@pytest.mark.parametrize(
    "changed",
    [["--checkpoint-every", "2"], ["--nll-every", "3"], ["--checkpoint-every", "9"], []],
)
def test_a_run_goes_on_to_the_bits_of_one_never_stopped(changed, tmp_path):
    train(*TINY, "--output", "straight", "--epochs", "5")
    train(*TINY, "--output", "stopped", "--epochs", "2")
    train("--output", "stopped", "--resume", "--epochs", "5", *changed)
    assert bits(tmp_path / "straight") == bits(tmp_path / "stopped")
    found = records(tmp_path / "stopped")
    assert [each["epoch"] for each in found] == [1, 2, 3, 4, 5]
    assert len(load_checkpoint("stopped/checkpoint.safetensors")[1].history) == 5
    config = json.loads((tmp_path / "stopped" / "config.json").read_text())
    assert config["epochs"] == 5
    if changed:
        name = changed[0].removeprefix("--").replace("-", "_")
        assert config[name] == int(changed[1])


def test_checkpoints_come_as_often_as_the_resumed_run_says(tmp_path, monkeypatch):
    train(*TINY, "--output", "run", "--epochs", "1")
    seen, save = [], checkpoint.save_checkpoint

    def noted(path, rbm, state):
        seen.append(len(state.history))
        save(path, rbm, state)

    monkeypatch.setattr(checkpoint, "save_checkpoint", noted)
    train("--output", "run", "--resume", "--epochs", "6", "--checkpoint-every", "2")
    assert seen == [2, 4, 6]


@pytest.mark.parametrize("options", [["--lr-decay", "linear"], ["--average", "0.5"]])
def test_a_run_that_hangs_on_its_last_epoch_keeps_it(options, capsys):
    train(*TINY, *options, "--output", "run", "--epochs", "2")
    message = (
        r"ncg-fast train: --epochs must stay 2 with --resume, for its rates or averages depend on "
        r"the last of the 2, got 3\. Leave it out, or start a new run\."
    )
    fails(capsys, ["train", "--output", "run", "--resume", "--epochs", "3"], 2, message)
    train("--output", "run", "--resume", "--epochs", "2")


@pytest.mark.parametrize(
    ("key", "value", "limits"),
    [
        ("lr", -0.5, "at least 0"),
        ("density", 1.5, r"in \[0, 1\]"),
        ("steps", 0, "at least 1"),
        ("momentum", 1.25, r"in \[0, 1\]"),
        ("batch_size", -3, "at least 1"),
    ],
)
def test_a_run_whose_options_were_made_wrong_does_not_go_on(key, value, limits, tmp_path, capsys):
    train(*TINY, "--output", "run", "--epochs", "1")
    file = tmp_path / "run" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, key: value}))
    option = "--" + key.replace("_", "-")
    message = (
        rf"ncg-fast train: {option} must be {limits}, got {value}\. See ncg-fast train --help\."
    )
    fails(capsys, ["train", "--output", "run", "--resume", "--epochs", "2"], 2, message)
    assert json.loads(file.read_text())[key] == value
