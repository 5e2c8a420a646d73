"""The folder of a training run: what ``ncg-fast train`` writes and the other commands read.

config.json               the options, and what the data set says: see ``Config``
metrics.jsonl             one record a line, an epoch each
checkpoint.safetensors    what continues the run bit for bit
model.safetensors         the trained machine
figures/                  filters, samples, curves, degrees, connectivity
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from ncg_fast import files
from ncg_fast.model.rbm import RBM
from ncg_fast.training import checkpoint

CONFIG_NAME, METRICS_NAME, MODEL_NAME = "config.json", "metrics.jsonl", "model.safetensors"
_RUNS = Path("runs")
_FREE = "epochs", "nll_every", "checkpoint_every"  # may change when a run goes on


@dataclass(frozen=True)
class Config:
    """Options of a training run, in the words of ``ncg-fast train --help``, and their defaults.

    Attributes:
        batch_size: None until the data set is known: then min(50, rows).
        image_shape: (rows, cols) of the data set's images, or None.
        classes: the source's number of each label unit's class, or None without label units.
    """

    data: str = "digits"
    binarize: Literal["stochastic", "threshold", "none"] = "stochastic"
    labels: bool = False
    hidden: int = 128
    pattern: str = "random"
    density: float = 0.5
    weight_init: str = "uniform"
    weight_scale: float = 0.1
    visible_bias: Literal["data", "zero"] = "data"
    steps: int = 10
    persistent: bool = False
    chains: int | None = None
    batch_size: int | None = None
    lr: float = 0.1
    lr_strength: float | None = None
    momentum: float = 0.0
    weight_decay: float = 0.0
    rule: str = "ncg"
    epochs: int = 100
    seed: int = 0
    nll_every: int | None = None
    checkpoint_every: int = 1
    image_shape: tuple[int, int] | None = None
    classes: tuple[int, ...] | None = None

    @property
    def nll_interval(self) -> int:
        """Epochs between estimates of the NLL, 0: none; grey rows have none."""
        if self.binarize == "none":
            return 0
        return max(1, self.epochs // 4) if self.nll_every is None else self.nll_every


OPTIONS = tuple(field.name for field in fields(Config))


def create(output: str | None, data_name: str) -> Path:
    """Makes a new run folder: output, or runs/DATA-N with the first free N.

    Raises:
        ValueError: output is not empty.
        OSError: the folder cannot be made.
    """
    if output is not None:
        check_free(output)
        files.make_folder("", "--output", output)
        return Path(output)
    files.make_folder("", "runs", _RUNS)
    number = 1
    while True:
        folder = _RUNS / f"{data_name}-{number}"
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        except OSError as error:
            raise files.unwritable("", folder, error) from error
        else:
            return folder


def check_free(output: str) -> None:
    """Raises ValueError where output is a file, or a folder that is not empty.

    What a killed process left half written is nothing.
    """
    folder = Path(output)
    try:
        free = not folder.exists() or (
            folder.is_dir() and all(map(files.is_temporary, folder.iterdir()))
        )
    except OSError as error:
        raise files.unwritable("", output, error) from error
    if not free:
        rule = f"--output must be a new or empty folder, got {output}, which is not"
        raise ValueError(f"{rule}. Choose another, or go on with that run: --resume.")


def resumed(output: str | None, given: Mapping[str, Any]) -> Config:
    """The options of a run to go on with.

    Args:
        output: the run folder.
        given: options of the command line; only epochs and how often to measure may differ.

    Raises:
        ValueError: no run in that folder, or an option that differs from the run's.
    """
    if output is None:
        raise ValueError("--resume needs --output, got none. Name the run folder.")
    config = read_config(Path(output))
    for name, value in given.items():
        if name not in _FREE and value != getattr(config, name):
            option = "--" + name.replace("_", "-")
            rule = f"{option} must stay {getattr(config, name)} with --resume"
            raise ValueError(f"{rule}, got {value}. Leave it out, or start a new run.")
    return replace(config, **given)


def discard(folder: Path) -> None:
    """Frees a folder in which nothing was trained; what others put there stays."""
    with contextlib.suppress(OSError):
        for name in (CONFIG_NAME, METRICS_NAME):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()
        if folder.parent == _RUNS:
            _RUNS.rmdir()


def write_config(folder: Path, config: Config) -> None:
    """Writes config.json, whole or not at all."""
    files.sweep(folder, (CONFIG_NAME, METRICS_NAME, MODEL_NAME))
    _write_text(folder / CONFIG_NAME, json.dumps(asdict(config), indent=2) + "\n")


def read_config(folder: Path) -> Config:
    """Reads config.json.

    Raises:
        ValueError: it is missing, or not one of ``ncg-fast train``.
    """
    path, remedy = folder / CONFIG_NAME, "Name a folder that ncg-fast train made."
    try:
        values: dict[str, Any] = json.loads(path.read_text())
        if not isinstance(values, dict) or values.keys() - set(OPTIONS):
            raise ValueError("other keys than the options of ncg-fast train")
        for name, value in values.items():
            if not _fits(name, value):
                raise ValueError(f"{name} = {value!r}")
    except FileNotFoundError as error:
        raise ValueError(f"run folder must hold {CONFIG_NAME}, got {folder}. {remedy}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} must be sound, got {_reason(error)}. {remedy}") from error
    values |= {k: tuple(value) for k, value in values.items() if isinstance(value, list)}
    return Config(**values)


def _fits(name: str, value: Any) -> bool:
    """Whether a value of config.json has the type of its option."""
    if name in ("image_shape", "classes"):
        return value is None or (isinstance(value, list) and all(type(v) is int for v in value))
    default = getattr(Config, name)
    if default is None:
        number = type(value) is int or (name == "lr_strength" and type(value) is float)
        return value is None or number
    return type(value) is type(default) or (type(default) is float and type(value) is int)


def write_records(folder: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Writes metrics.jsonl anew."""
    _write_text(folder / METRICS_NAME, "".join(json.dumps(dict(r)) + "\n" for r in records))


def append_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Adds a line to metrics.jsonl; it is in the file when this returns."""
    files.append("", folder / METRICS_NAME, json.dumps(dict(record)))


def read_records(folder: Path) -> list[dict[str, Any]]:
    """The records of metrics.jsonl; none where it is missing.

    Raises:
        ValueError: it cannot be read, or a line is damaged.
    """
    path = folder / METRICS_NAME
    try:
        records = [json.loads(line) for line in path.read_text().splitlines()]
        if not all(isinstance(record, dict) for record in records):
            raise ValueError("a line of another kind")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        rule = f"{path} must hold one JSON record a line"
        raise ValueError(f"{rule}, got {_reason(error)}. Remove the damaged line.") from error
    return records


def open_model(path: str) -> tuple[RBM, Path, Config | None]:
    """The machine of a run folder, or of a file; the folder; its options where it has config.json.

    Raises:
        ValueError: no machine there, or a damaged or foreign file.
    """
    file = Path(path)
    if file.is_dir():
        names = checkpoint.CHECKPOINT_NAME, MODEL_NAME  # a run that goes on is ahead of its model
        found = [file / name for name in names if (file / name).exists()]
        if not found:
            rule = f"run folder must hold {' or '.join(names)}, got {path}"
            raise ValueError(f"{rule}. Train first: ncg-fast train --output {path}.")
        file = found[0]
    folder = file.parent
    config = read_config(folder) if (folder / CONFIG_NAME).exists() else None
    return checkpoint.load(file), folder, config


def _write_text(path: Path, text: str) -> None:
    files.write("", path, text.encode())


def _reason(error: Exception) -> str:
    return files.reason(error) if isinstance(error, OSError) else str(error)
