"""Sparse digits: every op gives the bits of reference.py, and those of dense digits."""

from __future__ import annotations

import pytest
import torch
from backend_choice import BackEnd
from calls import call
from parity import DRAW, N_DIGITS, SEED, SHAPES, WITH_ROWS, Machine, Shape, agree, same_bits

from ncg_fast.backends import formats
from ncg_fast.backends.formats import fits, sparse_words


class SparseMachine(Machine):
    """A machine whose digits are sparse, with room for a few connections more."""

    def __init__(self, shape: Shape, n_digits: int, density: float = 0.1):
        super().__init__(shape, n_digits, density=density)
        n_hidden = self.weight.shape[0]
        if n_hidden > 2:  # units without and with all connections
            self.mask[1], self.mask[2] = False, True
        self.sparse(n_digits, int(self.mask.sum()) + 7)

    def sparse(self, n_digits: int, capacity: int) -> None:
        given = self.weight, self.mask, n_digits, self.exponent
        self.dense = formats.pack_weights(*given)
        self.digits = formats.pack_weights(*given, capacity)
        self.capacity = capacity


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_half_steps_and_sweeps(cpu_backend: BackEnd, shape: Shape, n_digits: int) -> None:
    m = SparseMachine(shape, n_digits)
    for visible in (m.data, m.levels):
        agree(cpu_backend, "hidden_mean", visible, *m.to_hidden())
        for beta in (None, m.beta):
            agree(cpu_backend, "sample_hidden", visible, *m.to_hidden(), **DRAW, beta=beta)
            agree(cpu_backend, "gibbs_steps", visible, *m.model(), 2, **DRAW, beta=beta)
    agree(cpu_backend, "visible_mean", m.hidden, *m.to_visible())
    agree(cpu_backend, "sample_visible", m.hidden, *m.to_visible(), **DRAW, beta=m.beta)
    agree(cpu_backend, "gibbs_steps", m.data, *m.model(), 3, **DRAW, clamped=m.clamped)
    tempered = {"beta": m.beta, "base_bias": 0.5 - m.visible_bias}
    agree(cpu_backend, "gibbs_steps", m.data, *m.model(), 3, **DRAW, **tempered)


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_energies_are_those_of_dense_digits(
    cpu_backend: BackEnd, shape: Shape, n_digits: int
) -> None:
    m = SparseMachine(shape, n_digits)
    biases = m.visible_bias, m.hidden_bias
    betas = torch.linspace(0, 1, 4, dtype=torch.float64)
    rest = m.exponent, m.n_rows
    for variant in cpu_backend.variants():
        for visible in (m.data, m.levels):
            got, want = (
                cpu_backend.run("free_energy", visible, d[0], *biases, *rest)[0]
                for d in (m.digits, m.dense)
            )
            assert torch.equal(got, want), variant
        ladder = *biases, 0.1 * m.visible_bias, betas, *rest
        draw = {"seed": SEED, "chain_offset": 3, "step": 2}
        got, want = (
            cpu_backend.run("anneal", m.data, *d, *ladder, **draw) for d in (m.digits, m.dense)
        )
        assert all(map(torch.equal, got, want)), variant


@pytest.mark.parametrize("options", ["plain", "momentum", "fixed", "labels"])
@pytest.mark.parametrize("n_digits", N_DIGITS)
@pytest.mark.parametrize("shape", WITH_ROWS)
def test_update_and_train_step(
    cpu_backend: BackEnd, shape: Shape, n_digits: int, options: str
) -> None:
    m = SparseMachine(shape, n_digits)
    m.sparse(n_digits, m.mask.numel())  # as many as may be switched on
    parameters, settings = m.learning(options)
    batch = {"n_rows": m.n_rows, "n_steps": 2, "seed": SEED, "step": 9, **settings}
    for visible in (m.data, m.levels):
        agree(cpu_backend, "ncg_update_", parameters, *m.phases(visible), **settings)
        agree(cpu_backend, "train_step_", parameters, visible, **batch)
        chains = {"chains": m.chains, "n_chains": m.n_chains}
        agree(cpu_backend, "train_step_", parameters, visible, **chains, **batch)


def test_steps_end_where_connections_no_longer_fit(cpu_backend: BackEnd) -> None:
    """Digits then say so, all else is as with dense digits, and no op takes them."""
    m = SparseMachine((61, 67, 70, 70), 2)
    batches = torch.stack([m.data, m.data.flip(0), m.data.roll(1, 0)])
    parameters, settings = m.learning("plain")
    batch = {"n_rows": m.n_rows, "n_steps": 2, "seed": SEED, "step": 9, **settings}
    agree(cpu_backend, "train_steps_", parameters, batches, **batch)
    found, *written = cpu_backend.run("train_steps_", parameters, batches, **batch)
    assert found[3] == 1 and not fits(written[5]) and not fits(written[6])
    dense = parameters._replace(to_hidden=m.dense[0], to_visible=m.dense[1])
    once, *others = cpu_backend.run("train_steps_", dense, batches[:1], **batch)
    same_bits((found, *written[:5]), (once, *others[:5]), "train_steps_")
    with pytest.raises(ValueError, match=r"to_hidden must hold all connections, got more"):
        cpu_backend.run("hidden_mean", m.data, written[5], *m.to_hidden()[1:])


@pytest.mark.slow
@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("n_visible", [66053, 140003])
def test_many_inputs(cpu_backend: BackEnd, n_visible: int, n_digits: int) -> None:
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
    agree(cpu_backend, "hidden_mean", m.levels, *m.to_hidden())
    agree(cpu_backend, "hidden_mean", m.data, *m.to_hidden())


def test_damaged_digits_are_refused_or_read_within(cpu_backend: BackEnd) -> None:
    m = SparseMachine((61, 67, 70, 70), 2)
    to_hidden, first = m.digits[0], sparse_words(67, 0)
    _, *rest, n = m.to_hidden()
    for word, value in ((0, 4), (1, 66), (2, 62), (3, -1), (3, m.capacity + 1)):
        damaged = to_hidden.clone()
        damaged[word] = value
        with pytest.raises(ValueError, match=r"\w+: \w+ must (be|have|hold) "):
            call(cpu_backend.kernels, "mean", m.data, n, damaged, *rest)
    for wrong in (to_hidden[: first - 1], to_hidden[:-1], to_hidden[:0]):
        with pytest.raises(ValueError, match=r"\w+: \w+ must have whole"):
            call(cpu_backend.kernels, "mean", m.data, n, wrong, *rest)
    for low in (-(2**31), -1, 61, 2**30):
        for part in (slice(4, first), slice(first, None)):
            damaged = to_hidden.clone()
            damaged[part] = low
            for states in (m.data, m.levels):
                for _ in cpu_backend.variants():
                    mean = call(cpu_backend.kernels, "mean", states, n, damaged, *rest)
                    assert mean.isfinite().all()
