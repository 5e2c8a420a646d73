"""``ncg-fast evaluate``: log-likelihood, pseudo-likelihood, accuracy and mixing of a machine."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ncg_fast import evaluation, plotting
from ncg_fast.checks import MAX_CHAINS, MAX_SWEEPS
from ncg_fast.cli import options
from ncg_fast.evaluation import (
    LogPartition,
    LogPartitionBounds,
    classification,
    diagnostics,
    partition,
)
from ncg_fast.experiments import config as run_config
from ncg_fast.experiments import run_folder
from ncg_fast.experiments import setup as experiment
from ncg_fast.experiments.config import CONFIG_NAME, Config
from ncg_fast.experiments.setup import Experiment, Part
from ncg_fast.model.rbm import RBM
from ncg_fast.option import Option
from ncg_fast.plotting import figures
from ncg_fast.training.options import SEED

SUMMARY = "Estimate log-likelihood, and accuracy where there are labels."
EXAMPLES = """\
examples:
  ncg-fast evaluate runs/digits-1
  ncg-fast evaluate model.safetensors --data mnist --json
  ncg-fast evaluate runs/digits-1 --mixing         # and writes mixing.json, figures/mixing.png

log Z is exact where its enumeration takes some 10 s at most (21 units beside 784);
otherwise it is an estimate by annealed importance sampling (AIS), which tends to flatter the
machine. --bounds shows by how much: AIS upward and downward hold log Z between them."""
_N_CHAINS = 100
_BETAS = "number of inverse temperatures of AIS, closer towards 1"
_AUTHORS = "the 14501 of the NCG authors"
_READING = run_config.OPTIONS["levels"], run_config.OPTIONS["alphabet"]  # of --data
OPTIONS = (
    Option("data", str, None, "data set, as in train", "NAME_OR_PATH", otherwise="that of the run"),
    *_READING,
    Option("chains", int, _N_CHAINS, "chains of AIS", "N", within=(2, MAX_CHAINS)),
    Option("betas", int, None, _BETAS, "N", within=(2, MAX_SWEEPS), otherwise=_AUTHORS),
    Option("bounds", bool, False, "NLL from both sides: AIS upward and downward"),
    Option("mixing", bool, False, "test whether chains from data and from noise agree"),
    Option("sweeps", int, 1000, "sweeps of --mixing", "N", within=(8, MAX_SWEEPS)),
    Option("seed", int, 0, "of AIS and --mixing, in [0, 2^63)", "SEED", within=SEED),
    options.DEVICE,
    options.THREADS,
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    options.add_model(parser)
    options.add(parser, OPTIONS)
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Prints a table, or JSON."""
    device = options.device(args.device)
    rbm, folder, config = run_folder.open_model(args.model)
    if config is None and args.data is None:
        rule = f"--data must be given where {CONFIG_NAME} is not beside the model"
        raise ValueError(f"{rule}, got {args.model}. Name the data set.")
    config = config or Config(classes=tuple(range(rbm.n_labels)) or None)
    reading = {option.name: getattr(args, option.name) for option in _READING}
    if args.data is not None:
        config = replace(config, data=args.data, **reading)
    elif alone := [f"--{name}" for name, value in reading.items() if value is not None]:
        rule = "--levels and --alphabet must go with --data"
        raise ValueError(f"{rule}, got {' '.join(alone)} alone. Name the data set.")
    task = experiment.load(config)
    rbm, task = rbm.to(device), experiment.moved(task, device)
    ais = {"n_chains": args.chains, "betas": args.betas, "seed": args.seed}
    ais |= {"data": task.train.rows, "progress": sys.stderr.isatty()}
    both = partition.bounds_of(rbm, **ais) if args.bounds else None
    log_z = partition.exact_or_ais(rbm, **ais) if both is None else both.lower
    found: dict[str, Any] = {
        "model": args.model,
        "data": task.name,
        "values": task.taken_as,
        "machine": repr(rbm),
        "log_partition": log_z.value,
        "log_partition_standard_error": log_z.standard_error,
        "method": method(rbm, args.chains, args.betas),
        "train": _measure(rbm, task.train, both or log_z),
        "test": _measure(rbm, task.test, both or log_z),
    }
    if both is not None:
        found["log_partition_upper"] = both.upper.value
        found["log_partition_upper_standard_error"] = both.upper.standard_error
    if args.mixing:
        rows, watched = task.train.rows, sys.stderr.isatty()
        given = {"n_sweeps": args.sweeps, "seed": args.seed, "progress": watched}
        mixing = diagnostics.mixing(rbm, rows, **given).to_dict()
        found["mixing"] = {key: mixing[key] for key in ("n_agree", "free_energy", "worst_unit")}
        found["mixing"]["files"] = [str(path) for path in _keep(folder, mixing)]
    print(json.dumps(found, indent=2) if args.json else _table(found, args.sweeps))
    return 0


def _keep(folder: Path, mixing: dict[str, Any]) -> list[Path]:
    """Writes what was found, and its figure where there is matplotlib."""
    written = [run_folder.write_mixing(folder, mixing)]
    with contextlib.suppress(RuntimeError):
        figure = plotting.plot_mixing(mixing)
        written += figures.write_figures("", folder, {"mixing": figure})
    return written


def method(rbm: RBM, n_chains: int = _N_CHAINS, betas: int | None = None) -> str:
    """How ``exact_or_ais`` obtains log Z, in words."""
    if partition.is_exact(rbm):
        return f"log Z exact, by enumeration of {min(rbm.n_visible, rbm.n_hidden)} units"
    n_betas = len(evaluation.authors_betas()) if betas is None else betas
    return f"log Z by AIS: {n_chains} chains, {n_betas} temperatures"


def nll(rbm: RBM, rows: Tensor, log_z: LogPartition) -> tuple[float, float]:
    """-mean log p(v) in nats per row, and its standard error."""
    likelihood = evaluation.log_likelihood(rbm, rows, log_z=log_z)
    return -likelihood.mean, likelihood.standard_error


def accuracy_lines(rbm: RBM, task: Experiment) -> list[str]:
    """A line on the accuracy of a machine with label units."""
    if not rbm.n_labels:
        return []
    shares = [_accuracy(rbm, part, "label_units") for part in (task.train, task.test)]
    return [f"Accuracy  train {shares[0]:.4f}, test {shares[1]:.4f}"]


def _accuracy(rbm: RBM, part: Part, by: str) -> float:
    if part.labels is None:
        rule = "data must have labels where the machine has label units"
        raise ValueError(f"{rule}, got none. Name another data set: --data.")
    return classification.accuracy(rbm, part.rows[:, : -rbm.n_labels], part.labels, method=by)


def _measure(rbm: RBM, part: Part, log_z: LogPartition | LogPartitionBounds) -> dict[str, float]:
    likelihood = evaluation.log_likelihood(rbm, part.rows, log_z=log_z)
    mean, error = -likelihood.mean, likelihood.standard_error
    pseudo = -evaluation.pseudo_log_likelihood(rbm, part.rows)
    pseudo_error = float(pseudo.std()) / math.sqrt(len(pseudo))
    found = {"rows": len(part.rows), "nll": mean, "nll_standard_error": error}
    if likelihood.bounds is not None:
        found["nll_upper"] = -likelihood.bounds[0]
    found |= {"pseudo_nll": float(pseudo.mean()), "pseudo_nll_standard_error": pseudo_error}
    if rbm.n_labels:
        for by in ("label_units", "free_energy"):
            found[f"accuracy_{by}"] = _accuracy(rbm, part, by)
    return found


def _table(found: dict[str, Any], n_sweeps: int) -> str:
    """Train and test side by side."""
    lines = [f"{found['model']} on {found['data']}: {found['machine']}"]
    lines += [f"Values: {found['values']}", ""]
    parts = found["train"], found["test"]
    names = {"nll": "NLL, nats per row", "pseudo_nll": "pseudo-NLL, nats per row"}
    if with_bounds := "nll_upper" in parts[0]:
        names |= {"nll": "NLL at least, nats", "nll_upper": "NLL at most, nats"}
    lines.append(f"{'':<26}{'train':>18}{'test':>18}")
    for key in parts[0]:
        if key.endswith("_standard_error"):
            continue
        shown = [
            f"{part[key]:.4f}" if key.startswith("accuracy") else f"{part[key]}" for part in parts
        ]
        if key == "nll_upper":
            shown = [f"{part[key]:.3f}" for part in parts]
        if f"{key}_standard_error" in parts[0]:
            shown = [f"{part[key]:.3f} ± {part[f'{key}_standard_error']:.3f}" for part in parts]
        name = names.get(key, key.replace("_", " "))
        lines.append(f"{name:<26}{shown[0]:>18}{shown[1]:>18}")
    value = _with_error(found, "log_partition")
    if with_bounds:
        value += f" at least, {_with_error(found, 'log_partition_upper')} at most"
    lines += ["", f"log Z = {value} ({found['method']}); ± one standard error"]
    if "mixing" in found:
        lines += _mixing_lines(found["mixing"], n_sweeps)
    return "\n".join(lines)


def _with_error(found: dict[str, Any], key: str) -> str:
    error = found[f"{key}_standard_error"]
    return f"{found[key]:.3f}" + (f" ± {error:.3f}" if error else "")


def _mixing_lines(mixing: dict[str, Any], n_sweeps: int) -> list[str]:
    n = mixing["n_agree"]
    verdict = f"disagree after {n_sweeps} sweeps"
    if n is not None:
        verdict = f"agree from {n} sweep{'s' * (n != 1)} on"
    lines = ["", f"Chains from data and from noise {verdict}."]
    lines.append(f"{'':<26}{'correlation time':>18}{'effective draws':>18}{'R-hat':>10}")
    for key in ("free_energy", "worst_unit"):
        time, size, r_hat = mixing[key].values()
        lines.append(f"{key.replace('_', ' '):<26}{time:>18.1f}{size:>18.0f}{r_hat:>10.3f}")
    return [*lines, *mixing["files"]]
