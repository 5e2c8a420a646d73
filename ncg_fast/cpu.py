"""Launcher of the CPU kernels: allocates results and passes addresses to ``_cpu``.

The functions are those of ``reference.py``, which says what each computes.

``NCG_FAST_ISA`` (base, avx2, avx512) forces an instruction set; without it the best one is used.
Threads are torch's.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor

from ncg_fast import _cpu
from ncg_fast.numerics import BLOCK, HIDDEN_STREAM, PANEL, VISIBLE_STREAM, WORD

instruction_set = _cpu.instruction_set
instruction_sets = _cpu.instruction_sets
use_instruction_set = _cpu.use_instruction_set

if _wanted := os.environ.get("NCG_FAST_ISA"):
    use_instruction_set(_wanted)


_PROCESS = os.getpid()


def _threads() -> int:
    """Torch's threads; one in a forked child, where the threads of OpenMP are missing."""
    return torch.get_num_threads() if os.getpid() == _PROCESS else 1


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _states(states: Tensor, n_units: int, n_chains: int) -> tuple[int, int, int, bool]:
    return states.data_ptr(), n_units, n_chains, states.dtype == torch.int32


def _layer(digits: Tensor, bias: Tensor, n_in: int, exponent: int) -> tuple[int, ...]:
    return digits.data_ptr(), bias.data_ptr(), bias.shape[0], n_in, digits.shape[1], exponent


def _packed(like: Tensor, n_units: int, n_chains: int) -> Tensor:
    return like.new_empty(n_units, -(-n_chains // WORD), dtype=torch.int64)


def _n_in(states: Tensor) -> int:
    return states.shape[1 if states.dtype == torch.int32 else 0]


def pack_states(states: Tensor) -> Tensor:
    n_chains, n_units = states.shape
    packed = _packed(states, n_units, n_chains)
    _cpu.pack_states(states.contiguous().data_ptr(), n_chains, n_units, packed.data_ptr())
    return packed


def unpack_states(packed: Tensor, n_chains: int) -> Tensor:
    packed = packed.contiguous()
    states = packed.new_empty(n_chains, packed.shape[0], dtype=torch.uint8)
    _cpu.unpack_states(packed.data_ptr(), n_chains, packed.shape[0], states.data_ptr())
    return states


def pack_weights(
    weight: Tensor, mask: Tensor | None, n_digits: int, weight_exponent: int
) -> tuple[Tensor, Tensor]:
    weight = weight.contiguous()
    mask = None if mask is None else mask.contiguous()
    n_hidden, n_visible = weight.shape

    def layout(n_out: int, n_in: int) -> Tensor:
        return torch.empty(
            -(-n_out // PANEL), n_digits, -(-n_in // BLOCK), PANEL, BLOCK, dtype=torch.int8
        )

    digits = layout(n_hidden, n_visible), layout(n_visible, n_hidden)
    shape = n_hidden, n_visible, n_digits, weight_exponent
    addresses = (tensor.data_ptr() for tensor in digits)
    _cpu.pack_weights(weight.data_ptr(), _address(mask), *shape, *addresses, _threads())
    return digits


def hidden_mean(
    states: Tensor, digits: Tensor, bias: Tensor, weight_exponent: int, n_chains: int
) -> Tensor:
    states, digits, bias = states.contiguous(), digits.contiguous(), bias.contiguous()
    n_in = _n_in(states)
    mean = bias.new_empty(n_chains, bias.shape[0])
    layer = _layer(digits, bias, n_in, weight_exponent)
    _cpu.mean(layer, _states(states, n_in, n_chains), mean.data_ptr(), _threads())
    return mean


visible_mean = hidden_mean  # the same kernel with the other layout and bias


def _half_step(stream: int) -> Callable[..., Tensor]:
    def sample(
        states: Tensor,
        digits: Tensor,
        bias: Tensor,
        weight_exponent: int,
        n_chains: int,
        seed: int,
        chain_offset: int,
        step: int,
        beta: Tensor | None,
    ) -> Tensor:
        states, digits, bias = states.contiguous(), digits.contiguous(), bias.contiguous()
        beta = None if beta is None else beta.contiguous()
        n_in = _n_in(states)
        packed = _packed(bias, bias.shape[0], n_chains)
        layer = _layer(digits, bias, n_in, weight_exponent)
        draw = seed, chain_offset, step, stream, _address(beta)
        given = _states(states, n_in, n_chains)
        _cpu.sample(layer, given, draw, packed.data_ptr(), _threads())
        return packed

    return sample


sample_hidden, sample_visible = _half_step(HIDDEN_STREAM), _half_step(VISIBLE_STREAM)


def gibbs_steps(
    visible: Tensor,
    to_hidden: Tensor,
    to_visible: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    weight_exponent: int,
    n_chains: int,
    n_steps: int,
    seed: int,
    chain_offset: int,
    step: int,
    beta: Tensor | None,
    clamped: Tensor | None,
) -> tuple[Tensor, Tensor]:
    tensors = visible, to_hidden, to_visible, visible_bias, hidden_bias
    visible, to_hidden, to_visible, visible_bias, hidden_bias = (t.contiguous() for t in tensors)
    beta = None if beta is None else beta.contiguous()
    clamped = None if clamped is None else clamped.contiguous()
    n_visible, n_hidden = visible_bias.shape[0], hidden_bias.shape[0]
    last, hidden = (_packed(visible, n, n_chains) for n in (n_visible, n_hidden))
    _cpu.gibbs_steps(
        _layer(to_hidden, hidden_bias, n_visible, weight_exponent),
        _layer(to_visible, visible_bias, n_hidden, weight_exponent),
        _states(visible, n_visible, n_chains),
        (seed, chain_offset, step, 0, _address(beta)),
        n_steps,
        _address(clamped),
        last.data_ptr(),
        hidden.data_ptr(),
        _threads(),
    )
    return last, hidden


def _phases(
    hidden_data: Tensor, visible_data: Tensor, hidden_model: Tensor, visible_model: Tensor
) -> tuple[int, tuple[int, int, int, bool], int, tuple[int, int, int, bool]]:
    n_visible = visible_model.shape[0]
    return (
        hidden_data.data_ptr(),
        _states(visible_data, n_visible, hidden_data.shape[0]),
        hidden_model.data_ptr(),
        _states(visible_model, n_visible, hidden_model.shape[0]),
    )


def connection_gradient(
    hidden_data: Tensor,
    visible_data: Tensor,
    hidden_model: Tensor,
    visible_model: Tensor,
    weight: Tensor | None,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    states = tuple(t.contiguous() for t in (hidden_data, visible_data, hidden_model, visible_model))
    weight, mask = (None if t is None else t.contiguous() for t in (weight, mask))
    shape = n_hidden, n_visible = hidden_data.shape[1], visible_model.shape[0]
    shapes: list[tuple[int, ...]] = [shape]
    shapes += [(0,) if given is None else shape for given in (mask, weight)]
    shapes += [(n_visible,), (n_hidden,)]
    difference, by_weight, by_strength, by_visible, by_hidden = (
        hidden_data.new_empty(each, dtype=torch.float32) for each in shapes
    )
    outputs = difference, by_weight, by_strength, by_visible, by_hidden
    addresses = (tensor.data_ptr() for tensor in outputs)
    given = _address(weight), _address(mask)
    _cpu.connection_gradient(_phases(*states), *shape, *given, *addresses, _threads())
    return outputs


def ncg_update_(
    weight: Tensor,
    connection_strength: Tensor | None,
    mask: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    to_hidden: Tensor,
    to_visible: Tensor,
    weight_velocity: Tensor | None,
    visible_velocity: Tensor | None,
    hidden_velocity: Tensor | None,
    hidden_data: Tensor,
    visible_data: Tensor,
    hidden_model: Tensor,
    visible_model: Tensor,
    weight_exponent: int,
    n_labels: int,
    lr: float,
    lr_strength: float,
    momentum: float,
    weight_decay: float,
) -> Tensor:
    written = weight, connection_strength, mask, visible_bias, hidden_bias, to_hidden, to_visible
    velocities = weight_velocity, visible_velocity, hidden_velocity
    states = tuple(t.contiguous() for t in (hidden_data, visible_data, hidden_model, visible_model))
    sizes = *weight.shape, n_labels, to_hidden.shape[1], weight_exponent
    parameters = (*map(_address, written), *map(_address, velocities), *sizes)
    rates = lr, lr_strength, momentum, weight_decay
    found = _cpu.ncg_update(parameters, _phases(*states), rates, _threads())
    return torch.tensor(found, dtype=torch.float64)


def train_step_(
    weight: Tensor,
    connection_strength: Tensor | None,
    mask: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    to_hidden: Tensor,
    to_visible: Tensor,
    weight_velocity: Tensor | None,
    visible_velocity: Tensor | None,
    hidden_velocity: Tensor | None,
    visible_data: Tensor,
    chains: Tensor | None,
    n_rows: int,
    n_chains: int,
    n_steps: int,
    weight_exponent: int,
    n_labels: int,
    lr: float,
    lr_strength: float,
    momentum: float,
    weight_decay: float,
    seed: int,
    step: int,
) -> Tensor:
    written = weight, connection_strength, mask, visible_bias, hidden_bias, to_hidden, to_visible
    velocities = weight_velocity, visible_velocity, hidden_velocity
    sizes = *weight.shape, n_labels, to_hidden.shape[1], weight_exponent
    parameters = (*map(_address, written), *map(_address, velocities), *sizes)
    visible_data = visible_data.contiguous()
    data = _states(visible_data, weight.shape[1], n_rows)
    rates = lr, lr_strength, momentum, weight_decay
    batch = data, _address(chains), n_chains, n_steps, rates, seed, step
    found = _cpu.train_step(parameters, *batch, _threads())
    return torch.tensor(found, dtype=torch.float64)


def free_energy(
    visible: Tensor,
    to_hidden: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    weight_exponent: int,
    n_chains: int,
) -> Tensor:
    tensors = visible, to_hidden, visible_bias, hidden_bias
    visible, to_hidden, visible_bias, hidden_bias = (t.contiguous() for t in tensors)
    n_visible = visible_bias.shape[0]
    energy = visible_bias.new_empty(n_chains, dtype=torch.float64)
    layer = _layer(to_hidden, hidden_bias, n_visible, weight_exponent)
    states = _states(visible, n_visible, n_chains)
    addresses = visible_bias.data_ptr(), energy.data_ptr()
    _cpu.free_energy(layer, states, *addresses, _threads())
    return energy


def anneal(
    visible: Tensor,
    to_hidden: Tensor,
    to_visible: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    base_bias: Tensor,
    betas: Tensor,
    weight_exponent: int,
    n_chains: int,
    seed: int,
    chain_offset: int,
    step: int,
) -> tuple[Tensor, Tensor]:
    tensors = to_hidden, to_visible, visible_bias, hidden_bias, base_bias, betas
    to_hidden, to_visible, visible_bias, hidden_bias, base_bias, betas = (
        t.contiguous() for t in tensors
    )
    visible = visible.clone(memory_format=torch.contiguous_format)
    log_weights = visible_bias.new_empty(n_chains, dtype=torch.float64)
    _cpu.anneal(
        _layer(to_hidden, hidden_bias, visible_bias.shape[0], weight_exponent),
        _layer(to_visible, visible_bias, hidden_bias.shape[0], weight_exponent),
        base_bias.data_ptr(),
        betas.data_ptr(),
        betas.shape[0],
        n_chains,
        (seed, chain_offset, step, 0, 0),
        visible.data_ptr(),
        log_weights.data_ptr(),
        _threads(),
    )
    return visible, log_weights
