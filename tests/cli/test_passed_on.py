"""The command line: numbers that are given, and defaults, reach the ops."""

from pathlib import Path

import numpy as np
import pytest
import torch
from calls import Spy, serving

import ncg_fast
from ncg_fast import RBM, backends, data, plotting
from ncg_fast.cli import main, plot
from ncg_fast.evaluation import authors_betas
from ncg_fast.seeds import derived_seed

pytestmark = pytest.mark.usefixtures("one_thread", "own_folder")

OTHERS = ["--steps", "3", "--persistent", "--chains", "7", "--batch-size", "13", "--lr", "0.25"]
OTHERS += ["--lr-strength", "2", "--momentum", "0.5", "--weight-decay", "0.125", "--seed", "4"]
N_UNITS = 26  # of both layers: log Z is not exact


@pytest.fixture
def model(own_folder):
    ncg_fast.save(RBM(N_UNITS, N_UNITS, weight_scale=0.1), "model.safetensors")
    np.savez(
        "rows.npz", train=np.eye(N_UNITS, dtype=np.uint8), test=np.zeros((3, N_UNITS), np.uint8)
    )


def run(*args):
    """The ops that a command runs; annealing takes no time."""

    def anneal(visible, n_chains, **_):
        return visible, torch.zeros(n_chains, dtype=torch.float64)

    spy = Spy(backends.select("cpu"), anneal=anneal)
    with serving(spy):
        assert main([*args, "--threads", "1"]) == 0
    return spy


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("options", "n_chains", "n_betas", "seed"),
    [
        ([], 100, len(authors_betas()), 0),
        (["--chains", "17", "--betas", "11", "--seed", "5"], 17, 11, 5),
    ],
)
def test_annealing_of_evaluate(options, n_chains, n_betas, seed, capsys):
    spy = run("evaluate", "model.safetensors", "--data", "rows.npz", *options)
    pieces = spy.given("anneal")
    assert {given["n_chains"] for given in pieces} == {n_chains}
    assert sum(len(given["betas"]) - 1 for given in pieces) == n_betas - 1
    assert {given["draw"].seed for given in pieces} == {derived_seed(seed, 3)}
    words = f"(log Z by AIS: {n_chains} chains, {n_betas} temperatures)"
    assert words in capsys.readouterr().out


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("options", "n", "n_steps", "seed"),
    [([], 64, 1000, 0), (["--n", "9", "--steps", "3", "--seed", "5"], 9, 3, 5)],
)
def test_sweeps_of_sample(options, n, n_steps, seed):
    spy = run("sample", "model.safetensors", "--output", "samples.npy", *options)
    (given,) = spy.given("gibbs_steps")
    assert (given["n_chains"], given["n_steps"], given["draw"].seed) == (n, n_steps, seed)
    assert np.load("samples.npy").shape == (n, N_UNITS)


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], (5, 10, 10, 0.05, 0.25, 0.0, 0.0, 0)),
        (["--recipe", "paper"], (10, 10, 10, 0.1, 0.5, 0.0, 0.0, 0)),
        (
            OTHERS,
            (3, 13, 7, 0.25, 2.0, 0.5, 0.125, 4),
        ),
    ],
)
def test_steps_of_train(options, expected):
    args = ["train", "--data", "rows.npz", "--hidden", "5", "--epochs", "1", "--output", "run"]
    spy = run(*args, "--no-figures", "--quiet", *options)
    given = spy.given("train_steps_")[0]
    batch, rates = given["batch"], given["rates"]
    found = batch.n_steps, batch.n_rows, batch.n_chains, *rates, given["draw"].seed
    assert found == expected


def test_figures_draw_with_the_seed_of_the_run_and_leave_the_machine(tmp_path, monkeypatch):
    """Chains from noise and from training rows, shown as P(v | h = P(h | v))."""
    args = ["train", "--data", "bars-and-stripes-3", "--hidden", "5", "--epochs", "1"]
    assert main([*args, "--seed", "6", "--output", "run", "--quiet", "--threads", "1"]) == 0
    rbm = ncg_fast.load("run/model.safetensors")
    before = rbm.get_extra_state().clone()
    shown = []

    def save(*_, samples, chains, **__):
        shown.append((samples, chains))
        return []

    monkeypatch.setattr(plotting, "save_run_figures", save)
    rows = data.load("bars-and-stripes-3").train
    plot.draw(tmp_path / "run", rbm, (3, 3), 6, [], rows)
    assert torch.equal(rbm.get_extra_state(), before)
    other, (samples, chains) = ncg_fast.load("run/model.safetensors").manual_seed(6), shown[0]
    noise = other.sample_visible(torch.zeros(64, 5))
    for start, found in zip((noise, rows.float()), samples.values(), strict=True):
        states, _ = other.gibbs_steps(start, 2000)
        assert torch.equal(found, other.reconstruct(states))
    assert list(samples) == [
        f"after 2000 sweeps from {name}" for name in ("noise", "training rows")
    ]
    assert torch.equal(chains[2000], samples["after 2000 sweeps from noise"])
    assert len(chains[1]) == 64
    assert main(["plot", "run", "--threads", "1"]) == 0
    for found, expected in zip(shown[1][0].values(), samples.values(), strict=True):
        assert torch.equal(found, expected)


def test_figures_without_the_data_show_chains_from_noise(monkeypatch):
    np.save("rows.npy", np.eye(6, dtype=np.uint8))
    args = ["train", "--data", "rows.npy", "--hidden", "5", "--epochs", "1", "--output", "run"]
    assert main([*args, "--quiet", "--no-figures", "--threads", "1"]) == 0
    Path("rows.npy").unlink()
    shown = []
    monkeypatch.setattr(
        plotting, "save_run_figures", lambda *_, samples, **__: shown.append(samples) or []
    )
    assert main(["plot", "run", "--threads", "1"]) == 0
    assert list(shown[0]) == ["after 2000 sweeps from noise"]
