"""Files that safetensors reads, with contents that no sound machine or run has."""

import doctest
import json
import math

import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from ncg_fast.model.rbm import RBM
from ncg_fast.training import checkpoint
from ncg_fast.training.checkpoint import TrainingState, load, load_checkpoint, save, save_checkpoint

SETTINGS = {"momentum": 0.5, "n_chains": 70}


def test_doctest():
    results = doctest.testmod(checkpoint)
    assert results.attempted == 4
    assert results.failed == 0


def machine():
    return RBM(7, 5, density=0.6, seed=3, n_labels=2)


def run():
    velocities = {"weight": (5, 7), "visible": (7,), "hidden": (5,)}
    tensors = {f"{name}_velocity": torch.zeros(shape) for name, shape in velocities.items()}
    tensors["chains"] = torch.zeros(7, 2, dtype=torch.int64)
    return TrainingState(SETTINGS, [{"epoch": 1}], tensors | begun())


def begun():
    return {"first_sweep": torch.tensor(0)}


def rewrite(path, change):
    """A checkpoint whose note and tensors are changed."""
    save_checkpoint(path, machine(), run())
    with safe_open(path, framework="pt") as file:
        note = json.loads(file.metadata()["ncg_fast"])
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    change(note, tensors)
    path.write_bytes(safetensors.torch.save(tensors, metadata={"ncg_fast": json.dumps(note)}))


def tensor(name, value):
    return lambda note, tensors: tensors.update({name: value})


def element(name, value):
    def change(note, tensors):
        tensors[name].view(-1)[-1] = value

    return change


def sizes(**changed):
    return lambda note, tensors: note["model"].update(changed)


def noted(**changed):
    return lambda note, tensors: note.update(changed)


def state(*values):
    return tensor("_extra_state", torch.tensor(values))


def bytes_of(value):
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


IN_RANGE = "where _extra_state must hold seed, sweep and exponent in range"
SIZES = "where n_visible, n_hidden, n_labels must be sizes of a machine"
UNSOUND = {
    "NaN": (
        element("weight", math.nan),
        "1 that are NaN or infinite where weight must hold finite numbers",
    ),
    "infinity": (
        element("hidden_bias", -math.inf),
        "1 that are NaN or infinite where hidden_bias must hold finite numbers",
    ),
    "strength of NaN": (
        element("connection_strength", math.nan),
        "1 that are NaN or infinite where connection_strength must hold finite numbers",
    ),
    "strength": (
        tensor("connection_strength", torch.full((5, 7), 3.0)),
        "3 to 3 where connection_strength must lie in [0, 1]",
    ),
    "negative strength": (
        tensor("connection_strength", torch.full((5, 7), -0.25)),
        "-0.25 to -0.25 where connection_strength must lie in [0, 1]",
    ),
    "labels": (
        tensor("mask", torch.zeros(5, 7, dtype=torch.bool)),
        "10 connections off where mask must connect all label units",
    ),
    "dtype": (
        tensor("weight", torch.zeros(5, 7, dtype=torch.float64)),
        "float64 (5, 7) where weight must be float32 (5, 7)",
    ),
    "dtype of mask": (
        tensor("mask", torch.ones(5, 7, dtype=torch.uint8)),
        "uint8 (5, 7) where mask must be bool (5, 7)",
    ),
    "shape": (
        tensor("visible_bias", torch.zeros(8)),
        "float32 (8,) where visible_bias must be float32 (7,)",
    ),
    "seed": (state(-1, 0, 0, 0), f"[-1, 0, 0, 0] {IN_RANGE}"),
    "sweep": (state(0, -1, 0, 0), f"[0, -1, 0, 0] {IN_RANGE}"),
    "far sweep": (state(0, 2**60, 0, 0), f"[0, {2**60}, 0, 0] {IN_RANGE}"),
    "flag": (state(0, 0, 2, 0), f"[0, 0, 2, 0] {IN_RANGE}"),
    "exponent": (state(0, 0, 1, 10**6), f"[0, 0, 1, 1000000] {IN_RANGE}"),
    "length of state": (
        tensor("_extra_state", torch.zeros(3, dtype=torch.int64)),
        "int64 (3,) where _extra_state must be int64 (4,)",
    ),
    "negative size": (sizes(n_hidden=-5), f"7, -5, 2 {SIZES}"),
    "size of text": (sizes(n_visible="7"), f"7, 5, 2 {SIZES}"),
    "too many labels": (sizes(n_labels=7), f"7, 5, 7 {SIZES}"),
    "flag of text": (
        sizes(learn_connections="no"),
        "'no' where learn_connections must be true or false",
    ),
    "huge size": (
        sizes(n_visible=10**12),
        "float32 (5, 7) where weight must be float32 (5, 1000000000000)",
    ),
    "velocity": (
        tensor("training.weight_velocity", torch.zeros(7, 5)),
        "float32 (7, 5) where weight_velocity must be float32 (5, 7)",
    ),
    "velocity of NaN": (
        element("training.hidden_velocity", math.nan),
        "1 that are NaN or infinite where hidden_velocity must hold finite numbers",
    ),
    "first sweep": (
        lambda note, tensors: tensors["training.first_sweep"].fill_(-1),
        "-1 where first_sweep must be the number of a sweep",
    ),
    "chains": (
        tensor("training.chains", torch.zeros(7, 1, dtype=torch.int64)),
        "int64 (7, 1) where chains must be int64 (7, 2)",
    ),
    "chains beyond the last": (
        tensor("training.chains", torch.full((7, 2), -1)),
        "others as well where chains must hold the bits of 70 chains",
    ),
    "no chains": (
        lambda note, tensors: tensors.pop("training.chains"),
        "none where chains must be int64 (7, 2)",
    ),
    "settings": (noted(training=[1]), "a training run without settings and records"),
    "history": (
        tensor("training.history", bytes_of({"epoch": 1})),
        "a training run without settings and records",
    ),
}


@pytest.mark.parametrize("unsound", UNSOUND)
@pytest.mark.parametrize("read", [load, load_checkpoint])
def test_unsound_contents_are_refused(read, unsound, tmp_path):
    change, reason = UNSOUND[unsound]
    path = tmp_path / "file"
    rewrite(path, change)
    with pytest.raises(ValueError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{read.__name__}: {path} must be a checkpoint of ncg_fast, got {reason}. "
        "Pass a file that save or fit wrote."
    )


def test_what_was_not_changed_is_read(tmp_path):
    rewrite(tmp_path / "file", lambda note, tensors: None)
    assert load_checkpoint(tmp_path / "file")[1].settings == SETTINGS


BROKEN = {
    "weight": (
        math.nan,
        "weight must hold finite numbers, got 1 that are NaN or infinite. "
        "Reload the last good checkpoint.",
    ),
    "connection_strength": (
        2.0,
        "connection_strength must lie in [0, 1], got {low:g} to 2. "
        "Call update_mask_ after the step of an optimiser.",
    ),
    "mask": (
        False,
        "mask must connect all label units, got 1 connections off. "
        "Use connectivity.protect_labels.",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_machine_is_not_saved(name, tmp_path):
    path, rbm, (value, message) = tmp_path / "file", machine(), BROKEN[name]
    save(rbm, path)
    before = path.read_bytes()
    with torch.no_grad():
        getattr(rbm, name)[-1, -1] = value
    low = float(rbm.connection_strength.detach().min())
    for op, call in (
        ("save", lambda: save(rbm, path)),
        ("save_checkpoint", lambda: save_checkpoint(path, rbm, TrainingState({}, [], begun()))),
    ):
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == f"{op}: {message.format(low=low)}"
    assert path.read_bytes() == before


def test_a_run_without_its_chains_is_not_saved(tmp_path):
    with pytest.raises(ValueError) as caught:
        save_checkpoint(tmp_path / "file", machine(), TrainingState({"n_chains": 5}, [], begun()))
    rule = "save_checkpoint: chains must be int64 (7, 1), got none."
    assert str(caught.value) == f"{rule} Convert it, or make the machine anew."
