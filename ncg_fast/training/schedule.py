"""Rates over the mini-batches of a run: constant, falling, or a function of the epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ncg_fast import checks
from ncg_fast.backends.records import Rates

DECAYS = "none", "linear", "cosine"
FUNCTION = "a function of the epoch"  # stands for a callable in the settings of a run
Rate = float | Callable[[int], float]


@dataclass(frozen=True)
class Schedule:
    """What each mini-batch of a run goes by.

    Attributes:
        lr: rate of weights and biases, or a function of the epoch, counted from 1.
        lr_strength: rate of the strengths, likewise; None: 5 lr.
        momentum, weight_decay: the same throughout.
        decay: of ``DECAYS``.
        final: what falling rates end at, as a share of those at the start.
        n_batches: mini-batches of an epoch.
        epochs: of the whole run.
    """

    lr: Rate
    lr_strength: Rate | None
    momentum: float
    weight_decay: float
    decay: str
    final: float
    n_batches: int
    epochs: int

    def rates(self, epoch: int) -> Rates:
        """The rates of an epoch, which its factors multiply.

        Raises:
            ValueError: a function returned no rate.
        """
        lr = _at("lr", self.lr, epoch)
        lr_strength = 5 * lr if self.lr_strength is None else self.lr_strength
        return Rates(lr, _at("lr_strength", lr_strength, epoch), self.momentum, self.weight_decay)

    def factors(self, first: int, n: int) -> Tensor | None:
        """What multiplies both rates in n steps from ``first`` on, (n,) float32; None: 1.

        With p = t / (n_batches epochs) in step t: 1 - (1 - final) p, or, for the cosine,
        final + (1 - final) (1 + cos(pi p)) / 2.
        """
        if self.decay == "none":
            return None
        total = self.n_batches * self.epochs
        left = [1 - t / total for t in range(first, first + n)]
        if self.decay == "cosine":
            left = [(1 - math.cos(math.pi * share)) / 2 for share in left]
        return torch.tensor([self.final + (1 - self.final) * share for share in left])

    def rates_at(self, epoch: int, step: int) -> Rates:
        """The rates of one mini-batch."""
        rates, factors = self.rates(epoch), self.factors(step, 1)
        factor = 1.0 if factors is None else float(factors)
        return rates._replace(lr=rates.lr * factor, lr_strength=rates.lr_strength * factor)


def _at(name: str, rate: Rate, epoch: int) -> float:
    if not callable(rate):
        return rate
    return checks.number("fit", f"{name}({epoch})", rate(epoch), 0, checks.MAX_FLOAT32)


def is_function(rate: Any) -> bool:
    """Whether a rate is a function of the epoch."""
    return callable(rate) and not isinstance(rate, type)


def stored(rate: Rate | None) -> Any:
    """What stands for a rate in the settings of a run."""
    return FUNCTION if callable(rate) else rate
