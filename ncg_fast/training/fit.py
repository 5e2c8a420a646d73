"""Training: contrastive divergence (CD-k, PCD-k) with Network Connectivity Gradients, in epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ncg_fast import checks
from ncg_fast.connectivity.rules import NCG
from ncg_fast.files import StrPath
from ncg_fast.model.rbm import RBM, check_machine
from ncg_fast.training import arguments, checkpoint, resumption
from ncg_fast.training.history import EpochRecord, History, warn_if_worse_than_independent
from ncg_fast.training.run import TrainingRun
from ncg_fast.training.schedule import Rate

Callback = Callable[[RBM, EpochRecord], bool | None]
BatchCallback = Callable[[RBM, int], None]


def fit(
    rbm: RBM,
    x: Tensor,
    *,
    epochs: int = 10,
    batch_size: int | None = None,
    n_steps: int = 1,
    lr: Rate = 0.01,
    lr_strength: Rate | None = None,
    lr_decay: str = "none",
    lr_final: float = 0.0,
    centered: bool = False,
    average: float = 0.0,
    persistent: bool = False,
    n_chains: int | None = None,
    chain_start: str = "independent",
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    rule: str = NCG.name,
    shuffle: bool = True,
    seed: int | None = None,
    callbacks: Sequence[Callback] = (),
    batch_callbacks: Sequence[BatchCallback] = (),
    progress: bool = True,
    x_held_out: Tensor | None = None,
    nll_every: int = 0,
    checkpoint_dir: StrPath | None = None,
    checkpoint_every: int = 1,
    resume: bool | StrPath | History = False,
) -> History:
    """Trains a machine in place, mini-batch by mini-batch, with ``RBM.train_step_``.

    W += lr A∘G, S += lr_strength W∘G, A = [S > 1/2], G = <h v>_data - <h v>_model, biases alike.

    Args:
        rbm: the machine.
        x: (n, n_visible), bool, uint8 or floating; 0/1, or probabilities in [0, 1].
        epochs: passes over x in all, those before a resumption included, at least 1.
        batch_size: rows a step, in [1, n]; None: 50, or all where there are fewer. The last batch
            of an epoch may be shorter.
        n_steps: sweeps k of the negative phase, at least 1. The gradient is biased for finite k.
        lr: rate of weights and biases, at least 0, or a function of the epoch, counted from 1.
        lr_strength: rate of the connection strengths, likewise; None: 5 lr. Unused where static.
        lr_decay: "none"; "linear" or "cosine": both rates fall from mini-batch to mini-batch over
            the whole run, so that its epochs cannot be changed when it goes on.
        lr_final: in [0, lr]; what the rate of weights falls to; that of strengths falls likewise.
        centered: centred gradients (Melchior, Fischer & Wiskott 2016): those of the machine of
            v - mu and h - lambda, mu the mean of x, lambda a moving mean of P(h | v) that starts
            at 1/2; G' = G - dh mu^T - lambda dv^T also moves the strengths.
        average: in [0, 1]; above 0 the machine ends as the mean of its parameters over this last
            share of the epochs (at least one; every tenth mini-batch counts), with the last
            strengths and mask; a connection counts 0 while it is off. Records of these epochs are
            of the means so far, callbacks and checkpoint_dir have the machine in training.
        persistent: PCD: chains go on from step to step.
        n_chains: persistent chains, at least 1; None: batch_size.
        chain_start: "independent": chains start from P(v_j = 1) = sigmoid(b_j); "rows": from rows
            drawn at random, probabilities drawn to 0 and 1.
        momentum: in [0, 1].
        weight_decay: at least 0.
        rule: "ncg" learns the connections; "static" leaves mask and strengths as they are.
        shuffle: a new order of rows each epoch, a function of seed, epoch, and what the machine had
            drawn before the run: calls one after the other without a seed see new orders.
        seed: in [0, 2**63); starts the machine's draws anew; None: they go on, with its own seed.
        callbacks: called with (rbm, record) after each epoch; True from any ends the run.
        batch_callbacks: called with (rbm, step) after each mini-batch, steps counted from 1 over
            all epochs. They may write parameters; what they draw moves the training's draws on.
        progress: whether to draw a bar on stderr.
        x_held_out: (any, n_visible), as x; for free_energy_gap and test_nll.
        nll_every: epochs between estimates of the NLL, of 0/1 rows; 0: none.
        checkpoint_dir: folder of checkpoint.safetensors; None: no checkpoints.
        checkpoint_every: epochs between checkpoints, at least 1. The last epoch always has one.
        resume: True: go on from checkpoint_dir, or start where it has no checkpoint; or the path of
            a checkpoint; or a history that a call returned: its momentum, chains and epochs go on
            with the machine as it is. Only epochs, which count all, and what changes no step may
            differ, and after a history the rows.

    Returns:
        the records of all epochs. Ctrl-C ends the run early: History.interrupted is then True, and
        the machine, the history and the checkpoint are those of the last complete epoch.

    Raises:
        ValueError: a wrong argument, or a checkpoint of other data or settings; nothing is changed.
        FloatingPointError: a parameter became NaN or infinite; the machine is put back to the end
            of the last complete epoch, as it is after any error within an epoch.
        OSError: a checkpoint cannot be written; an earlier one is unchanged.

    Warns:
        RuntimeWarning: the last epoch's train_nll is clearly above that of independent units, after
            500 mini-batches or more.

    Note:
        Deterministic by seed, and a run that was killed and resumed ends with the bits of one that
        was not. Each epoch keeps a copy of the machine in memory to go back to.

    Example:
        >>> import torch
        >>> rbm = RBM(6, 4, density=0.5, seed=0)
        >>> len(fit(rbm, torch.eye(6), epochs=2, batch_size=3, progress=False))
        2

    Source: method of de Oliveira & Figueiredo, arXiv 2209.06932; centred gradients: JMLR 17(99).
    """
    op, given = "fit", locals()
    check_machine(op, rbm)
    rbm._check_trainable(op)
    checks.finite(op, **dict(rbm.named_parameters()))
    callbacks = arguments.callbacks(op, "callbacks", callbacks)
    after_batch = arguments.callbacks(op, "batch_callbacks", batch_callbacks)
    chosen = arguments.options(op, given)
    n_epochs, nll_every = chosen["epochs"], chosen["nll_every"]
    rows = arguments.rows(op, "x", x, rbm, nll_every)
    held_out = None
    if x_held_out is not None:
        held_out = arguments.rows(op, "x_held_out", x_held_out, rbm, nll_every)
    chosen["batch_size"] = arguments.batch_size(chosen["batch_size"], len(rows))
    settings = arguments.settings(op, rbm, len(rows), chosen)
    schedule = arguments.schedule(op, len(rows), chosen)
    target, source = resumption.paths(op, checkpoint_dir, resume)
    if target is not None or source is not None:
        settings["x"] = resumption.fingerprint(rows)
    saved = None if source is None else resumption.load(op, source, settings, n_epochs)
    left = None
    if isinstance(resume, History):
        left = resumption.of_history(op, resume, settings, n_epochs)
    if target is not None:
        checkpoint.prepare_folder(op, target.parent)

    run = TrainingRun(rbm, rows, held_out, settings, schedule, target, after_batch)
    if source is not None and saved is not None:
        run.resume(*saved, source)
    elif left is not None and isinstance(resume, History):
        run.go_on(resume.records, left, "resume")
    else:
        run.start(chosen["seed"])
    total, done = n_epochs * run.n_batches, run.n_steps_begun
    with tqdm(total=total, initial=done, unit="step", disable=not progress) as bar:
        history = _train(run, callbacks, chosen, bar)
    run.finish()
    warn_if_worse_than_independent(history, rows, run.n_steps_begun)
    return history


def _train(
    run: TrainingRun, callbacks: Sequence[Callback], chosen: dict[str, Any], bar: Any
) -> History:
    """The epochs that are left. One counts as complete once its record is in the history."""
    epochs, nll_every = chosen["epochs"], chosen["nll_every"]
    before = run.snapshot()
    try:
        for epoch in range(len(run.history) + 1, epochs + 1):
            bar.set_description(f"epoch {epoch}/{epochs}", refresh=False)
            before = run.snapshot()
            with_nll = nll_every > 0 and epoch % nll_every == 0
            run.history.records.append(run.epoch(bar, with_nll=with_nll))
            bar.set_postfix_str(_summary(run.history, nll_every))
            stop = any([callback(run.rbm, run.history[-1]) for callback in callbacks])  # all run
            if epoch % chosen["checkpoint_every"] == 0:
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
