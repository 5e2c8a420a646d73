"""What ``fit`` is asked to do, checked: rows, callbacks, and what fixes the steps of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ncg_fast import checks
from ncg_fast.connectivity.rules import RULES, STATIC
from ncg_fast.model import units
from ncg_fast.model.rbm import RBM
from ncg_fast.training.options import OPTIONS
from ncg_fast.training.schedule import Rate, Schedule, is_function, stored

_BATCH_SIZE = 50
_MAY_BE_FUNCTIONS = "lr", "lr_strength"


def options(op: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of training among the given arguments, each checked by itself."""
    return {
        name: given[name]
        if name in _MAY_BE_FUNCTIONS and is_function(given[name])
        else option.checked(op, given[name])
        for name, option in OPTIONS.items()
    }


def rows(op: str, name: str, x: Any, rbm: RBM, nll_every: int) -> Tensor:
    """Rows, uint8 where all are 0 or 1, else float32."""
    kept = units.checked(op, name, x, rbm.n_visible, rbm.weight)
    if x.dim() != 2 or len(x) == 0:
        rule = f"{name} must have two axes and at least one row"
        raise checks.error(op, rule, tuple(x.shape), "Pass rows of samples.")
    if kept.dtype == torch.bool:  # a second copy of rows in uint8 would only take memory
        return x.detach() if x.dtype == torch.uint8 else kept.view(torch.uint8)
    if nll_every:
        rule = f"{name} must hold only 0 and 1 where nll_every is given"
        raise checks.error(op, rule, "values in between", "Binarise it.")
    return kept.to(torch.float32)


def batch_size(given: int | None, n_rows: int) -> int:
    """Rows of a mini-batch: 50 where nobody says, or all where there are fewer."""
    return min(_BATCH_SIZE, n_rows) if given is None else given


def callbacks(op: str, name: str, given: Any) -> Sequence[Any]:
    """A sequence of callables."""
    if not (isinstance(given, Sequence) and all(callable(each) for each in given)):
        rule = f"{name} must be a sequence of callables"
        raise checks.error(op, rule, given, "Pass [callback].")
    return given


def settings(op: str, rbm: RBM, n_rows: int, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What fixes the steps of a run: sizes, and options as these rows and this machine take them.

    They stay when a run goes on. n_chains is None without persistent chains.
    """
    lr_strength, n_chains = chosen["lr_strength"], chosen["n_chains"]
    if chosen["batch_size"] > n_rows:
        rule = f"batch_size must be at most the number of rows, {n_rows}"
        raise checks.error(op, rule, chosen["batch_size"], "Lower batch_size.")
    if lr_strength is None and not callable(chosen["lr"]):
        lr_strength = OPTIONS["lr_strength"].checked(op, 5 * chosen["lr"])
    if n_chains is not None and not chosen["persistent"]:
        rule = "n_chains must be left out without persistent"
        raise checks.error(op, rule, n_chains, "Pass persistent=True.")
    if chosen["persistent"]:
        n_chains = n_chains or chosen["batch_size"]
    learned = rbm._learns_mask()
    if RULES[chosen["rule"]].learns_connections and not learned:
        rule = f'rbm must have connection strengths with rule="{chosen["rule"]}"'
        remedy = f'Use rule="{STATIC.name}", or RBM(..., learn_connections=True).'
        raise checks.error(op, rule, "a fixed mask", remedy)
    sizes = {name: getattr(rbm, name) for name in ("n_visible", "n_hidden", "n_labels")}
    fixed = {
        name: chosen[name]
        for name, option in OPTIONS.items()
        if not option.may_change and name != "persistent"
    }
    seed = rbm._draw().seed if chosen["seed"] is None else chosen["seed"]
    resolved = {
        "lr": stored(chosen["lr"]),
        "lr_strength": stored(lr_strength),
        "n_chains": n_chains,
        "seed": seed,
        "learn_connections": learned,
    }
    if chosen["lr_decay"] != "none" or chosen["average"]:
        resolved["epochs"] = chosen["epochs"]  # rates and averages depend on the end of the run
    return {**sizes, **fixed, **resolved}


def schedule(op: str, n_rows: int, chosen: Mapping[str, Any]) -> Schedule:
    """The rates of a run."""
    lr: Rate = chosen["lr"]
    lr_strength: Rate | None = chosen["lr_strength"]
    decay, final, share = chosen["lr_decay"], chosen["lr_final"], 0.0
    if decay == "none" and final:
        rule, remedy = "lr_final must be 0 without lr_decay", 'Pass lr_decay="linear".'
        raise checks.error(op, rule, final, remedy)
    if decay != "none":
        if callable(lr) or callable(lr_strength):
            rule = 'lr_decay must be "none" where a rate is a function'
            raise checks.error(op, rule, decay, "Let the function fall.")
        if final and final > lr:
            rule = f"lr_final must be at most lr = {lr:g}"
            raise checks.error(op, rule, final, "Lower lr_final.")
        share = final / lr if final else 0.0
    rates = lr, lr_strength, chosen["momentum"], chosen["weight_decay"]
    n_batches = -(-n_rows // chosen["batch_size"])
    return Schedule(*rates, decay, share, n_batches, chosen["epochs"])
