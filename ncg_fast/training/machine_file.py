"""Files of safetensors that hold machines: how they are written and what is refused on reading.

The metadata of a file has one key of this package, with JSON: format, version, and what else the
kind of file says of itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, TypeVar

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ncg_fast import checks, files
from ncg_fast.files import StrPath
from ncg_fast.model.rbm import RBM
from ncg_fast.training import flaws

_FORMAT = 1
Made = TypeVar("Made")
Make = Callable[[dict[str, Any], dict[str, Tensor]], Made]  # of the note and the tensors


def sizes(rbm: RBM) -> dict[str, Any]:
    """What a file says of a machine besides its tensors."""
    found = {name: getattr(rbm, name) for name in ("n_visible", "n_hidden", "n_labels")}
    return {**found, "learn_connections": rbm.connection_strength is not None}


def check_sound(op: str, rbm: RBM) -> None:
    """Refuses to write a broken machine."""
    for name, rule, actual, remedy in flaws.of_machine(sizes(rbm), rbm.state_dict()):
        raise checks.error(op, f"{name} must {rule}", actual, remedy)


def contents(key: str, note: dict[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
    """The bytes of a file of this kind."""
    note = {"format": _FORMAT, "version": version("ncg_fast"), **note}
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return safetensors.torch.save(stored, metadata={key: json.dumps(note)})


def read(op: str, path: StrPath, key: str, make: Make[Made], kind: str, remedy: str) -> Made:
    """What ``make`` makes of a file of this kind.

    Raises:
        ValueError: the file is missing, cut off, of another kind, or refused by ``make``.
    """
    files.checked_path(op, "path", path)
    try:
        if os.path.isdir(path):
            raise ValueError("a folder")
        with safe_open(path, framework="pt") as file:
            note = json.loads((file.metadata() or {}).get(key, "null"))
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if note is None:
            raise ValueError("a safetensors file of another program")
        if note["format"] != _FORMAT:
            raise ValueError(f"format {note['format']}, where this version reads {_FORMAT}")
        return make(note, tensors)
    except (KeyError, OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        missing = isinstance(error, KeyError)
        reason = f"a file without {error}" if missing else str(error).splitlines()[0].rstrip(".:")
        rule = f"{path} must be {kind} of ncg_fast"
        raise ValueError(f"{op}: {rule}, got {reason}. {remedy}") from error


def machine(model: dict[str, Any], tensors: dict[str, Tensor]) -> RBM:
    """A machine of its sizes and tensors.

    Raises:
        KeyError: a size or a tensor is missing.
        ValueError: it is no sound machine.
    """
    for name, rule, actual, _ in flaws.of_machine(model, tensors):
        raise ValueError(f"{actual} where {name} must {rule}")
    rbm = RBM(
        model["n_visible"],
        model["n_hidden"],
        n_labels=model["n_labels"],
        mask=tensors["mask"],
        learn_connections=model["learn_connections"],
    )
    rbm.load_state_dict({name: tensors[name] for name in rbm.state_dict()})
    return rbm
