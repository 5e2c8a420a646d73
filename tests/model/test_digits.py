"""Whether a machine's digits are dense or sparse shows in its memory and speed alone."""

from __future__ import annotations

import contextlib
import copy
import json

import pytest
import torch
from backend_choice import CPU
from digests import trained_hash

import ncg_fast
from ncg_fast import RBM, backends
from ncg_fast.backends import cpu
from ncg_fast.backends.formats import described, is_sparse
from ncg_fast.cli import main
from ncg_fast.model import digits
from ncg_fast.model.digits import TRAINING_DIGITS, forced_form


@pytest.fixture
def rows() -> torch.Tensor:
    return torch.rand(90, 300, generator=torch.Generator().manual_seed(0)) < 0.2


def sparse(rbm: RBM) -> bool:
    return all(map(is_sparse, rbm._model(TRAINING_DIGITS)[:2]))


def test_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in CPU.variants():
        limit = digits.CROSSOVER.get(cpu.instruction_set(), digits.OTHER_CROSSOVER)
        assert digits.form(16384, 784, limit) == "sparse"
        assert digits.form(16384, 784, 1.01 * limit) == "dense"
        assert digits.form(16, 16, 0.0) == "dense"
        assert digits.form(16384, 784, 0.0, "cuda") == "dense"
    with forced_form("sparse"):
        assert digits.form(1, 1, 1.0) == "sparse"
        assert digits.form(1, 1, 1.0, "cuda") == "dense"
    monkeypatch.setattr(backends, "instruction_set", lambda: None)
    assert digits.form(16384, 784, 0.0) == "dense"


def test_a_sparse_machine_has_no_dense_digits() -> None:
    rbm = RBM(784, 16384, density=0.02, seed=0)
    rows = torch.zeros(5, 784, dtype=torch.uint8)
    rbm.train_step_(rows, lr=0.01)
    rbm(rows)
    kept = [tensor for pair in rbm._digits._kept.values() for tensor in pair[:2]]
    assert len(kept) == 4 and all(map(is_sparse, kept))
    assert sum(t.untyped_storage().nbytes() for t in kept) < rbm.weight.numel()  # dense: 10 bytes


@pytest.mark.parametrize(
    "options",
    [
        {"n_steps": 3},
        {"n_steps": 2, "persistent": True, "n_chains": 70, "lr_strength": 5.0},
        {"n_steps": 1, "momentum": 0.5, "weight_decay": 1e-4, "rule": "static"},
    ],
)
def test_training_gives_the_same_bits(options: dict[str, object]) -> None:
    x = ncg_fast.data.load("digits").train[:170]
    with forced_form("dense"):
        want = trained_hash(x, epochs=2, density=0.05, **options)
    with forced_form("sparse"):
        for variant in CPU.variants():
            assert trained_hash(x, epochs=2, density=0.05, **options) == want, variant


def test_training_goes_on_where_connections_no_longer_fit(rows: torch.Tensor) -> None:
    """More than a quarter are switched on: digits are made anew, at last dense ones."""
    few = 0.8 * digits.crossover()
    with forced_form("dense"):
        want = RBM(300, 100, density=few, seed=1)
        want_counts = [want.train_step_(rows, lr=0.1, lr_strength=3.0) for _ in range(4)]
    rbm = RBM(300, 100, density=few, seed=1)
    assert sparse(rbm)
    first = described(rbm._model(TRAINING_DIGITS).to_hidden).capacity
    counts = [rbm.train_step_(rows, lr=0.1, lr_strength=3.0) for _ in range(4)]
    assert int(rbm.mask.sum()) > first and not sparse(rbm)
    assert counts == want_counts
    state, want_state = rbm.state_dict(), want.state_dict()
    assert list(state) == list(want_state)
    assert all(torch.equal(state[name], want_state[name]) for name in state)
    assert torch.equal(rbm.sample(7, 3), want.sample(7, 3))


def test_a_machine_that_thins_out_becomes_sparse(rows: torch.Tensor) -> None:
    """Once few connections are left; it stays so while they fit, in spite of its density."""
    few = digits.crossover()
    results = []
    for name in ("dense", None):
        with forced_form(name) if name else contextlib.nullcontext():
            rbm = RBM(300, 100, density=0.5, seed=1)
            with torch.no_grad():
                rbm.connection_strength[5:].clamp_(max=0.4)
            assert not sparse(rbm)
            rbm.train_step_(rows, lr=0.01, lr_strength=0.01)
            assert rbm.mask.float().mean() < few and sparse(rbm) == (name is None)
            rbm.train_step_(rows, lr=0.01, lr_strength=0.01)
            assert sparse(rbm) == (name is None)
            results.append(rbm.state_dict())
    first, second = results
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_several_batches_in_one_call_go_on(rows: torch.Tensor) -> None:
    results = []
    for name in ("dense", "sparse"):
        with forced_form(name):
            rbm = RBM(300, 100, density=0.02, seed=1)
            options = {"epochs": 3, "batch_size": 9, "lr": 0.1, "lr_strength": 3.0}
            history = ncg_fast.fit(rbm, rows, progress=False, **options)
            assert sparse(rbm) == (name == "sparse")
            results.append((rbm.state_dict(), [(r.switched_on, r.switched_off) for r in history]))
    (first, records), (second, others) = results
    assert records == others
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_copies_and_edits(rows: torch.Tensor) -> None:
    rbm = RBM(300, 100, mask=torch.rand(100, 300) < 0.03, seed=1)
    assert sparse(rbm) and sparse(copy.deepcopy(rbm))
    before = rbm(rows)
    rbm.mask[0] = True
    with forced_form("dense"):
        want = copy.deepcopy(rbm)(rows)
    assert torch.equal(rbm(rows), want) and not torch.equal(want, before)


def test_info_says_where_digits_are_sparse(capsys: pytest.CaptureFixture[str]) -> None:
    limit = digits.crossover()
    assert main(["info"]) == 0
    line = f"digits          sparse up to density {limit:g}, of 16384 or more pairs of units\n"
    assert line in capsys.readouterr().out
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sparse_digits"] == {"largest_density": limit, "least_pairs": digits.LEAST_PAIRS}
