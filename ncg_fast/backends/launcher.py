"""Ops of a compiled module on tensors of torch: allocates what a kernel fills, then calls it.

A launcher has the functions of ``reference.py``, which says what each computes. Those of a compiled
module take the same arguments and records, then the results, then scratch memory (or None), then a
number of their own: threads, or a stream. They refuse with ValueError whatever would let a kernel
leave its memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ncg_fast.backends.formats import DigitFormat, StateFormat, encoded, state_format
from ncg_fast.backends.records import Batch, Layer, Model, Parameters, Phases, PhaseSums
from ncg_fast.backends.results import RESULTS, axis, returned
from ncg_fast.backends.signatures import arguments

Sizes = tuple[int, int, int, int, Tensor]  # n_hidden, n_visible, n_rows, n_chains, visible states


def _of_gradient(phases: Phases, **_: Any) -> Sizes:
    hidden, model = phases.hidden_data, phases.hidden_model
    n_visible = axis(phases.visible_model, 0)
    return axis(hidden, 1), n_visible, axis(hidden, 0), axis(model, 0), phases.visible_data


def _of_sums(hidden: Tensor, visible: Tensor, sums: PhaseSums) -> Sizes:
    n = axis(hidden, 0)
    return axis(sums.products, 0), axis(sums.products, 1), n, n, visible


def _of_update(parameters: Parameters, phases: Phases, **_: Any) -> Sizes:
    counts = axis(phases.hidden_data, 0), axis(phases.hidden_model, 0)
    weight = parameters.weight
    return axis(weight, 0), axis(weight, 1), *counts, phases.visible_data


def _of_parameters(parameters: Parameters, **_: Any) -> Sizes:
    weight = parameters.weight
    return axis(weight, 0), axis(weight, 1), 0, 0, weight


def _of_training(parameters: Parameters, batch: Batch, **_: Any) -> Sizes:
    weight, counts = parameters.weight, (batch.n_rows, batch.n_chains)
    return axis(weight, 0), axis(weight, 1), *counts, batch.visible_data


def _of_energy(visible: Tensor, layer: Layer, visible_bias: Tensor, n_chains: int) -> Sizes:
    return layer.bias.numel(), visible_bias.numel(), n_chains, n_chains, visible


def _of_annealing(visible: Tensor, model: Model, n_chains: int, **_: Any) -> Sizes:
    return model.hidden_bias.numel(), model.visible_bias.numel(), n_chains, n_chains, visible


# The states that may be a user's rows.
_ROWS = {"mean": "states", "free_energy": "visible"}

# What the scratch memory of an op depends on; the others need none.
_SIZES: dict[str, Callable[..., Sizes]] = {
    "connection_gradient": _of_gradient,
    "phase_sums": _of_sums,
    "ncg_update_": _of_update,
    "update_from_sums_": _of_parameters,
    "gradient_update_": _of_parameters,
    "train_steps_": _of_training,
    "free_energy": _of_energy,
    "anneal": _of_annealing,
}


class Launcher:
    """The ops of one compiled module; arguments are given by name.

    Args:
        module: its functions have the names of the ops.
        call: calls one of them for a tensor's device, with the arguments and the number of its own.
    """

    pack_states: Callable[..., Tensor]

    def __init__(self, module: Any, call: Callable[..., None]):
        self._module, self._call = module, call
        packing = partial(RESULTS["pack_weights"], dense=DigitFormat[module.dense_format()])
        self._results = RESULTS | {"pack_weights": packing}
        for op in RESULTS:
            setattr(self, op, partial(self._run, op, getattr(module, op), tuple(arguments(op))))

    def _run(
        self, op: str, function: Callable[..., None], names: tuple[str, ...], /, **given: Any
    ) -> Any:
        if op in _ROWS and not self._module.takes_rows:
            name = _ROWS[op]
            given[name] = encoded(op, name, given[name], lambda ones: self.pack_states(states=ones))
        results = self._results[op](**given)
        scratch = self._scratch(op, given) if op in _SIZES else None
        filled, like = list(results), results[0] if results else given["hidden"]
        if op == "anneal":  # its first result holds the start
            given["visible"], *filled = results
        self._call(function, like, *[given[name] for name in names], *filled, scratch)
        return returned(results)

    def _scratch(self, op: str, given: dict[str, Any]) -> Tensor | None:
        """Memory that the op needs beside its results, of torch's current stream."""
        *sizes, visible = _SIZES[op](**given)
        levels = state_format(visible) is StateFormat.LEVELS
        n_bytes = self._module.scratch_bytes(op, *sizes, levels)
        return visible.new_empty(n_bytes, dtype=torch.uint8) if n_bytes else None
