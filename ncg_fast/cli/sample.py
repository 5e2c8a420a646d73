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
from ncg_fast.checks import MAX_CHAINS
from ncg_fast.cli import options
from ncg_fast.experiments import run_folder
from ncg_fast.model.rbm import RBM
from ncg_fast.option import Option
from ncg_fast.training.options import COUNT, SEED

SUMMARY = "Draw samples of a trained machine."
EXAMPLES = """\
examples:
  ncg-fast sample runs/digits-1 --n 100
  ncg-fast sample runs/digits-1 --output digits.png
  ncg-fast sample runs/mnist-2 --label 7            of a machine trained with --labels
  ncg-fast sample runs/digits-1 --clamp top.npy     0 and 1 where held, NaN where free"""
_CLAMP = "0 and 1 where a unit is held, NaN where it is free: (n_visible,) or (n, n_visible)"
OPTIONS = (
    Option("n", int, 64, "samples", "N", within=(1, MAX_CHAINS)),
    Option("steps", int, 1000, "Gibbs sweeps of each chain", "K", within=COUNT),
    Option("clamp", str, None, _CLAMP, "FILE.npy"),
    Option("label", int, None, "hold the label units at this class", "CLASS"),
    Option("seed", int, 0, "of the draws, in [0, 2^63)", "SEED", within=SEED),
    options.IMAGE_SHAPE,
    options.DEVICE,
    options.THREADS,
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    options.add_model(parser)
    options.add(parser, OPTIONS)
    text = "files ending in .npy or .png (default: samples.npy and samples.png beside the model)"
    parser.add_argument("--output", nargs="+", metavar="FILE", help=text)


def run(args: argparse.Namespace) -> int:
    """Draws, writes and prints the paths."""
    device = options.device(args.device)
    for name in args.output or ():
        _check_output(Path(name))
    rbm, folder, config = run_folder.open_model(args.model)
    paths = [Path(name) for name in args.output or (folder / "samples.npy", folder / "samples.png")]
    options.check_image_shape(args.image_shape, rbm.n_visible - rbm.n_labels)
    classes = tuple(range(rbm.n_labels)) if config is None else config.classes
    clamp = _clamp(rbm, args, classes or ())
    clamp = None if clamp is None else clamp.to(device)
    samples = rbm.to(device).sample(args.n, args.steps, clamp=clamp, seed=args.seed)
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


def _check_output(path: Path) -> None:
    """Refuses a file whose name says no format, or whose folder does not exist."""
    if path.suffix not in (".npy", ".png"):
        raise ValueError(f"--output must end in .npy or .png, got {path}. Rename it.")
    if not path.parent.is_dir():
        error = FileNotFoundError(f"No such folder: {path.parent}")
        raise files.unwritable("", path, error)
