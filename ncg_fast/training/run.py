"""A machine in training: its rows, its momentum and chains, its records, its checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ncg_fast import ops
from ncg_fast.backends.numerics import WORD, to_levels
from ncg_fast.backends.records import Batch, Rates
from ncg_fast.connectivity.rules import RULES
from ncg_fast.model.rbm import RBM
from ncg_fast.training import checkpoint
from ncg_fast.training.checkpoint import TrainingState
from ncg_fast.training.history import EpochRecord, History, measure

_WORK = {"cpu": 5 * 10**9, "cuda": 10**11}  # multiply-adds of a call: Ctrl-C takes effect after it
_ORDER_STREAM = 4  # of a seed's numpy streams, the one that orders rows
_VELOCITIES = "weight_velocity", "visible_velocity", "hidden_velocity"


class Snapshot(NamedTuple):
    """Copies of all that a step changes, after n_epochs complete epochs."""

    n_epochs: int
    machine: dict[str, Tensor]
    tensors: dict[str, Tensor]


class TrainingRun:
    """One call of ``fit``.

    Args:
        rbm: the machine.
        rows: (n, n_visible), uint8 of 0 and 1, or float32 in [0, 1].
        held_out: (any, n_visible), as rows, or None.
        settings: the machine's sizes, and the checked arguments that fix what a step does.
        target: the checkpoint's path, or None.
        after_batch: called with (rbm, n_steps_begun) after each mini-batch.

    Attributes:
        history: records of the complete epochs.
        tensors: momentum buffers and packed persistent chains, by name.
        n_steps_begun: mini-batch steps, those of an unfinished epoch included.
        n_saved: epochs in the checkpoint at target; None: nothing is there.
    """

    def __init__(
        self,
        rbm: RBM,
        rows: Tensor,
        held_out: Tensor | None,
        settings: dict[str, Any],
        target: Path | None,
        after_batch: Sequence[Callable[[RBM, int], None]] = (),
    ) -> None:
        self.rbm, self.rows, self.held_out = rbm, rows, held_out
        self.settings, self.target, self.after_batch = settings, target, after_batch
        self.history, self.tensors = History(), dict[str, Tensor]()
        self.n_steps_begun = 0
        self.n_saved: int | None = None
        self.n_batches = -(-len(rows) // settings["batch_size"])

    def start(self, seed: int | None) -> None:
        """Begins anew; where a seed is given, so do the machine's draws."""
        rbm = self.rbm
        if seed is not None:
            rbm.manual_seed(seed)
        if self.settings["momentum"]:
            parameters = rbm.weight, rbm.visible_bias, rbm.hidden_bias
            zeros = (torch.zeros_like(parameter.detach()) for parameter in parameters)
            self.tensors = dict(zip(_VELOCITIES, zeros, strict=True))
        if self.settings["n_chains"] is not None:
            self.tensors["chains"] = rbm._independent(self.settings["n_chains"])

    def resume(self, saved: RBM, state: TrainingState, source: Path) -> None:
        """Goes on from a checkpoint.

        Raises:
            ValueError: its records are not those of this version.
        """
        try:
            records = [EpochRecord(**record) for record in state.history]
        except TypeError as error:
            rule, remedy = f"{source} must hold records of this version", "Start a new run."
            raise ValueError(f"fit: {rule}, got {error}. {remedy}") from error
        device = self.rbm.weight.device
        self.tensors = {name: value.to(device) for name, value in state.tensors.items()}
        self.history.records = records
        self.n_steps_begun = len(self.history) * self.n_batches
        self.n_saved = len(self.history) if source == self.target else None
        self.rbm.load_state_dict(saved.state_dict())

    def snapshot(self) -> Snapshot:
        """Copies what a step changes."""
        machine = {name: value.clone() for name, value in self.rbm.state_dict().items()}
        tensors = {name: value.clone() for name, value in self.tensors.items()}
        return Snapshot(len(self.history), machine, tensors)

    def restore(self, snapshot: Snapshot) -> None:
        """Goes back to a snapshot."""
        own = self.rbm.state_dict()
        for name, value in snapshot.machine.items():
            own[name].copy_(value)
        self.rbm.set_extra_state(snapshot.machine["_extra_state"])
        for name, value in snapshot.tensors.items():
            self.tensors[name].copy_(value)

    def save(self) -> None:
        """Writes the checkpoint, where one was asked for and the one there is older."""
        if self.target is not None and self.n_saved != len(self.history):
            state = TrainingState(self.settings, self.history.to_dicts(), self.tensors)
            checkpoint.save_checkpoint(self.target, self.rbm, state)
            self.n_saved = len(self.history)

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, int]]:
        """The mini-batches of an epoch, encoded, those of a call together; and their rows each."""
        n, size = len(self.rows), self.settings["batch_size"]
        order = None
        if self.settings["shuffle"]:
            generator = np.random.default_rng([self.settings["seed"], _ORDER_STREAM, epoch])
            order = torch.from_numpy(generator.permutation(n)).to(self.rows.device)
        work = self.rbm.mask.numel() * size * (self.settings["n_steps"] + 2)
        n_whole, n_call = n // size * size, size * max(1, _WORK[self.rows.device.type] // work)
        starts = [*range(0, n_whole, n_call), *range(n_whole, n, size)]
        for start, end in zip(starts, [*starts[1:], n], strict=True):
            rows = self.rows[start:end] if order is None else self.rows[order[start:end]]
            n_rows = min(size, len(rows))
            yield _encode(rows, n_rows), n_rows

    def _calls(self, epoch: int) -> Iterator[tuple[Tensor, int]]:
        """The mini-batches of each call of the op: one, where somebody looks after each."""
        for batches, n_rows in self.batches(epoch):
            for part in batches.split(1) if self.after_batch else (batches,):
                yield part, n_rows

    def _velocities(self) -> tuple[Tensor, Tensor, Tensor] | None:
        if not self.settings["momentum"]:
            return None
        weight, visible, hidden = (self.tensors[name] for name in _VELOCITIES)
        return weight, visible, hidden

    def epoch(self, bar: Any, *, with_nll: bool) -> EpochRecord:
        """Passes once over the rows, and measures."""
        started, epoch, given = time.perf_counter(), len(self.history) + 1, self.settings
        n_steps, rates = given["n_steps"], Rates(*(given[name] for name in Rates._fields))
        velocities, chains = self._velocities(), self.tensors.get("chains")
        static = not RULES[given["rule"]].learns_connections
        n_on = n_off = 0
        for batches, n_rows in self._calls(epoch):
            batch = Batch(batches, chains, n_rows, given["n_chains"] or n_rows, n_steps)
            sweep = self.rbm._gibbs_step
            try:
                on, off = self.rbm._train(batch, rates, velocities, static=static)
            finally:
                self.n_steps_begun += (self.rbm._gibbs_step - sweep) // n_steps
            n_on, n_off = n_on + on, n_off + off
            bar.update(len(batches))
            for callback in self.after_batch:
                callback(self.rbm, self.n_steps_begun)
        return measure(
            self.rbm,
            self.rows,
            self.held_out,
            epoch=epoch,
            switched=(n_on, n_off),
            seconds=time.perf_counter() - started,
            with_nll=with_nll,
        )


def _encode(rows: Tensor, size: int) -> Tensor:
    """Batches of size rows, one after the other: packed states where all are 0 or 1, or levels."""
    n_batches, n_units = len(rows) // size, rows.shape[1]
    if rows.dtype != torch.uint8:
        return to_levels(rows).view(n_batches, size, n_units)
    n_words = -(-size // WORD)
    padded = rows.new_zeros(n_batches, n_words * WORD, n_units)  # each batch begins with a word
    padded[:, :size] = rows.view(n_batches, size, n_units)
    packed = ops.pack_states(padded.view(-1, n_units))
    return packed.view(n_units, n_batches, n_words).transpose(0, 1).contiguous()
