"""config.json of a run folder: the options of ``ncg-fast train``, and what the data set says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ncg_fast import files
from ncg_fast.checks import MAX_UNITS
from ncg_fast.connectivity.masks import PATTERNS
from ncg_fast.data.formats import SUFFIXES
from ncg_fast.data.levels import MAX_LEVELS
from ncg_fast.experiments import recipes
from ncg_fast.experiments.recipes import DEFAULT, RECIPES
from ncg_fast.option import declared, option
from ncg_fast.training.options import RATE, SHARE, TrainingOptions

CONFIG_NAME = "config.json"
GROUPS = "data", "machine", "learning", "run"  # in the order of --help
_data, _machine = partial(option, group="data"), partial(option, group="machine")
_learning = partial(option, group="learning")


@dataclass(frozen=True)
class Config(TrainingOptions):
    """Options of a training run, and their defaults.

    Attributes:
        batch_size: None until the data set is known: then the recipe's, at most 1/50 of the rows
            where these are more than 500.
        epochs: None until the data set is known: then as many as make 5000 mini-batches, in
            [64, 500].
        image_shape: (rows, cols) of the data set's images, or None.
        classes: the source's number of each label unit's class, or None without label units.
    """

    recipe: str = _learning(
        DEFAULT,
        "; ".join(f"{name}: {recipe.summary}" for name, recipe in RECIPES.items()),
        "NAME",
        choices=tuple(RECIPES),
    )
    data: str = _data(
        "digits",
        "digits, mnist, fashion-mnist, bars-and-stripes-N, a set of $NCG_FAST_DATA, or a file: "
        f"{SUFFIXES}",
        "NAME_OR_PATH",
    )
    levels: int | None = _data(
        None,
        "how many whole numbers from 0 on the values of a file can be",
        "N",
        within=(2, MAX_LEVELS),
        otherwise="as the data set says",
    )
    alphabet: str | None = _data(
        None,
        "letters of a FASTA file in the order of their states, as in --alphabet=-ACGU",
        "LETTERS",
        otherwise="as the data set says",
    )
    binarize: Literal["stochastic", "threshold", "none"] = _data(
        "stochastic",
        "grey values to 0 and 1; none: as probabilities, without NLL",
        "HOW",
        choices=("stochastic", "threshold", "none"),
    )
    labels: bool = _data(
        False, "add a visible unit per class, always connected: the machine then classifies"
    )
    hidden: int = _machine(128, "hidden units", "N", within=(1, MAX_UNITS))
    pattern: str = _machine(
        "random", f"initial connections: {', '.join(PATTERNS)}", "NAME", choices=PATTERNS
    )
    density: float = _machine(
        0.5,
        "probability of a connection; line, spiral: share of visible units a hidden unit sees",
        "SHARE",
        within=SHARE,
    )
    weight_init: str = _machine(
        "normal",
        "distribution of the initial weights: uniform or normal",
        "NAME",
        choices=("uniform", "normal"),
    )
    weight_scale: float = _machine(
        0.03, "half width of uniform, standard deviation of normal weights", "X", within=RATE
    )
    visible_bias: str = _machine(
        "data",
        "initial visible biases: data, log-odds of each unit's mean; zero",
        "NAME",
        choices=("data", "zero"),
    )
    image_shape: tuple[int, int] | None = None
    classes: tuple[int, ...] | None = None

    @property
    def n_epochs(self) -> int:
        """Epochs, 0 before the data set is known."""
        return self.epochs or 0

    @property
    def nll_interval(self) -> int:
        """Epochs between estimates of the NLL, 0: none; grey rows have none."""
        if self.binarize == "none":
            return 0
        return max(1, self.n_epochs // 4) if self.nll_every is None else self.nll_every


OPTIONS = {
    name: each for group in GROUPS for name, each in declared(Config).items() if each.group == group
}
_NAMES = {each.key: name for name, each in OPTIONS.items()} | {
    name: name for name in ("image_shape", "classes")
}


def chosen(given: Mapping[str, Any]) -> Config:
    """The options of a new run: those given, else the recipe's, else the defaults."""
    return Config(**recipes.options(given))


def resumed(folder: str | None, given: Mapping[str, Any]) -> Config:
    """The options of a run to go on with.

    Args:
        folder: the run folder.
        given: options of the command line; only epochs and how often to measure may differ.

    Raises:
        ValueError: no run in that folder, or an option that differs from the run's.
    """
    if folder is None:
        raise ValueError("--resume needs --output, got none. Name the run folder.")
    config = read(Path(folder))
    for name, value in given.items():
        before, why = getattr(config, name), ""
        if name == "epochs" and (config.average or config.lr_decay != "none"):
            why = f", for its rates or averages depend on the last of the {before}"
        if (why or not OPTIONS[name].may_change) and value != before:
            rule = f"{OPTIONS[name].on_command_line} must stay {before} with --resume"
            raise ValueError(f"{rule}{why}, got {value}. Leave it out, or start a new run.")
    return replace(config, **given)


def write(folder: Path, config: Config) -> None:
    """Writes config.json, whole or not at all."""
    values = {key: getattr(config, name) for key, name in _NAMES.items()}
    files.write("", folder / CONFIG_NAME, (json.dumps(values, indent=2) + "\n").encode())


def read(folder: Path) -> Config:
    """Reads config.json.

    Raises:
        ValueError: it is missing, or not one of ``ncg-fast train``.
    """
    path, remedy = folder / CONFIG_NAME, "Name a folder that ncg-fast train made."
    try:
        values: dict[str, Any] = json.loads(path.read_text())
        if not isinstance(values, dict) or values.keys() - _NAMES.keys():
            raise ValueError("other keys than the options of ncg-fast train")
        for key, value in values.items():
            if not _fits(_NAMES[key], value):
                raise ValueError(f"{key} = {value!r}")
    except FileNotFoundError as error:
        raise ValueError(f"run folder must hold {CONFIG_NAME}, got {folder}. {remedy}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} must be sound, got {files.reason(error)}. {remedy}") from error
    values |= {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return Config(**{_NAMES[key]: value for key, value in values.items()})


def _fits(name: str, value: Any) -> bool:
    """Whether a value of config.json has the type of its option."""
    if name in OPTIONS:
        return OPTIONS[name].fits(value)
    return value is None or (isinstance(value, list) and all(type(v) is int for v in value))
