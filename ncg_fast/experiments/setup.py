"""The data set and the untrained machine that the options of a run describe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ncg_fast import connectivity, data
from ncg_fast.evaluation import classification
from ncg_fast.experiments.config import Config
from ncg_fast.experiments.recipes import RECIPES
from ncg_fast.model.rbm import RBM

_EPOCHS, _MOST_EPOCHS, _BATCHES = 64, 500, 5000  # where options do not say
_LEAST_BATCH, _BATCHES_OF_EPOCH = 10, 50


class Part(NamedTuple):
    """Rows of visible units, label units included, and the label of each row, or None."""

    rows: Tensor
    labels: Tensor | None


class Experiment(NamedTuple):
    """Training and test rows of a data set, and what the data set says.

    Attributes:
        name: of the data set.
        taken_as: what its values were taken as, in words.
        config: the options of the run, with what depends on the data set.
    """

    train: Part
    test: Part
    name: str
    taken_as: str
    config: Config


def load(config: Config) -> Experiment:
    """Loads the data set of a run; classes, batch size and epochs that config holds stay.

    Raises:
        ValueError: no such data set, labels that are missing or not among the classes.
        RuntimeError: the data set is out of reach.
    """
    source = data.load(
        config.data,
        binarize=_binarize(config),
        seed=config.seed,
        levels=config.levels,
        alphabet=config.alphabet,
    )
    config = replace(config, image_shape=source.image_shape)
    if config.labels and config.classes is None:
        config = replace(config, classes=_classes(source))
    train = _part(source, source.train, source.train_labels, config)
    test = _part(source, source.test, source.test_labels, config)
    batch_size = config.batch_size
    if batch_size is None:
        batch_size = _batch_size(config, len(train.rows))
        config = replace(config, batch_size=batch_size)
    if config.epochs is None:
        n_batches = -(-len(train.rows) // batch_size)
        epochs = min(max(_EPOCHS, -(-_BATCHES // n_batches)), _MOST_EPOCHS)
        config = replace(config, epochs=epochs)
    return Experiment(train, test, source.name, source.taken_as, config)


def moved(task: Experiment, device: torch.device) -> Experiment:
    """The rows on another device; labels stay."""
    train, test = (part._replace(rows=part.rows.to(device)) for part in (task.train, task.test))
    return task._replace(train=train, test=test)


def machine(task: Experiment) -> RBM:
    """The machine before the first epoch.

    Visible biases "data" are logit((sum_j + 1) / (n + 2)) over the n training rows: chains that
    start from the biases alone then start near the data.

    Raises:
        ValueError: an option is out of range, or the pattern does not fit the sizes.
    """
    config, (n_rows, n_visible) = task.config, task.train.rows.shape
    n_labels = len(config.classes or ())
    connections: dict[str, Any] = {"density": config.density}
    if config.pattern != "random":
        n_pixels = n_visible - n_labels
        mask = connectivity.initial_mask(
            config.pattern,
            config.hidden,
            n_pixels,
            n_connections=max(1, round(config.density * n_pixels)),
            image_shape=config.image_shape,
        )
        mask = torch.cat([mask, mask.new_ones(config.hidden, n_labels)], dim=1)
        connections = {"mask": mask, "learn_connections": True}
    rbm = RBM(
        n_visible,
        config.hidden,
        weight_init=config.weight_init,
        weight_scale=config.weight_scale,
        seed=config.seed,
        n_labels=n_labels,
        **connections,
    )
    if config.visible_bias == "data":
        total = task.train.rows.sum(0, dtype=torch.float64)
        with torch.no_grad():
            rbm.visible_bias.copy_(torch.logit((total + 1) / (n_rows + 2)))
    return rbm


def _batch_size(config: Config, n_rows: int) -> int:
    """That of the recipe; fewer rows where there would be few mini-batches."""
    few = max(_LEAST_BATCH, n_rows // _BATCHES_OF_EPOCH)
    return min(RECIPES[config.recipe].batch_size, few, n_rows)


def _binarize(config: Config) -> data.Binarize | None:
    return None if config.binarize == "none" else config.binarize


def _classes(source: data.Dataset) -> tuple[int, ...]:
    if source.train_labels is None or source.test_labels is None:
        rule = "--labels must go with a data set that has labels"
        raise ValueError(f"{rule}, got {source.name}. Leave it out.")
    found = torch.cat([source.train_labels, source.test_labels]).unique()
    return tuple(found[found >= 0].tolist())


def _part(source: data.Dataset, rows: Tensor, labels: Tensor | None, config: Config) -> Part:
    if config.classes is None:
        return Part(rows, None)
    classes = torch.tensor(config.classes)
    if labels is not None:
        rows, labels = rows[labels >= 0], labels[labels >= 0]  # the others are of several classes
    if labels is None or not bool(torch.isin(labels, classes).all()):
        rule = f"labels of {source.name} must be among {list(config.classes)}"
        raise ValueError(f"{rule}, got others or none. Name the data set of the run.")
    index = torch.searchsorted(classes, labels)
    return Part(classification.with_labels(rows, index, len(classes)), index)
