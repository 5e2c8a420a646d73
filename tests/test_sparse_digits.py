"""Sparse digits: every op gives the bits of dense digits, on every instruction set."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from test_parity import SEED, SHAPES, Machine, both, parameters, same_bits, variants, written_alike
from torch import Tensor

from ncg_fast.backends import cpu, reference
from ncg_fast.backends.formats import fits, sparse_words


class SparseMachine(Machine):
    """A machine whose digits are sparse, with room for a few connections more."""

    def __init__(self, shape: tuple[int, int, int, int], n_digits: int, density: float = 0.1):
        super().__init__(shape, n_digits, density=density)
        n_hidden = self.weight.shape[0]
        if n_hidden > 2:  # units without and with all connections
            self.mask[1], self.mask[2] = False, True
        self.sparse(n_digits, int(self.mask.sum()) + 7)

    def sparse(self, n_digits: int, capacity: int) -> None:
        given = self.weight, self.mask, n_digits, self.exponent
        self.dense = reference.pack_weights(*given)
        self.digits = reference.pack_weights(*given, capacity)
        self.capacity = capacity


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_op(shape: tuple[int, int, int, int], n_digits: int) -> None:
    m = SparseMachine(shape, n_digits)
    draw = SEED, 5, (3 << 32) + 1
    for mask, capacity in ((m.mask, m.capacity), (m.mask, 0), (None, m.mask.numel())):
        both("pack_weights", m.weight, mask, n_digits, m.exponent, capacity)
    for visible in (m.data, m.levels):
        both("hidden_mean", visible, *m.to_hidden())
        for beta in (None, m.beta):
            both("sample_hidden", visible, *m.to_hidden(), *draw, beta)
            both("gibbs_steps", visible, *m.model(), 2, *draw, beta, None)
    both("visible_mean", m.hidden, *m.to_visible())
    both("sample_visible", m.hidden, *m.to_visible(), *draw, m.beta)
    both("gibbs_steps", m.data, *m.model(), 3, *draw, None, m.clamped)


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_energies_are_those_of_dense_digits(
    shape: tuple[int, int, int, int], n_digits: int
) -> None:
    m = SparseMachine(shape, n_digits)
    biases = m.visible_bias, m.hidden_bias
    betas = torch.linspace(0, 1, 7, dtype=torch.float64)
    rest = m.exponent, m.n_rows
    for variant in variants():
        for visible in (m.data, m.levels):
            got, want = (
                cpu.free_energy(visible, d[0], *biases, *rest) for d in (m.digits, m.dense)
            )
            assert torch.equal(got, want), variant
        ladder = *biases, 0.1 * m.visible_bias, betas, *rest, SEED, 3, 2
        got, want = (cpu.anneal(m.data, *d, *ladder) for d in (m.digits, m.dense))
        assert all(map(torch.equal, got, want)), variant


@pytest.mark.parametrize("options", ["plain", "momentum", "fixed", "labels"])
@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[2]])
def test_update_and_train_step(
    shape: tuple[int, int, int, int], n_digits: int, options: str
) -> None:
    m = SparseMachine(shape, n_digits)
    m.sparse(n_digits, m.mask.numel())  # as many as may be switched on
    tensors = parameters(m, options == "fixed", options == "momentum")
    n_labels = min(3, shape[0]) if options == "labels" else 0
    rates = 0.3, 2.0, 0.9, 0.001 if options == "momentum" else 0.0
    for visible in (m.data, m.levels):
        states = m.hidden_levels(visible, m.n_rows), visible
        states += m.hidden_levels(m.chains, m.n_chains), m.chains
        written_alike(
            "ncg_update_",
            tensors,
            None,
            lambda op, t, _, s=states: op(*t, *s, m.exponent, n_labels, *rates),
        )
        for chains, count in ((None, m.n_rows), (m.chains, m.n_chains)):
            batch = m.n_rows, count, 2, m.exponent, n_labels, *rates, SEED, 9
            written_alike(
                "train_step_",
                tensors,
                chains,
                lambda op, t, c, v=visible, b=batch: op(*t, v, c, *b),
            )


def test_steps_end_where_connections_no_longer_fit() -> None:
    """Digits then say so, all else is as with dense digits, and no op takes them."""
    m = SparseMachine((61, 67, 70, 70), 2)
    batches = torch.stack([m.data, m.data.flip(0), m.data.roll(1, 0)])
    options = m.n_rows, m.n_rows, 2, m.exponent, 0, 0.3, 2.0, 0.0, 0.0, SEED, 9

    def steps(op: Any, t: Any, batches: Tensor = batches) -> Tensor:
        return op(*t, batches, None, *options, 0.0, math.inf)

    tensors = parameters(m, False, False)
    written_alike("train_steps_", tensors, None, lambda op, t, _: steps(op, t))
    sparse = [None if t is None else t.clone() for t in tensors]
    found = steps(cpu.train_steps_, sparse)
    assert found[3] == 1 and not fits(sparse[5]) and not fits(sparse[6])
    dense = [None if t is None else t.clone() for t in (*tensors[:5], *m.dense, *tensors[7:])]
    same_bits(found, steps(cpu.train_steps_, dense, batches[:1]), "train_steps_")
    same_bits(tuple(sparse[:5]), tuple(dense[:5]), "parameters")
    with pytest.raises(ValueError, match=r"to_hidden must hold all connections, got more with"):
        cpu.hidden_mean(m.data, sparse[5], *m.to_hidden()[1:])


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("n_visible", [66053, 140003])
def test_many_inputs(n_visible: int, n_digits: int) -> None:
    """Rows whose sums would leave 32 bits, or whose digits' sums are not exact in float32."""
    m = SparseMachine((n_visible, 5, 5, 5), n_digits)
    m.exponent = -16  # the pre-activation is near 1: no mean is 0 or 1
    most = 127 / 128 * 2.0**m.exponent
    m.weight = m.weight.sign() * most * (1 - m.strength / 256)
    m.weight[:4] = m.weight[:4].abs()
    m.weight[2] = most
    m.weight[3] = -most
    m.mask[2:] = True
    m.sparse(n_digits, int(m.mask.sum()))
    m.levels[:2], m.data[:, 0] = 65535, m.data[:, 0] | 3
    both("hidden_mean", m.levels, *m.to_hidden())
    both("hidden_mean", m.data, *m.to_hidden())


def test_damaged_digits_are_refused_or_read_within() -> None:
    m = SparseMachine((61, 67, 70, 70), 2)
    to_hidden, first = m.digits[0], sparse_words(67, 0)
    for word, value in ((0, 4), (1, 66), (2, 62), (3, -1), (3, m.capacity + 1)):
        damaged = to_hidden.clone()
        damaged[word] = value
        with pytest.raises(ValueError, match=r"hidden_mean: to_hidden must (be|have|hold) "):
            cpu.hidden_mean(m.data, damaged, *m.to_hidden()[1:])
    for wrong in (to_hidden[: first - 1], to_hidden[:-1], to_hidden[:0]):
        with pytest.raises(ValueError, match=r"hidden_mean: to_hidden must have whole"):
            cpu.hidden_mean(m.data, wrong, *m.to_hidden()[1:])
    for low in (-(2**31), -1, 61, 2**30):
        for part in (slice(4, first), slice(first, None)):
            damaged = to_hidden.clone()
            damaged[part] = low
            for states in (m.data, m.levels):
                for _ in variants():
                    mean = cpu.hidden_mean(states, damaged, *m.to_hidden()[1:])
                    assert mean.isfinite().all()
