"""Training: contrastive divergence (CD-k, PCD-k) with Network Connectivity Gradients, in epochs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ncg_fast import checks
from ncg_fast.model import learning
from ncg_fast.model import units as states
from ncg_fast.model.rbm import RBM, check_machine
from ncg_fast.ops import arguments as op_checks
from ncg_fast.training import checkpoint
from ncg_fast.training.checkpoint import CHECKPOINT_NAME, StrPath, TrainingState
from ncg_fast.training.history import EpochRecord, History
from ncg_fast.training.run import TrainingRun

Callback = Callable[[RBM, EpochRecord], bool | None]


def fit(
    rbm: RBM,
    x: Tensor,
    *,
    epochs: int = 10,
    batch_size: int = 50,
    n_steps: int = 1,
    lr: float = 0.01,
    lr_strength: float | None = None,
    persistent: bool = False,
    n_chains: int | None = None,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    rule: str = "ncg",
    shuffle: bool = True,
    seed: int | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    x_held_out: Tensor | None = None,
    nll_every: int = 0,
    checkpoint_dir: StrPath | None = None,
    checkpoint_every: int = 1,
    resume: bool | StrPath = False,
) -> History:
    """Trains a machine in place, mini-batch by mini-batch, with ``RBM.train_step_``.

    W += lr A∘G, S += lr_strength W∘G, A = [S > 1/2], G = <h v>_data - <h v>_model, biases alike.

    Args:
        rbm: the machine.
        x: (n, n_visible), bool, uint8 or floating; 0/1, or probabilities in [0, 1].
        epochs: passes over x in all, those before a resumption included, at least 1.
        batch_size: rows a step, in [1, n]; the last batch of an epoch may be shorter.
        n_steps: sweeps k of the negative phase, at least 1. The gradient is biased for finite k.
        lr: rate of weights and biases, at least 0.
        lr_strength: rate of the connection strengths, at least 0; None: 5 lr. Unused where static.
        persistent: PCD: chains go on from step to step, started from P(v_j = 1) = sigmoid(b_j).
        n_chains: persistent chains, at least 1; None: batch_size.
        momentum: in [0, 1].
        weight_decay: at least 0.
        rule: "ncg" learns the connections; "static" leaves mask and strengths as they are.
        shuffle: a new order of rows each epoch, a function of seed and epoch alone.
        seed: in [0, 2**63); starts the machine's draws anew; None: they go on, with its own seed.
        callbacks: called with (rbm, record) after each epoch; True from any ends the run.
        progress: whether to draw a bar on stderr.
        x_held_out: (any, n_visible), as x; for free_energy_gap and test_nll.
        nll_every: epochs between estimates of the NLL, of 0/1 rows; 0: none.
        checkpoint_dir: folder of checkpoint.safetensors; None: no checkpoints.
        checkpoint_every: epochs between checkpoints, at least 1. The last epoch always has one.
        resume: True: go on from checkpoint_dir, or start where it has no checkpoint; or the path of
            a checkpoint to go on from. Only epochs and what changes no step may differ.

    Returns:
        the records of all epochs. Ctrl-C ends the run early: History.interrupted is then True, and
        the machine, the history and the checkpoint are those of the last complete epoch.

    Raises:
        ValueError: a wrong argument, or a checkpoint of other data or settings; nothing is changed.
        FloatingPointError: a parameter became NaN or infinite; the machine is put back to the end
            of the last complete epoch, as it is after any error within an epoch.
        OSError: a checkpoint cannot be written; an earlier one is unchanged.

    Note:
        Deterministic by seed, and a run that was killed and resumed ends with the bits of one that
        was not. Each epoch keeps a copy of the machine in memory to go back to.

    Example:
        >>> rbm = RBM(6, 4, density=0.5, seed=0)
        >>> len(fit(rbm, torch.eye(6), epochs=2, batch_size=3, progress=False))
        2

    Source: method of de Oliveira & Figueiredo, arXiv 2209.06932.
    """
    op = "fit"
    check_machine(op, rbm)
    learning.check_trainable(op, rbm)
    checks.finite(op, **dict(rbm.named_parameters()))
    nll_every = checks.integer(op, "nll_every", nll_every, 0)
    rows = _rows(op, "x", x, rbm, nll_every)
    held_out = None if x_held_out is None else _rows(op, "x_held_out", x_held_out, rbm, nll_every)
    epochs = checks.integer(op, "epochs", epochs, 1, checks.MAX_SWEEPS)
    checkpoint_every = checks.integer(op, "checkpoint_every", checkpoint_every, 1)
    _check_callbacks(op, callbacks)
    settings = {
        "n_visible": rbm.n_visible,
        "n_hidden": rbm.n_hidden,
        "n_labels": rbm.n_labels,
        "batch_size": _batch_size(op, batch_size, len(rows)),
        "n_steps": checks.integer(op, "n_steps", n_steps, 1, checks.MAX_SWEEPS),
        **_rates(op, rbm, rule, lr, lr_strength, momentum, weight_decay),
        "n_chains": _n_chains(op, persistent, n_chains, batch_size),
        "shuffle": bool(shuffle),
        "seed": rbm._seed if seed is None else checks.integer(op, "seed", seed, 0, checks.MAX_SEED),
    }
    target, source = _paths(op, checkpoint_dir, resume)
    if target is not None or source is not None:
        settings["x"] = _fingerprint(rows)
    saved = None if source is None else _load(op, source, settings, epochs)
    if target is not None:
        checkpoint.prepare_folder(op, target.parent)

    run = TrainingRun(rbm, rows, held_out, settings, target)
    if source is None or saved is None:
        run.start(seed)
    else:
        run.resume(*saved, source)
    total, done = epochs * run.n_batches, run.n_steps_begun
    with tqdm(total=total, initial=done, unit="step", disable=not progress) as bar:
        return _train(run, epochs, callbacks, nll_every, checkpoint_every, bar)


def _train(
    run: TrainingRun,
    epochs: int,
    callbacks: Sequence[Callback],
    nll_every: int,
    checkpoint_every: int,
    bar: Any,
) -> History:
    """The epochs that are left. One counts as complete once its record is in the history."""
    before = run.snapshot()
    try:
        for epoch in range(len(run.history) + 1, epochs + 1):
            bar.set_description(f"epoch {epoch}/{epochs}", refresh=False)
            before = run.snapshot()
            with_nll = nll_every > 0 and epoch % nll_every == 0
            run.history.records.append(run.epoch(bar, with_nll=with_nll))
            bar.set_postfix_str(_summary(run.history, nll_every))
            stop = any([callback(run.rbm, run.history[-1]) for callback in callbacks])  # all run
            if epoch % checkpoint_every == 0:
                run.save()
            if stop:
                break
        run.save()
    except BaseException as error:
        unfinished = before.n_epochs == len(run.history)
        if unfinished:
            run.restore(before)
        if unfinished and isinstance(error, FloatingPointError):
            raise FloatingPointError(_explanation(run)) from error
        if not isinstance(error, KeyboardInterrupt):
            raise
        run.history.interrupted = True
        run.save()
    return run.history


def _summary(history: History, nll_every: int) -> str:
    """What the progress bar shows: the last density, reconstruction error and NLL."""
    last = history[-1]
    shown = f"density {last.density:.3f}, error {last.reconstruction_error:.4f}"
    recent = history.records[-nll_every:] if nll_every else []
    for name in ("train_nll", "test_nll"):
        values = [value for each in recent if (value := getattr(each, name)) is not None]
        shown += f", {name} {values[-1]:.2f}" if values else ""
    return shown


def _explanation(run: TrainingRun) -> str:
    n_epochs = len(run.history)
    kept = "there is no checkpoint"
    if run.n_saved is not None:
        kept = f"the last good checkpoint is {run.target} (epoch {run.n_saved})"
    return (
        f"fit: parameters must stay finite, got NaN or infinity in step {run.n_steps_begun} "
        f"(epoch {n_epochs + 1}). Lower lr; the machine is back at the end of epoch {n_epochs}, "
        f"and {kept}."
    )


# --- arguments ---


def _rows(op: str, name: str, x: Any, rbm: RBM, nll_every: int) -> Tensor:
    """Checked rows, uint8 where all are 0 or 1, else float32."""
    encoded, n = states.encode(op, name, x, rbm.n_visible, rbm.weight)
    rule, remedy = f"{name} must have two axes and at least one row", "Pass rows of samples."
    checks.require(x.dim() == 2 and n > 0, op, rule, tuple(x.shape), remedy)
    binary = encoded.dtype == torch.int64
    rule = f"{name} must hold only 0 and 1 where nll_every is given"
    checks.require(binary or not nll_every, op, rule, "values in between", "Binarise it.")
    rows: Tensor = x.detach().to(torch.uint8 if binary else torch.float32)
    return rows


def _check_callbacks(op: str, callbacks: Any) -> None:
    sound = isinstance(callbacks, Sequence) and all(callable(each) for each in callbacks)
    rule, remedy = "callbacks must be a sequence of callables", "Pass [callback]."
    checks.require(sound, op, rule, callbacks, remedy)


def _batch_size(op: str, batch_size: Any, n_rows: int) -> int:
    checks.integer(op, "batch_size", batch_size, 1)
    rule, remedy = f"batch_size must be at most the number of rows, {n_rows}", "Lower batch_size."
    checks.require(batch_size <= n_rows, op, rule, batch_size, remedy)
    return int(batch_size)


def _rates(
    op: str, rbm: RBM, rule: str, lr: Any, lr_strength: Any, momentum: Any, weight_decay: Any
) -> dict[str, Any]:
    checks.choice(op, "rule", rule, ("ncg", "static"))
    strength = rbm.connection_strength
    learned = strength is not None and strength.requires_grad
    remedy = 'Use rule="static", or RBM(..., learn_connections=True).'
    requirement = 'rbm must have connection strengths with rule="ncg"'
    checks.require(learned or rule == "static", op, requirement, "a fixed mask", remedy)
    lr = checks.number(op, "lr", lr, 0.0, checks.MAX_FLOAT32)
    lr_strength = 5 * lr if lr_strength is None else lr_strength
    rates = op_checks.rate_arguments(op, lr, lr_strength, momentum, weight_decay)
    names = "lr", "lr_strength", "momentum", "weight_decay"
    return {"rule": rule, "learn_connections": learned, **dict(zip(names, rates, strict=True))}


def _n_chains(op: str, persistent: bool, n_chains: Any, batch_size: int) -> int | None:
    remedy = "Pass persistent=True."
    sound = persistent or n_chains is None
    checks.require(sound, op, "n_chains must be left out without persistent", n_chains, remedy)
    if not persistent:
        return None
    n_chains = batch_size if n_chains is None else n_chains
    return checks.integer(op, "n_chains", n_chains, 1, checks.MAX_CHAINS)


# --- resuming ---


def _fingerprint(rows: Tensor) -> str:
    digest = hashlib.sha256(f"{rows.dtype} {tuple(rows.shape)}".encode())
    digest.update(rows.cpu().contiguous().numpy().data)
    return f"sha256:{digest.hexdigest()[:16]}"


def _path(op: str, name: str, value: Any) -> Path:
    named, remedy = isinstance(value, str | os.PathLike), "Pass the path of a folder."
    checks.require(named, op, f"{name} must be a str or a path", checks.typed(value), remedy)
    return Path(os.path.realpath(value))


def _paths(
    op: str, checkpoint_dir: StrPath | None, resume: bool | StrPath
) -> tuple[Path | None, Path | None]:
    """The checkpoint to write, and the one to go on from."""
    target = source = None
    if checkpoint_dir is not None:
        target = _path(op, "checkpoint_dir", checkpoint_dir) / CHECKPOINT_NAME
    if resume is True:
        rule, remedy = "checkpoint_dir must be given with resume=True", "Pass the run's folder."
        checks.require(target is not None, op, rule, None, remedy)
        source = target if target is not None and target.exists() else None
    elif resume is not False:
        source = _path(op, "resume", resume)
        source = source / CHECKPOINT_NAME if source.is_dir() else source
    if target is not None and target != source:
        rule, remedy = "checkpoint_dir must hold no other run", "Use resume=True or another folder."
        checks.require(not target.exists(), op, rule, target, remedy)
    return target, source


def _load(
    op: str, source: Path, settings: dict[str, Any], epochs: int
) -> tuple[RBM, TrainingState]:
    """The checkpoint at source, if it is one of these settings."""
    saved, state = checkpoint.load_checkpoint(source)
    names = dict.fromkeys([*settings, *state.settings])
    pairs = [(name, settings.get(name), state.settings.get(name)) for name in names]
    differ = [f"{name} = {mine} (there {its})" for name, mine, its in pairs if mine != its]
    rule, remedy = f"settings must be those of {source}", "Pass those, or start in another folder."
    checks.require(not differ, op, rule, ", ".join(differ), remedy)
    n_done = len(state.history)
    rule = f"epochs must be at least the {n_done} that {source} has done"
    remedy = "Ask for more, or start in another folder."
    checks.require(epochs >= n_done, op, rule, epochs, remedy)
    return saved, state
