"""The command line: every default that --help names is the one that holds."""

import argparse
import re

import pytest
from command_line import TINY

from ncg_fast import evaluation
from ncg_fast.cli import build_parser, info, main, train
from ncg_fast.experiments.config import Config

REQUIRED = {"train": [], "evaluate": ["m"], "sample": ["m"], "plot": ["m"], "info": [], "bench": []}
# What holds where an option is not given and no value stands for it.
IN_WORDS = {
    "runs/DATA-1, -2, ...",
    "as many as --batch-size",
    "100 (paper: 50), on few rows a fiftieth of them",
    "64, on few rows up to 500",
    "5 times --lr",
    "a quarter of --epochs",
    "as torch",
    "as the data set says",
    "that of the run",
    "that of the run's data",
    "the 14501 of the NCG authors",
    "samples.npy and samples.png beside the model",
    "1",  # of info, which refuses a density without units
    "128",
}


def commands():
    (found,) = (
        each for each in build_parser()._actions if isinstance(each, argparse._SubParsersAction)
    )
    return found.choices


def named_defaults():
    for name, parser in commands().items():
        for action in parser._actions:
            for shown in re.findall(r"\(default: (.*)\)", action.help or ""):
                yield name, action.option_strings[0], action.dest, shown


def test_commands_are_those_of_this_file():
    assert commands().keys() == REQUIRED.keys()
    assert len(list(named_defaults())) > 40


@pytest.mark.parametrize(("command", "option", "dest", "shown"), list(named_defaults()))
def test_a_default_is_what_holds_where_nothing_is_given(command, option, dest, shown):
    args = build_parser().parse_args([command, *REQUIRED[command]])
    value = getattr(args, dest)
    if command == "train" and value is None:
        value = getattr(Config(), dest, None)
    if value is None:
        assert shown in IN_WORDS
    else:
        assert shown == ("no" if value is False else str(value))


def test_the_defaults_in_words(tmp_path, monkeypatch):
    assert [Config(epochs=n).nll_interval for n in (1, 7, 8, 100)] == [1, 1, 2, 25]
    args = build_parser().parse_args(["info", "--visible", "9", "--hidden", "5"])
    sizes = {"n_visible": 9, "n_hidden": 5, "density": 1.0, "batch_size": 128}
    assert sizes.items() <= info._machine(args).items()
    assert len(evaluation.authors_betas()) == 14501
    seen = {}

    def fit(rbm, rows, **options):
        seen.update(options)
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "fit", fit)
    assert main(["train", "--data", "bars-and-stripes-5", "--epochs", "8"]) == 130
    assert (seen["batch_size"], seen["nll_every"], seen["lr_strength"]) == (10, 2, None)
    assert main(["train", *TINY[:4]]) == 130
    assert (seen["batch_size"], seen["epochs"], seen["nll_every"]) == (10, 500, 125)
    assert main(["train", "--data", "digits"]) == 130
    assert (seen["batch_size"], seen["epochs"]) == (28, 97)
    assert main(["train", "--data", "bars-and-stripes-14"]) == 130
    assert (seen["batch_size"], seen["epochs"]) == (100, 64)
