import errno
import json
import os
import stat
from pathlib import Path

import pytest
import safetensors.torch
import torch
from full_disk import file_size_limit, full_disk
from safetensors import safe_open

import ncg_fast
from ncg_fast.model.rbm import RBM
from ncg_fast.training.checkpoint import (
    CHECKPOINT_NAME,
    TrainingState,
    load,
    load_checkpoint,
    save,
    save_checkpoint,
)
from ncg_fast.training.fit import fit

ROWS = (torch.arange(13 * 7).view(13, 7) % 5 < 2).to(torch.uint8)


def machine(**options):
    rbm = RBM(7, 5, **{"density": 0.6, "seed": 3, **options})
    for _ in range(3):
        rbm.train_step_(ROWS, 2, lr=0.5, static=rbm.connection_strength is None)
    return rbm


def train(rbm, folder, **options):
    defaults = {"epochs": 3, "batch_size": 5, "lr": 0.3, "progress": False}
    return fit(rbm, ROWS, checkpoint_dir=folder, **{**defaults, **options})


def assert_same_bits(one, other):
    one, other = (dict(each.state_dict()) for each in (one, other))
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.dtype == other[name].dtype
        assert torch.equal(value, other[name]), name


MACHINES = {
    "learned": {},
    "labels": {"n_labels": 2},
    "fixed": {"density": None, "mask": torch.eye(5, 7, dtype=torch.bool)},
    "other seed": {"seed": 2**63 - 1},
}


@pytest.mark.parametrize("options", MACHINES.values(), ids=MACHINES)
def test_machine_comes_back_with_all_bits_and_goes_on_with_the_same_draws(options, tmp_path):
    rbm = machine(**options)
    save(rbm, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert_same_bits(rbm, again)
    assert (again.n_visible, again.n_hidden, again.n_labels) == (7, 5, rbm.n_labels)
    assert (again.connection_strength is None) == (rbm.connection_strength is None)
    assert torch.equal(rbm.sample(4, n_steps=3), again.sample(4, n_steps=3))
    for each in (rbm, again):
        each.train_step_(ROWS, lr=0.5, lr_strength=1.0)
    assert_same_bits(rbm, again)


def test_a_new_machine_that_never_drew_comes_back(tmp_path):
    rbm = RBM(7, 5, seed=4)
    save(rbm, str(tmp_path / "new"))
    again = load(str(tmp_path / "new"))
    assert_same_bits(rbm, again)
    assert torch.equal(rbm.sample(2, n_steps=2), again.sample(2, n_steps=2))


def test_training_state_comes_back(tmp_path):
    path, rbm = tmp_path / "run", machine()
    tensors = {"chains": torch.arange(7).view(7, 1), "weight_velocity": torch.rand(5, 7)}
    tensors["first_sweep"] = torch.tensor(9)
    history = [{"epoch": 1, "reconstruction_error": 0.1 + 0.2, "train_nll": None, "name": "é"}]
    save_checkpoint(path, rbm, TrainingState({"lr": 1 / 3}, history, tensors))
    again, state = load_checkpoint(path)
    assert_same_bits(rbm, again)
    assert state.settings == {"lr": 1 / 3}
    assert state.history == history
    assert state.tensors.keys() == tensors.keys()
    assert all(torch.equal(value, tensors[name]) for name, value in state.tensors.items())
    assert_same_bits(rbm, load(path))  # a checkpoint serves as a model file, too


def test_file_says_what_it_is(tmp_path):
    save(machine(n_labels=2), tmp_path / "model")
    with safe_open(tmp_path / "model", framework="pt") as file:
        note = json.loads(file.metadata()["ncg_fast"])
    sizes = {"n_visible": 7, "n_hidden": 5, "n_labels": 2, "learn_connections": True}
    version = ncg_fast.__version__
    assert note == {"format": 1, "version": version, "model": sizes, "training": None}


def test_file_obeys_umask_and_follows_links(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    mask = os.umask(0o027)
    try:
        save(machine(), tmp_path / "link")
    finally:
        os.umask(mask)
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def written(path, *, tensors=None, without=(), **changes):
    """A model file whose tensors and metadata are changed."""
    save(machine(), path)
    with safe_open(path, framework="pt") as file:
        note = {**json.loads(file.metadata()["ncg_fast"]), **changes}
        names = set(file.keys()) - set(without)
        kept = {name: file.get_tensor(name).clone() for name in names}
    kept |= tensors or {}
    path.write_bytes(safetensors.torch.save(kept, metadata={"ncg_fast": json.dumps(note)}))


def truncated(path, n):
    save(machine(), path)
    path.write_bytes(path.read_bytes()[:n])


BROKEN = {
    "missing": (lambda path: None, "No such file or directory: {path}"),
    "a folder": (Path.mkdir, "a folder"),
    "empty": (Path.touch, "Error while deserializing header: header too small"),
    "cut in the header": (
        lambda path: truncated(path, 100),
        "Error while deserializing header: invalid header length",
    ),
    "cut in the tensors": (
        lambda path: truncated(path, -1),
        "Error while deserializing header: incomplete metadata, file not fully covered",
    ),
    "text": (
        lambda path: path.write_text("a text of more than eight characters"),
        "Error while deserializing header: header too large",
    ),
    "of another program": (
        lambda path: path.write_bytes(safetensors.torch.save({"weight": torch.ones(5, 7)})),
        "a safetensors file of another program",
    ),
    "newer": (lambda path: written(path, format=2), "format 2, where this version reads 1"),
    "incomplete": (
        lambda path: written(path, without=["weight"]),
        "none where weight must be float32 (5, 7)",
    ),
    "without sizes": (lambda path: written(path, model={}), "a file without 'n_visible'"),
    "other sizes": (
        lambda path: written(path, tensors={"mask": torch.ones(7, 5, dtype=torch.bool)}),
        "bool (7, 5) where mask must be bool (5, 7)",
    ),
}


@pytest.mark.parametrize(("make", "reason"), BROKEN.values(), ids=BROKEN)
def test_file_that_is_no_checkpoint_is_refused(make, reason, tmp_path):
    path = tmp_path / "file"
    make(path)
    with pytest.raises(ValueError) as caught:
        load(path)
    assert str(caught.value) == (
        f"load: {path} must be a checkpoint of ncg_fast, got {reason.format(path=path)}. "
        "Pass a file that save or fit wrote."
    )


def test_every_cut_of_a_file_is_refused(tmp_path):
    path = tmp_path / "file"
    save(machine(), path)
    content = path.read_bytes()
    for n in range(0, len(content), 37):
        path.write_bytes(content[:n])
        with pytest.raises(ValueError, match=r"^load: .* must be a checkpoint of ncg_fast, got "):
            load(path)


def test_model_file_holds_no_training_run(tmp_path):
    save(machine(), tmp_path / "model")
    with pytest.raises(ValueError) as caught:
        load_checkpoint(tmp_path / "model")
    assert str(caught.value) == (
        f"load_checkpoint: {tmp_path}/model must hold a training run, got a machine alone. "
        "Use load."
    )


def test_run_does_not_resume_from_a_broken_file(tmp_path):
    train(machine(), tmp_path)
    file = tmp_path / CHECKPOINT_NAME
    file.write_bytes(file.read_bytes()[:-9])
    content, rbm, before = file.read_bytes(), machine(), machine()
    with pytest.raises(ValueError, match="must be a checkpoint of ncg_fast, got"):
        train(rbm, tmp_path, resume=True)
    assert_same_bits(before, rbm)
    assert file.read_bytes() == content


@pytest.mark.parametrize("write", [save, lambda rbm, path: save_checkpoint(path, rbm, None)])
def test_only_a_machine_is_saved(write, tmp_path):
    with pytest.raises(
        ValueError, match=r"rbm must be an ncg_fast\.RBM, got Linear\. Make one: .*\.$"
    ):
        write(torch.nn.Linear(7, 5), tmp_path / "file")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("op", "call"),
    {
        "save": lambda path: save(machine(), path),
        "save_checkpoint": lambda path: save_checkpoint(
            path, machine(), TrainingState({}, [], {"first_sweep": torch.tensor(0)})
        ),
        "load": load,
        "load_checkpoint": load_checkpoint,
    }.items(),
)
def test_a_path_that_is_none_is_refused(op, call):
    with pytest.raises(ValueError) as caught:
        call(None)
    rule = "path must be a str or os.PathLike, got NoneType"
    assert str(caught.value) == f"{op}: {rule}. Pass the name of a file."


def test_write_that_breaks_off_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "model"
    save(machine(), path)
    content = path.read_bytes()
    with pytest.raises(OSError) as caught, file_size_limit(500):
        save(machine(seed=4), path)
    assert caught.value.errno == errno.EFBIG
    assert str(caught.value) == (
        f"save: {path} must be writable, got File too large. "
        "Free space or choose another path; a file already there is unchanged."
    )
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk_in_a_run_keeps_the_last_checkpoint(call, tmp_path, monkeypatch):
    straight, rbm, resumed = machine(), machine(), machine()
    train(straight, tmp_path / "straight")
    file, calls, original = tmp_path / "run" / CHECKPOINT_NAME, [0], getattr(os, call)
    limit = 5 if call == "fsync" else 3  # file and folder: two fsyncs a checkpoint

    def fill_up(*args):
        calls[0] += 1
        return full_disk() if calls[0] == limit else original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fill_up)
        with pytest.raises(OSError) as caught:
            train(rbm, tmp_path / "run")
    assert caught.value.errno == errno.ENOSPC
    assert str(caught.value) == (
        f"save_checkpoint: {file} must be writable, got No space left on device. "
        "Free space or choose another path; a file already there is unchanged."
    )
    assert os.listdir(tmp_path / "run") == [CHECKPOINT_NAME]
    assert len(load_checkpoint(file)[1].history) == 2
    assert_same_bits(straight, rbm)  # the epoch itself was complete
    assert len(train(resumed, tmp_path / "run", resume=True)) == 3
    assert_same_bits(straight, resumed)


def test_folder_must_exist(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        save(machine(), tmp_path / "none" / "model")
    assert str(caught.value).startswith(
        f"save: {tmp_path}/none/model must be writable, got No such file or directory."
    )


def test_folder_that_cannot_sync_is_no_error(tmp_path, monkeypatch):
    original = os.fsync

    def files_only(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    save(machine(), tmp_path / "model")
    assert_same_bits(machine(), load(tmp_path / "model"))
