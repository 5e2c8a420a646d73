"""Launcher of the CPU kernels: allocates results and passes tensors to ``_cpu``.

The functions are those of ``reference.py``, which says what each computes. ``_cpu`` takes the same
arguments, then the results, then the number of threads; it refuses with ValueError whatever would
let a kernel leave its memory.

``NCG_FAST_ISA`` (base, avx2, avx512, amx) forces an instruction set; without it the best is used.
Threads are torch's; on a busy machine, where a team would be slower than one thread, one works.
``NCG_FAST_TEAMS=always`` forms teams there, too.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ncg_fast import _cpu
from ncg_fast.formats import new_digits
from ncg_fast.numerics import WORD

instruction_set = _cpu.instruction_set
instruction_sets = _cpu.instruction_sets
use_instruction_set = _cpu.use_instruction_set

form_teams = _cpu.form_teams

if os.environ.get("NCG_FAST_TEAMS") == "always":
    form_teams(True)
if _wanted := os.environ.get("NCG_FAST_ISA"):
    use_instruction_set(_wanted)


_PROCESS = os.getpid()
_VISIBLE_DATA = 9  # of the arguments of train_steps_ after weight


def _threads() -> int:
    """Torch's threads; one in a forked child, where the threads of OpenMP are missing."""
    return torch.get_num_threads() if os.getpid() == _PROCESS else 1


def _axis(tensor: Tensor, axis: int) -> int:
    """Its length; 0 where the tensor lacks it, which ``_cpu`` then refuses."""
    return tensor.shape[axis] if axis < tensor.dim() else 0


def _packed(like: Tensor, n_units: int, n_chains: int) -> Tensor:
    return like.new_empty(n_units, -(-n_chains // WORD), dtype=torch.int64)


def pack_states(states: Tensor) -> Tensor:
    packed = _packed(states, _axis(states, 1), _axis(states, 0))
    _cpu.pack_states(states, packed)
    return packed


def unpack_states(packed: Tensor, n_chains: int) -> Tensor:
    states = packed.new_empty(n_chains, _axis(packed, 0), dtype=torch.uint8)
    _cpu.unpack_states(packed, n_chains, states)
    return states


def pack_weights(
    weight: Tensor,
    mask: Tensor | None,
    n_digits: int,
    weight_exponent: int,
    capacity: int | None = None,
) -> tuple[Tensor, Tensor]:
    n_hidden, n_visible = _axis(weight, 0), _axis(weight, 1)
    digits = (
        new_digits(weight, n_hidden, n_visible, n_digits, capacity),
        new_digits(weight, n_visible, n_hidden, n_digits, capacity),
    )
    _cpu.pack_weights(weight, mask, n_digits, weight_exponent, capacity, *digits, _threads())
    return digits


def _mean(kernel: Callable[..., None]) -> Callable[..., Tensor]:
    def mean(
        states: Tensor, digits: Tensor, bias: Tensor, weight_exponent: int, n_chains: int
    ) -> Tensor:
        result = bias.new_empty(n_chains, bias.numel(), dtype=torch.float32)
        kernel(states, digits, bias, weight_exponent, n_chains, result, _threads())
        return result

    return mean


def _sample(kernel: Callable[..., None]) -> Callable[..., Tensor]:
    def sample(
        states: Tensor,
        digits: Tensor,
        bias: Tensor,
        weight_exponent: int,
        n_chains: int,
        *draw: Any,
    ) -> Tensor:
        result = _packed(bias, bias.numel(), n_chains)
        kernel(states, digits, bias, weight_exponent, n_chains, *draw, result, _threads())
        return result

    return sample


hidden_mean, visible_mean = _mean(_cpu.hidden_mean), _mean(_cpu.visible_mean)
sample_hidden, sample_visible = _sample(_cpu.sample_hidden), _sample(_cpu.sample_visible)


def gibbs_steps(
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
    _cpu.gibbs_steps(visible, *model, n_chains, *steps_and_draw, last, hidden, _threads())
    return last, hidden


def connection_gradient(
    hidden_data: Tensor,
    visible_data: Tensor,
    hidden_model: Tensor,
    visible_model: Tensor,
    weight: Tensor | None,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    pair = n_hidden, n_visible = _axis(hidden_data, 1), _axis(visible_model, 0)
    wanted: list[tuple[int, ...]] = [(0,) if given is None else pair for given in (mask, weight)]
    difference, by_weight, by_strength, by_visible, by_hidden = results = tuple(
        hidden_data.new_empty(shape, dtype=torch.float32)
        for shape in (pair, *wanted, (n_visible,), (n_hidden,))
    )
    phases = hidden_data, visible_data, hidden_model, visible_model
    _cpu.connection_gradient(*phases, weight, mask, *results, _threads())
    return difference, by_weight, by_strength, by_visible, by_hidden


def ncg_update_(weight: Tensor, *others: Any) -> Tensor:
    found = weight.new_empty(3, dtype=torch.float64)
    _cpu.ncg_update_(weight, *others, found, _threads())
    return found


def train_step_(weight: Tensor, *others: Any) -> Tensor:
    found = weight.new_empty(4, dtype=torch.float64)
    _cpu.train_step_(weight, *others, 0.0, math.inf, 1, found, _threads())
    return found[:3]


def train_steps_(weight: Tensor, *others: Any) -> Tensor:
    found = weight.new_empty(4, dtype=torch.float64)
    n_batches = _axis(others[_VISIBLE_DATA], 0)
    _cpu.train_steps_(weight, *others, n_batches, found, _threads())
    return found


def free_energy(
    visible: Tensor,
    to_hidden: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    weight_exponent: int,
    n_chains: int,
) -> Tensor:
    energy = visible_bias.new_empty(n_chains, dtype=torch.float64)
    model = to_hidden, visible_bias, hidden_bias, weight_exponent
    _cpu.free_energy(visible, *model, n_chains, energy, _threads())
    return energy


def anneal(visible: Tensor, *ladder: Any) -> tuple[Tensor, Tensor]:
    n_chains = ladder[7]
    visible = visible.clone(memory_format=torch.contiguous_format)
    log_weights = visible.new_empty(n_chains, dtype=torch.float64)
    _cpu.anneal(visible, *ladder, log_weights, _threads())
    return visible, log_weights
