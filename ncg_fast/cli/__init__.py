"""Command line: ``ncg-fast train | evaluate | sample | plot | info | bench``.

A module a command holds its options and what it does.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import NoReturn

import torch

from ncg_fast.cli import bench, evaluate, info, options, plot, sample, train

_COMMANDS = {
    "train": train,
    "evaluate": evaluate,
    "sample": sample,
    "plot": plot,
    "info": info,
    "bench": bench,
}
_INTRODUCTION = """\
Network Connectivity Gradients (NCG): restricted Boltzmann machines that learn their connections.
Binary units; the same seed gives the same bits on every instruction set and number of threads."""
_EXAMPLES = """\
examples:
  ncg-fast train
  ncg-fast train --data mnist --hidden 500 --density 0.5 --steps 10 --epochs 10
  ncg-fast evaluate runs/digits-1
  ncg-fast sample runs/digits-1 --n 100 --steps 5000
  ncg-fast info

Each command explains its options: ncg-fast train --help."""


class _Parser(argparse.ArgumentParser):
    """Says first what the command is for, and what is wrong in one line."""

    def format_help(self) -> str:
        usage = self.format_usage()
        _, _, rest = super().format_help().partition(f"{self.description}\n")
        return f"{self.description}\n\n{usage}{rest}"

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets ``run`` and ``options`` of its module."""
    style = argparse.RawDescriptionHelpFormatter
    parser = _Parser("ncg-fast", description=_INTRODUCTION, epilog=_EXAMPLES, formatter_class=style)
    parser.add_argument("--version", action="version", version=f"ncg-fast {version('ncg_fast')}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in _COMMANDS.items():
        summary = command.SUMMARY
        added = subparsers.add_parser(
            name,
            help=summary,
            description=f"Network Connectivity Gradients (NCG): {summary[0].lower()}{summary[1:]}",
            epilog=command.EXAMPLES,
            formatter_class=style,
        )
        added.set_defaults(run=command.run, options=command.OPTIONS, prog=added.prog)
        added.add_argument("--debug", action="store_true", help="show tracebacks of errors")
        command.add_options(added)
    return parser


@contextlib.contextmanager
def _threads(n: int | None) -> Iterator[None]:
    """Runs the kernels on n CPU threads; None: as many as torch uses."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if n is None else n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _warn(message: Warning | str, *_: object, **__: object) -> None:
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
        options.check(args.prog, args.options, vars(args))
        with _threads(getattr(args, "threads", None)):
            return int(args.run(args))
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
        exit status: 0; 1 where the computer or a file failed; 2 for wrong usage; 130 after Ctrl-C.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        try:
            return _run(argv)
        except SystemExit as stop:  # of argparse: --help, --version, wrong usage
            return int(stop.code or 0)
