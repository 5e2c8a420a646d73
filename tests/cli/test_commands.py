"""The command line: evaluate, sample, plot and info."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import fails

import ncg_fast
from ncg_fast import data, diagnostics, evaluation
from ncg_fast.cli import main
from ncg_fast.model.rbm import RBM
from ncg_fast.training.checkpoint import load

pytestmark = pytest.mark.usefixtures("one_thread", "own_folder")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A run on rows whose classes 3, 5, 7 are their first pixels."""
    folder = tmp_path_factory.mktemp("labelled")
    rows = np.eye(3, dtype=np.uint8).repeat(2, 1)[np.arange(30) % 3]
    labels = np.array([3, 5, 7])[np.arange(30) % 3]
    np.savez(folder / "rows.npz", train=rows, test=rows, y_train=labels, y_test=labels)
    args = ["--labels", "--hidden", "8", "--batch-size", "5", "--epochs", "60", "--lr", "0.5"]
    args += [
        "--lr-decay",
        "none",
        "--data",
        str(folder / "rows.npz"),
        "--output",
        str(folder / "run"),
        "--threads",
        "1",
    ]
    assert main(["train", *args, "--quiet", "--no-figures"]) == 0
    return folder / "run"


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


def test_evaluate_tells_whether_chains_mix_and_keeps_it(trained, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    args = ["evaluate", str(folder), "--mixing", "--sweeps", "30", "--seed", "4"]
    assert main([*args, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["mixing"]
    rows = data.load("bars-and-stripes-3").train
    expected = diagnostics.mixing(load(folder / "model.safetensors"), rows, n_sweeps=30, seed=4)
    told = expected.to_dict()
    assert found["worst_unit"] == told["worst_unit"] and found["n_agree"] == told["n_agree"]
    assert json.loads((folder / "mixing.json").read_text()) == told
    files = [str(folder / "mixing.json"), str(folder / "figures" / "mixing.png")]
    assert found["files"] == files
    assert main(args) == 0
    verdict, _, energy, unit, *shown = capsys.readouterr().out.rstrip().split("\n")[-6:]
    words = "disagree after 30 sweeps" if told["n_agree"] is None else "agree from"
    assert verdict.startswith(f"Chains from data and from noise {words}")
    assert energy.startswith("free energy") and unit.startswith("worst unit") and shown == files
    assert f"{told['free_energy']['r_hat']:.3f}" in energy
    image = folder / "figures" / "mixing.png"
    first = image.read_bytes()
    image.unlink()
    assert main(["plot", str(folder)]) == 0
    assert image.read_bytes() == first
    (folder / "mixing.json").write_text("[]")
    message = r"ncg-fast plot: .*mixing\.json must hold a JSON object, got .*"
    fails(capsys, ["plot", str(folder)], 2, message)


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


def test_evaluate_from_both_sides(trained, capsys):
    rows = np.random.default_rng(0).integers(0, 2, (12, 26), dtype=np.uint8)
    np.savez("rows.npz", train=rows, test=rows[:5])
    ncg_fast.save(RBM(26, 26, weight_scale=0.3), "model.safetensors")
    args = ["evaluate", "model.safetensors", "--data", "rows.npz", "--threads", "1", "--bounds"]
    args += ["--betas", "60", "--chains", "20"]
    assert main([*args, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rbm, rows = load("model.safetensors"), torch.from_numpy(rows)
    both = evaluation.log_partition_bounds(rbm, betas=60, n_chains=20, data=rows)
    for end, side in (("", both.lower), ("_upper", both.upper)):
        assert found[f"log_partition{end}"] == side.value
        assert found[f"log_partition{end}_standard_error"] == side.standard_error
        for part, x in (("train", rows), ("test", rows[:5])):
            expected = float(rbm.free_energy(x).detach().mean()) + side.value
            assert found[part][f"nll{end}"] == pytest.approx(expected)
    assert main(args) == 0
    shown = capsys.readouterr().out
    for start, key in (("at least", "nll"), ("at most", "nll_upper")):
        (line,) = (each for each in shown.splitlines() if each.startswith(f"NLL {start}, nats"))
        assert f"{found['train'][key]:.3f}" in line and f"{found['test'][key]:.3f}" in line
    low, high = (
        f"{side.value:.3f} ± {side.standard_error:.3f}" for side in (both.lower, both.upper)
    )
    assert f"log Z = {low} at least, {high} at most (log Z by AIS: 20 chains" in shown
    assert main(["evaluate", str(trained), "--bounds", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["log_partition_upper"] == found["log_partition"]
    assert found["train"]["nll_upper"] == found["train"]["nll"]


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
    assert shown.startswith(f"Resuming in {labelled}: rows, 30 rows, after epoch 60\n")
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
        (["--output", "a.jpg"], r"--output must end in \.npy or \.png, got a\.jpg\. Rename it\."),
        (["--label", "1"], r"--label must be left out, got 1\. Train with --labels .*"),
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
    assert len(capsys.readouterr().out.splitlines()) == 6
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


@pytest.mark.parametrize("label", [0, 1, 2])
def test_other_labels_stay_off_however_large_their_biases(label):
    rbm = RBM(8, 5, n_labels=3, weight_scale=0.1)
    with torch.no_grad():
        rbm.visible_bias[-3:] = 30.0
    ncg_fast.save(rbm, "model.safetensors")
    args = ["sample", "model.safetensors", "--label", str(label), "--n", "40", "--steps", "20"]
    assert main([*args, "--output", "samples.npy", "--threads", "1"]) == 0
    samples = np.load("samples.npy")
    assert len(samples) == 40
    assert (samples[:, -3:] == np.eye(3)[label]).all()
    assert len(np.unique(samples[:, :-3], axis=0)) > 5


def test_a_label_stays_on_beside_what_is_clamped():
    rbm = RBM(8, 5, n_labels=3, weight_scale=0.1)
    with torch.no_grad():
        rbm.visible_bias[:] = torch.tensor([-30.0] * 5 + [30.0, -30.0, 30.0])
    ncg_fast.save(rbm, "model.safetensors")
    np.save("clamp.npy", np.array([1, 0] + [np.nan] * 6))
    args = ["sample", "model.safetensors", "--label", "1", "--clamp", "clamp.npy", "--n", "9"]
    assert main([*args, "--steps", "3", "--output", "samples.npy", "--threads", "1"]) == 0
    assert (np.load("samples.npy") == [1, 0, 0, 0, 0, 0, 1, 0]).all()
