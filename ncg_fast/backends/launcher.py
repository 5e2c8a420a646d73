"""Ops of a compiled module on tensors of torch: allocates what a kernel fills, then calls it.

The functions are those of ``reference.py``, which says what each computes. A compiled module takes
the same arguments, then the results, then scratch memory, then one of its own (threads, or a
stream); it refuses with ValueError whatever would let a kernel leave its memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ncg_fast.backends.formats import new_digits
from ncg_fast.backends.numerics import WORD

_VISIBLE_DATA = _PHASES = 9  # of the arguments of train_steps_, ncg_update_ after weight


def _axis(tensor: Tensor, axis: int) -> int:
    """Its length; 0 where the tensor lacks it, which the module then refuses."""
    return tensor.shape[axis] if axis < tensor.dim() else 0


def _pair(weight: Tensor) -> tuple[int, int]:
    return _axis(weight, 0), _axis(weight, 1)


def _packed(like: Tensor, n_units: int, n_chains: int) -> Tensor:
    return like.new_empty(n_units, -(-n_chains // WORD), dtype=torch.int64)


class Launcher:
    """The ops of one compiled module.

    Args:
        run: calls an op of the module: its name, then all arguments but the last.
        scratch_bytes: of the ops that learn, for n_hidden, n_visible, n_rows, n_chains and whether
            data is real-valued. Scratch memory is then allocated here, by torch, for its current
            stream. None: the module keeps its own.
    """

    def __init__(self, run: Callable[..., None], scratch_bytes: Callable[..., int] | None = None):
        self._run = run
        self._scratch_bytes = scratch_bytes

    def _scratch(self, like: Tensor, *sizes: tuple[torch.dtype, int, int]) -> list[Tensor]:
        if self._scratch_bytes is None:
            return []
        return [like.new_empty(rows, columns, dtype=dtype) for dtype, rows, columns in sizes]

    def _learning_scratch(self, visible_data: Tensor, *sizes: int) -> list[Tensor]:
        """For n_hidden, n_visible, n_rows, n_chains."""
        if self._scratch_bytes is None:
            return []
        n_bytes = self._scratch_bytes(*sizes, visible_data.dtype == torch.int32)
        return [visible_data.new_empty(n_bytes, dtype=torch.uint8)]

    def pack_states(self, states: Tensor) -> Tensor:
        packed = _packed(states, _axis(states, 1), _axis(states, 0))
        self._run("pack_states", states, packed)
        return packed

    def unpack_states(self, packed: Tensor, n_chains: int) -> Tensor:
        states = packed.new_empty(n_chains, _axis(packed, 0), dtype=torch.uint8)
        self._run("unpack_states", packed, n_chains, states)
        return states

    def pack_weights(
        self,
        weight: Tensor,
        mask: Tensor | None,
        n_digits: int,
        weight_exponent: int,
        capacity: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        digits = new_digits(weight, *_pair(weight), n_digits, capacity)
        self._run("pack_weights", weight, mask, n_digits, weight_exponent, capacity, *digits)
        return digits

    def hidden_mean(self, *arguments: Any) -> Tensor:
        return self._mean("hidden_mean", *arguments)

    def visible_mean(self, *arguments: Any) -> Tensor:
        return self._mean("visible_mean", *arguments)

    def _mean(
        self, op: str, states: Tensor, digits: Tensor, bias: Tensor, exponent: int, n_chains: int
    ) -> Tensor:
        result = bias.new_empty(n_chains, bias.numel(), dtype=torch.float32)
        self._run(op, states, digits, bias, exponent, n_chains, result)
        return result

    def sample_hidden(self, *arguments: Any) -> Tensor:
        return self._sample("sample_hidden", *arguments)

    def sample_visible(self, *arguments: Any) -> Tensor:
        return self._sample("sample_visible", *arguments)

    def _sample(
        self,
        op: str,
        states: Tensor,
        digits: Tensor,
        bias: Tensor,
        exponent: int,
        n_chains: int,
        *draw: Any,
    ) -> Tensor:
        result = _packed(bias, bias.numel(), n_chains)
        self._run(op, states, digits, bias, exponent, n_chains, *draw, result)
        return result

    def gibbs_steps(
        self,
        visible: Tensor,
        to_hidden: Tensor,
        to_visible: Tensor,
        visible_bias: Tensor,
        hidden_bias: Tensor,
        weight_exponent: int,
        n_chains: int,
        *steps_and_draw: Any,
    ) -> tuple[Tensor, Tensor]:
        last, hidden = (_packed(b, b.numel(), n_chains) for b in (visible_bias, hidden_bias))
        model = to_hidden, to_visible, visible_bias, hidden_bias, weight_exponent
        self._run("gibbs_steps", visible, *model, n_chains, *steps_and_draw, last, hidden)
        return last, hidden

    def connection_gradient(
        self,
        hidden_data: Tensor,
        visible_data: Tensor,
        hidden_model: Tensor,
        visible_model: Tensor,
        weight: Tensor | None,
        mask: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        pair = n_hidden, n_visible = _axis(hidden_data, 1), _axis(visible_model, 0)
        wanted: list[tuple[int, ...]] = [
            (0,) if given is None else pair for given in (mask, weight)
        ]
        difference, by_weight, by_strength, by_visible, by_hidden = results = tuple(
            hidden_data.new_empty(shape, dtype=torch.float32)
            for shape in (pair, *wanted, (n_visible,), (n_hidden,))
        )
        phases = hidden_data, visible_data, hidden_model, visible_model
        counts = _axis(hidden_data, 0), _axis(hidden_model, 0)
        scratch = self._learning_scratch(visible_data, *pair, *counts)
        self._run("connection_gradient", *phases, weight, mask, *results, *scratch)
        return difference, by_weight, by_strength, by_visible, by_hidden

    def ncg_update_(self, weight: Tensor, *others: Any) -> Tensor:
        found = weight.new_empty(3, dtype=torch.float64)
        hidden_data, visible_data, hidden_model = others[_PHASES : _PHASES + 3]
        counts = _axis(hidden_data, 0), _axis(hidden_model, 0)
        scratch = self._learning_scratch(visible_data, *_pair(weight), *counts)
        self._run("ncg_update_", weight, *others, found, *scratch)
        return found

    def train_step_(self, weight: Tensor, *others: Any) -> Tensor:
        found = weight.new_empty(4, dtype=torch.float64)
        scratch = self._train_scratch(weight, others)
        self._run("train_step_", weight, *others, 0.0, math.inf, 1, found, *scratch)
        return found[:3]

    def train_steps_(self, weight: Tensor, *others: Any) -> Tensor:
        found = weight.new_empty(4, dtype=torch.float64)
        n_batches = _axis(others[_VISIBLE_DATA], 0)
        scratch = self._train_scratch(weight, others)
        self._run("train_steps_", weight, *others, n_batches, found, *scratch)
        return found

    def _train_scratch(self, weight: Tensor, others: tuple[Any, ...]) -> list[Tensor]:
        n_rows, n_chains = others[_VISIBLE_DATA + 2 : _VISIBLE_DATA + 4]
        return self._learning_scratch(others[_VISIBLE_DATA], *_pair(weight), n_rows, n_chains)

    def free_energy(
        self,
        visible: Tensor,
        to_hidden: Tensor,
        visible_bias: Tensor,
        hidden_bias: Tensor,
        weight_exponent: int,
        n_chains: int,
    ) -> Tensor:
        energy = visible_bias.new_empty(n_chains, dtype=torch.float64)
        model = to_hidden, visible_bias, hidden_bias, weight_exponent
        scratch = self._scratch(energy, (torch.float32, n_chains, hidden_bias.numel()))
        self._run("free_energy", visible, *model, n_chains, energy, *scratch)
        return energy

    def anneal(self, visible: Tensor, *ladder: Any) -> tuple[Tensor, Tensor]:
        n_hidden, n_chains = ladder[3].numel(), ladder[7]
        visible = visible.clone(memory_format=torch.contiguous_format)
        log_weights = visible.new_empty(n_chains, dtype=torch.float64)
        words = -(-n_chains // WORD)
        of_hidden = (torch.float32, n_chains, n_hidden), (torch.int64, n_hidden, words)
        scratch = self._scratch(log_weights, *of_hidden)
        self._run("anneal", visible, *ladder, log_weights, *scratch)
        return visible, log_weights
