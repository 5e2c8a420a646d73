"""Command line: ``ncg-fast train | evaluate | sample | plot | info | bench``."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import torch

import ncg_fast
from ncg_fast.cli import examples, options
from ncg_fast.experiments.run_folder import Config

_INTRODUCTION = """\
Network Connectivity Gradients (NCG): restricted Boltzmann machines that learn their connections.
Binary units; the same seed gives the same bits on every instruction set and number of threads."""


class _Parser(argparse.ArgumentParser):
    """Says first what the command is for, and what is wrong in one line."""

    def format_help(self) -> str:
        usage = self.format_usage()
        _, _, rest = super().format_help().partition(f"{self.description}\n")
        return f"{self.description}\n\n{usage}{rest}"

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets ``command``, a module of ``ncg_fast.cli``."""
    style = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        "ncg-fast", description=_INTRODUCTION, epilog=examples.ALL, formatter_class=style
    )
    version = f"ncg-fast {ncg_fast.__version__}"
    parser.add_argument("--version", action="version", version=version)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, summary: str, epilog: str) -> Any:
        description = f"Network Connectivity Gradients (NCG): {summary[0].lower()}{summary[1:]}"
        added = subparsers.add_parser(
            name, help=summary, description=description, epilog=epilog, formatter_class=style
        )
        added.set_defaults(command=name, prog=added.prog)
        added.add_argument("--debug", action="store_true", help="show tracebacks of errors")
        return added

    _add_train(command("train", "Train a machine.", examples.TRAIN))
    summary = "Estimate log-likelihood, and accuracy where there are labels."
    _add_evaluate(command("evaluate", summary, examples.EVALUATE))
    _add_sample(command("sample", "Draw samples of a trained machine.", examples.SAMPLE))
    summary = "Draw the figures of a run anew."
    _add_plot(command("plot", summary, "example: ncg-fast plot runs/digits-1"))
    summary = "Show version, back ends and threads, and how a machine is computed."
    _add_info(command("info", summary, examples.INFO))
    summary = "Time half step and training step against eager torch."
    bench = command("bench", summary, "example: ncg-fast bench --threads 1")
    _add_json(bench)
    _add_threads(bench)
    return parser


def _option(group: Any, name: str, text: str, **settings: Any) -> None:
    """An option of ``Config``: None where not given, so that --resume sees what was."""
    default = getattr(Config, name)
    shown = "" if default is None else f" (default: {'no' if default is False else default})"
    if isinstance(default, bool):
        settings["action"] = "store_true"
    else:
        settings = {"type": type(default), "metavar": name.upper(), **settings}
    option = "--" + name.replace("_", "-")
    group.add_argument(option, default=None, help=text + shown, **settings)


def _add_train(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data")
    text = "digits, mnist, fashion-mnist, bars-and-stripes-N, a set of $NCG_FAST_DATA, .npz, .npy"
    _option(data, "data", text, metavar="NAME_OR_PATH")
    text = "grey values to 0 and 1; none: as probabilities, without NLL"
    _option(data, "binarize", text, choices=("stochastic", "threshold", "none"), metavar="HOW")
    text = "add a visible unit per class, always connected: the machine then classifies"
    _option(data, "labels", text)

    machine = parser.add_argument_group("machine")
    _option(machine, "hidden", "hidden units", metavar="N")
    patterns = "random", "dense", "line", "spiral", "convolution"
    text = f"initial connections: {', '.join(patterns)}"
    _option(machine, "pattern", text, choices=patterns, metavar="NAME")
    text = "probability of a connection; line, spiral: share of visible units a hidden unit sees"
    _option(machine, "density", text, metavar="SHARE")
    text = "distribution of the initial weights: uniform or normal"
    _option(machine, "weight_init", text, choices=("uniform", "normal"), metavar="NAME")
    text = "half width of uniform, standard deviation of normal weights"
    _option(machine, "weight_scale", text, metavar="X")
    text = "initial visible biases: data, log-odds of each unit's mean; zero, as in the paper"
    _option(machine, "visible_bias", text, choices=("data", "zero"), metavar="NAME")

    learning = parser.add_argument_group("learning")
    _option(learning, "steps", "Gibbs sweeps of the negative phase, k of CD-k", metavar="K")
    _option(learning, "persistent", "chains go on from batch to batch (PCD)")
    text = "persistent chains (default: as many as --batch-size)"
    _option(learning, "chains", text, type=int, metavar="N")
    text = "rows of a mini-batch (default: 50, or all where there are fewer)"
    _option(learning, "batch_size", text, type=int, metavar="ROWS")
    _option(learning, "lr", "rate of weights and biases", metavar="RATE")
    text = "rate of the connection strengths (default: 5 times --lr)"
    _option(learning, "lr_strength", text, type=float, metavar="RATE")
    text = "share of the last step that is taken again, in [0, 1]"
    _option(learning, "momentum", text, metavar="X")
    _option(learning, "weight_decay", "L2 penalty on the weights", metavar="X")
    text = "ncg: connections are learned; static: they stay"
    _option(learning, "rule", text, choices=("ncg", "static"), metavar="NAME")
    _option(learning, "epochs", "passes over the data, in all", metavar="N")
    text = "of binarisation, initial values and every draw, in [0, 2^63)"
    _option(learning, "seed", text, metavar="SEED")

    run = parser.add_argument_group("run")
    text = "run folder, new or empty (default: runs/DATA-1, -2, ...)"
    run.add_argument("--output", metavar="FOLDER", help=text)
    text = "go on with the run in --output, with its options"
    run.add_argument("--resume", action="store_true", help=text)
    _option(run, "checkpoint_every", "epochs between checkpoints", metavar="N")
    text = "epochs between estimates of the NLL; 0: none (default: a quarter of --epochs)"
    _option(run, "nll_every", text, type=int, metavar="N")
    run.add_argument("--no-figures", action="store_true", help="draw none")
    _add_device(run)
    _add_threads(run)
    run.add_argument("--quiet", action="store_true", help="print errors only")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def _add_device(parser: Any) -> None:
    text = "cpu, cuda or cuda:N; the same bits on each (default: cpu)"
    parser.add_argument("--device", default="cpu", metavar="DEVICE", help=text)


def _add_threads(parser: Any) -> None:
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: as torch)")


def _add_model(parser: argparse.ArgumentParser) -> None:
    text = "run folder, or a .safetensors file of ncg_fast"
    parser.add_argument("model", metavar="RUN_OR_MODEL", help=text)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    text = "data set, as in train (default: that of the run)"
    parser.add_argument("--data", metavar="NAME_OR_PATH", help=text)
    text = "chains of AIS (default: 100)"
    parser.add_argument("--chains", type=int, default=100, metavar="N", help=text)
    text = "inverse temperatures of AIS, evenly spaced (default: the 14501 of the NCG authors)"
    parser.add_argument("--betas", type=int, metavar="N", help=text)
    text = "of AIS, in [0, 2^63) (default: 0)"
    parser.add_argument("--seed", type=int, default=0, metavar="SEED", help=text)
    _add_json(parser)
    _add_device(parser)
    _add_threads(parser)


def _add_sample(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("--n", type=int, default=64, metavar="N", help="samples (default: 64)")
    text = "Gibbs sweeps of each chain (default: 1000)"
    parser.add_argument("--steps", type=int, default=1000, metavar="K", help=text)
    text = "0 and 1 where a unit is held, NaN where it is free: (n_visible,) or (n, n_visible)"
    parser.add_argument("--clamp", metavar="FILE.npy", help=text)
    text = "hold the label units at this class"
    parser.add_argument("--label", type=int, metavar="CLASS", help=text)
    text = "of the draws, in [0, 2^63) (default: 0)"
    parser.add_argument("--seed", type=int, default=0, metavar="SEED", help=text)
    text = "files ending in .npy or .png (default: samples.npy and samples.png beside the model)"
    parser.add_argument("--output", nargs="+", metavar="FILE", help=text)
    _add_image_shape(parser)
    _add_device(parser)
    _add_threads(parser)


def _add_plot(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    _add_image_shape(parser)
    _add_threads(parser)


def _add_info(parser: argparse.ArgumentParser) -> None:
    about = "how its half steps are computed on the CPU: every path gives the same bits"
    machine = parser.add_argument_group("machine", about)
    for layer in ("visible", "hidden"):
        machine.add_argument(f"--{layer}", type=int, metavar="N", help=f"{layer} units")
    text = "share of the connections that is on (default: 1)"
    machine.add_argument("--density", type=float, metavar="SHARE", help=text)
    text = "rows of a mini-batch, or chains (default: 128)"
    machine.add_argument("--batch-size", type=int, metavar="ROWS", help=text)
    _add_json(parser)


def _add_image_shape(parser: argparse.ArgumentParser) -> None:
    text = "shape of an image, label units left out (default: that of the run's data)"
    parser.add_argument("--image-shape", type=options.image_shape, metavar="ROWSxCOLS", help=text)


@contextlib.contextmanager
def _threads(n: int | None) -> Iterator[None]:
    """Runs the kernels on n CPU threads; None: as many as torch uses."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if n is None else n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"ncg-fast: {message}", file=sys.stderr)


def _explanation(error: Exception) -> str:
    """The error in one line, without the number of a system error."""
    text = str(error)
    if isinstance(error, MemoryError):
        text = f"memory must hold the run, got {text or 'none left'}. Use fewer units or chains."
    if isinstance(error, OSError) and error.strerror is not None:
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return " ".join(text.split())


def _run(argv: Sequence[str] | None) -> int:
    args = build_parser().parse_args(argv)
    try:
        options.check(args.command, vars(args))
        with _threads(getattr(args, "threads", None)):
            command = importlib.import_module(f"ncg_fast.cli.{args.command}")
            return int(command.run(args))
    except KeyboardInterrupt:
        message, status = "stopped", 130
    except (ValueError, RuntimeError, OSError, ArithmeticError, MemoryError) as error:
        if args.debug:
            traceback.print_exc()
        message, status = _explanation(error), 2 if isinstance(error, ValueError) else 1
    print(f"{args.prog}: {message}", file=sys.stderr)
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: arguments without the program's name; None: those of the process.

    Returns:
        exit status: 0; 1 where the machine or a file failed; 2 for wrong usage; 130 after Ctrl-C.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        try:
            return _run(argv)
        except SystemExit as stop:  # of argparse: --help, --version, wrong usage
            return int(stop.code or 0)
