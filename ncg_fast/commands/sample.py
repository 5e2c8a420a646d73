"""``ncg-fast sample``: draws samples of a trained machine into .npy and .png files."""

from __future__ import annotations

import argparse
import io
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ncg_fast import files, plotting, run_folder
from ncg_fast.rbm import RBM


def run(args: argparse.Namespace) -> int:
    """Draws, writes and prints the paths."""
    rbm, folder, config = run_folder.open_model(args.model)
    paths = [Path(name) for name in args.output or (folder / "samples.npy", folder / "samples.png")]
    for path in paths:
        if path.suffix not in (".npy", ".png"):
            raise ValueError(f"--output must end in .npy or .png, got {path}. Rename it.")
    classes = tuple(range(rbm.n_labels)) if config is None else config.classes
    clamp = _clamp(rbm, args.clamp, args.label, classes or ())
    samples = rbm.manual_seed(args.seed).sample(args.n, args.steps, clamp=clamp)
    shape = args.image_shape or (config.image_shape if config else None)
    contents = {path: _contents(path, samples, shape, rbm.n_labels) for path in paths}
    for path, content in contents.items():
        files.write("", path, content)
        print(path)
    return 0


def _contents(
    path: Path, samples: Tensor, image_shape: tuple[int, int] | None, n_labels: int
) -> bytes:
    """The samples as a .npy or .png file has them."""
    if path.suffix == ".npy":
        array = io.BytesIO()
        np.save(array, samples.numpy())
        return array.getvalue()
    figure = plotting.plot_samples(samples, image_shape, n_labels=n_labels, n=len(samples))
    return plotting.png(figure)


def _clamp(
    rbm: RBM, file: str | None, label: int | None, classes: tuple[int, ...]
) -> Tensor | None:
    """What --clamp and --label hold, together; None: nothing."""
    if file is None and label is None:
        return None
    clamp = torch.full((rbm.n_visible,), math.nan)
    if file is not None:
        try:
            clamp = torch.from_numpy(np.load(file, allow_pickle=False)).float()
        except (ValueError, EOFError, TypeError) as error:
            rule = "--clamp must be a .npy file of numbers"
            raise ValueError(f"{rule}, got {file}: {error}. Write it with numpy.save.") from error
    if label is not None:
        if label not in classes:
            choices = f"a class of the machine, {list(classes)}" if classes else "left out"
            rule = f"--label must be {choices}"
            raise ValueError(f"{rule}, got {label}. Train with --labels for label units.")
        clamp = clamp.clone()
        clamp[..., -rbm.n_labels :] = 0.0
        clamp[..., rbm.n_visible - rbm.n_labels + classes.index(label)] = 1.0
    return clamp
