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
from ncg_fast.training.checkpoint import CHECKPOINT_NAME
from ncg_fast.training.history import History, TrainingState


def fingerprint(rows: Tensor) -> str:
    """What tells rows from others."""
    digest = hashlib.sha256(f"{rows.dtype} {tuple(rows.shape)}".encode())
    digest.update(rows.cpu().contiguous().numpy().data)
    return f"sha256:{digest.hexdigest()[:16]}"


def paths(
    op: str, checkpoint_dir: StrPath | None, resume: bool | StrPath | History
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
    elif resume is not False and not isinstance(resume, History):
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
    remedy = "or start in another folder."
    _check_settings(op, str(source), settings, state.settings, f"Pass those, {remedy}")
    _check_epochs(op, str(source), epochs, len(state.history), f"Ask for more, {remedy}")
    return saved, state


def of_history(op: str, history: History, settings: dict[str, Any], epochs: int) -> TrainingState:
    """What a call of ``fit`` left in memory, if it had these settings and no more epochs."""
    state, name = history.state, "resume"
    if state is None:
        rule = "resume must be a history that can go on"
        remedy = "Pass what fit returned, without average, or use checkpoint_dir and resume=True."
        raise checks.error(op, rule, "one without chains and settings", remedy)
    ours, theirs = ({**given, "x": None} for given in (settings, state.settings))  # rows may differ
    _check_settings(op, name, ours, theirs, "Pass those, or leave resume out.")
    _check_epochs(op, name, epochs, len(history), "Ask for more: these count, too.")
    return state


def _check_settings(
    op: str, source: str, ours: dict[str, Any], theirs: dict[str, Any], remedy: str
) -> None:
    names = dict.fromkeys([*ours, *theirs])
    pairs = [(name, ours.get(name), theirs.get(name)) for name in names]
    differ = [f"{name} = {mine} (there {its})" for name, mine, its in pairs if mine != its]
    if differ:
        raise checks.error(op, f"settings must be those of {source}", ", ".join(differ), remedy)


def _check_epochs(op: str, source: str, epochs: int, n_done: int, remedy: str) -> None:
    if epochs < n_done:
        rule = f"epochs must be at least the {n_done} that {source} has done"
        raise checks.error(op, rule, epochs, remedy)
