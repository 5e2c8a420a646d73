"""The options of training: ``fit``, ``ncg-fast train``, config.json and resumption know them here.

A new option is a field here, a keyword argument of ``fit`` (a test compares their defaults), and
what it does in ``run.py``. The defaults are those of the recipe "default" (experiments/recipes.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ncg_fast.checks import MAX_CHAINS, MAX_FLOAT32, MAX_SEED, MAX_SWEEPS
from ncg_fast.connectivity.rules import NCG, RULES
from ncg_fast.option import declared, option
from ncg_fast.training.schedule import DECAYS

COUNT, RATE, SHARE, SEED = (1, MAX_SWEEPS), (0, MAX_FLOAT32), (0, 1), (0, MAX_SEED)
CHAIN_STARTS = "rows", "independent"
_learning = partial(option, group="learning")
_run = partial(option, group="run", may_change=True)
_RULES = "; ".join(f"{rule.name}: {rule.summary}" for rule in RULES.values())


@dataclass(frozen=True)
class TrainingOptions:
    """Options of training and their defaults on the command line.

    ``fit`` has other defaults where ``in_fit`` says so: careful ones for any rows, while those of
    the command line train machines that generate.
    """

    n_steps: int = _learning(
        5,
        "Gibbs sweeps of the negative phase, k of CD-k",
        "K",
        flag="--steps",
        within=COUNT,
        in_fit=1,
    )
    persistent: bool = _learning(True, "chains go on from batch to batch (PCD)", in_fit=False)
    n_chains: int | None = _learning(
        None,
        "persistent chains",
        "N",
        flag="--chains",
        within=(1, MAX_CHAINS),
        otherwise="as many as --batch-size",
    )
    chain_start: str = _learning(
        "rows",
        "what persistent chains start from: rows, independent units",
        "NAME",
        choices=CHAIN_STARTS,
        in_fit="independent",
    )
    batch_size: int | None = _learning(
        None,
        "rows of a mini-batch",
        "ROWS",
        within=COUNT,
        otherwise="100 (paper: 50), on few rows a fiftieth of them",
    )
    lr: float = _learning(
        0.05, "rate of weights and biases, at the start", "RATE", within=RATE, in_fit=0.01
    )
    lr_strength: float | None = _learning(
        None, "rate of the connection strengths", "RATE", within=RATE, otherwise="5 times --lr"
    )
    lr_decay: str = _learning(
        "linear",
        "how both rates fall over the whole run: none, linear, cosine",
        "NAME",
        choices=DECAYS,
        in_fit="none",
    )
    lr_final: float = _learning(
        0.0, "the rate of weights that a decay ends at", "RATE", within=RATE
    )
    centered: bool = _learning(False, "centred gradients, of the states less their means")
    average: float = _learning(
        0.0, "last share of the epochs whose parameters are averaged; 0: none", "X", within=SHARE
    )
    momentum: float = _learning(
        0.0, "share of the last step that is taken again, in [0, 1]", "X", within=SHARE
    )
    weight_decay: float = _learning(0.0, "L2 penalty on the weights", "X", within=RATE)
    rule: str = _learning(NCG.name, _RULES, "NAME", choices=tuple(RULES))
    epochs: int | None = _learning(
        None,
        "passes over the data, in all",
        "N",
        within=COUNT,
        otherwise="64, on few rows up to 500",
        in_fit=10,
        may_change=True,
    )
    seed: int = _learning(
        0,
        "of binarisation, initial values and every draw, in [0, 2^63)",
        "SEED",
        within=SEED,
        in_fit=None,
    )
    shuffle: bool = option(True, "a new order of rows each epoch")
    checkpoint_every: int = _run(1, "epochs between checkpoints", "N", within=COUNT)
    nll_every: int | None = _run(
        None,
        "epochs between estimates of the NLL; 0: none",
        "N",
        within=(0, MAX_SWEEPS),
        otherwise="a quarter of --epochs",
        in_fit=0,
    )


OPTIONS = declared(TrainingOptions)
