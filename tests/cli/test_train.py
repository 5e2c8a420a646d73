"""The command line: help, usage and train."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import TINY, WITH_FIGURES, bits, fails, records

import ncg_fast
from ncg_fast import data, evaluation
from ncg_fast.cli import build_parser, main
from ncg_fast.training.checkpoint import load

pytestmark = pytest.mark.usefixtures("one_thread", "own_folder")

COMMANDS = "train", "evaluate", "sample", "plot", "info"


def test_help_spells_out_the_name_first_and_shows_every_command(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Network Connectivity Gradients (NCG): ")
    assert all(f"\n    {command} " in shown for command in COMMANDS)
    assert "examples:\n  ncg-fast train\n" in shown
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ncg-fast {ncg_fast.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command, capsys):
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Network Connectivity Gradients (NCG): ")
    assert f"usage: ncg-fast {command} " in shown
    assert re.search(r"\nexamples?:", shown)


def test_help_names_the_default_of_every_option_of_a_run(capsys):
    main(["train", "--help"])
    options = re.findall(r"^  (--[a-z-]+)(.*(?:\n {9,}.*)*)", capsys.readouterr().out, re.M)
    assert len(options) > 20
    without = {name for name, text in options if "(default:" not in text}
    assert without == {"--debug", "--resume", "--quiet", "--no-figures", "--tensorboard"}


def test_examples_of_help_are_valid(capsys):
    for command in COMMANDS:
        main([command, "--help"])
        text = capsys.readouterr().out.replace("\\\n", " ")
        examples = re.findall(r"ncg-fast \w+(?: (?!  )\S+)*", text.partition("example")[2])
        assert examples
        for example in examples:
            build_parser().parse_args(example.split()[1:])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "ncg-fast: the following arguments are required: COMMAND. See ncg-fast --help."),
        (["train", "--wrong"], "ncg-fast: unrecognized arguments: --wrong. See ncg-fast --help."),
        (
            ["train", "--rule", "set"],
            r"ncg-fast train: argument --rule: invalid choice: 'set' .*See ncg-fast train --help\.",
        ),
        (["train", "--lr", "fast"], "ncg-fast train: argument --lr: invalid float value: 'fast'.*"),
        (
            ["sample", "run", "--image-shape", "8"],
            "ncg-fast sample: argument --image-shape: invalid ROWSxCOLS value: '8'.*",
        ),
    ],
)
def test_wrong_usage(args, message, capsys):
    fails(capsys, args, 2, message)


@pytest.mark.parametrize("module", ["ncg_fast", "ncg_fast.cli"])
def test_the_package_is_a_program(module, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ncg-fast", "--version"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module(module, run_name="__main__")
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"ncg-fast {ncg_fast.__version__}\n"


def test_the_package_is_a_program_of_its_own():
    program = [sys.executable, "-m", "ncg_fast"]
    told = subprocess.run([*program, "info", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout)["ncg_fast"] == ncg_fast.__version__
    refused = subprocess.run([*program, "train", "--data", "nowhere.npy"], capture_output=True)
    assert refused.returncode == 2
    assert refused.stderr.startswith(b"ncg-fast train: data.load: name_or_path must be a sound ")


def test_figures_and_data_sets_are_not_imported_for_help():
    program = """
import sys
from ncg_fast.cli import main
assert main(["train", "--help"]) == 0
assert not {"matplotlib", "sklearn", "scipy", "safetensors.numpy"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


def test_train_fills_a_run_folder_and_sums_up(capsys, tmp_path):
    assert main(["train", *WITH_FIGURES, "--epochs", "5", "--output", "deep/run"]) == 0
    folder = tmp_path / "deep" / "run"
    names = {"config.json", "metrics.jsonl", "checkpoint.safetensors", "model.safetensors"}
    assert {path.name for path in folder.iterdir()} == names | {"figures"}
    figures = {path.stem for path in (folder / "figures").iterdir()}
    assert figures == {"filters", "samples", "chains", "curves", "degrees", "connectivity"}
    config = json.loads((folder / "config.json").read_text())
    assert (config["hidden"], config["steps"], config["image_shape"]) == (5, 2, [3, 3])
    assert [record["epoch"] for record in records(folder)] == [1, 2, 3, 4, 5]
    last = records(folder)[-1]
    progress = (
        rf"\nEpoch 5 of 5: NLL train {last['train_nll']:.2f}, test \S+ nats per row, density "
    )
    shown, err = capsys.readouterr()
    assert err == ""
    assert shown.startswith("Training in deep/run: bars-and-stripes-3, 16 rows, RBM(9, 5, density=")
    assert re.search(progress, shown)
    assert re.search(r"\nEpochs    5, \S+ s each\n", shown)
    assert re.search(
        rf"\nDensity   0\.\d+ -> {last['density']:.3f} \(\d+ connections switched on, ", shown
    )
    nll = f"train {last['train_nll']:.2f} ± {last['train_nll_error']:.2f}"
    assert f"\nNLL       {nll}, test " in shown
    assert " nats per row (log Z exact, by enumeration of 5 units)\n" in shown
    assert "\nFigures   deep/run/figures\n" in shown


def test_the_nll_of_the_last_epoch_is_estimated_where_no_epoch_asked_for_it(capsys):
    args = ["train", *TINY, "--epochs", "3", "--output", "run", "--nll-every"]
    assert main([*args, "2"]) == 0
    shown = re.search(r"NLL       train (\S+) ± (\S+), ", capsys.readouterr().out)
    likelihood = evaluation.log_likelihood(load("run/model.safetensors"), rows_of("run"))
    assert (float(shown[1]), float(shown[2])) == (
        round(-likelihood.mean, 2),
        round(likelihood.standard_error, 2),
    )
    assert main([*args[:-2], "other", "--nll-every", "0"]) == 0
    assert "NLL" not in capsys.readouterr().out


def rows_of(folder):
    return data.load(json.loads(Path(folder, "config.json").read_text())["data"]).train


def test_quiet_prints_nothing(capsys):
    assert main(["train", *TINY, "--epochs", "1", "--output", "run", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_folders_are_numbered_and_the_seed_fixes_the_bits(tmp_path):
    for seed in (0, 0, 1):
        args = ["train", *TINY, "--epochs", "2", "--quiet", "--seed", str(seed)]
        assert main(args) == 0
    runs = [tmp_path / "runs" / f"bars-and-stripes-3-{n}" for n in (1, 2, 3)]
    assert bits(runs[0]) == bits(runs[1]) != bits(runs[2])
    assert records(runs[0]) == records(runs[1])


@pytest.mark.parametrize(
    "options",
    [
        ["--pattern", "line", "--density", "0.3"],
        ["--pattern", "convolution", "--hidden", "4"],
        ["--pattern", "dense", "--rule", "static"],
        ["--persistent", "--chains", "3", "--momentum", "0.5", "--weight-decay", "0.01"],
        ["--weight-init", "normal", "--weight-scale", "0.01", "--binarize", "threshold"],
    ],
)
def test_options_of_a_machine(options, tmp_path):
    args = ["train", *TINY, *options, "--epochs", "1", "--output", "run", "--quiet"]
    assert main(args) == 0
    mask = load("run/model.safetensors").mask
    if options[:2] == ["--pattern", "line"]:
        assert records(tmp_path / "run")[0]["hidden_degree_max"] <= 9
    if "static" in options:
        assert mask.all()


@pytest.mark.parametrize("start", ["data", "zero"])
def test_visible_biases_start_at_the_data_or_at_zero(start):
    args = ["train", *TINY, "--lr", "0", "--epochs", "1", "--output", "run", "--quiet"]
    assert main([*args, "--visible-bias", start]) == 0
    mean = (rows_of("run").double().sum(0) + 1) / 18
    expected = torch.logit(mean) if start == "data" else torch.zeros(9)
    assert torch.equal(load("run/model.safetensors").visible_bias.detach(), expected.float())


def test_line_pattern_sees_the_share_that_density_says():
    args = ["train", *TINY, "--pattern", "line", "--density", "0.34", "--rule", "static"]
    assert main([*args, "--epochs", "1", "--output", "run", "--quiet"]) == 0
    assert load("run/model.safetensors").mask.sum(1).tolist() == [3] * 5


def test_grey_rows_are_trained_without_nll(tmp_path, capsys):
    np.savez("grey.npz", x=np.random.default_rng(0).random((20, 6)))
    args = ["train", *TINY[2:], "--data", "grey.npz", "--binarize", "none", "--epochs", "2"]
    assert main([*args, "--output", "run"]) == 0
    assert "NLL" not in capsys.readouterr().out
    assert records(tmp_path / "run")[0]["train_nll"] is None


def test_a_folder_that_is_not_empty_is_left_alone(trained, capsys):
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    message = f"ncg-fast train: --output must be a new or empty folder, got {trained}, which is "
    message += r"not\. Choose another, or go on with that run: --resume\."
    fails(capsys, ["train", *TINY, "--output", str(trained)], 2, message)
    assert before == {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}


def test_a_run_that_never_started_leaves_its_folder_free(tmp_path, capsys):
    args = ["train", *TINY, "--output", "run", "--batch-size", "99"]
    message = r"ncg-fast train: --batch-size must be at most the number of rows, 16, got 99\..*"
    fails(capsys, args, 2, message)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hidden", "0"], r"--hidden must be at least 1, got 0\. .*"),
        (["--threads", "0"], r"--threads must be in \[1, 1024\], got 0\. .*"),
        (["--data", "nowhere"], r"data\.load: name_or_path must be .*, got 'nowhere'\. .*"),
        (
            ["--labels"],
            r"--labels must go with a data set that has labels, got bars-and-stripes-3\. .*",
        ),
        (["--resume"], r"--resume needs --output, got none\. Name the run folder\."),
        (
            ["--resume", "--output", "nowhere"],
            r"run folder must hold config\.json, got nowhere\. .*",
        ),
    ],
)
def test_wrong_options_of_train(options, message, capsys):
    fails(capsys, ["train", *TINY, *options], 2, f"ncg-fast train: {message}")


def test_what_the_machine_or_the_disk_lacks_has_status_1(monkeypatch, capsys):
    Path("file").touch()
    args = ["train", *TINY, "--output", "file/run"]
    message = "ncg-fast train: --output must be a folder that can be written, got file/run "
    fails(capsys, args, 1, message + r"\((Not a directory|File exists)\)\. Pass another folder\.")
    message = "ncg-fast train: fit: parameters must stay finite, .*"
    fails(capsys, ["train", *TINY, "--lr", "6e37", "--momentum", "1"], 1, message)

    def unreachable(*_, **__):
        raise RuntimeError("data.load: out of\nreach.")

    monkeypatch.setattr(data, "load", unreachable)
    fails(capsys, ["train", *TINY], 1, r"ncg-fast train: data\.load: out of reach\.")
    assert main(["train", *TINY, "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_without_matplotlib_a_run_keeps_its_machine(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["train", *WITH_FIGURES, "--epochs", "1", "--output", "run"]) == 0
    assert "\nFigures   none: plotting: needs matplotlib" in capsys.readouterr().out
    assert (tmp_path / "run" / "model.safetensors").exists()
