"""Rates that change over a run: by formula, by function, and when a run goes on."""

import math
import re

import numpy as np
import pytest
import torch
from training_runs import (
    N_ROWS,
    assert_same_bits,
    binary_rows,
    machine,
    order,
    train,
    without_time,
)

from ncg_fast import ops
from ncg_fast.model.rbm import RBM
from ncg_fast.training import run

N_BATCHES = 3  # of 5, 5 and 3 rows
DECAYS = {
    "linear": lambda p: 1 - p,
    "cosine": lambda p: (1 + math.cos(math.pi * p)) / 2,
}


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("lr_final", [0.0, 0.1])
def test_both_rates_fall_from_batch_to_batch(decay, lr_final):
    fitted, stepped, epochs = machine(), machine(), 4
    history = train(fitted, epochs=epochs, lr=0.4, lr_decay=decay, lr_final=lr_final)
    t, share = 0, lr_final / 0.4
    for epoch in range(1, epochs + 1):
        for batch in binary_rows()[order(3, epoch)].split(5):
            factor = share + (1 - share) * DECAYS[decay](t / (N_BATCHES * epochs))
            rates = [float(np.float32(rate) * np.float32(factor)) for rate in (0.4, 1.0)]
            stepped.train_step_(batch, 1, lr=rates[0], lr_strength=rates[1])
            t += 1
        assert history[epoch - 1].lr == pytest.approx(rates[0], rel=1e-6)
        assert history[epoch - 1].lr_strength == pytest.approx(rates[1], rel=1e-6)
    assert_same_bits(fitted, stepped)


def test_a_decay_to_the_rate_at_the_start_is_none():
    constant, falling = machine(), machine()
    train(constant, lr=0.25)
    train(falling, lr=0.25, lr_decay="linear", lr_final=0.25)
    assert_same_bits(constant, falling)


@pytest.mark.parametrize("lr_strength", [None, 2.0, lambda epoch: 0.5 / epoch])
def test_a_function_is_asked_for_each_epoch(lr_strength):
    fitted, stepped = machine(), machine()
    history = train(fitted, epochs=3, lr=lambda epoch: 0.3 / epoch, lr_strength=lr_strength)
    for epoch in (1, 2, 3):
        lr = 0.3 / epoch
        strength = lr_strength(epoch) if callable(lr_strength) else lr_strength or 5 * lr
        for batch in binary_rows()[order(3, epoch)].split(5):
            stepped.train_step_(batch, 1, lr=lr, lr_strength=strength)
        assert (history[epoch - 1].lr, history[epoch - 1].lr_strength) == (lr, strength)
    assert_same_bits(fitted, stepped)


@pytest.mark.parametrize(
    "options",
    [{"lr_decay": "linear"}, {"lr_decay": "cosine", "lr_final": 0.1}, {"lr": lambda e: 0.3 / e}],
)
def test_a_run_that_was_stopped_ends_with_the_same_bits(options, tmp_path):
    straight, stopped, other = machine(), machine(), machine()
    expected = train(straight, epochs=5, **options)
    train(stopped, epochs=5, **options, checkpoint_dir=tmp_path, callbacks=[_stop_after_two])
    found = train(other, epochs=5, **options, checkpoint_dir=tmp_path, resume=True)
    assert_same_bits(straight, other)
    assert without_time(found) == without_time(expected)


def _stop_after_two(_, record):
    return record.epoch == 2


def test_a_run_of_falling_rates_keeps_its_epochs(tmp_path):
    train(machine(), epochs=3, lr_decay="linear", checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match=r"^fit: settings must be .* got epochs = 4 \(there 3\)\."):
        train(machine(), epochs=4, lr_decay="linear", checkpoint_dir=tmp_path, resume=True)


def test_a_function_that_gives_other_rates_is_found_out(tmp_path):
    rbm = machine()
    train(rbm, lr=lambda epoch: 0.5 / epoch, checkpoint_dir=tmp_path)
    text = (
        f"fit: lr and lr_strength must give the rates of {tmp_path}/checkpoint.safetensors, "
        "got 0.125 and 1 in epoch 2. There they were 0.25 and 1."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        train(machine(), lr=lambda e: 0.5 / e**2, epochs=3, checkpoint_dir=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": lambda _: -1.0}, r"lr(1) must be at least 0, got -1.0. Pass 0 or more."),
        ({"lr": lambda _: math.nan}, "lr(1) must be finite, got nan. "),
        ({"lr": lambda _: "fast"}, "lr(1) must be a "),
        ({"lr_strength": lambda _: 1e39}, "lr_strength(1) must be at most 3.40282e+38, got 1e+39"),
        (
            {"lr": lambda _: 0.1, "lr_decay": "linear"},
            'lr_decay must be "none" where a rate is a function, got linear. '
            "Let the function fall.",
        ),
        (
            {"lr_final": 0.1},
            'lr_final must be 0 without lr_decay, got 0.1. Pass lr_decay="linear".',
        ),
        (
            {"lr_decay": "cosine", "lr_final": 0.5},
            "lr_final must be at most lr = 0.3, got 0.5. Lower lr_final.",
        ),
        (
            {"lr_decay": "linaer"},
            "lr_decay must be one of 'none', 'linear', 'cosine', got 'linaer'",
        ),
    ],
)
def test_rates_that_are_refused(options, message):
    rbm = machine()
    before = machine()
    with pytest.raises(ValueError, match=f"^fit: {re.escape(message)}"):
        train(rbm, **options)
    assert_same_bits(rbm, before)


@pytest.mark.parametrize(("n", "n_different"), [(7, 7), (3, 3), (70, 7)])
def test_chains_start_from_rows_each_once_where_there_are_enough(n, n_different, monkeypatch):
    seen, start = [], run.TrainingRun.start

    def look(self, seed):
        start(self, seed)
        seen.append(self.tensors["chains"].clone())

    monkeypatch.setattr(run.TrainingRun, "start", look)
    rows = torch.eye(7, dtype=torch.uint8)
    train(machine(), rows, persistent=True, n_chains=n, chain_start="rows")
    states = ops.unpack_states(seen[0], n)
    assert (states.sum(1) == 1).all()
    assert len(states.unique(dim=0)) == n_different


def test_chains_start_from_draws_of_grey_rows(monkeypatch):
    found = []
    pack, rows = ops.pack_states, torch.tensor([0.0, 1.0, 0.25]).repeat(N_ROWS, 1)
    monkeypatch.setattr(ops, "pack_states", lambda states: found.append(states) or pack(states))
    rbm = RBM(3, 4, seed=1)
    train(rbm, rows, persistent=True, n_chains=2000, chain_start="rows", epochs=1)
    states = next(each for each in found if len(each) == 2000).double()
    assert states[:, 0].max() == 0
    assert states[:, 1].min() == 1
    assert abs(float(states[:, 2].mean()) - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 2000)


def test_chain_start_is_refused_by_name():
    rule = "fit: chain_start must be one of 'rows', 'independent', got 'noise'. "
    with pytest.raises(ValueError, match=f"^{re.escape(rule)}"):
        train(machine(), persistent=True, chain_start="noise")
