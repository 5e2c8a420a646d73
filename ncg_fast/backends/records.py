"""The arguments of ops in groups, by name: what public ops make, and what back ends take.

A registered op of torch takes their fields one after the other (``ops/registration.py``); nowhere
else does the order of the fields matter.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Layer(NamedTuple):
    """One direction of the weights: x = bias + (W∘A) states."""

    digits: Tensor  # of W∘A or of its transpose
    bias: Tensor  # (n_out,) float32
    weight_exponent: int  # of the digits


class Model(NamedTuple):
    """Both directions."""

    to_hidden: Tensor
    to_visible: Tensor
    visible_bias: Tensor
    hidden_bias: Tensor
    weight_exponent: int

    @property
    def hidden_layer(self) -> Layer:
        """From the visible to the hidden units."""
        return Layer(self.to_hidden, self.hidden_bias, self.weight_exponent)

    @property
    def visible_layer(self) -> Layer:
        """From the hidden to the visible units."""
        return Layer(self.to_visible, self.visible_bias, self.weight_exponent)


class Draw(NamedTuple):
    """Which uniforms: a pure function of (seed, chain_offset + chain, unit_offset + unit, step)."""

    seed: int
    chain_offset: int = 0  # global index of the first chain
    step: int = 0  # global number of the first sweep
    beta: Tensor | None = None  # (n_chains,) float32 inverse temperatures, or None for 1
    unit_offset: int = 0  # of the first hidden unit, where the machine is a share of a larger one


class Phases(NamedTuple):
    """The states of both phases."""

    hidden_data: Tensor  # levels (n_rows, n_hidden)
    visible_data: Tensor  # packed states or levels of n_rows rows
    hidden_model: Tensor  # levels (n_chains, n_hidden)
    visible_model: Tensor  # packed states of n_chains chains


class PhaseSums(NamedTuple):
    """Exact sums of one phase over its rows or chains, int64.

    Hidden units count in levels (65535 for a probability of 1); visible ones as bits, or in levels,
    too, where the states were levels.
    """

    products: Tensor  # (n_hidden, n_visible), of h_i v_j
    visible: Tensor  # (n_visible,), of v_j
    hidden: Tensor  # (n_hidden,), of h_i


class Gradients(NamedTuple):
    """Of the loss, float32, as torch holds them in ``.grad``; None: that tensor stays."""

    by_weight: Tensor | None = None  # (n_hidden, n_visible), -A∘G
    by_strength: Tensor | None = None  # the same, -W∘G
    by_visible: Tensor | None = None  # (n_visible,)
    by_hidden: Tensor | None = None  # (n_hidden,)


class Batch(NamedTuple):
    """Mini-batches of n_rows rows each, one after the other."""

    visible_data: (
        Tensor  # (n_batches, n_visible, words) packed, or levels (n_batches, n_rows, n_visible)
    )
    chains: Tensor | None  # packed states of persistent chains, written; None: CD
    n_rows: int
    n_chains: int  # n_rows for CD
    n_steps: int  # sweeps of a batch


class Rates(NamedTuple):
    """How far a step goes."""

    lr: float
    lr_strength: float = 0.0
    momentum: float = 0.0
    weight_decay: float = 0.0


class Offsets(NamedTuple):
    """Of centred gradients; both None: gradients are not centred."""

    visible: Tensor | None = None  # (n_visible,) float32, the mean of the data
    hidden: Tensor | None = None  # (n_hidden,) float32, a moving mean of P(h | v), written


class Parameters(NamedTuple):
    """What an update writes; velocities are all given or all None."""

    weight: Tensor  # (n_hidden, n_visible) float32
    connection_strength: Tensor | None  # the same, or None: the mask is fixed
    mask: Tensor  # the same, bool
    visible_bias: Tensor
    hidden_bias: Tensor
    to_hidden: Tensor  # digits of W∘A
    to_visible: Tensor
    weight_velocity: Tensor | None = None
    visible_velocity: Tensor | None = None
    hidden_velocity: Tensor | None = None

    def model(self, weight_exponent: int) -> Model:
        """What the sweeps of a training step use."""
        biases = self.visible_bias, self.hidden_bias
        return Model(self.to_hidden, self.to_visible, *biases, weight_exponent)
