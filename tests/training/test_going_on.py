"""Calls of fit one after the other, with a history in hand or without."""

import copy
import re

import pytest
import torch
from training_runs import (
    N_ROWS,
    assert_same_bits,
    binary_rows,
    grey_rows,
    machine,
    train,
    without_time,
)

from ncg_fast.model.rbm import RBM
from ncg_fast.training import run
from ncg_fast.training.fit import fit
from ncg_fast.training.history import History

OPTIONS = {
    "pcd": {"persistent": True, "n_chains": 9, "momentum": 0.5, "weight_decay": 0.01},
    "rows": {"persistent": True, "chain_start": "rows", "momentum": 0.9},
    "cd": {"n_steps": 2},
    "function": {"lr": lambda epoch: 0.3 / epoch},
}


@pytest.mark.parametrize("seed", [None, 11])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("x", [binary_rows(), grey_rows()], ids=["binary", "grey"])
def test_epoch_by_epoch_with_the_history_is_one_call(x, options, seed):
    straight, stepped = machine(), machine()
    expected = train(straight, x, epochs=4, seed=seed, **options)
    history = train(stepped, x, epochs=1, seed=seed, **options)
    for epochs in (2, 3, 4):
        history = train(stepped, x, epochs=epochs, seed=seed, **options, resume=history)
    assert_same_bits(straight, stepped)
    assert without_time(history) == without_time(expected)


def test_a_history_may_be_gone_on_with_twice():
    rbm = machine()
    history = train(rbm, persistent=True, momentum=0.5)
    one, other = copy.deepcopy(rbm), copy.deepcopy(rbm)
    for each in (one, other):
        train(each, epochs=3, persistent=True, momentum=0.5, resume=history)
    assert_same_bits(one, other)
    assert len(history) == 2


def orders(monkeypatch, **options):
    """The rows of each epoch of four calls."""
    seen, batches = [], run.TrainingRun.batches

    def look(self, epoch):
        before = self.rows
        self.rows = torch.arange(N_ROWS, dtype=torch.float32).expand(7, -1).T / N_ROWS
        seen.append(
            torch.cat([part[..., 0].flatten() for part, _ in batches(self, epoch)]).tolist()
        )
        self.rows = before
        return batches(self, epoch)

    monkeypatch.setattr(run.TrainingRun, "batches", look)
    rbm = machine()
    for _ in range(4):
        train(rbm, grey_rows(), epochs=1, **options)
    assert all(sorted(each) == sorted(seen[0]) for each in seen)
    return [tuple(each) for each in seen]


def test_calls_without_a_seed_see_new_orders_of_rows(monkeypatch):
    assert len(set(orders(monkeypatch))) == 4


def test_calls_with_a_seed_are_the_same_run(monkeypatch):
    assert len(set(orders(monkeypatch, seed=5))) == 1


def test_few_rows_are_one_batch():
    whole, default = machine(), machine()
    fit(whole, binary_rows(20), epochs=1, batch_size=20, progress=False)
    fit(default, binary_rows(20), epochs=1, progress=False)
    assert_same_bits(whole, default)


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        ({}, {"lr": 0.1}, "settings must be those of resume, got lr = 0.1 (there 0.3). Pass "),
        ({}, {"epochs": 1}, "epochs must be at least the 2 that resume has done, got 1. Ask for "),
        (
            {},
            {"persistent": True},
            "settings must be those of resume, got n_chains = 5 (there None)",
        ),
        (
            {"average": 0.5},
            {"average": 0.5},
            "resume must be a history that can go on, got one without chains and settings. Pass ",
        ),
    ],
)
def test_histories_of_other_runs_are_refused(made, options, message):
    rbm = machine()
    history = train(rbm, **made)
    before = copy.deepcopy(rbm)
    with pytest.raises(ValueError, match=f"^fit: {re.escape(message)}"):
        train(rbm, **{"epochs": 3, **options}, resume=history)
    assert_same_bits(rbm, before)


def test_a_history_of_nothing_and_one_of_another_machine_are_refused():
    with pytest.raises(ValueError, match=r"^fit: resume must be a history that can go on, got "):
        train(machine(), resume=History())
    history = train(machine())
    with pytest.raises(
        ValueError, match=r"^fit: settings must be those of resume, got n_hidden = 4"
    ):
        train(RBM(7, 4, seed=3), resume=history)


def test_an_interrupted_history_goes_on():
    straight, stopped = machine(), machine()

    def interrupt(_, step):
        if step == 5:
            raise KeyboardInterrupt

    train(straight, epochs=3, persistent=True)
    history = train(stopped, epochs=3, persistent=True, batch_callbacks=[interrupt])
    assert history.interrupted and len(history) == 1
    found = train(stopped, epochs=3, persistent=True, resume=history)
    assert not found.interrupted
    assert_same_bits(straight, stopped)
