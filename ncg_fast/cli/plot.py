"""``ncg-fast plot``: draws the figures of a run anew."""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ncg_fast import plotting
from ncg_fast.cli import options
from ncg_fast.experiments import run_folder
from ncg_fast.experiments import setup as experiment
from ncg_fast.experiments.config import Config
from ncg_fast.model.rbm import RBM

SUMMARY = "Draw the figures of a run anew."
EXAMPLES = "example: ncg-fast plot runs/digits-1"
OPTIONS = options.IMAGE_SHAPE, options.THREADS
_N_SAMPLES = 64
_SWEEPS = 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000  # of the chains shown


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    options.add_model(parser)
    options.add(parser, OPTIONS)


def run(args: argparse.Namespace) -> int:
    """Draws and prints the paths."""
    rbm, folder, config = run_folder.open_model(args.model)
    options.check_image_shape(args.image_shape, rbm.n_visible - rbm.n_labels)
    shape = args.image_shape or (config.image_shape if config else None)
    seed = config.seed if config else 0
    for path in draw(folder, rbm, shape, seed, run_folder.read_records(folder), _rows(config)):
        print(path)
    return 0


def _rows(config: Config | None) -> Tensor | None:
    """Training rows of a run; None where there are none, or they are out of reach."""
    if config is None:
        return None
    try:
        return experiment.load(config).train.rows
    except (ValueError, RuntimeError, OSError):
        return None


def draw(
    folder: Path,
    rbm: RBM,
    image_shape: tuple[int, int] | None,
    seed: int,
    records: list[dict[str, Any]],
    rows: Tensor | None,
) -> list[Path]:
    """Draws all figures; chains are shown as probabilities, from noise and, with rows, from some.

    The machine and its random numbers stay as they are.
    """
    sampler = copy.deepcopy(rbm).manual_seed(seed)
    off = rbm.weight.new_zeros(_N_SAMPLES, rbm.n_hidden)
    last = f"after {_SWEEPS[-1]} sweeps from"
    chains = _course(sampler, sampler.sample_visible(off))
    samples = {f"{last} noise": chains[_SWEEPS[-1]]}
    if rows is not None and rows.shape[1] == rbm.n_visible:
        n = min(_N_SAMPLES, len(rows))
        chosen = torch.arange(n, device=rows.device) * len(rows) // n
        start = rows[chosen].to(rbm.weight)
        samples[f"{last} training rows"] = _course(sampler, start)[_SWEEPS[-1]]
    return plotting.save_run_figures(
        folder,
        rbm,
        image_shape=image_shape,
        samples=samples,
        chains=chains,
        records=records,
        mixing=run_folder.read_mixing(folder),
    )


def _course(rbm: RBM, visible: Tensor) -> dict[int, Tensor]:
    """P(v | h = P(h | v)) after some of the sweeps from visible."""
    found, done = {}, 0
    for sweeps in _SWEEPS:
        visible, _ = rbm.gibbs_steps(visible, sweeps - done)
        found[sweeps], done = rbm.reconstruct(visible).detach(), sweeps
    return found
