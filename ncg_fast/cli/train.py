"""``ncg-fast train``: trains a machine and fills its run folder."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ncg_fast.checks import MAX_FLOAT32
from ncg_fast.cli import evaluate, options, plot
from ncg_fast.evaluation import partition
from ncg_fast.experiments import config as run_config
from ncg_fast.experiments import run_folder
from ncg_fast.experiments import setup as experiment
from ncg_fast.experiments.config import GROUPS, Config
from ncg_fast.experiments.setup import Experiment
from ncg_fast.experiments.tensorboard import TensorBoard
from ncg_fast.model.rbm import RBM
from ncg_fast.training import checkpoint
from ncg_fast.training import options as training
from ncg_fast.training.fit import Callback, fit
from ncg_fast.training.history import EpochRecord, History

SUMMARY = "Train a machine."
EXAMPLES = """\
examples:
  ncg-fast train                                    data set digits, in seconds
  ncg-fast train --data mnist --hidden 500          half of the connections, learned
  ncg-fast train --data mnist --hidden 500 --recipe paper
  ncg-fast train --data rows.npz --no-persistent --steps 10 --lr-decay none
  ncg-fast train --data mnist --labels              classifies, too
  ncg-fast train --output runs/mnist-1 --resume     goes on after Ctrl-C or a crash

A rate that falls does so over the whole run, whose --epochs then stay; with --lr-decay none a
run goes on for as long as you like.

A run folder holds config.json, metrics.jsonl (a line an epoch), checkpoint.safetensors,
model.safetensors and figures/*.png."""
OPTIONS = *run_config.OPTIONS.values(), options.DEVICE, options.THREADS


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command; those of ``Config`` are None where they are not given."""
    for name in GROUPS:
        group = parser.add_argument_group(name)
        if name == "run":
            text = "run folder, new or empty (default: runs/DATA-1, -2, ...)"
            group.add_argument("--output", metavar="FOLDER", help=text)
            text = "go on with the run in --output, with its options"
            group.add_argument("--resume", action="store_true", help=text)
        chosen = (each for each in run_config.OPTIONS.values() if each.group == name)
        options.add(group, chosen, with_defaults=False)
    group.add_argument("--no-figures", action="store_true", help="draw none")
    text = "write each epoch to tensorboard/ in the run folder, too"
    group.add_argument("--tensorboard", action="store_true", help=text)
    options.add(group, (options.DEVICE, options.THREADS))
    group.add_argument("--quiet", action="store_true", help="print errors only")


def run(args: argparse.Namespace) -> int:
    """Trains, draws the figures, and says how it went."""
    started, device = time.perf_counter(), options.device(args.device)
    given: dict[str, Any] = {name: getattr(args, name) for name in run_config.OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    config = run_config.resumed(args.output, given) if args.resume else run_config.chosen(given)
    _check(args.prog, config)
    if args.output is not None and not args.resume:
        run_folder.check_free(args.output)
    task = experiment.load(config)
    _check_batch(task.config, len(task.train.rows))
    rbm = experiment.machine(task).to(device)
    task = experiment.moved(task, device)
    config = task.config
    records = _done(args, config)
    folder = Path(args.output) if args.resume else run_folder.create(args.output, task.name)
    if not args.quiet:
        verb, n_rows = "Resuming" if args.resume else "Training", len(task.train.rows)
        machine = f"after epoch {len(records)}" if records else repr(rbm)
        print(f"{verb} in {folder}: {task.name}, {n_rows} rows, {machine}", flush=True)
        print(f"Values    {task.taken_as}", flush=True)

    first_density = rbm.density
    history = _fit(args, task, folder, rbm, records)
    run_folder.write_records(folder, history.to_dicts())  # Ctrl-C may have cut off the last line
    if history.interrupted:
        done = f"stopped after epoch {len(history)} of {config.epochs}"
        remedy = f"Go on with: ncg-fast train --output {folder} --resume"
        print(f"ncg-fast train: {done}. {remedy}", file=sys.stderr)
        return 130
    checkpoint.save(rbm, folder / run_folder.MODEL_NAME)
    figures = "none" if args.no_figures else _draw(folder, rbm, task, history)
    if not args.quiet:
        lines = _changes(history, first_density) + _likelihood(rbm, task, history)
        lines += evaluate.accuracy_lines(rbm, task)
        lines += [f"Figures   {figures}", f"Time      {time.perf_counter() - started:.1f} s in all"]
        print("\n".join(lines))
    return 0


def _check(prog: str, config: Config) -> None:
    """Refuses what is out of range, also in config.json, and what does not go together."""
    options.check(prog, run_config.OPTIONS.values(), vars(config))
    if config.n_chains is not None and not config.persistent:
        rule = "--chains must be left out without --persistent"
        raise ValueError(f"{rule}, got {config.n_chains}. Leave it out, or add --persistent.")
    if config.lr_strength is None and 5 * config.lr > MAX_FLOAT32:
        rule = f"--lr must be at most {MAX_FLOAT32 / 5:g} without --lr-strength"
        raise ValueError(f"{rule}, got {config.lr}. Lower it.")


def _check_batch(config: Config, n_rows: int) -> None:
    """Refuses a batch of more rows than there are."""
    if config.batch_size is not None and config.batch_size > n_rows:
        rule = f"--batch-size must be at most the number of rows, {n_rows}"
        raise ValueError(f"{rule}, got {config.batch_size}. Lower it, or leave it out.")


def _done(args: argparse.Namespace, config: Config) -> list[dict[str, Any]]:
    """The records of the run to go on with, none where it has no checkpoint yet."""
    saved = Path(args.output or "", checkpoint.CHECKPOINT_NAME)
    if not (args.resume and saved.exists()):
        return []
    done = checkpoint.load_checkpoint(saved)[1].history
    if config.n_epochs < len(done):
        rule = f"--epochs must be at least the {len(done)} that {args.output} has done"
        raise ValueError(f"{rule}, got {config.epochs}. It counts those, too.")
    return done


def _fit(
    args: argparse.Namespace, task: Experiment, folder: Path, rbm: RBM, done: list[dict[str, Any]]
) -> History:
    """Calls ``fit``, with the run folder kept in step with the checkpoint."""
    config, saved = task.config, folder / checkpoint.CHECKPOINT_NAME
    before = run_config.read(folder) if args.resume else None
    with_bar = not args.quiet and sys.stderr.isatty()

    def record(_: RBM, measured: EpochRecord) -> None:
        run_folder.append_record(folder, asdict(measured))
        if measured.train_nll is not None and not (args.quiet or with_bar):
            print(_progress(measured, config.n_epochs), flush=True)

    try:
        run_folder.write_start(folder, config, done)
        chosen = {name: getattr(config, name) for name in training.OPTIONS}
        with contextlib.ExitStack() as closed_after:
            callbacks: list[Callback] = [record]
            if args.tensorboard:
                board = TensorBoard(folder / "tensorboard", config.image_shape)
                callbacks.append(closed_after.enter_context(board))
            return fit(
                rbm,
                task.train.rows,
                **{**chosen, "nll_every": config.nll_interval},
                callbacks=callbacks,
                progress=with_bar,
                x_held_out=task.test.rows,
                checkpoint_dir=folder,
                resume=args.resume,
            )
    except BaseException as error:
        if before is None and not saved.exists():
            run_folder.discard(folder)  # nothing was trained: the name stays free
        if before is not None and isinstance(error, ValueError | OSError):
            with contextlib.suppress(OSError):  # refused, or no room: as it was, if that fits
                run_folder.write_start(folder, before, done)
        raise


def _progress(measured: EpochRecord, epochs: int) -> str:
    """What stands in for the progress bar where nobody watches."""
    nll = f"NLL train {measured.train_nll:.2f}, test {measured.test_nll:.2f} nats per row"
    return f"Epoch {measured.epoch} of {epochs}: {nll}, density {measured.density:.3f}"


def _draw(folder: Path, rbm: RBM, task: Experiment, history: History) -> str:
    """Where the figures are, or why there are none; a trained machine is worth keeping without."""
    try:
        given = task.config.image_shape, task.config.seed, history.to_dicts(), task.train.rows
        plot.draw(folder, rbm, *given)
    except RuntimeError as error:
        return f"none: {error}"
    except OSError as error:
        return f"not all: {error}"
    return str(folder / "figures")


def _changes(history: History, first_density: float) -> list[str]:
    seconds = sum(each.seconds for each in history) / len(history)
    n_on, n_off = (
        sum(getattr(each, f"switched_{way}") for each in history) for way in ("on", "off")
    )
    return [
        f"Epochs    {len(history)}, {seconds:.3g} s each",
        f"Density   {first_density:.3f} -> {history[-1].density:.3f} "
        f"({n_on} connections switched on, {n_off} off)",
    ]


def _likelihood(rbm: RBM, task: Experiment, history: History) -> list[str]:
    """The NLL of the last epoch, estimated now where that was not done."""
    if not task.config.nll_interval:
        return []
    last = history[-1]
    train, test = (last.train_nll, last.train_nll_error), (last.test_nll, last.test_nll_error)
    if last.train_nll is None:
        log_z = partition.exact_or_ais(rbm, data=task.train.rows, progress=False)
        train, test = (evaluate.nll(rbm, part.rows, log_z) for part in (task.train, task.test))
    shown = [
        f"{name} {mean:.2f} ± {error:.2f}"
        for name, (mean, error) in (("train", train), ("test", test))
    ]
    return [f"NLL       {', '.join(shown)} nats per row ({evaluate.method(rbm)})"]
