"""Ranges of the options, checked before a command prints, makes or writes anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ncg_fast import backends, checks, files
from ncg_fast.checks import MAX_CHAINS, MAX_FLOAT32, MAX_SEED, MAX_SWEEPS, MAX_UNITS
from ncg_fast.experiments.run_folder import Config

_MAX_THREADS = 1024  # torch's OpenMP ends the process where it cannot start them
_COUNT = 1, MAX_SWEEPS
_RATE = 0, MAX_FLOAT32
_SHARE = 0, 1

_RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "train": {
        "hidden": (1, MAX_UNITS),
        "density": _SHARE,
        "weight_scale": _RATE,
        "steps": _COUNT,
        "chains": (1, MAX_CHAINS),
        "batch_size": _COUNT,
        "lr": _RATE,
        "lr_strength": _RATE,
        "momentum": _SHARE,
        "weight_decay": _RATE,
        "epochs": _COUNT,
        "seed": (0, MAX_SEED),
        "nll_every": (0, MAX_SWEEPS),
        "checkpoint_every": _COUNT,
    },
    "evaluate": {"chains": (2, MAX_CHAINS), "betas": (2, MAX_SWEEPS), "seed": (0, MAX_SEED)},
    "info": {
        "visible": (1, MAX_UNITS),
        "hidden": (1, MAX_UNITS),
        "density": _SHARE,
        "batch_size": _COUNT,
    },
    "sample": {"n": (1, MAX_CHAINS), "steps": _COUNT, "seed": (0, MAX_SEED)},
}


def check(command: str, values: Mapping[str, Any]) -> None:
    """Refuses numbers out of range; None is an option that was not given.

    Raises:
        ValueError: one is not finite or out of its range.
    """
    for name, (low, high) in {"threads": (1, _MAX_THREADS), **_RANGES.get(command, {})}.items():
        value = values.get(name)
        finite = not isinstance(value, float) or math.isfinite(value)
        if value is not None and not (finite and low <= value <= high):
            limits, _ = checks.limits(value, low, high)
            limits = limits if finite else f"finite and {limits}"
            rule = f"--{name.replace('_', '-')} must be {limits}"
            raise ValueError(f"{rule}, got {value}. See ncg-fast {command} --help.")


def device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        ValueError: no such name.
        RuntimeError: this machine lacks the device, or no back end serves it.
    """
    rule = "--device must be cpu, cuda or cuda:N"
    try:
        chosen = torch.device(name)
    except RuntimeError:
        chosen = torch.device("meta")
    if chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"{rule}, got {name}. Leave it out for the CPU.")
    if chosen.type == "cuda":
        count = torch.cuda.device_count()
        reason = backends.missing_gpu()
        if reason is None and (chosen.index or 0) >= count:
            reason = f"the last of {count} is cuda:{count - 1}"
        if reason is not None:
            raise RuntimeError(f"{rule} of this machine, got {name}: {reason}. Leave it out.")
    backends.require(chosen.type)
    return chosen


def check_training(config: Config) -> None:
    """``check`` of the options of a run, and what they ask of each other."""
    check("train", vars(config))
    if config.chains is not None and not config.persistent:
        rule = "--chains must be left out without --persistent"
        raise ValueError(f"{rule}, got {config.chains}. Leave it out, or add --persistent.")
    if config.lr_strength is None and 5 * config.lr > MAX_FLOAT32:
        rule = f"--lr must be at most {MAX_FLOAT32 / 5:g} without --lr-strength"
        raise ValueError(f"{rule}, got {config.lr}. Lower it.")


def check_machine(values: Mapping[str, Any]) -> None:
    """Refuses a part of a machine's sizes: both layers, or none and nothing about it."""
    visible, hidden = values["visible"], values["hidden"]
    if (visible is None) != (hidden is None):
        given, missing = ("hidden", "visible") if visible is None else ("visible", "hidden")
        rule = f"--{given} must be given with --{missing}"
        raise ValueError(f"{rule}, got --{given} {values[given]} alone. Add --{missing} N.")
    for name in ("density", "batch_size"):
        if visible is None and values[name] is not None:
            rule = f"--{name.replace('_', '-')} must be left out without --visible and --hidden"
            raise ValueError(f"{rule}, got {values[name]}. Leave it out, or add both.")


def check_batch(config: Config, n_rows: int) -> None:
    """Refuses a batch of more rows than there are."""
    if config.batch_size is not None and config.batch_size > n_rows:
        rule = f"--batch-size must be at most the number of rows, {n_rows}"
        raise ValueError(f"{rule}, got {config.batch_size}. Lower it, or leave it out.")


def image_shape(text: str) -> tuple[int, int]:
    """The shape that ROWSxCOLS names; argparse makes a message of its own of a ValueError."""
    rows, cols = (int(side) for side in text.split("x"))
    if min(rows, cols) < 1:
        raise ValueError
    return rows, cols


image_shape.__name__ = "ROWSxCOLS"  # argparse: "invalid ROWSxCOLS value"


def check_image_shape(image_shape: tuple[int, int] | None, n_pixels: int) -> None:
    """Refuses a shape of other images than the machine's."""
    if image_shape is not None and math.prod(image_shape) != n_pixels:
        rule = f"--image-shape must have ROWS * COLS = {n_pixels}"
        actual = "x".join(map(str, image_shape))
        raise ValueError(f"{rule}, got {actual}. Leave label units out of it.")


def check_output(path: Path) -> None:
    """Refuses a file whose name says no format, or whose folder does not exist."""
    if path.suffix not in (".npy", ".png"):
        raise ValueError(f"--output must end in .npy or .png, got {path}. Rename it.")
    if not path.parent.is_dir():
        error = FileNotFoundError(f"No such folder: {path.parent}")
        raise files.unwritable("", path, error)
