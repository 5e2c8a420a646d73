"""``ncg-fast sample``: draws samples of a trained machine into .npy and .png files."""

from __future__ import annotations

import argparse
import io
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ncg_fast import files, plotting
from ncg_fast.cli import options
from ncg_fast.experiments import run_folder
from ncg_fast.model.rbm import RBM


def run(args: argparse.Namespace) -> int:
    """Draws, writes and prints the paths."""
    device = options.device(args.device)
    for name in args.output or ():
        options.check_output(Path(name))
    rbm, folder, config = run_folder.open_model(args.model)
    paths = [Path(name) for name in args.output or (folder / "samples.npy", folder / "samples.png")]
    options.check_image_shape(args.image_shape, rbm.n_visible - rbm.n_labels)
    classes = tuple(range(rbm.n_labels)) if config is None else config.classes
    clamp = _clamp(rbm, args, classes or ())
    clamp = None if clamp is None else clamp.to(device)
    samples = rbm.to(device).manual_seed(args.seed).sample(args.n, args.steps, clamp=clamp)
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
        np.save(array, samples.cpu().numpy())
        return array.getvalue()
    figure = plotting.plot_samples(samples, image_shape, n_labels=n_labels, n=len(samples))
    return plotting.png(figure)


def _clamp(rbm: RBM, args: argparse.Namespace, classes: tuple[int, ...]) -> Tensor | None:
    """What --clamp and --label hold, together; None: nothing."""
    if args.clamp is None and args.label is None:
        return None
    clamp = torch.full((rbm.n_visible,), math.nan)
    if args.clamp is not None:
        clamp = _read_clamp(args.clamp)
        shapes = (rbm.n_visible,), (args.n, rbm.n_visible)
        if clamp.shape not in shapes:
            rule = f"--clamp must have shape {shapes[0]} or {shapes[1]}"
            raise ValueError(f"{rule}, got {tuple(clamp.shape)}. Give each unit 0, 1 or NaN.")
    if args.label is not None:
        if args.label not in classes:
            choices = f"a class of the machine, {list(classes)}" if classes else "left out"
            rule = f"--label must be {choices}"
            raise ValueError(f"{rule}, got {args.label}. Train with --labels for label units.")
        clamp = clamp.clone()
        clamp[..., -rbm.n_labels :] = 0.0
        clamp[..., rbm.n_visible - rbm.n_labels + classes.index(args.label)] = 1.0
    return clamp


def _read_clamp(file: str) -> Tensor:
    rule, remedy = "--clamp must be a .npy file of numbers", "Write it with numpy.save."
    try:
        with open(file, "rb") as opened:
            array = np.load(opened, allow_pickle=False)
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
                raise ValueError("an archive, or an array of other values")
            return torch.from_numpy(array).float()
    except OSError as error:
        message = f"{rule}, got {file}: {files.reason(error)}. {remedy}"
        raise files.same_kind(error, message) from error
    except (ValueError, EOFError, TypeError, SyntaxError) as error:
        raise ValueError(f"{rule}, got {file}: {error}. {remedy}") from error
