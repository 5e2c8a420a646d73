"""The command line: options that are refused before anything is printed, made or written."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import TINY, fails, fails_untouched

from ncg_fast import RBM, data
from ncg_fast.cli import main

pytestmark = pytest.mark.usefixtures("one_thread", "own_folder")


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("side", "rows"), [(1, 4), (4, 10), (9, 20), (12, 50)])
@pytest.mark.parametrize("recipe", ["default", "paper"])
def test_the_default_batch_is_no_larger_than_suits_the_data_set(side, rows, recipe, capsys):
    args = ["train", "--data", f"bars-and-stripes-{side}", "--hidden", "3", "--epochs", "1"]
    args += ["--recipe", recipe, "--nll-every", "0", "--no-figures"]
    assert main([*args, "--output", "run"]) == 0
    rows = 100 if rows == 50 and recipe == "default" else rows
    assert json.loads(Path("run", "config.json").read_text())["batch_size"] == rows
    args = ["train", "--output", "run", "--resume", "--no-figures", "--quiet"]
    assert main([*args, "--batch-size", str(rows)]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lr", "-1"], r"--lr must be at least 0, got -1\.0"),
        (["--lr", "nan"], r"--lr must be finite and at least 0, got nan"),
        (
            ["--lr-strength", "inf"],
            r"--lr-strength must be finite and at most 3\.40282e\+38, got inf",
        ),
        (["--epochs", "0"], r"--epochs must be at least 1, got 0"),
        (["--steps", "0"], r"--steps must be at least 1, got 0"),
        (["--steps", "1" + 400 * "0"], r"--steps must be at most 2147483647, got 10{400}"),
        (["--hidden", "-2"], r"--hidden must be at least 1, got -2"),
        (["--density", "1.5"], r"--density must be in \[0, 1\], got 1\.5"),
        (["--weight-scale", "-1"], r"--weight-scale must be at least 0, got -1\.0"),
        (["--momentum", "1.1"], r"--momentum must be in \[0, 1\], got 1\.1"),
        (["--weight-decay", "-1"], r"--weight-decay must be at least 0, got -1\.0"),
        (["--batch-size", "0"], r"--batch-size must be at least 1, got 0"),
        (["--persistent", "--chains", "0"], r"--chains must be at least 1, got 0"),
        (["--seed", "-1"], r"--seed must be at least 0, got -1"),
        (["--nll-every", "-1"], r"--nll-every must be at least 0, got -1"),
        (["--checkpoint-every", "0"], r"--checkpoint-every must be at least 1, got 0"),
        (["--threads", "1000000"], r"--threads must be in \[1, 1024\], got 1000000"),
    ],
)
def test_options_out_of_range_are_refused_before_anything_happens(options, message, capsys):
    remedy = r"\. See ncg-fast train --help\."
    fails_untouched(capsys, ["train", *TINY, *options], f"ncg-fast train: {message}{remedy}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--no-persistent", "--chains", "5"],
            r"--chains must be left out without --persistent, got 5\. Leave it out, or add .*",
        ),
        (
            ["--batch-size", "17"],
            r"--batch-size must be at most the number of rows, 16, got 17\. Lower it, or leave .*",
        ),
        (
            ["--lr", "1e308"],
            r"--lr must be at most 3\.40282e\+38, got 1e\+308\. .*",
        ),
        (["--pattern", "spiral"], r"spiral_mask: n_hidden must be n_visible = 9, got 5\. .*"),
    ],
)
def test_options_that_do_not_go_together(options, message, capsys):
    fails_untouched(capsys, ["train", *TINY, *options], f"ncg-fast train: {message}")


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("evaluate", ["--chains", "0"], r"--chains must be at least 2, got 0\. See .*"),
        ("evaluate", ["--betas", "-5"], r"--betas must be at least 2, got -5\. See .*"),
        ("evaluate", ["--seed", "-1"], r"--seed must be at least 0, got -1\. See .*"),
        ("sample", ["--n", "0"], r"--n must be at least 1, got 0\. See .*"),
        ("sample", ["--steps", "0"], r"--steps must be at least 1, got 0\. See .*"),
        ("sample", ["--seed", "-1"], r"--seed must be at least 0, got -1\. See .*"),
        ("sample", ["--output", "a.npy", "a.jpg"], r"--output must end in \.npy or \.png, .*"),
        (
            "sample",
            ["--image-shape", "3x4"],
            r"--image-shape must have ROWS \* COLS = 9, got 3x4\. Leave label units out of it\.",
        ),
        ("sample", ["--image-shape", "0x9"], r"argument --image-shape: invalid ROWSxCOLS .*"),
        ("plot", ["--image-shape", "3x4"], r"--image-shape must have ROWS \* COLS = 9, .*"),
        ("plot", ["--image-shape", "2x4"], r"--image-shape must have ROWS \* COLS = 9, .*"),
    ],
)
def test_other_commands_refuse_before_they_write(command, options, message, trained, capsys):
    before = content(trained)
    args = [command, str(trained), *options]
    fails_untouched(capsys, args, f"ncg-fast {command}: {message}")
    assert content(trained) == before


def test_a_clamp_is_looked_at_before_anything_is_written(trained, capsys):
    before, args = (
        content(trained),
        ["sample", str(trained), "--steps", "1", "--clamp", "clamp.npy"],
    )
    for array, message in (
        (np.zeros(4), r"--clamp must have shape \(9,\) or \(64, 9\), got \(4,\)\. .*"),
        (np.float64(0), r"--clamp must have shape \(9,\) or \(64, 9\), got \(\)\. .*"),
        (np.zeros(9) * 1j, r"--clamp must be a \.npy file of numbers, got clamp\.npy: an .*"),
        (np.full(9, 2.0), r"RBM\.sample: clamp must hold only 0, 1 and NaN, .*"),
    ):
        np.save("clamp.npy", array)
        fails(capsys, args, 2, f"ncg-fast sample: {message}")
    assert content(trained) == before


def test_a_folder_that_is_missing_is_refused_before_sampling(trained, capsys):
    args = ["sample", str(trained), "--output", "a.npy", "none/a.npy"]
    message = r"ncg-fast sample: none/a\.npy must be writable, got No such folder: none\. .*"
    fails(capsys, args, 1, message)
    assert not list(Path.cwd().iterdir())


def test_epochs_that_are_refused_do_not_change_the_run(tmp_path, capsys):
    args = ["train", *TINY, "--output", "run", "--epochs", "2", "--quiet"]
    assert main(args) == 0
    before = content(tmp_path / "run")
    message = r"ncg-fast train: --epochs must be at least the 2 that run has done, got 1\. .*"
    fails(capsys, ["train", "--output", "run", "--resume", "--epochs", "1"], 2, message)
    assert content(tmp_path / "run") == before


def test_a_run_of_other_rows_is_refused_and_stays(tmp_path, capsys):
    np.save("rows.npy", np.eye(6, dtype=np.uint8))
    args = ["train", "--data", "rows.npy", "--hidden", "3", "--output", "run", "--no-figures"]
    assert main([*args, "--epochs", "1", "--quiet", "--lr-decay", "none"]) == 0
    before = content(tmp_path / "run")
    np.save("rows.npy", 1 - np.eye(6, dtype=np.uint8))
    args = ["train", "--output", "run", "--resume", "--epochs", "3", "--quiet"]
    fails(capsys, args, 2, r"ncg-fast train: fit: settings must be those of .*")
    assert content(tmp_path / "run") == before


def test_a_rate_that_breaks_the_machine_leaves_none(tmp_path, monkeypatch, capsys):
    args = ["train", *TINY, "--output", "run", "--epochs", "3", "--quiet", "--lr"]
    message = r"ncg-fast train: fit: parameters must stay finite, got NaN or infinity in step \d "
    nothing = r"\(epoch 1\)\. Lower lr; .* epoch 0, and there is no checkpoint\."
    fails(capsys, [*args, "6e37", "--weight-decay", "1e38"], 1, message + nothing)
    assert not (tmp_path / "run").exists()

    def break_in_the_second_epoch(*args, **options):
        calls.append(args)
        if len(calls) > 2:
            raise FloatingPointError
        return step(*args, **options)

    calls, step = [], RBM._train
    monkeypatch.setattr(RBM, "_train", break_in_the_second_epoch)
    saved = r"the last good checkpoint is \S+/run/checkpoint\.safetensors \(epoch 1\)\."
    one = rf"\(epoch 2\)\. .* {saved}"
    fails(capsys, [*args, "0.1"], 1, message + one)
    found = {path.name for path in (tmp_path / "run").iterdir()}
    assert found == {"config.json", "metrics.jsonl", "checkpoint.safetensors"}


def test_memory_that_does_not_suffice_is_no_traceback(monkeypatch, capsys):
    def exhausted(*_, **__):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr(data, "load", exhausted)
    message = "ncg-fast train: memory must hold the run, got Unable to allocate 9 TiB. "
    fails(capsys, ["train", *TINY], 1, message + r"Use fewer units or chains\.")
