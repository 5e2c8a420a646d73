"""The folder of a training run: what ``ncg-fast train`` writes and the other commands read.

config.json               the options, and what the data set says: see ``config.py``
metrics.jsonl             one record a line, an epoch each
checkpoint.safetensors    what continues the run bit for bit
model.safetensors         the trained machine
mixing.json               how its chains mix, once that was evaluated
figures/                  filters, samples, curves, degrees, connectivity, mixing
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ncg_fast import files
from ncg_fast.experiments import config as run_config
from ncg_fast.experiments.config import CONFIG_NAME, Config
from ncg_fast.model.rbm import RBM
from ncg_fast.training import checkpoint

METRICS_NAME, MODEL_NAME, MIXING_NAME = "metrics.jsonl", "model.safetensors", "mixing.json"
_RUNS = Path("runs")


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


def write_start(folder: Path, config: Config, records: Iterable[Mapping[str, Any]]) -> None:
    """Writes config.json and metrics.jsonl, after what killed processes left of any file here."""
    files.sweep(folder, (CONFIG_NAME, METRICS_NAME, MODEL_NAME))
    run_config.write(folder, config)
    write_records(folder, records)


def discard(folder: Path) -> None:
    """Frees a folder in which nothing was trained; what others put there stays."""
    with contextlib.suppress(OSError):
        for name in (CONFIG_NAME, METRICS_NAME):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()
        if folder.parent == _RUNS:
            _RUNS.rmdir()


def write_records(folder: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Writes metrics.jsonl anew."""
    text = "".join(f"{json.dumps(dict(record))}\n" for record in records)
    files.write("", folder / METRICS_NAME, text.encode())


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
        raise ValueError(f"{rule}, got {files.reason(error)}. Remove the damaged line.") from error
    return records


def write_mixing(folder: Path, found: Mapping[str, Any]) -> Path:
    """Writes mixing.json anew."""
    path = folder / MIXING_NAME
    files.write("", path, f"{json.dumps(dict(found))}\n".encode())
    return path


def read_mixing(folder: Path) -> dict[str, Any] | None:
    """The contents of mixing.json; None where it is missing.

    Raises:
        ValueError: it cannot be read.
    """
    path = folder / MIXING_NAME
    try:
        found = json.loads(path.read_text())
        if not isinstance(found, dict):
            raise ValueError("another kind of value")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        rule = f"{path} must hold a JSON object"
        raise ValueError(f"{rule}, got {files.reason(error)}. Evaluate the run anew.") from error
    return found


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
    config = run_config.read(folder) if (folder / CONFIG_NAME).exists() else None
    return checkpoint.load(file), folder, config
