"""``ncg-fast train``: trains a machine and fills its run folder."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ncg_fast.cli import evaluate, options, plot
from ncg_fast.experiments import run_folder
from ncg_fast.experiments import setup as experiment
from ncg_fast.experiments.run_folder import Config
from ncg_fast.experiments.setup import Experiment
from ncg_fast.model.rbm import RBM
from ncg_fast.training import checkpoint
from ncg_fast.training.fit import fit
from ncg_fast.training.history import EpochRecord, History

_RATES = "lr", "lr_strength", "momentum", "weight_decay"
_OF_FIT = "epochs", "batch_size", "persistent", "rule", "checkpoint_every", *_RATES


def run(args: argparse.Namespace) -> int:
    """Trains, draws the figures, and says how it went."""
    started, device = time.perf_counter(), options.device(args.device)
    given: dict[str, Any] = {name: getattr(args, name, None) for name in run_folder.OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    config = run_folder.resumed(args.output, given) if args.resume else Config(**given)
    options.check_training(config)
    if args.output is not None and not args.resume:
        run_folder.check_free(args.output)
    task = experiment.load(config)
    options.check_batch(task.config, len(task.train.rows))
    rbm = experiment.machine(task).to(device)
    task = experiment.moved(task, device)
    records = _done(args, config)
    folder = Path(args.output) if args.resume else run_folder.create(args.output, task.name)
    if not args.quiet:
        verb, n_rows = "Resuming" if args.resume else "Training", len(task.train.rows)
        machine = f"after epoch {len(records)}" if records else repr(rbm)
        print(f"{verb} in {folder}: {task.name}, {n_rows} rows, {machine}", flush=True)

    first_density = rbm.density
    history = _fit(args, task, folder, rbm, records)
    run_folder.write_records(folder, history.to_dicts())  # Ctrl-C may have cut off the last line
    if history.interrupted:
        done = f"stopped after epoch {len(history)} of {config.epochs}"
        remedy = f"Go on with: ncg-fast train --output {folder} --resume"
        print(f"ncg-fast train: {done}. {remedy}", file=sys.stderr)
        return 130
    checkpoint.save(rbm, folder / run_folder.MODEL_NAME)
    figures = "none" if args.no_figures else _draw(folder, rbm, task.config, history)
    if not args.quiet:
        lines = _changes(history, first_density) + _likelihood(rbm, task, history)
        lines += evaluate.accuracy_lines(rbm, task)
        lines += [f"Figures   {figures}", f"Time      {time.perf_counter() - started:.1f} s in all"]
        print("\n".join(lines))
    return 0


def _done(args: argparse.Namespace, config: Config) -> list[dict[str, Any]]:
    """The records of the run to go on with, none where it has no checkpoint yet."""
    saved = Path(args.output or "", checkpoint.CHECKPOINT_NAME)
    if not (args.resume and saved.exists()):
        return []
    done = checkpoint.load_checkpoint(saved)[1].history
    if config.epochs < len(done):
        rule = f"--epochs must be at least the {len(done)} that {args.output} has done"
        raise ValueError(f"{rule}, got {config.epochs}. It counts those, too.")
    return done


def _fit(
    args: argparse.Namespace, task: Experiment, folder: Path, rbm: RBM, done: list[dict[str, Any]]
) -> History:
    """Calls ``fit``, with the run folder kept in step with the checkpoint."""
    config, saved = task.config, folder / checkpoint.CHECKPOINT_NAME
    before = run_folder.read_config(folder) if args.resume else None
    with_bar = not args.quiet and sys.stderr.isatty()

    def record(_: RBM, measured: EpochRecord) -> None:
        run_folder.append_record(folder, asdict(measured))
        if measured.train_nll is not None and not (args.quiet or with_bar):
            print(_progress(measured, config.epochs), flush=True)

    try:
        run_folder.write_config(folder, config)
        run_folder.write_records(folder, done)
        return fit(
            rbm,
            task.train.rows,
            **{name: getattr(config, name) for name in _OF_FIT},
            n_steps=config.steps,
            n_chains=config.chains,
            callbacks=[record],
            progress=with_bar,
            x_held_out=task.test.rows,
            nll_every=config.nll_interval,
            checkpoint_dir=folder,
            resume=args.resume,
        )
    except BaseException as error:
        if before is None and not saved.exists():
            run_folder.discard(folder)  # nothing was trained: the name stays free
        if before is not None and isinstance(error, ValueError | OSError):
            with contextlib.suppress(OSError):  # refused, or no room: as it was, if that fits
                run_folder.write_config(folder, before)
                run_folder.write_records(folder, done)
        raise


def _progress(measured: EpochRecord, epochs: int) -> str:
    """What stands in for the progress bar where nobody watches."""
    nll = f"NLL train {measured.train_nll:.2f}, test {measured.test_nll:.2f} nats per row"
    return f"Epoch {measured.epoch} of {epochs}: {nll}, density {measured.density:.3f}"


def _draw(folder: Path, rbm: RBM, config: Config, history: History) -> str:
    """Where the figures are, or why there are none; a trained machine is worth keeping without."""
    try:
        plot.draw(folder, rbm, config.image_shape, config.seed, history.to_dicts())
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
        log_z = evaluate.log_partition(rbm, task.train.rows)
        train, test = (evaluate.nll(rbm, part.rows, log_z) for part in (task.train, task.test))
    shown = [
        f"{name} {mean:.2f} ± {error:.2f}"
        for name, (mean, error) in (("train", train), ("test", test))
    ]
    return [f"NLL       {', '.join(shown)} nats per row ({evaluate.method(rbm)})"]
