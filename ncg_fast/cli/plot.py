"""``ncg-fast plot``: draws the figures of a run anew."""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

from ncg_fast import plotting
from ncg_fast.cli import options
from ncg_fast.experiments import run_folder
from ncg_fast.model.rbm import RBM

SUMMARY = "Draw the figures of a run anew."
EXAMPLES = "example: ncg-fast plot runs/digits-1"
OPTIONS = options.IMAGE_SHAPE, options.THREADS
_N_SAMPLES, _N_STEPS = 64, 1000


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
    for path in draw(folder, rbm, shape, seed, run_folder.read_records(folder)):
        print(path)
    return 0


def draw(
    folder: Path,
    rbm: RBM,
    image_shape: tuple[int, int] | None,
    seed: int,
    records: list[dict[str, Any]],
) -> list[Path]:
    """Draws all figures; the samples are 64 chains after 1000 sweeps, shown as P(v | h).

    The machine and its random numbers stay as they are.
    """
    sampler = copy.deepcopy(rbm).manual_seed(seed)
    means = sampler.reconstruct(sampler.sample(_N_SAMPLES, _N_STEPS))
    return plotting.save_run_figures(
        folder,
        rbm,
        image_shape=image_shape,
        samples=means,
        records=records,
        mixing=run_folder.read_mixing(folder),
    )
