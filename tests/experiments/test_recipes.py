"""Recipes: what they stand for, and how options beside them count."""

import hashlib
import json
from pathlib import Path

import pytest

import ncg_fast
from ncg_fast.cli import main
from ncg_fast.experiments import config
from ncg_fast.experiments.recipes import RECIPES

pytestmark = pytest.mark.usefixtures("one_thread", "own_folder")

RUN = ["train", "--data", "bars-and-stripes-12", "--hidden", "20", "--epochs", "2", "--quiet"]
RUN += ["--nll-every", "0", "--no-figures", "--output", "run"]


def digest(path):
    found = hashlib.sha256()
    for value in ncg_fast.load(path).state_dict().values():
        found.update(value.contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def test_the_recipe_of_the_paper_is_its_protocol_bit_for_bit():
    """The digest is of the program that knew no recipes, with these options one by one."""
    assert main([*RUN, "--recipe", "paper"]) == 0
    assert digest("run/model.safetensors") == "1a756d63725e69e8"
    kept = json.loads(Path("run", "config.json").read_text())
    protocol = {"recipe": "paper", "steps": 10, "persistent": False, "batch_size": 50, "lr": 0.1}
    protocol |= {"lr_decay": "none", "average": 0.0, "momentum": 0.0, "weight_decay": 0.0}
    assert protocol.items() <= kept.items()


@pytest.mark.parametrize("name", RECIPES)
def test_options_that_are_given_count_more_than_the_recipe(name):
    options = {**RECIPES[name].options, "n_steps": 7, "lr": 0.3}
    chosen = config.chosen({"recipe": name, "n_steps": 7, "lr": 0.3})
    assert chosen == config.Config(recipe=name, **options)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_changes_options_that_exist(name):
    for option, value in RECIPES[name].options.items():
        assert config.OPTIONS[option].fits(value)


def test_a_run_goes_on_with_its_recipe(capsys):
    assert main([*RUN, "--recipe", "paper"]) == 0
    again = ["train", "--output", "run", "--resume", "--epochs", "3", "--quiet", "--no-figures"]
    assert main([*again, "--recipe", "default"]) == 2
    message = "ncg-fast train: --recipe must stay paper with --resume, got default."
    assert capsys.readouterr().err.startswith(message)
    assert main(again) == 0
    assert config.read(Path("run")).n_steps == 10
