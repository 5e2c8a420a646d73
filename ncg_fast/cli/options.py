"""Options that several commands have, and checks before a command prints, makes or writes."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ncg_fast import backends
from ncg_fast.option import Option


def image_shape(text: str) -> tuple[int, int]:
    """The shape that ROWSxCOLS names; argparse makes a message of its own of a ValueError."""
    rows, cols = (int(side) for side in text.split("x"))
    if min(rows, cols) < 1:
        raise ValueError
    return rows, cols


image_shape.__name__ = "ROWSxCOLS"  # argparse: "invalid ROWSxCOLS value"

DEVICE = Option("device", str, "cpu", "cpu, cuda or cuda:N; the same bits on each", "DEVICE")
# torch's OpenMP ends the process where it cannot start the threads.
THREADS = Option("threads", int, None, "CPU threads", "N", within=(1, 1024), otherwise="as torch")
IMAGE_SHAPE = Option(
    "image_shape",
    image_shape,
    None,
    "shape of an image, label units left out",
    "ROWSxCOLS",
    otherwise="that of the run's data",
)


def add(group: Any, options: Iterable[Option], *, with_defaults: bool = True) -> None:
    """Adds options to a parser or a group; without defaults None tells what was not given."""
    for option in options:
        settings: dict[str, Any] = {"action": "store_true"}
        if option.default is True:
            settings = {"action": argparse.BooleanOptionalAction}
        elif option.kind is not bool:
            settings = {"type": option.kind, "metavar": option.metavar}
        if option.choices:
            settings["choices"] = option.choices
        default = option.default if with_defaults else None
        settings |= {"dest": option.name, "default": default, "help": option.full_help}
        group.add_argument(option.on_command_line, **settings)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds --json."""
    parser.add_argument("--json", action="store_true", help="as JSON")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds the trained machine."""
    text = "run folder, or a .safetensors file of ncg_fast"
    parser.add_argument("model", metavar="RUN_OR_MODEL", help=text)


def check(prog: str, options: Iterable[Option], values: Mapping[str, Any]) -> None:
    """Refuses numbers out of range; None is an option that was not given.

    Raises:
        ValueError: one is not finite or out of its range.
    """
    for option in options:
        option.check_range(values[option.name], f"See {prog} --help.")


def device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        ValueError: no such name.
        RuntimeError: this computer lacks the device, or no back end serves it.
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
            raise RuntimeError(f"{rule} of this computer, got {name}: {reason}. Leave it out.")
    backends.select(chosen.type)
    return chosen


def check_image_shape(image_shape: tuple[int, int] | None, n_pixels: int) -> None:
    """Refuses a shape of other images than the machine's."""
    if image_shape is not None and math.prod(image_shape) != n_pixels:
        rule = f"--image-shape must have ROWS * COLS = {n_pixels}"
        actual = "x".join(map(str, image_shape))
        raise ValueError(f"{rule}, got {actual}. Leave label units out of it.")
