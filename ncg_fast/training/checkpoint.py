"""Files of a machine and of a training run: safetensors, replaced whole or not at all.

A file holds the tensors of ``RBM.state_dict`` and, in its metadata under "ncg_fast", JSON: the
format, the version of the package, the machine's sizes, and the settings of a training run. The
tensors of a run (momentum, averages, persistent chains, the history as JSON) bear the prefix
"training.".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ncg_fast import checks, files
from ncg_fast.files import StrPath
from ncg_fast.model.rbm import RBM, check_machine
from ncg_fast.training import averaging, flaws, machine_file
from ncg_fast.training.history import TrainingState

CHECKPOINT_NAME = "checkpoint.safetensors"
_KEY, _PREFIX, _HISTORY = "ncg_fast", "training.", "history"


def save(rbm: RBM, path: StrPath) -> None:
    """Writes a machine: parameters, strengths, mask, and the state of its random numbers.

    Args:
        rbm: the machine; all numbers finite, strengths in [0, 1], label units connected.
        path: the file; its folder must exist. A file already there is replaced in one step.

    Raises:
        ValueError: rbm is no RBM, or a broken one; path is no path.
        OSError: the file cannot be written, or the disk is full; a file already there is unchanged.

    Note:
        Deterministic: the same machine gives the same bytes. Memory: a second copy of the machine
        while writing.

    Example:
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(RBM(6, 4, seed=0), f"{folder}/model.safetensors")
        ...     os.listdir(folder)
        ['model.safetensors']
    """
    _save("save", path, rbm, None)


def load(path: StrPath) -> RBM:
    """Reads a machine that ``save`` or ``fit`` wrote; it goes on with the same draws.

    Args:
        path: the file.

    Returns:
        the machine, on the CPU; that of a checkpoint with averages has them.

    Raises:
        ValueError: the file is missing, cut off, of another program, or holds a broken machine.

    Note:
        Deterministic: the machine has the bits of the one that was saved. Nothing in the file is
        run. Memory: a second copy of the machine while reading.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(RBM(6, 4, seed=0), f"{folder}/model.safetensors")
        ...     load(f"{folder}/model.safetensors")
        RBM(6, 4, density=1.000, connections=learned)
    """
    rbm, training_state = _read("load", path)
    return rbm if training_state is None else averaging.averaged(rbm, training_state.tensors)


def save_checkpoint(path: StrPath, rbm: RBM, training_state: TrainingState) -> None:
    """As ``save``, with the state of the machine's training run.

    Raises:
        ValueError: as ``save``; the run's momentum or chains are not those of its settings.
        OSError: as ``save``.
    """
    _save("save_checkpoint", path, rbm, training_state)


def load_checkpoint(path: StrPath) -> tuple[RBM, TrainingState]:
    """The machine in training, without averages, and the state of the run.

    Raises:
        ValueError: as ``load``; the file holds no training run, or a broken one.
    """
    op = "load_checkpoint"
    rbm, training_state = _read(op, path)
    if training_state is None:
        rule = f"{path} must hold a training run"
        raise checks.error(op, rule, "a machine alone", "Use load.")
    return rbm, training_state


def prepare_folder(op: str, folder: StrPath) -> Path:
    """The checkpoint's path in a folder, which is made, and freed of what a killed run left.

    Raises:
        OSError: the folder cannot be made or written.
    """
    files.make_folder(op, "checkpoint_dir", folder)
    files.sweep(Path(folder), [CHECKPOINT_NAME])
    return Path(folder) / CHECKPOINT_NAME


def _save(op: str, path: StrPath, rbm: RBM, training_state: TrainingState | None) -> None:
    check_machine(op, rbm)
    target = files.checked_path(op, "path", path)
    machine_file.check_sound(op, rbm)
    tensors = dict(rbm.state_dict())
    training = None  # the header of a safetensors file is small: no history in it
    if training_state is not None:
        training, own = training_state.settings, training_state.tensors
        for name, rule, actual, remedy in flaws.of_run(machine_file.sizes(rbm), training, own):
            raise checks.error(op, f"{name} must {rule}", actual, remedy)
        history = bytearray(json.dumps(training_state.history).encode())
        own = own | {_HISTORY: torch.frombuffer(history, dtype=torch.uint8)}
        tensors |= {_PREFIX + name: value for name, value in own.items()}
    note = {"model": machine_file.sizes(rbm), "training": training}
    files.write(op, target, machine_file.contents(_KEY, note, tensors))


def _read(op: str, path: StrPath) -> tuple[RBM, TrainingState | None]:
    remedy = "Pass a file that save or fit wrote."
    return machine_file.read(op, path, _KEY, _made, "a checkpoint", remedy)


def _made(note: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[RBM, TrainingState | None]:
    rbm = machine_file.machine(note["model"], tensors)
    settings = note["training"]
    if settings is None:
        return rbm, None
    own = {name: value for name, value in tensors.items() if name.startswith(_PREFIX)}
    named = {name.removeprefix(_PREFIX): value for name, value in own.items()}
    history = json.loads(named.pop(_HISTORY).numpy().tobytes())
    sound = isinstance(history, list) and all(isinstance(record, dict) for record in history)
    if not (sound and isinstance(settings, dict)):
        raise ValueError("a training run without settings and records")
    for name, rule, actual, _ in flaws.of_run(note["model"], settings, named):
        raise ValueError(f"{actual} where {name} must {rule}")
    return rbm, TrainingState(settings, history, named)
