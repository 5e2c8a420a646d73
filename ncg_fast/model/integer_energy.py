"""The energy of states in integers, the same on every device whatever the order of its sums."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ncg_fast.backends.numerics import digit_step, quantise
from ncg_fast.model.digits import TRAINING_DIGITS
from ncg_fast.model.rbm import RBM
from ncg_fast.ops.registration import registered

_AT_ONCE = 1 << 23  # units whose energies are computed together
_EXACT_BITS = 52  # of a sum in float64


class IntegerEnergy:
    """-E(v, h) - a.v = step h^T q v + unit ((b - a).v + c.h) as integers, for the rounded machine.

    q are the integers of the digits; a, b and c are in fixed point: exact where a bias is within a
    factor of some 2**20 of the largest. a are the biases at beta = 0; None: 0. All sums are of
    integers below 2**53 in float64, so their order is of no account.
    """

    def __init__(self, rbm: RBM, exponent: int, base_bias: Tensor | None = None) -> None:
        weight, mask = rbm.weight.detach(), rbm.mask
        self.q = quantise(weight, mask, TRAINING_DIGITS, exponent).t().double().contiguous()
        self.step = digit_step(exponent, TRAINING_DIGITS)
        b, c = rbm.visible_bias.detach().double(), rbm.hidden_bias.detach().double()
        a = torch.zeros_like(b) if base_bias is None else base_bias.double()
        _, power = math.frexp(max(float(bias.abs().max()) for bias in (a, b, c)))
        bits = _EXACT_BITS - 1 - math.ceil(math.log2(rbm.n_visible + rbm.n_hidden))
        self.unit = 2.0 ** (power - bits)
        a, b, self.c = (torch.round(bias / self.unit) for bias in (a, b, c))
        self.b = b - a

    def __call__(self, visible: Tensor, hidden: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """h^T q v and (b - a).v + c.h of packed states, int64 (n,) each."""
        v, h = (registered.unpack_states(states, n) for states in (visible, hidden))
        interaction, bias = [], []
        size = max(1, _AT_ONCE // (len(self.b) + len(self.c)))
        for some_v, some_h in zip(v.split(size), h.split(size), strict=True):
            wide_v, wide_h = some_v.double(), some_h.double()
            interaction.append(((wide_v @ self.q) * wide_h).sum(1).long())
            bias.append((wide_v @ self.b + wide_h @ self.c).long())
        return torch.cat(interaction), torch.cat(bias)

    def scaled(self, interaction: Tensor, bias: Tensor) -> Tensor:
        """-E - a.v in nats, float64."""
        return interaction.double() * self.step + bias.double() * self.unit
