"""The command line: runs that stop and go on, and files that are not what they should be."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from command_line import TINY, WITH_FIGURES, bits, fails, records
from full_disk import full_for

from ncg_fast import data
from ncg_fast.cli import main
from ncg_fast.experiments import run_folder
from ncg_fast.training import checkpoint
from ncg_fast.training.checkpoint import load_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread", "own_folder")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_goes_on_to_the_same_bits(stop, tmp_path):
    options = [*TINY, "--persistent", "--momentum", "0.5", "--nll-every", "0"]
    command = [sys.executable, "-m", "ncg_fast.cli", "train", *options, "--epochs", "1000000"]
    folder = tmp_path / "stopped"
    process = subprocess.Popen(
        [*command, "--output", str(folder)], stderr=subprocess.PIPE, text=True
    )
    metrics, deadline = folder / "metrics.jsonl", time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if metrics.exists() and metrics.read_text().count("\n") >= 3:
            break
        time.sleep(0.02)
    process.send_signal(stop)
    _, shown = process.communicate(timeout=60)
    n_done = len(load_checkpoint(folder / "checkpoint.safetensors")[1].history)
    if stop == signal.SIGINT:
        assert process.returncode == 130
        lead = f"ncg-fast train: stopped after epoch {n_done} of 1000000. "
        assert shown == f"{lead}Go on with: ncg-fast train --output {folder} --resume\n"
        assert len(records(folder)) == n_done
    with metrics.open("a") as file:
        file.write('{"epoch": 999')  # a line that was cut off
    epochs = ["--epochs", str(n_done + 2), "--quiet"]
    assert main(["train", "--output", str(folder), "--resume", *epochs]) == 0
    assert main(["train", *options, *epochs, "--output", "straight"]) == 0
    assert bits(folder) == bits(tmp_path / "straight")
    assert records(folder) == records(tmp_path / "straight")


def test_ctrl_c_outside_the_epochs(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "load", interrupted)
    fails(capsys, ["train", *TINY], 130, "ncg-fast train: stopped")


def test_resume_keeps_the_options_of_the_run(tmp_path, capsys):
    args = ["train", *TINY, "--lr", "0.2", "--output", "run", "--quiet"]
    assert main([*args, "--epochs", "2"]) == 0
    message = r"ncg-fast train: --lr must stay 0\.2 with --resume, got 0\.1\. Leave it out, .*"
    fails(capsys, ["train", "--output", "run", "--resume", "--lr", "0.1"], 2, message)
    assert main(["train", "--output", "run", "--resume", "--epochs", "3", "--quiet"]) == 0
    assert len(records(tmp_path / "run")) == 3
    assert json.loads((tmp_path / "run" / "config.json").read_text())["epochs"] == 3


FULL = r" must be writable, got No space left on device\. Free space or choose another path; .*"


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "checkpoint.safetensors"])
def test_a_run_that_finds_no_space_frees_its_folder(name, monkeypatch, tmp_path, capsys):
    args = ["train", *TINY, "--epochs", "1", "--output", "run"]
    with monkeypatch.context() as patch:
        full_for(patch, name)
        fails(capsys, args, 1, rf"ncg-fast train: (save_checkpoint: )?\S*run/{name}{FULL}")
    assert not (tmp_path / "run").exists()
    assert main(args) == 0


def test_what_a_killed_run_left_half_written_is_no_obstacle(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".config.json.0123456789abcdef.tmp").write_text("{")
    assert main(["train", *TINY, "--epochs", "1", "--output", "run", "--quiet"]) == 0
    assert not [path for path in (tmp_path / "run").iterdir() if path.name.startswith(".")]


def test_a_run_without_space_for_its_figures_keeps_its_machine(monkeypatch, tmp_path, capsys):
    full_for(monkeypatch, "samples.png")
    assert main(["train", *WITH_FIGURES, "--epochs", "1", "--output", "run"]) == 0
    shown = capsys.readouterr().out
    path = "run/figures/samples.png"
    assert re.search(rf"\nFigures   not all: save_run_figures: {path}{FULL}\n", shown)
    assert "\nTime      " in shown
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert [path.name for path in (tmp_path / "run" / "figures").iterdir()] == ["filters.png"]


@pytest.mark.parametrize("name", ["a.npy", "a.png"])
def test_samples_that_find_no_space_leave_the_earlier_file(name, trained, monkeypatch, capsys):
    args = ["sample", str(trained), "--n", "2", "--steps", "1", "--output", name]
    assert main(args) == 0
    capsys.readouterr()
    before = Path(name).read_bytes()
    full_for(monkeypatch, name)
    fails(capsys, [*args, "--seed", "5"], 1, f"ncg-fast sample: {name}{FULL}")
    assert Path(name).read_bytes() == before
    assert [path.name for path in Path.cwd().iterdir()] == [name]


@pytest.mark.parametrize("command", ["evaluate", "sample", "plot"])
@pytest.mark.parametrize("kept", [0, 100, -1])
def test_truncated_models(command, kept, trained, tmp_path, capsys):
    path = tmp_path / "model.safetensors"
    path.write_bytes((trained / "model.safetensors").read_bytes()[:kept])
    message = rf"ncg-fast {command}: load: {path} must be a checkpoint of ncg_fast, got .*"
    args = [command, str(path)]
    fails(capsys, [*args, "--data", "digits"] if command == "evaluate" else args, 2, message)


def test_foreign_models_and_folders(tmp_path, capsys):
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, "other.safetensors")
    message = (
        r"ncg-fast plot: load: other.safetensors must be .*, got a safetensors file of another.*"
    )
    fails(capsys, ["plot", "other.safetensors"], 2, message)
    message = r"ncg-fast plot: run folder must hold checkpoint.safetensors or model.safetensors, .*"
    fails(capsys, ["plot", str(tmp_path)], 2, message)
    fails(capsys, ["plot", "missing"], 2, "ncg-fast plot: load: missing must be a checkpoint.*")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting"),
        ("[]", "other keys"),
        ('{"layers": 2}', "other keys"),
        ('{"data": 5}', "data = 5"),
        ('{"image_shape": "3x3"}', "image_shape = '3x3'"),
        ('{"lr_strength": "fast"}', "lr_strength = 'fast'"),
    ],
)
def test_damaged_config(text, message, trained, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes((trained / "model.safetensors").read_bytes())
    (folder / "config.json").write_text(text)
    message = f"ncg-fast plot: run/config.json must be sound, got {message}.*"
    fails(capsys, ["plot", "run"], 2, message)


def test_a_damaged_checkpoint_is_not_resumed(trained, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("config.json", "metrics.jsonl"):
        (folder / name).write_bytes((trained / name).read_bytes())
    whole = (trained / "checkpoint.safetensors").read_bytes()
    (folder / "checkpoint.safetensors").write_bytes(whole[:-5])
    before = (folder / "metrics.jsonl").read_bytes()
    message = "ncg-fast train: load_checkpoint: run/checkpoint.safetensors must be .*"
    fails(capsys, ["train", "--output", "run", "--resume"], 2, message)
    assert (folder / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "actual"), [("{", "Expecting .*"), ("5\n", r"a line of another kind")]
)
def test_damaged_metrics(text, actual, trained, tmp_path, capsys):
    (tmp_path / "model.safetensors").write_bytes((trained / "model.safetensors").read_bytes())
    (tmp_path / "metrics.jsonl").write_text(text)
    message = rf"\S+/metrics\.jsonl must hold one JSON record a line, got {actual}\. Remove .*\."
    fails(capsys, ["plot", str(tmp_path)], 2, f"ncg-fast plot: {message}")


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl"])
def test_folders_in_place_of_files(name, trained, tmp_path, capsys):
    (tmp_path / "model.safetensors").write_bytes((trained / "model.safetensors").read_bytes())
    (tmp_path / name).mkdir()
    message = rf"ncg-fast plot: \S+/{name} must .*, got Is a directory\. [A-Z].*\."
    fails(capsys, ["plot", str(tmp_path)], 2, message)


def test_a_run_that_goes_on_is_ahead_of_its_model(capsys):
    assert main(["train", *TINY, "--epochs", "1", "--output", "run", "--quiet"]) == 0
    model = Path("run", "model.safetensors").read_bytes()
    assert main(["train", "--output", "run", "--resume", "--epochs", "3", "--quiet"]) == 0
    ahead = run_folder.open_model("run")[0]
    Path("run", "model.safetensors").write_bytes(model)  # as after Ctrl-C in the second epoch
    assert torch.equal(run_folder.open_model("run")[0].weight, ahead.weight)


def test_a_resumption_that_finds_no_room_leaves_the_folder(monkeypatch, capsys):
    assert main(["train", *TINY, "--epochs", "1", "--output", "run", "--quiet"]) == 0
    before = {path.name: path.read_bytes() for path in Path("run").iterdir() if path.is_file()}

    def full(*_):
        raise OSError("save_checkpoint: no room")

    monkeypatch.setattr(checkpoint, "save_checkpoint", full)
    assert main(["train", "--output", "run", "--resume", "--epochs", "3", "--quiet"]) == 1
    after = {path.name: path.read_bytes() for path in Path("run").iterdir() if path.is_file()}
    assert after == before
