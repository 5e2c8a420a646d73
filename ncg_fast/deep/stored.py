"""Several machines in one file of safetensors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor

from ncg_fast import files
from ncg_fast.files import StrPath
from ncg_fast.model.rbm import RBM
from ncg_fast.training import machine_file

_KEY = "ncg_fast.deep"


def save(op: str, path: StrPath, machines: Sequence[RBM]) -> None:
    """Writes machines, each tensor under a name with the number of its machine."""
    target, tensors = files.checked_path(op, "path", path), dict[str, Tensor]()
    for index, rbm in enumerate(machines):
        machine_file.check_sound(op, rbm)
        tensors |= {f"{index}.{name}": value for name, value in rbm.state_dict().items()}
    note = {"models": [machine_file.sizes(rbm) for rbm in machines]}
    files.write(op, target, machine_file.contents(_KEY, note, tensors))


def load(op: str, path: StrPath) -> list[RBM]:
    """The machines of a file, each the layer on top of the one before."""
    remedy = "Pass a file that DeepBeliefNetwork.save wrote."
    return machine_file.read(op, path, _KEY, _machines, "a deep belief network", remedy)


def _machines(note: dict[str, Any], tensors: dict[str, Tensor]) -> list[RBM]:
    machines = []
    for index, model in enumerate(note["models"]):
        lead = f"{index}."
        named = (
            (name.removeprefix(lead), value)
            for name, value in tensors.items()
            if name.startswith(lead)
        )
        machines.append(machine_file.machine(model, dict(named)))
    pairs = pairwise(machines)
    if not machines or any(one.n_hidden != other.n_visible for one, other in pairs):
        raise ValueError("machines that do not fit each other")
    return machines
