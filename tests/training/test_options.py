"""The table of training options, and who derives from it."""

import dataclasses
import inspect

import pytest
import torch
from training_runs import machine, train

from ncg_fast.cli import build_parser
from ncg_fast.connectivity.rules import RULES
from ncg_fast.experiments import config
from ncg_fast.training.fit import fit
from ncg_fast.training.options import OPTIONS

# Arguments of fit that are no options: what is trained, on what, and where the run is kept.
OTHERS = {
    "rbm",
    "x",
    "callbacks",
    "batch_callbacks",
    "progress",
    "x_held_out",
    "checkpoint_dir",
    "resume",
}
# As options of the command line, with a value that is not the default.
CHANGED = {
    "n_steps": 2,
    "persistent": True,
    "n_chains": 4,
    "batch_size": 3,
    "lr": 0.2,
    "lr_strength": 0.3,
    "lr_decay": "cosine",
    "lr_final": 0.05,
    "centered": True,
    "average": 0.5,
    "chain_start": "rows",
    "momentum": 0.5,
    "weight_decay": 0.1,
    "rule": "static",
    "epochs": 3,
    "seed": 5,
    "shuffle": False,
    "checkpoint_every": 2,
    "nll_every": 2,
}
# Other values where those are the defaults of the command line.
ON_COMMAND_LINE = {**CHANGED, "persistent": False, "chain_start": "independent"}
# What an option does not go without.
WITH = {"n_chains": {"persistent": True}, "lr_final": {"lr_decay": "linear"}}


def test_fit_has_every_option_with_the_default_of_the_table():
    parameters = inspect.signature(fit).parameters
    assert parameters.keys() - OTHERS == OPTIONS.keys() == CHANGED.keys()
    for name, option in OPTIONS.items():
        assert parameters[name].default == option.fit_default, name


@pytest.mark.parametrize("name", OPTIONS)
def test_a_run_that_goes_on_may_change_what_the_table_says(name, tmp_path):
    options = {"n_chains": 5} if name == "persistent" else {}
    before = WITH.get(name, {})
    train(machine(), checkpoint_dir=tmp_path, **before)
    again = {"checkpoint_dir": tmp_path, "resume": True, **before, **options, name: CHANGED[name]}
    if OPTIONS[name].may_change:
        train(machine(), **again)
    else:
        with pytest.raises(ValueError, match=r"^fit: settings must be those of "):
            train(machine(), **again)


@pytest.mark.parametrize("name", [name for name, each in OPTIONS.items() if each.group])
def test_the_command_line_passes_every_option_on(name, tmp_path):
    option, value = OPTIONS[name], ON_COMMAND_LINE[name]
    text = [option.on_command_line, str(value)]
    if value is True:
        text = [option.on_command_line]
    if value is False:
        text = [option.on_command_line.replace("--", "--no-")]
    args = build_parser().parse_args(["train", *text])
    assert getattr(args, name) == value
    chosen = config.Config(**{name: value})
    config.write(tmp_path, chosen)
    assert config.read(tmp_path) == chosen != config.Config()


def test_options_that_are_not_given_are_none_on_the_command_line():
    args = vars(build_parser().parse_args(["train"]))
    assert {args[name] for name in config.OPTIONS} == {None}
    defaults = {each.name: each.default for each in dataclasses.fields(config.Config)}
    assert {name: each.default for name, each in config.OPTIONS.items()}.items() <= defaults.items()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_moves_strengths_where_it_says_so(rule):
    rbm = machine()
    before = rbm.connection_strength.detach().clone()
    train(rbm, rule=rule.name)
    assert torch.equal(rbm.connection_strength, before) != rule.learns_connections
