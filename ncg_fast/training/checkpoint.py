"""Files of a machine and of a training run: safetensors, replaced whole or not at all.

A file holds the tensors of ``RBM.state_dict`` and, in its metadata under "ncg_fast", JSON: the
format, the version of the package, the machine's sizes, and the settings of a training run. The
tensors of a run (momentum, persistent chains, the history as JSON) bear the prefix "training.".
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ncg_fast import checks, files
from ncg_fast.files import StrPath
from ncg_fast.model.rbm import RBM, check_machine
from ncg_fast.training import flaws
from ncg_fast.training.flaws import Flaw

CHECKPOINT_NAME = "checkpoint.safetensors"
_KEY, _FORMAT, _PREFIX, _HISTORY = "ncg_fast", 1, "training.", "history"


@dataclass(frozen=True)
class TrainingState:
    """What a training run needs, besides the machine, to go on with the same bits.

    Attributes:
        settings: what must stay the same when the run goes on; JSON values.
        history: one record per complete epoch; JSON values.
        tensors: momentum buffers and packed persistent chains, by name.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)


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
        the machine, on the CPU.

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
    return _read("load", path)[0]


def save_checkpoint(path: StrPath, rbm: RBM, training_state: TrainingState) -> None:
    """As ``save``, with the state of the machine's training run.

    Raises:
        ValueError: as ``save``; the run's momentum or chains are not those of its settings.
        OSError: as ``save``.
    """
    _save("save_checkpoint", path, rbm, training_state)


def load_checkpoint(path: StrPath) -> tuple[RBM, TrainingState]:
    """As ``load``, with the state of the run that ``save_checkpoint`` wrote.

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
    for name, rule, actual, remedy in _flaws(_sizes(rbm), rbm.state_dict(), training_state):
        raise checks.error(op, f"{name} must {rule}", actual, remedy)
    files.write(op, target, _contents(rbm, training_state))


def _contents(rbm: RBM, training_state: TrainingState | None) -> bytes:
    tensors = dict(rbm.state_dict())
    training = None  # the header of a safetensors file is small: no history in it
    if training_state is not None:
        training = training_state.settings
        history = bytearray(json.dumps(training_state.history).encode())
        own = training_state.tensors | {_HISTORY: torch.frombuffer(history, dtype=torch.uint8)}
        tensors |= {_PREFIX + name: value for name, value in own.items()}
    note = {
        "format": _FORMAT,
        "version": version("ncg_fast"),
        "model": _sizes(rbm),
        "training": training,
    }
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return safetensors.torch.save(stored, metadata={_KEY: json.dumps(note)})


def _sizes(rbm: RBM) -> dict[str, Any]:
    sizes = {name: getattr(rbm, name) for name in ("n_visible", "n_hidden", "n_labels")}
    return {**sizes, "learn_connections": rbm.connection_strength is not None}


def _flaws(
    model: dict[str, Any], tensors: Mapping[str, Tensor], training_state: TrainingState | None
) -> Iterator[Flaw]:
    """What is wrong with a machine of these sizes, and with its run."""
    yield from flaws.of_machine(model, tensors)
    if training_state is not None:
        yield from flaws.of_run(model, training_state.settings, training_state.tensors)


def _read(op: str, path: StrPath) -> tuple[RBM, TrainingState | None]:
    files.checked_path(op, "path", path)
    try:
        if os.path.isdir(path):
            raise ValueError("a folder")
        with safe_open(path, framework="pt") as file:
            note = json.loads((file.metadata() or {}).get(_KEY, "null"))
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if note is None:
            raise ValueError("a safetensors file of another program")
        if note["format"] != _FORMAT:
            raise ValueError(f"format {note['format']}, where this version reads {_FORMAT}")
        training_state = _training_state(note["training"], tensors)
        for name, rule, actual, _ in _flaws(note["model"], tensors, training_state):
            raise ValueError(f"{actual} where {name} must {rule}")
        return _machine(note["model"], tensors), training_state
    except (KeyError, OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        missing = isinstance(error, KeyError)
        reason = f"a file without {error}" if missing else str(error).splitlines()[0].rstrip(".:")
        rule = f"{path} must be a checkpoint of ncg_fast"
        remedy = "Pass a file that save or fit wrote."
        raise ValueError(f"{op}: {rule}, got {reason}. {remedy}") from error


def _machine(model: dict[str, Any], tensors: dict[str, Tensor]) -> RBM:
    rbm = RBM(
        model["n_visible"],
        model["n_hidden"],
        n_labels=model["n_labels"],
        mask=tensors["mask"],
        learn_connections=model["learn_connections"],
    )
    rbm.load_state_dict({name: tensors[name] for name in rbm.state_dict()})
    return rbm


def _training_state(
    settings: dict[str, Any] | None, tensors: dict[str, Tensor]
) -> TrainingState | None:
    if settings is None:
        return None
    own = {name: value for name, value in tensors.items() if name.startswith(_PREFIX)}
    named = {name.removeprefix(_PREFIX): value for name, value in own.items()}
    history = json.loads(named.pop(_HISTORY).numpy().tobytes())
    sound = isinstance(history, list) and all(isinstance(record, dict) for record in history)
    if not (sound and isinstance(settings, dict)):
        raise ValueError("a training run without settings and records")
    return TrainingState(settings, history, named)
