"""Memory for what ops return: by the names of ``reference.py``, from the arguments by name.

Launchers and Triton's functions fill it; torch.compile takes its shapes, dtypes and devices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ncg_fast.backends.formats import new_digits, new_packed
from ncg_fast.backends.records import Layer, Model, Parameters, Phases


def axis(tensor: Tensor, number: int) -> int:
    """Its length; 0 where the tensor lacks it, which the back end then refuses."""
    return tensor.shape[number] if number < tensor.dim() else 0


def _means(layer: Layer, n_chains: int, **_: Any) -> tuple[Tensor]:
    return (layer.bias.new_empty(n_chains, layer.bias.numel(), dtype=torch.float32),)


def _states(layer: Layer, n_chains: int, **_: Any) -> tuple[Tensor]:
    return (new_packed(layer.bias, layer.bias.numel(), n_chains),)


def _both_states(model: Model, n_chains: int, **_: Any) -> tuple[Tensor, ...]:
    biases = model.visible_bias, model.hidden_bias
    return tuple(new_packed(bias, bias.numel(), n_chains) for bias in biases)


def _gradients(phases: Phases, weight: Tensor | None, mask: Tensor | None) -> tuple[Tensor, ...]:
    pair = n_hidden, n_visible = axis(phases.hidden_data, 1), axis(phases.visible_model, 0)
    wanted: list[Any] = [(0,) if given is None else pair for given in (mask, weight)]
    shapes = pair, *wanted, (n_visible,), (n_hidden,)
    return tuple(phases.hidden_data.new_empty(shape, dtype=torch.float32) for shape in shapes)


def _found(n: int) -> Callable[..., tuple[Tensor]]:
    def found(parameters: Parameters, **_: Any) -> tuple[Tensor]:
        return (parameters.weight.new_empty(n, dtype=torch.float64),)

    return found


RESULTS: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "pack_states": lambda states: (new_packed(states, axis(states, 1), axis(states, 0)),),
    "unpack_states": lambda packed, n_chains: (
        packed.new_empty(n_chains, axis(packed, 0), dtype=torch.uint8),
    ),
    "pack_weights": lambda weight, n_digits, capacity, dense=None, **_: new_digits(
        weight, axis(weight, 0), axis(weight, 1), n_digits, capacity, dense
    ),
    "scan_weights": lambda weight, mask: (weight.new_empty(4, dtype=torch.int64),),
    "mean": _means,
    "sample": _states,
    "gibbs_steps": _both_states,
    "connection_gradient": _gradients,
    "phase_sums": lambda **_: (),
    "ncg_update_": _found(3),
    "update_from_sums_": _found(3),
    "train_steps_": _found(4),
    "free_energy": lambda visible_bias, n_chains, **_: (
        visible_bias.new_empty(n_chains, dtype=torch.float64),
    ),
    "anneal": lambda visible, n_chains, **_: (
        visible.clone(memory_format=torch.contiguous_format),
        visible.new_empty(n_chains, dtype=torch.float64),
    ),
}


def returned(results: tuple[Tensor, ...]) -> Any:
    """What an op returns of them: a tensor, a tuple, or nothing."""
    return results if len(results) > 1 else results[0] if results else None
