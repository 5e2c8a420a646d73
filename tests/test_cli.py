import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import ncg_fast
from ncg_fast import data, evaluation
from ncg_fast.checkpoint import load, load_checkpoint
from ncg_fast.cli import build_parser, main
from ncg_fast.rbm import RBM

COMMANDS = "train", "evaluate", "sample", "plot", "info"
TINY = ["--data", "bars-and-stripes-3", "--hidden", "5", "--batch-size", "6", "--steps", "2"]
WITH_FIGURES = [*TINY, "--threads", "1"]
TINY = [*WITH_FIGURES, "--no-figures"]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", *WITH_FIGURES, "--epochs", "4", "--output", str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A run on rows whose classes 3, 5, 7 are their first pixels."""
    folder = tmp_path_factory.mktemp("labelled")
    rows = np.eye(3, dtype=np.uint8).repeat(2, 1)[np.arange(30) % 3]
    labels = np.array([3, 5, 7])[np.arange(30) % 3]
    np.savez(folder / "rows.npz", train=rows, test=rows, y_train=labels, y_test=labels)
    args = ["--labels", "--hidden", "8", "--batch-size", "5", "--epochs", "60", "--lr", "0.5"]
    args += ["--data", str(folder / "rows.npz"), "--output", str(folder / "run"), "--threads", "1"]
    assert main(["train", *args, "--quiet", "--no-figures"]) == 0
    return folder / "run"


def fails(capsys, args, status, message):
    """The command ends with this status and says this, in one line."""
    assert main(args) == status
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert shown.count("\n") == 1, shown
    assert re.fullmatch(message, shown.rstrip("\n")), shown


def records(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{**json.loads(line), "seconds": None} for line in lines]


def bits(folder):
    state = load(folder / "model.safetensors").state_dict()
    return {name: value.numpy().tobytes() for name, value in state.items()}


# --- help and usage ---


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
    assert without == {"--debug", "--resume", "--quiet", "--no-figures"}


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


def test_figures_and_data_sets_are_not_imported_for_help():
    program = """
import sys
from ncg_fast.cli import main
assert main(["train", "--help"]) == 0
assert not {"matplotlib", "sklearn", "scipy", "safetensors.numpy"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


# --- train ---


def test_train_fills_a_run_folder_and_sums_up(capsys, tmp_path):
    assert main(["train", *WITH_FIGURES, "--epochs", "5", "--output", "deep/run"]) == 0
    folder = tmp_path / "deep" / "run"
    names = {"config.json", "metrics.jsonl", "checkpoint.safetensors", "model.safetensors"}
    assert {path.name for path in folder.iterdir()} == names | {"figures"}
    figures = {path.stem for path in (folder / "figures").iterdir()}
    assert figures == {"filters", "samples", "curves", "degrees", "connectivity"}
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
    message = r"ncg-fast train: fit: batch_size must be at most the number of rows, 16, got 99\..*"
    fails(capsys, args, 2, message)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hidden", "0"], r"RBM: n_hidden must be at least 1, got 0\."),
        (["--threads", "0"], r"--threads must be at least 1, got 0\."),
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
        (["--chains", "5"], r"fit: n_chains must be left out without persistent, got 5\. .*"),
    ],
)
def test_wrong_options_of_train(options, message, capsys):
    fails(capsys, ["train", *TINY, *options], 2, f"ncg-fast train: {message}")


def test_what_the_machine_or_the_disk_lacks_has_status_1(monkeypatch, capsys):
    Path("file").touch()
    args = ["train", *TINY, "--output", "file/run"]
    fails(capsys, args, 1, r"ncg-fast train: file(/run)?: (Not a directory|File exists)")
    message = "ncg-fast train: fit: parameters must stay finite, .*"
    fails(capsys, ["train", *TINY, "--lr", "3e38", "--momentum", "1"], 1, message)

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


# --- stop and go on ---


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
    message = r"ncg-fast train: fit: epochs must be at least the 2 that .* has done, got 1\."
    fails(capsys, ["train", "--output", "run", "--resume", "--epochs", "1"], 2, message)
    assert main(["train", "--output", "run", "--resume", "--epochs", "3", "--quiet"]) == 0
    assert len(records(tmp_path / "run")) == 3
    assert json.loads((tmp_path / "run" / "config.json").read_text())["epochs"] == 3


# --- the other commands ---


def test_evaluate_reports_what_the_library_computes(trained, capsys):
    assert main(["evaluate", str(trained), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rbm, rows = load(trained / "model.safetensors"), data.load("bars-and-stripes-3").train
    expected = evaluation.log_likelihood(rbm, rows)
    assert found["train"]["nll"] == -expected.mean
    assert found["train"]["nll_standard_error"] == expected.standard_error
    assert found["log_partition"] == evaluation.log_partition(rbm)
    assert found["log_partition_standard_error"] == 0
    assert main(["evaluate", str(trained)]) == 0
    shown = capsys.readouterr().out
    assert f"{-expected.mean:.3f} ± {expected.standard_error:.3f}" in shown
    assert "(log Z exact, by enumeration of 5 units)" in shown


def test_evaluate_a_file_alone_by_ais(capsys):
    np.savez("rows.npz", x=np.random.default_rng(0).integers(0, 2, (12, 26), dtype=np.uint8))
    ncg_fast.save(RBM(26, 26, weight_scale=0.1), "model.safetensors")
    args = ["evaluate", "model.safetensors", "--data", "rows.npz", "--threads", "1"]
    assert main([*args, "--betas", "30", "--chains", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["method"] == "log Z by AIS: 20 chains, 30 temperatures"
    assert found["log_partition_standard_error"] > 0
    message = "ncg-fast evaluate: --data must be given where config.json is not beside the model.*"
    fails(capsys, args[:2], 2, message)


def test_labels_are_learned_evaluated_and_clamped(labelled, capsys):
    assert main(["evaluate", str(labelled), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["test"]["accuracy_label_units"] == 1
    assert found["test"]["accuracy_free_energy"] == 1
    assert json.loads((labelled / "config.json").read_text())["classes"] == [3, 5, 7]
    args = ["sample", str(labelled), "--label", "5", "--n", "9", "--output", "five.npy"]
    assert main(args) == 0
    samples = np.load("five.npy")
    assert samples.shape == (9, 9) and (samples[:, 6:] == [0, 1, 0]).all()
    assert samples[:, 2:4].mean() > samples[:, [0, 1, 4, 5]].mean() + 0.5
    message = r"ncg-fast sample: --label must be a class of the machine, \[3, 5, 7\], got 4\. .*"
    fails(capsys, ["sample", str(labelled), "--label", "4"], 2, message)
    assert main(["evaluate", str(labelled)]) == 0
    assert re.search(r"\naccuracy label units +1.0000 +1.0000\n", capsys.readouterr().out)


def test_train_with_labels_reports_accuracy(labelled, capsys):
    args = ["train", "--output", str(labelled), "--resume", "--epochs", "61", "--no-figures"]
    assert main(args) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Resuming in {labelled}: rows, 30 rows, RBM(9, 8, ")
    assert "\nAccuracy  train 1.0000, test 1.0000\n" in shown


def test_samples_are_reproducible_and_clamped(trained, capsys):
    clamp = np.full(9, np.nan)
    clamp[:3] = [1, 0, 1]
    np.save("clamp.npy", clamp)
    for name in ("a.npy", "b.npy"):
        args = ["sample", str(trained), "--n", "5", "--steps", "3", "--clamp", "clamp.npy"]
        assert main([*args, "--output", name, "c.png"]) == 0
    assert capsys.readouterr().out.splitlines() == ["a.npy", "c.png", "b.npy", "c.png"]
    samples = np.load("a.npy")
    assert samples.dtype == np.uint8 and samples.shape == (5, 9)
    assert (samples[:, :3] == [1, 0, 1]).all()
    assert (samples == np.load("b.npy")).all()
    assert Path("c.png").read_bytes().startswith(b"\x89PNG")


def test_samples_go_beside_the_model_by_default(trained, capsys):
    assert main(["sample", str(trained / "model.safetensors"), "--n", "2", "--steps", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        str(trained / "samples.npy"),
        str(trained / "samples.png"),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--n", "0"], r"RBM\.sample: n must be in \[1, \d+\], got 0\."),
        (["--output", "a.jpg"], r"--output must end in \.npy or \.png, got a\.jpg\. Rename it\."),
        (["--label", "1"], r"--label must be left out, got 1\. Train with --labels .*"),
        (["--image-shape", "2x2"], r"plot_samples: image_shape must be .*, got \(2, 2\)\. .*"),
        (["--clamp", "text.npy"], r"--clamp must be a \.npy file of numbers, got text\.npy: .*"),
    ],
)
def test_wrong_options_of_sample(options, message, trained, capsys):
    Path("text.npy").write_text("no array")
    args = ["sample", str(trained), "--steps", "1", *options]
    fails(capsys, args, 2, f"ncg-fast sample: {message}")
    fails(capsys, ["sample", str(trained), "--clamp", "no.npy"], 1, ".*no.npy: No such file.*")


def test_plot_draws_the_figures_anew(trained, capsys):
    first = {path.name: path.read_bytes() for path in (trained / "figures").iterdir()}
    for path in (trained / "figures").iterdir():
        path.unlink()
    assert main(["plot", str(trained)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert first == {path.name: path.read_bytes() for path in (trained / "figures").iterdir()}


def test_info(capsys):
    assert main(["info"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"ncg_fast        {ncg_fast.__version__}\n")
    assert all(f"backend {name}" in shown for name in ("cpu", "cuda", "triton"))
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["threads"] == torch.get_num_threads()
    assert found["backends"] == ncg_fast.backends.report()


# --- files that are not what they should be ---


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
    message = r"ncg-fast plot: run folder must hold model.safetensors or checkpoint.safetensors, .*"
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
