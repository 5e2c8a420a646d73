"""The textbook: a restricted Boltzmann machine by enumeration in float64, straight from formulas.

An oracle that shares no code with the package. Row s of an enumeration has unit j on where bit j of
s is set. Machines hold effective weights W∘A. Philox and the map from draws to counters stand here
in Python integers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Machine(NamedTuple):
    """E(v, h) = -h^T W v - b^T v - c^T h."""

    weight: Array  # (n_hidden, n_visible), W∘A
    visible_bias: Array
    hidden_bias: Array


def of(rbm: Any) -> Machine:
    """The machine an RBM stands for, its weights unrounded."""
    weight = rbm.weight.detach().numpy().astype(np.float64) * rbm.mask.numpy()
    biases = (rbm.visible_bias, rbm.hidden_bias)
    return Machine(weight, *(bias.detach().numpy().astype(np.float64) for bias in biases))


def all_states(n_units: int) -> Array:
    index = np.arange(2**n_units)[:, None]
    return (index >> np.arange(n_units) & 1).astype(np.float64)


def index_of(states: Any) -> NDArray[np.int64]:
    """The row of ``all_states`` that each row of 0/1 states is."""
    states = np.asarray(states, dtype=np.int64)
    return states @ (1 << np.arange(states.shape[1]))


def log_sum_exp(x: Array, axis: int | None = None) -> Any:
    top = x.max(axis=axis, keepdims=True)
    return np.log(np.exp(x - top).sum(axis=axis)) + np.squeeze(top, axis=axis)


def minus_energy(machine: Machine, v: Array, h: Array) -> Array:
    """-E of every pair of rows, (len(v), len(h))."""
    return (
        v @ machine.weight.T @ h.T
        + (v @ machine.visible_bias)[:, None]
        + (h @ machine.hidden_bias)[None]
    )


def all_minus_energies(machine: Machine) -> Array:
    n_hidden, n_visible = machine.weight.shape
    return minus_energy(machine, all_states(n_visible), all_states(n_hidden))


def log_partition(machine: Machine) -> float:
    """Log Z by the sum over all pairs (v, h)."""
    return float(log_sum_exp(all_minus_energies(machine)))


def joint_distribution(machine: Machine, beta: float = 1.0) -> Array:
    """p(v, h) at inverse temperature beta, (2**n_visible, 2**n_hidden)."""
    log_weight = beta * all_minus_energies(machine)
    return np.exp(log_weight - log_sum_exp(log_weight))


def log_probability(machine: Machine, v: Array) -> Array:
    """Log p(v) of each row."""
    every_h = all_states(len(machine.hidden_bias))
    return log_sum_exp(minus_energy(machine, v, every_h), axis=1) - log_partition(machine)


def hidden_mean(machine: Machine, v: Array) -> Array:
    """P(h_i = 1 | v)."""
    return 1 / (1 + np.exp(-(v @ machine.weight.T + machine.hidden_bias)))


def visible_mean(machine: Machine, h: Array) -> Array:
    """P(v_j = 1 | h)."""
    return 1 / (1 + np.exp(-(h @ machine.weight + machine.visible_bias)))


def phase_differences(machine: Machine, data: Array) -> tuple[Array, Array, Array]:
    """<h v>, <v>, <h> under the data minus under the model, the model's by enumeration."""
    n_hidden, n_visible = machine.weight.shape
    v, h, p = all_states(n_visible), all_states(n_hidden), joint_distribution(machine)
    mean = hidden_mean(machine, data)
    return (
        mean.T @ data / len(data) - h.T @ p.T @ v,
        data.mean(0) - p.sum(1) @ v,
        mean.mean(0) - p.sum(0) @ h,
    )


def central_differences(f: Callable[[Array], float], at: Array, width: float = 1e-4) -> Array:
    """Gradient of f by central differences of fourth order."""
    gradient = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        values = []
        for shift in (-2, -1, 1, 2):
            moved = at.copy()
            moved[place] += shift * width
            values.append(f(moved))
        gradient[place] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * width)
    return gradient


def philox(counter: tuple[int, int, int, int], seed: int) -> tuple[int, int, int, int]:
    """Philox4x32-10 of Salmon, Moraes, Dror & Shaw (SC11), figure 2."""
    word = 2**32
    left0, right0, left1, right1 = counter
    key0, key1 = seed % word, seed // word % word
    for _ in range(10):
        product0, product1 = 0xD2511F53 * left0, 0xCD9E8D57 * left1
        left0, right0, left1, right1 = (
            product1 // word ^ right0 ^ key0,
            product1 % word,
            product0 // word ^ right1 ^ key1,
            product0 % word,
        )
        key0, key1 = (key0 + 0x9E3779B9) % word, (key1 + 0xBB67AE85) % word
    return left0, right0, left1, right1


class Place(NamedTuple):
    """Where the bits of a draw lie: a Philox counter, a word of its block, the lowest bit."""

    counter: tuple[int, int, int, int]
    word: int
    low_bit: int


def places(chain: int, unit: int, step: int, stream: int) -> tuple[Place, Place]:
    """Places of the first 16 and the further 24 bits of a draw; streams 0 (hidden) and 2 (visible).

    A block of 32 units has 4 groups of 8 draws; a group takes the pairs 2g, 2g + 1 of each eight.
    """
    block, within = divmod(unit, 32)
    eight, place = divmod(within, 8)
    group, slot = 4 * block + place // 2, 2 * eight + place % 2
    last = step // 2**32 * 256 + stream
    first = Place((chain % 2**32, group, step % 2**32, last), slot // 2, 16 * (slot % 2))
    more = Place((chain % 2**32, 2 * group + slot // 4, step % 2**32, last + 1), slot % 4, 8)
    return first, more


def draw(seed: int, chain: int, unit: int, step: int, stream: int) -> tuple[int, int]:
    """The first 16 and the further 24 bits of one uniform."""
    first, more = places(chain, unit, step, stream)
    return (
        philox(first.counter, seed)[first.word] >> first.low_bit & 0xFFFF,
        philox(more.counter, seed)[more.word] >> more.low_bit,
    )
