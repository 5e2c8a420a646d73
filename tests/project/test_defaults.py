"""Defaults of public functions and of the command line: runs of users rest on them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import ncg_fast
from ncg_fast import RBM, connectivity, data, diagnostics, evaluation, ops, plotting, sampling
from ncg_fast.cli import build_parser
from ncg_fast.experiments.config import Config

NEUTRAL = None, 0, 0.0, False, ()
FIT = {"epochs": 10, "n_steps": 1, "lr": 0.01, "rule": "ncg"}
FIT |= {
    "lr_decay": "none",
    "chain_start": "independent",
    "shuffle": True,
    "progress": True,
    "checkpoint_every": 1,
}

# Every other default leaves something out: None, 0, False or ().
OF_FUNCTIONS: dict[str, dict[str, Any]] = {
    "RBM": {"weight_init": "uniform"},
    "RBM.gibbs_steps": {"n_steps": 1},
    "RBM.sample": {"n_steps": 1000},
    "RBM.contrastive_divergence": {"n_steps": 1},
    "RBM.connection_gradient": {"n_steps": 1},
    "RBM.train_step_": {"n_steps": 1},
    "fit": FIT,
    "classify": {"method": "label_units"},
    "accuracy": {"method": "label_units"},
    "log_partition": {"progress": True},
    "log_partition_ais": {"n_chains": 100, "progress": True},
    "log_partition_bounds": {"n_chains": 100, "n_sweeps": 10_000, "progress": True},
    "connectivity.initial_mask": {"density": 1.0},
    "data.load": {"binarize": "stochastic"},
    "diagnostics.mixing": {"n_chains": 256, "n_sweeps": 1000},
    "sampling.parallel_tempering": {"n_temperatures": 10, "n_steps": 1000},
    "ops.train_steps_": {"most": math.inf},
    "plotting.plot_chains": {"n": 10},
    "plotting.plot_connectivity": {"n": 64},
    "plotting.plot_filters": {"n": 64},
    "plotting.plot_samples": {"n": 64},
}
OF_COMMANDS = {
    "train": {"device": "cpu"},
    "evaluate": {"chains": 100, "sweeps": 1000, "device": "cpu"},
    "sample": {"n": 64, "steps": 1000, "device": "cpu"},
    "plot": {},
    "info": {},
    "bench": {},
}
OF_RUNS = {
    "n_steps": 5,
    "persistent": True,
    "chain_start": "rows",
    "lr": 0.05,
    "lr_decay": "linear",
    "rule": "ncg",
    "shuffle": True,
    "checkpoint_every": 1,
    "data": "digits",
    "binarize": "stochastic",
    "hidden": 128,
    "pattern": "random",
    "density": 0.5,
    "weight_init": "normal",
    "weight_scale": 0.03,
    "visible_bias": "data",
    "recipe": "default",
}


def says_something(defaults: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in defaults.items() if value not in NEUTRAL or value is True
    }


def functions_of(
    prefix: str, module: ModuleType | type
) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in getattr(module, "__all__", vars(module)):
        function = getattr(module, name)
        if inspect.isfunction(function) and not name.startswith("_"):
            yield prefix + name, function


def public_functions() -> dict[str, Callable[..., Any]]:
    found = {"RBM": RBM.__init__, **dict(functions_of("RBM.", RBM))}
    found |= functions_of("", ncg_fast)
    for module in (connectivity, data, diagnostics, evaluation, ops, plotting, sampling):
        for name, function in functions_of(f"{module.__name__.split('.')[-1]}.", module):
            if function not in found.values():
                found[name] = function
    return found


def test_defaults_of_functions() -> None:
    found = {
        name: says_something(
            {
                each.name: each.default
                for each in inspect.signature(function).parameters.values()
                if each.default is not inspect.Parameter.empty
            }
        )
        for name, function in public_functions().items()
    }
    assert {name: defaults for name, defaults in found.items() if defaults} == OF_FUNCTIONS


def test_defaults_of_commands() -> None:
    names = {"command", "prog", "model", "options", "run"}
    for command, expected in OF_COMMANDS.items():
        args = [command, *(["m"] if command in ("evaluate", "sample", "plot") else [])]
        found = says_something(vars(build_parser().parse_args(args)))
        assert {name: value for name, value in found.items() if name not in names} == expected


def test_defaults_of_runs() -> None:
    assert says_something(vars(Config())) == OF_RUNS


def test_initial_weights_without_a_scale() -> None:
    """1 for uniform weights, 0.01 for normal ones."""
    for init, scale in (("uniform", 1.0), ("normal", 0.01)):
        given, default = (
            RBM(5, 4, weight_init=init, **options) for options in ({"weight_scale": scale}, {})
        )
        assert given.weight.equal(default.weight)
