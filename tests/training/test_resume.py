import json
import os
import re
import signal
import subprocess
import sys

import pytest
from checkout import SUPPORT
from training_runs import (
    assert_same_bits,
    binary_rows,
    bits,
    held_out,
    machine,
    train,
    without_time,
)

from ncg_fast.model.rbm import RBM
from ncg_fast.training import run
from ncg_fast.training.checkpoint import CHECKPOINT_NAME, load_checkpoint

VARIANTS = {
    "cd": {"n_steps": 2},
    "pcd": {"persistent": True, "n_chains": 9, "momentum": 0.5, "weight_decay": 0.01},
    "seeded": {"seed": 11, "shuffle": False},
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_resumed_run_has_the_bits_of_one_never_stopped(options, tmp_path):
    straight, first, second = machine(), machine(), machine()
    options = {**options, "x_held_out": held_out()}
    expected = train(straight, epochs=5, **options, checkpoint_dir=tmp_path / "straight")
    folder = tmp_path / "stopped"
    train(first, epochs=2, **options, checkpoint_dir=folder, resume=True)
    second.sample(3, n_steps=2)  # whatever happened to the new machine
    history = train(second, epochs=5, **options, checkpoint_dir=folder, resume=True)
    assert_same_bits(straight, second)
    assert without_time(history) == without_time(expected)
    (one, state), (other, its) = (
        load_checkpoint(tmp_path / name / CHECKPOINT_NAME) for name in ("straight", "stopped")
    )
    assert_same_bits(one, other)
    assert_same_bits(state.tensors, its.tensors)
    assert os.listdir(folder) == [CHECKPOINT_NAME]
    train(straight, seed=None, epochs=1)  # and so does what follows
    train(second, seed=None, epochs=1)
    assert_same_bits(straight, second)


def test_resume_from_a_path_writes_only_where_asked(tmp_path):
    straight, first, second = machine(), machine(), machine()
    train(straight, epochs=3)
    train(first, epochs=2, checkpoint_dir=tmp_path)
    file = tmp_path / CHECKPOINT_NAME
    before = file.read_bytes()
    train(second, epochs=3, resume=file)
    assert_same_bits(straight, second)
    third = machine()
    train(third, epochs=3, resume=tmp_path, checkpoint_dir=tmp_path / "new")
    assert_same_bits(straight, third)
    assert file.read_bytes() == before
    assert len(load_checkpoint(tmp_path / "new" / CHECKPOINT_NAME)[1].history) == 3


def test_complete_run_resumes_to_its_end(tmp_path):
    first, second = machine(), machine()
    expected = train(first, checkpoint_dir=tmp_path)
    history = train(second, checkpoint_dir=tmp_path, resume=True)
    assert_same_bits(first, second)
    assert history == expected


def test_checkpoint_every_counts_epochs_and_the_last_has_one(tmp_path):
    file, found = tmp_path / CHECKPOINT_NAME, []

    def look(*_):
        found.append(len(load_checkpoint(file)[1].history) if file.exists() else 0)

    train(machine(), epochs=5, callbacks=[look], checkpoint_dir=tmp_path, checkpoint_every=2)
    assert found == [0, 0, 2, 2, 4]
    assert len(load_checkpoint(file)[1].history) == 5


def test_run_of_other_settings_is_not_resumed(tmp_path):
    train(machine(), checkpoint_dir=tmp_path)
    file = tmp_path / CHECKPOINT_NAME
    content, rbm = file.read_bytes(), machine()
    before = bits(rbm)
    again = {"checkpoint_dir": tmp_path, "resume": True}
    remedy = "Pass those, or start in another folder."

    def message(**options):
        with pytest.raises(ValueError) as caught:
            train(options.pop("rbm", rbm), options.pop("x", None), **again, **options)
        return str(caught.value)

    start = f"fit: settings must be those of {file}, got "
    differ = "n_steps = 2 (there 1), lr = 0.1 (there 0.3)"
    assert message(lr=0.1, n_steps=2) == f"{start}{differ}. {remedy}"
    assert message(seed=5) == f"{start}seed = 5 (there 3). {remedy}"
    assert message(rbm=RBM(7, 6, seed=3)) == f"{start}n_hidden = 6 (there 5). {remedy}"
    assert re.fullmatch(
        re.escape(start) + r"x = sha256:\w{16} \(there sha256:\w{16}\). " + re.escape(remedy),
        message(x=binary_rows(seed=7)),
    )
    rule = f"fit: epochs must be at least the 2 that {file} has done"
    assert message(epochs=1) == f"{rule}, got 1. Ask for more, or start in another folder."
    again = {"checkpoint_dir": tmp_path}
    rule = "fit: checkpoint_dir must hold no other run"
    assert message() == f"{rule}, got {file}. Use resume=True or another folder."
    again = {"resume": tmp_path / "none"}
    assert message() == (
        f"load_checkpoint: {tmp_path}/none must be a checkpoint of ncg_fast, got No such file or "
        f"directory: {tmp_path}/none. Pass a file that save or fit wrote."
    )
    assert_same_bits(before, rbm)
    assert file.read_bytes() == content


def break_at_step(monkeypatch, n, action):
    monkeypatch.setitem(run._WORK, "cpu", 1)  # one step a call
    step, original = [0], RBM._train

    def wrapped(self, *args, **options):
        step[0] += 1
        result = original(self, *args, **options)
        if step[0] == n:
            action()
        return result

    monkeypatch.setattr(RBM, "_train", wrapped)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_ctrl_c_goes_back_to_the_last_complete_epoch(n, tmp_path, monkeypatch):
    straight, options = machine(), {"persistent": True, "momentum": 0.5}
    expected = train(straight, epochs=3, **options)
    complete = machine()
    if n > 3:
        train(complete, epochs=1, **options)
    with monkeypatch.context() as patch:
        break_at_step(patch, n, lambda: signal.raise_signal(signal.SIGINT))
        rbm = machine()
        history = train(rbm, epochs=3, **options, checkpoint_dir=tmp_path, checkpoint_every=9)
    assert history.interrupted
    assert len(history) == (1 if n > 3 else 0)
    if n > 3:
        assert_same_bits(complete, rbm)
    resumed = machine()
    history = train(
        resumed, epochs=3, **options, checkpoint_dir=tmp_path, checkpoint_every=9, resume=True
    )
    assert_same_bits(straight, resumed)
    assert without_time(history) == without_time(expected)
    assert not history.interrupted


def test_ctrl_c_in_a_callback_keeps_the_epoch():
    rbm, complete = machine(), machine()
    train(complete, epochs=1)
    history = train(rbm, callbacks=[lambda *_: signal.raise_signal(signal.SIGINT)])
    assert history.interrupted
    assert len(history) == 1
    assert_same_bits(complete, rbm)


def test_error_within_an_epoch_takes_the_machine_back(monkeypatch):
    def fail():
        raise MemoryError("no memory")

    complete, rbm = machine(), machine()
    train(complete, epochs=1)
    break_at_step(monkeypatch, 5, fail)
    with pytest.raises(MemoryError, match="no memory"):
        train(rbm)
    assert_same_bits(complete, rbm)


def test_parameters_that_overflow_end_the_run(tmp_path, monkeypatch):
    def overflow():
        raise FloatingPointError("RBM.train_step_: parameters must stay finite, got inf.")

    complete, rbm = machine(), machine()
    train(complete, epochs=1)
    with monkeypatch.context() as patch:
        break_at_step(patch, 5, overflow)
        with pytest.raises(FloatingPointError) as caught:
            train(rbm, checkpoint_dir=tmp_path)
    assert str(caught.value) == (
        "fit: parameters must stay finite, got NaN or infinity in step 5 (epoch 2). Lower lr; the "
        "machine is back at the end of epoch 1, and the last good checkpoint is "
        f"{tmp_path / CHECKPOINT_NAME} (epoch 1)."
    )
    assert_same_bits(complete, rbm)


def test_huge_rate_is_an_error_not_a_wrong_machine():
    rbm = machine()
    before = bits(rbm)
    message = r"got NaN or infinity in step \d \(epoch 1\).*epoch 0, and there is no checkpoint\."
    with pytest.raises(FloatingPointError, match=message):
        train(rbm, epochs=1, lr=1e30, weight_decay=1e30)
    assert_same_bits(before, rbm)


def test_killed_runs_resume_to_the_bits_of_one_never_stopped(tmp_path):
    script = SUPPORT / "killed_run.py"
    command = [sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["n_killed"] == {"between": 3, "written": 3, "renamed": 3, "random": 8}
    assert len(set(result["digests"].values())) == 1, result["digests"]
    assert len(result["digests"]) == 5


def test_temporary_files_of_a_killed_run_are_removed(tmp_path):
    left = tmp_path / f".{CHECKPOINT_NAME}.0123456789abcdef.tmp"
    left.write_bytes(b"half a checkpoint")
    (tmp_path / "notes.txt").write_text("mine")
    train(machine(), checkpoint_dir=tmp_path)
    assert sorted(os.listdir(tmp_path)) == [CHECKPOINT_NAME, "notes.txt"]


def test_a_run_is_not_resumed_into_the_folder_of_another(tmp_path):
    """Neither of the two is touched."""
    one, other = tmp_path / "one", tmp_path / "other"
    train(machine(), checkpoint_dir=one)
    train(machine(), lr=0.1, checkpoint_dir=other)
    before = {folder: (folder / CHECKPOINT_NAME).read_bytes() for folder in (one, other)}
    rbm = machine()
    start = bits(rbm)
    for resume in (one, one / CHECKPOINT_NAME, str(one)):
        with pytest.raises(ValueError) as caught:
            train(rbm, epochs=3, resume=resume, checkpoint_dir=other)
        assert str(caught.value) == (
            f"fit: checkpoint_dir must hold no other run, got {other / CHECKPOINT_NAME}. "
            "Use resume=True or another folder."
        )
    assert_same_bits(start, rbm)
    for folder, content in before.items():
        assert (folder / CHECKPOINT_NAME).read_bytes() == content


@pytest.mark.parametrize(("n_before", "n"), [(1, 1), (1, 2), (1, 5), (3, 4)])
def test_steps_are_counted_from_the_first_of_a_resumed_run(n_before, n, tmp_path, monkeypatch):
    """13 rows by 5 are 3 steps an epoch."""

    def overflow():
        raise FloatingPointError("RBM.train_step_: parameters must stay finite, got inf.")

    train(machine(), epochs=n_before, checkpoint_dir=tmp_path)
    break_at_step(monkeypatch, n, overflow)
    with pytest.raises(FloatingPointError) as caught:
        train(machine(), epochs=9, checkpoint_dir=tmp_path, resume=True)
    epoch = n_before + (n - 1) // 3 + 1
    assert f" in step {3 * n_before + n} (epoch {epoch}). " in str(caught.value)
    assert f"the end of epoch {epoch - 1}, and the last good" in str(caught.value)
    assert f"(epoch {epoch - 1})." in str(caught.value)


def test_a_complete_run_is_written_where_it_goes_on(tmp_path):
    """Also where no epoch is left: the folder then holds the run."""
    train(machine(), checkpoint_dir=tmp_path / "one")
    train(machine(), resume=tmp_path / "one", checkpoint_dir=tmp_path / "other")
    one, other = (load_checkpoint(tmp_path / name / CHECKPOINT_NAME) for name in ("one", "other"))
    assert_same_bits(one[0], other[0])
    assert one[1].history == other[1].history and len(one[1].history) == 2


@pytest.mark.parametrize("every", [1, 9])
def test_ctrl_c_leaves_a_checkpoint_of_the_complete_epochs(every, tmp_path, monkeypatch):
    break_at_step(monkeypatch, 8, lambda: signal.raise_signal(signal.SIGINT))
    options = {"epochs": 5, "checkpoint_dir": tmp_path, "checkpoint_every": every}
    history = train(machine(), **options)
    assert history.interrupted and len(history) == 2
    assert len(load_checkpoint(tmp_path / CHECKPOINT_NAME)[1].history) == 2
