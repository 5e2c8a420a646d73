"""Recipes: options that belong together, by name; the command line overrides each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Recipe(NamedTuple):
    """Options of ``ncg-fast train``.

    Attributes:
        summary: what it is for, in a few words.
        batch_size: rows of a mini-batch where the data set has as many.
        options: those that differ from the defaults.
    """

    summary: str
    batch_size: int
    options: Mapping[str, Any]


DEFAULT = "default"

# The protocol of arXiv 2209.06932 for MNIST.
_PAPER = {
    "n_steps": 10,
    "persistent": False,
    "lr": 0.1,
    "lr_decay": "none",
    "epochs": 60,
    "nll_every": 10,
    "weight_init": "uniform",
    "weight_scale": 1.0,
    "visible_bias": "zero",
}

RECIPES = {
    DEFAULT: Recipe("PCD-5, a rate that falls to 0: machines that generate", 100, {}),
    "paper": Recipe("CD-10 at a constant rate, as the authors of NCG", 50, _PAPER),
}


def options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the recipe in ``given``, and those given."""
    recipe = RECIPES[given.get("recipe", DEFAULT)]
    return {**recipe.options, **given}
