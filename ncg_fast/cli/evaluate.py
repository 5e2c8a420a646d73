"""``ncg-fast evaluate``: log-likelihood, pseudo-likelihood and accuracy of a trained machine."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from typing import Any

from torch import Tensor

from ncg_fast import evaluation
from ncg_fast.cli import options
from ncg_fast.evaluation import EXACT_UNITS, LogPartition, classification
from ncg_fast.experiments import run_folder
from ncg_fast.experiments import setup as experiment
from ncg_fast.experiments.run_folder import Config
from ncg_fast.experiments.setup import Experiment, Part
from ncg_fast.model.rbm import RBM

_N_CHAINS = 100


def run(args: argparse.Namespace) -> int:
    """Prints a table, or JSON."""
    device = options.device(args.device)
    rbm, _, config = run_folder.open_model(args.model)
    if config is None and args.data is None:
        rule = f"--data must be given where {run_folder.CONFIG_NAME} is not beside the model"
        raise ValueError(f"{rule}, got {args.model}. Name the data set.")
    config = config or Config(classes=tuple(range(rbm.n_labels)) or None)
    task = experiment.load(config if args.data is None else replace(config, data=args.data))
    rbm, task = rbm.to(device), experiment.moved(task, device)
    ais = {"n_chains": args.chains, "betas": args.betas, "seed": args.seed}
    log_z = log_partition(rbm, task.train.rows, **ais)
    found: dict[str, Any] = {
        "model": args.model,
        "data": task.name,
        "machine": repr(rbm),
        "log_partition": log_z.value,
        "log_partition_standard_error": log_z.standard_error,
        "method": method(rbm, args.chains, args.betas),
        "train": _measure(rbm, task.train, log_z),
        "test": _measure(rbm, task.test, log_z),
    }
    print(json.dumps(found, indent=2) if args.json else _table(found))
    return 0


def method(rbm: RBM, n_chains: int = _N_CHAINS, betas: int | None = None) -> str:
    """How ``log_partition`` obtains log Z, in words."""
    if _is_exact(rbm):
        return f"log Z exact, by enumeration of {min(rbm.n_visible, rbm.n_hidden)} units"
    n_betas = len(evaluation.authors_betas()) if betas is None else betas
    return f"log Z by AIS: {n_chains} chains, {n_betas} temperatures"


def log_partition(rbm: RBM, rows: Tensor, **ais: Any) -> LogPartition:
    """log Z, exact where that is feasible, else by AIS from the mean of the rows."""
    if _is_exact(rbm):
        return LogPartition(evaluation.log_partition(rbm), 0.0, math.inf)
    return evaluation.log_partition_ais(rbm, data=rows, **ais)


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


def _is_exact(rbm: RBM) -> bool:
    return min(rbm.n_visible, rbm.n_hidden) <= EXACT_UNITS


def _accuracy(rbm: RBM, part: Part, by: str) -> float:
    if part.labels is None:
        rule = "data must have labels where the machine has label units"
        raise ValueError(f"{rule}, got none. Name another data set: --data.")
    return classification.accuracy(rbm, part.rows[:, : -rbm.n_labels], part.labels, method=by)


def _measure(rbm: RBM, part: Part, log_z: LogPartition) -> dict[str, float]:
    mean, error = nll(rbm, part.rows, log_z)
    pseudo = -evaluation.pseudo_log_likelihood(rbm, part.rows)
    pseudo_error = float(pseudo.std()) / math.sqrt(len(pseudo))
    found = {"rows": len(part.rows), "nll": mean, "nll_standard_error": error}
    found |= {"pseudo_nll": float(pseudo.mean()), "pseudo_nll_standard_error": pseudo_error}
    if rbm.n_labels:
        for by in ("label_units", "free_energy"):
            found[f"accuracy_{by}"] = _accuracy(rbm, part, by)
    return found


def _table(found: dict[str, Any]) -> str:
    """Train and test side by side."""
    lines = [f"{found['model']} on {found['data']}: {found['machine']}", ""]
    parts = found["train"], found["test"]
    lines.append(f"{'':<26}{'train':>18}{'test':>18}")
    for key in parts[0]:
        if key.endswith("_standard_error"):
            continue
        shown = [
            f"{part[key]:.4f}" if key.startswith("accuracy") else f"{part[key]}" for part in parts
        ]
        if f"{key}_standard_error" in parts[0]:
            shown = [f"{part[key]:.3f} ± {part[f'{key}_standard_error']:.3f}" for part in parts]
        name = {"nll": "NLL, nats per row", "pseudo_nll": "pseudo-NLL, nats per row"}.get(key)
        lines.append(f"{name or key.replace('_', ' '):<26}{shown[0]:>18}{shown[1]:>18}")
    error = found["log_partition_standard_error"]
    value = f"{found['log_partition']:.3f}" + (f" ± {error:.3f}" if error else "")
    return "\n".join([*lines, "", f"log Z = {value} ({found['method']}); ± one standard error"])
