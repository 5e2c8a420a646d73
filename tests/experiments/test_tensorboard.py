"""What TensorBoard is shown."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import ncg_fast
from ncg_fast.cli import main
from ncg_fast.experiments.run_folder import read_records
from ncg_fast.experiments.tensorboard import TensorBoard

pytestmark = pytest.mark.usefixtures("one_thread", "own_folder")
RUN = ["train", "--data", "bars-and-stripes-3", "--hidden", "5", "--epochs", "3", "--quiet"]
RUN += ["--no-figures", "--output", "run", "--nll-every", "3"]


def shown(folder):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = reader.EventAccumulator(str(folder))
    found.Reload()
    return found


def test_every_record_is_written_under_its_epoch():
    assert main([*RUN, "--tensorboard"]) == 0
    found, records = shown("run/tensorboard"), read_records(Path("run"))
    for tag, name in {
        "likelihood/train_nll": "train_nll",
        "rates/lr": "lr",
        "connections/density": "density",
        "connections/switched_on": "switched_on",
        "degrees/hidden_degree_mean": "hidden_degree_mean",
        "training/reconstruction_error": "reconstruction_error",
    }.items():
        written = [(event.step, event.value) for event in found.Scalars(tag)]
        recorded = [(each["epoch"], each[name]) for each in records if each[name] is not None]
        assert written == [(epoch, pytest.approx(value)) for epoch, value in recorded], tag


def test_filters_come_at_intervals_and_training_stays_the_same():
    watched, alone = (ncg_fast.RBM(6, 4, seed=0) for _ in range(2))
    options = {"epochs": 5, "batch_size": 3, "progress": False}
    with TensorBoard("board", (2, 3), filters_every=2) as board:
        ncg_fast.fit(watched, torch.eye(6), callbacks=[board], **options)
    ncg_fast.fit(alone, torch.eye(6), **options)
    assert [event.step for event in shown("board").Images("filters")] == [2, 4]
    assert torch.equal(watched.weight, alone.weight)


def test_a_run_that_is_refused_leaves_no_folder():
    assert main([*RUN, "--tensorboard", "--lr", "6e37", "--weight-decay", "1e38"]) == 1
    assert not Path("run").exists()


def test_without_the_package_nothing_is_begun(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert main([*RUN, "--tensorboard"]) == 1
    message = "ncg-fast train: TensorBoard: needs tensorboard, got "
    assert capsys.readouterr().err.startswith(message)
    assert not Path("run").exists()


def test_it_is_imported_where_it_is_asked_for():
    program = "import sys; from ncg_fast.cli import train; assert 'tensorboard' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
