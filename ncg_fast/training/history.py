"""The records of a training run, one per epoch, and how they are measured."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import torch
from torch import Tensor

from ncg_fast import connectivity
from ncg_fast.backends.records import Rates
from ncg_fast.evaluation import likelihood, partition
from ncg_fast.model.rbm import RBM

_MAX_ROWS = 1000
_CLEARLY, _SOME_STEPS = 1.05, 500


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of training, measured at its end.

    Attributes:
        epoch: from 1.
        lr, lr_strength: rates of its last mini-batch.
        reconstruction_error: mean of (v - P(v | h = P(h | v)))**2 over at most 1000 training rows.
        free_energy_gap: mean F(held-out rows) - mean F(as many training rows), nats, over at most
            1000 rows each; it grows where the machine overfits. None without held-out rows.
        density: share of connections that are on, label connections left out.
        n_connections: connections that are on, label connections included.
        switched_on, switched_off: connections switched by the steps of the epoch.
        hidden_degree_min, hidden_degree_mean, hidden_degree_max: connections of a hidden unit.
        visible_degree_min, visible_degree_mean, visible_degree_max: connections of a visible unit.
        seconds: time in the steps, without these measures.
        train_nll, test_nll: -mean log p(v) of the training and the held-out rows, nats; None where
            not asked for.
        train_nll_error, test_nll_error: standard errors, as in ``evaluation.log_likelihood``.
    """

    epoch: int
    lr: float
    lr_strength: float
    reconstruction_error: float
    free_energy_gap: float | None
    density: float
    n_connections: int
    switched_on: int
    switched_off: int
    hidden_degree_min: int
    hidden_degree_mean: float
    hidden_degree_max: int
    visible_degree_min: int
    visible_degree_mean: float
    visible_degree_max: int
    seconds: float
    train_nll: float | None = None
    train_nll_error: float | None = None
    test_nll: float | None = None
    test_nll_error: float | None = None


@dataclass(frozen=True)
class TrainingState:
    """What a training run needs, besides the machine, to go on with the same bits.

    Attributes:
        settings: what must stay the same when the run goes on; JSON values.
        history: one record per complete epoch; JSON values.
        tensors: momentum buffers, sums for averages, and packed persistent chains, by name.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class History(Sequence[EpochRecord]):
    """The records of a run, as a sequence.

    Attributes:
        records: one per complete epoch, in order.
        interrupted: whether Ctrl-C ended the run.
        state: what ``fit(resume=history)`` goes on with, besides the machine; None: nothing.

    Note:
        Everything but the seconds is deterministic by seed.

    Example:
        >>> len(History())
        0
    """

    records: list[EpochRecord] = field(default_factory=list)
    interrupted: bool = False
    state: TrainingState | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.records)

    @overload
    def __getitem__(self, index: int) -> EpochRecord: ...

    @overload
    def __getitem__(self, index: slice) -> list[EpochRecord]: ...

    def __getitem__(self, index: int | slice) -> EpochRecord | list[EpochRecord]:
        return self.records[index]

    def to_dicts(self) -> list[dict[str, Any]]:
        """One plain dictionary per epoch, for ``json`` or a data frame."""
        return [dict(vars(record)) for record in self.records]  # asdict would copy each value


@torch.no_grad()
def measure(
    rbm: RBM,
    rows: Tensor,
    held_out: Tensor | None,
    *,
    epoch: int,
    rates: Rates,
    switched: tuple[int, int],
    seconds: float,
    with_nll: bool,
) -> EpochRecord:
    """The record of an epoch; it leaves the machine and its draws as they are."""
    some = _spread(rows, _MAX_ROWS)
    error = (rbm.reconstruct(some) - some.float()).double().square().mean()
    hidden, visible = connectivity.degrees(rbm.mask)
    return EpochRecord(
        epoch=epoch,
        lr=rates.lr,
        lr_strength=rates.lr_strength,
        reconstruction_error=float(error),
        free_energy_gap=None if held_out is None else _free_energy_gap(rbm, rows, held_out),
        density=rbm.density,
        n_connections=int(hidden.sum()),
        switched_on=switched[0],
        switched_off=switched[1],
        hidden_degree_min=int(hidden.min()),
        hidden_degree_mean=float(hidden.double().mean()),
        hidden_degree_max=int(hidden.max()),
        visible_degree_min=int(visible.min()),
        visible_degree_mean=float(visible.double().mean()),
        visible_degree_max=int(visible.max()),
        seconds=seconds,
        **(_nll(rbm, rows, held_out) if with_nll else {}),
    )


def warn_if_worse_than_independent(history: History, rows: Tensor, n_steps: int) -> None:
    """Warns of an NLL at the end that is clearly above that of units with the rows' means."""
    last = history[-1] if history else None
    if last is None or last.train_nll is None or last.train_nll_error is None:
        return
    if n_steps < _SOME_STEPS:  # a machine that hardly began is no better yet
        return
    on = rows.double().mean(0)
    independent = float(-(torch.xlogy(on, on) + torch.xlogy(1 - on, 1 - on)).sum())
    if last.train_nll - 3 * last.train_nll_error > _CLEARLY * independent:
        warnings.warn(
            f"fit: the NLL should end below that of independent units, {independent:.2f} nats a "
            f"row, got {last.train_nll:.2f}. Chains that do not keep up with lr are the usual "
            "cause: lower lr, let it fall (lr_decay), or take more n_steps.",
            RuntimeWarning,
            stacklevel=3,
        )


def _spread(rows: Tensor, n: int) -> Tensor:
    """At most n rows, evenly spread, so that sorted rows are represented."""
    n = min(n, len(rows))
    return rows[torch.arange(n, device=rows.device) * len(rows) // n]


def _free_energy_gap(rbm: RBM, rows: Tensor, held_out: Tensor) -> float:
    n = min(len(rows), len(held_out), _MAX_ROWS)
    held, seen = (rbm.free_energy(_spread(x, n)).mean() for x in (held_out, rows))
    return float(held - seen)


def _nll(rbm: RBM, rows: Tensor, held_out: Tensor | None) -> dict[str, float]:
    """NLL of both sets with one log Z: exact where the smaller layer is small, else by AIS."""
    log_z, measured = partition.exact_or_ais(rbm, data=rows, progress=False), {}
    for name, x in (("train", rows), ("test", held_out)):
        if x is not None:
            found = likelihood.log_likelihood(rbm, x, log_z=log_z)
            measured[f"{name}_nll"] = -found.mean
            measured[f"{name}_nll_error"] = found.standard_error
    return measured
