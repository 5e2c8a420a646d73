"""Where a run of ``fit`` has its checkpoint, and whether it may go on from one."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from torch import Tensor

from ncg_fast import checks, files
from ncg_fast.files import StrPath
from ncg_fast.model.rbm import RBM
from ncg_fast.training import checkpoint
from ncg_fast.training.checkpoint import CHECKPOINT_NAME, TrainingState


def fingerprint(rows: Tensor) -> str:
    """What tells rows from others."""
    digest = hashlib.sha256(f"{rows.dtype} {tuple(rows.shape)}".encode())
    digest.update(rows.cpu().contiguous().numpy().data)
    return f"sha256:{digest.hexdigest()[:16]}"


def paths(
    op: str, checkpoint_dir: StrPath | None, resume: bool | StrPath
) -> tuple[Path | None, Path | None]:
    """The checkpoint to write, and the one to go on from."""
    target = source = None
    if checkpoint_dir is not None:
        target = _path(op, "checkpoint_dir", checkpoint_dir) / CHECKPOINT_NAME
    if resume is True:
        if target is None:
            rule = "checkpoint_dir must be given with resume=True"
            raise checks.error(op, rule, None, "Pass the run's folder.")
        source = target if target.exists() else None
    elif resume is not False:
        source = _path(op, "resume", resume)
        source = source / CHECKPOINT_NAME if source.is_dir() else source
    if target not in (None, source) and target.exists():
        rule = "checkpoint_dir must hold no other run"
        raise checks.error(op, rule, target, "Use resume=True or another folder.")
    return target, source


def _path(op: str, name: str, value: Any) -> Path:
    path = files.checked_path(op, name, value, "Pass the path of a folder.")
    return Path(os.path.realpath(path))


def load(op: str, source: Path, settings: dict[str, Any], epochs: int) -> tuple[RBM, TrainingState]:
    """The checkpoint at source, if it is one of these settings and has no more epochs."""
    saved, state = checkpoint.load_checkpoint(source)
    names = dict.fromkeys([*settings, *state.settings])
    pairs = [(name, settings.get(name), state.settings.get(name)) for name in names]
    differ = [f"{name} = {mine} (there {its})" for name, mine, its in pairs if mine != its]
    if differ:
        rule = f"settings must be those of {source}"
        raise checks.error(op, rule, ", ".join(differ), "Pass those, or start in another folder.")
    n_done = len(state.history)
    if epochs < n_done:
        rule = f"epochs must be at least the {n_done} that {source} has done"
        raise checks.error(op, rule, epochs, "Ask for more, or start in another folder.")
    return saved, state
