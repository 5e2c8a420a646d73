"""A machine in training: its rows, its momentum and chains, its records, its checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ncg_fast import checks, ops
from ncg_fast.backends.numerics import LEVELS, WORD, to_levels
from ncg_fast.backends.records import Batch, Offsets
from ncg_fast.connectivity.rules import RULES
from ncg_fast.model.rbm import RBM
from ncg_fast.training import averaging, checkpoint
from ncg_fast.training.history import EpochRecord, History, TrainingState, measure
from ncg_fast.training.schedule import FUNCTION, Schedule

_WORK = {"cpu": 5 * 10**9, "cuda": 10**11}  # multiply-adds of a call: the bar moves after it
_ORDER_STREAM, _CHAIN_STREAM = 4, 6  # of a seed's numpy streams: order of rows, start of chains
FIRST_SWEEP = "first_sweep"  # the machine's next sweep when the run began
_OFFSETS = "visible_offset", "hidden_offset"
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
        schedule: the rates.
        target: the checkpoint's path, or None.
        after_batch: called with (rbm, n_steps_begun) after each mini-batch.

    Attributes:
        history: records of the complete epochs.
        tensors: momentum buffers, offsets, sums for averages, packed persistent chains, by name.
        n_steps_begun: mini-batch steps, those of an unfinished epoch included.
        n_saved: epochs in the checkpoint at target; None: nothing is there.
    """

    def __init__(
        self,
        rbm: RBM,
        rows: Tensor,
        held_out: Tensor | None,
        settings: dict[str, Any],
        schedule: Schedule,
        target: Path | None,
        after_batch: Sequence[Callable[[RBM, int], None]] = (),
    ) -> None:
        self.rbm, self.rows, self.held_out = rbm, rows, held_out
        self.settings, self.schedule = settings, schedule
        self.target, self.after_batch = target, after_batch
        self.history, self.tensors = History(), dict[str, Tensor]()
        self.n_steps_begun = 0
        self.n_saved: int | None = None
        self.n_batches = schedule.n_batches

    def start(self, seed: int | None) -> None:
        """Begins anew; where a seed is given, so do the machine's draws."""
        rbm = self.rbm
        if seed is not None:
            rbm.manual_seed(seed)
        self.tensors = {FIRST_SWEEP: torch.tensor(rbm._gibbs_step)}
        if self.settings["momentum"]:
            parameters = rbm.weight, rbm.visible_bias, rbm.hidden_bias
            zeros = (torch.zeros_like(parameter.detach()) for parameter in parameters)
            self.tensors |= zip(_VELOCITIES, zeros, strict=True)
        if self.settings["centered"]:
            self.tensors |= zip(_OFFSETS, self._first_offsets(), strict=True)
        if self.settings["average"]:
            self.tensors |= averaging.start(rbm)
        if self.settings["n_chains"] is not None:
            self.tensors["chains"] = self._new_chains(self.settings["n_chains"])

    def _first_offsets(self) -> tuple[Tensor, Tensor]:
        """Means of the rows, by exact sums, and 1/2 for each hidden unit."""
        rows, unit = self.rows, 1
        if rows.dtype != torch.uint8:
            rows, unit = to_levels(rows), LEVELS
        total = rows.sum(0, dtype=torch.int64).double()
        visible = (total / (unit * len(rows))).float()
        return visible, torch.full_like(self.rbm.hidden_bias.detach(), 0.5)

    def _generator(self, *purpose: int) -> np.random.Generator:
        """NumPy's, by seed, purpose, and what the machine had drawn before the run."""
        before = int(self.tensors[FIRST_SWEEP])
        return np.random.default_rng(
            [self.settings["seed"], *purpose, *([before] if before else [])]
        )

    def _new_chains(self, n: int) -> Tensor:
        """Packed visible states to start n persistent chains from."""
        if self.settings["chain_start"] == "independent":
            return self.rbm._new_chains(n)
        generator = self._generator(_CHAIN_STREAM)
        n_rows, device = len(self.rows), self.rows.device
        chosen = generator.choice(n_rows, n, replace=n > n_rows)
        states = self.rows[torch.from_numpy(chosen).to(device)]
        if states.dtype != torch.uint8:
            uniforms = torch.from_numpy(generator.random(tuple(states.shape), np.float32))
            states = (uniforms.to(device) < states).to(torch.uint8)
        return ops.pack_states(states)

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
        self.go_on(records, state, str(source))
        self.n_saved = len(self.history) if source == self.target else None
        self.rbm.load_state_dict(saved.state_dict())

    def go_on(self, records: Sequence[EpochRecord], state: TrainingState, source: str) -> None:
        """Goes on after these records with copies of a run's tensors, and the machine as it is."""
        self._check_rates(records, source)
        device = self.rbm.weight.device
        self.tensors = {name: value.to(device, copy=True) for name, value in state.tensors.items()}
        self.history.records = list(records)
        self.n_steps_begun = len(self.history) * self.n_batches

    def _check_rates(self, records: Sequence[EpochRecord], source: str) -> None:
        """Functions cannot be stored: those of a run that goes on must give the rates it had."""
        for record in records if FUNCTION in self.settings.values() else ():
            rates = self.schedule.rates(record.epoch)
            if (record.lr, record.lr_strength) != (rates.lr, rates.lr_strength):
                rule = f"lr and lr_strength must give the rates of {source}"
                actual = f"{rates.lr:g} and {rates.lr_strength:g} in epoch {record.epoch}"
                remedy = f"There they were {record.lr:g} and {record.lr_strength:g}."
                raise checks.error("fit", rule, actual, remedy)

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
            order = torch.from_numpy(self._generator(_ORDER_STREAM, epoch).permutation(n)).to(
                self.rows.device
            )
        work = self.rbm.mask.numel() * size * (self.settings["n_steps"] + 2)
        n_batches = max(1, _WORK[self.rows.device.type] // work)
        if self._averages(epoch):  # parameters are looked at after every tenth
            n_batches = averaging.EVERY
        n_whole, n_call = n // size * size, size * n_batches
        starts = [*range(0, n_whole, n_call), *range(n_whole, n, size)]
        for start, end in zip(starts, [*starts[1:], n], strict=True):
            rows = self.rows[start:end] if order is None else self.rows[order[start:end]]
            n_rows = min(size, len(rows))
            yield encode_batches(rows, n_rows), n_rows

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

    def _averages(self, epoch: int) -> bool:
        given = self.settings
        return bool(given["average"]) and epoch >= averaging.first_epoch(
            given["average"], given["epochs"]
        )

    def finish(self) -> None:
        """Writes the averages to the machine, where there are any; else the run may go on."""
        if not self.settings["average"]:
            self.history.state = TrainingState(self.settings, [], self.tensors)
        found = averaging.averaged(self.rbm, self.tensors)
        if found is not self.rbm:
            with torch.no_grad():
                for own, mean in zip(self.rbm.parameters(), found.parameters(), strict=True):
                    own.copy_(mean)

    def epoch(self, bar: Any, *, with_nll: bool) -> EpochRecord:
        """Passes once over the rows, and measures."""
        started, epoch, given = time.perf_counter(), len(self.history) + 1, self.settings
        n_steps, rates = given["n_steps"], self.schedule.rates(epoch)
        velocities, chains = self._velocities(), self.tensors.get("chains")
        offsets = Offsets(*(self.tensors.get(name) for name in _OFFSETS))
        static = not RULES[given["rule"]].learns_connections
        n_on = n_off = 0
        first = self.n_steps_begun
        for batches, n_rows in self._calls(epoch):
            batch = Batch(batches, chains, n_rows, given["n_chains"] or n_rows, n_steps)
            factors = self.schedule.factors(self.n_steps_begun, len(batches))
            if factors is not None:
                factors = factors.to(batches.device)
            sweep = self.rbm._gibbs_step
            try:
                on, off = self.rbm._train(
                    batch, rates, velocities, lr_factors=factors, offsets=offsets, static=static
                )
            finally:
                self.n_steps_begun += (self.rbm._gibbs_step - sweep) // n_steps
            n_on, n_off = n_on + on, n_off + off
            bar.update(len(batches))
            for callback in self.after_batch:
                callback(self.rbm, self.n_steps_begun)
            n_done = self.n_steps_begun - first
            if self._averages(epoch) and (
                n_done % averaging.EVERY == 0 or n_done == self.n_batches
            ):
                averaging.add(self.rbm, self.tensors)
        return measure(
            averaging.averaged(self.rbm, self.tensors),
            self.rows,
            self.held_out,
            epoch=epoch,
            rates=self.schedule.rates_at(epoch, self.n_steps_begun - 1),
            switched=(n_on, n_off),
            seconds=time.perf_counter() - started,
            with_nll=with_nll,
        )


def encode_batches(rows: Tensor, size: int) -> Tensor:
    """Batches of size rows, one after the other: packed states of uint8 rows, levels of others."""
    n_batches, n_units = len(rows) // size, rows.shape[1]
    if rows.dtype != torch.uint8:
        return to_levels(rows).view(n_batches, size, n_units)
    n_words = -(-size // WORD)
    padded = rows.new_zeros(n_batches, n_words * WORD, n_units)  # each batch begins with a word
    padded[:, :size] = rows.view(n_batches, size, n_units)
    packed = ops.pack_states(padded.view(-1, n_units))
    return packed.view(n_units, n_batches, n_words).transpose(0, 1).contiguous()
