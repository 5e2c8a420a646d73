"""Every op on every instruction set and with 1 and 2 threads equals reference.py bit for bit.

Outputs are allocated over poisoned memory (torch.utils.deterministic), sizes are odd or prime, and
the larger shapes are shared out over threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from ncg_fast.backends import cpu, reference
from ncg_fast.backends.numerics import next_exponent, to_levels

SEED = 0x123456789ABCDEF
# n_visible, n_hidden, rows, chains
SHAPES = [
    (1, 1, 1, 1),
    (7, 5, 3, 3),
    (61, 67, 1, 5),
    (127, 131, 66, 66),
    (81, 50, 19, 33),
    (33, 65, 0, 0),
    (64, 32, 64, 128),
    (784, 31, 17, 16),
]
ISAS = cpu.instruction_sets()


def variants() -> Iterator[str]:
    """Each instruction set with 1 and 2 threads, in turn; the first state is restored."""
    isa, threads = cpu.instruction_set(), torch.get_num_threads()
    cpu.form_teams(True)  # two threads are two, however busy the machine
    try:
        for name in ISAS:
            cpu.use_instruction_set(name)
            for n in (1, 2):
                torch.set_num_threads(n)
                yield f"{name}, {n} threads"
    finally:
        cpu.form_teams(False)
        cpu.use_instruction_set(isa)
        torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    torch.use_deterministic_algorithms(
        True
    )  # torch.empty fills floats with NaN and integers with their maximum
    yield
    torch.use_deterministic_algorithms(False)


class Machine:
    """Random parameters and states of one shape, the same for every back end."""

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        n_digits: int,
        scale: float = 1.0,
        density: float = 0.5,
    ):
        n_visible, n_hidden, self.n_rows, self.n_chains = shape
        g = torch.Generator().manual_seed(hash((shape, n_digits)) % 2**31)
        self.weight = scale * torch.randn(n_hidden, n_visible, generator=g)
        self.mask = torch.rand(n_hidden, n_visible, generator=g) < density
        self.strength = torch.rand(n_hidden, n_visible, generator=g)
        self.visible_bias = torch.randn(n_visible, generator=g)
        self.hidden_bias = torch.randn(n_hidden, generator=g)
        self.exponent = next_exponent(None, float(self.weight.abs().max()))
        self.digits = reference.pack_weights(self.weight, self.mask, n_digits, self.exponent)
        self.rows = torch.rand(self.n_rows, n_visible, generator=g) < 0.3
        self.data = reference.pack_states(self.rows)
        self.levels = to_levels(torch.rand(self.n_rows, n_visible, generator=g))
        self.hidden = reference.pack_states(torch.rand(self.n_rows, n_hidden, generator=g) < 0.5)
        self.chains = reference.pack_states(torch.rand(self.n_chains, n_visible, generator=g) < 0.3)
        self.beta = torch.rand(self.n_rows, generator=g)
        self.clamped = reference.pack_states(torch.rand(self.n_rows, n_visible, generator=g) < 0.2)

    def to_hidden(self) -> tuple[Any, ...]:
        return self.digits[0], self.hidden_bias, self.exponent, self.n_rows

    def to_visible(self) -> tuple[Any, ...]:
        return self.digits[1], self.visible_bias, self.exponent, self.n_rows

    def model(self) -> tuple[Any, ...]:
        return *self.digits, self.visible_bias, self.hidden_bias, self.exponent, self.n_rows

    def hidden_levels(self, visible: Tensor, n: int) -> Tensor:
        mean = reference.hidden_mean(visible, self.digits[0], self.hidden_bias, self.exponent, n)
        return to_levels(mean)


def same_bits(got: Any, want: Any, what: str) -> None:
    if isinstance(want, tuple):
        assert len(got) == len(want)
        for a, b in zip(got, want, strict=True):
            same_bits(a, b, what)
        return
    assert got.dtype == want.dtype and got.shape == want.shape
    if got.dtype == torch.float32:
        got, want = got.contiguous().view(torch.int32), want.contiguous().view(torch.int32)
    assert torch.equal(got, want), f"{what}: {int((got != want).sum())} of {got.numel()} differ"


def both(op: str, *args: Any) -> None:
    want = getattr(reference, op)(*args)
    for variant in variants():
        same_bits(getattr(cpu, op)(*args), want, f"{op}, {variant}")


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_op(shape: tuple[int, int, int, int], n_digits: int) -> None:
    m = Machine(shape, n_digits)
    draw = SEED, 5, (3 << 32) + 1
    both("pack_states", m.rows)
    both("unpack_states", m.data, m.n_rows)
    both("pack_weights", m.weight, m.mask, n_digits, m.exponent)
    both("pack_weights", m.weight, None, n_digits, m.exponent)
    for visible in (m.data, m.levels):
        both("hidden_mean", visible, *m.to_hidden())
        for beta in (None, m.beta):
            both("sample_hidden", visible, *m.to_hidden(), *draw, beta)
            both("gibbs_steps", visible, *m.model(), 2, *draw, beta, None)
    both("visible_mean", m.hidden, *m.to_visible())
    both("sample_visible", m.hidden, *m.to_visible(), *draw, None)
    both("sample_visible", m.hidden, *m.to_visible(), *draw, m.beta)
    both("gibbs_steps", m.data, *m.model(), 3, *draw, None, m.clamped)


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_float64_sums(shape: tuple[int, int, int, int], n_digits: int) -> None:
    m = Machine(shape, n_digits)
    biases = m.visible_bias, m.hidden_bias
    for visible in (m.data, m.levels):
        args = visible, m.digits[0], *biases, m.exponent, m.n_rows
        torch.testing.assert_close(
            cpu.free_energy(*args), reference.free_energy(*args), rtol=1e-10, atol=1e-12
        )
    betas = torch.linspace(0, 1, 7, dtype=torch.float64)
    args = m.data, *m.digits, *biases, 0.1 * m.visible_bias, betas, m.exponent, m.n_rows, SEED, 3, 2
    states, log_weights = reference.anneal(*args)
    for variant in variants():
        got = cpu.anneal(*args)
        same_bits(got[0], states, f"anneal, {variant}")
        torch.testing.assert_close(got[1], log_weights, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("weight_mask", [True, False])
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[2]])
def test_connection_gradient(shape: tuple[int, int, int, int], weight_mask: bool) -> None:
    m = Machine(shape, 2)
    given = (m.weight, m.mask) if weight_mask else (None, None)
    for visible in (m.data, m.levels):
        h_data = m.hidden_levels(visible, m.n_rows)
        both("connection_gradient", h_data, visible, h_data, m.data, *given)
        h_model = m.hidden_levels(m.chains, m.n_chains)
        both("connection_gradient", h_data, visible, h_model, m.chains, *given)


def parameters(m: Machine, fixed: bool, momentum: bool) -> tuple[Tensor | None, ...]:
    strength = None if fixed else m.strength
    tensors = m.weight, strength, m.mask, m.visible_bias, m.hidden_bias, *m.digits
    velocities: tuple[Tensor | None, ...] = (None, None, None)
    if momentum:
        velocities = 0.01 * m.weight, 0.01 * m.visible_bias, 0.01 * m.hidden_bias
    return tuple(None if t is None else t.clone() for t in (*tensors, *velocities))


def written(
    backend: Any, op: str, tensors: tuple[Tensor | None, ...], chains: Tensor | None, call: Any
) -> tuple[Tensor, ...]:
    """What the op returns for copies of the tensors, and what it then has written there."""
    copies = [None if t is None else t.clone() for t in (*tensors, chains)]
    returned = call(getattr(backend, op), copies[:-1], copies[-1])
    return (*returned, *(t for t in copies if t is not None))


def written_alike(
    op: str, tensors: tuple[Tensor | None, ...], chains: Tensor | None, call: Any
) -> None:
    """The op on copies of the same tensors: all that it wrote, and what it returned, agree."""
    want = written(reference, op, tensors, chains, call)
    for variant in variants():
        same_bits(written(cpu, op, tensors, chains, call), want, f"{op}, {variant}")


@pytest.mark.parametrize("options", ["plain", "momentum", "fixed", "labels"])
@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[2]])
def test_update_and_train_step(
    shape: tuple[int, int, int, int], n_digits: int, options: str
) -> None:
    m = Machine(shape, n_digits)
    tensors = parameters(m, options == "fixed", options == "momentum")
    n_labels = min(3, shape[0]) if options == "labels" else 0
    decay = 0.001 if options == "momentum" else 0.0
    rates = 0.3, 2.0, 0.9, decay
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


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("most", [math.inf, 2.0, 0.0])
def test_train_steps(most: float, persistent: bool) -> None:
    """Several batches in one call: until max |W| leaves the range."""
    m = Machine((61, 67, 70, 70), 2)
    for visible in (m.data, m.levels):
        batches = torch.stack([visible, visible.flip(0), visible.roll(1, 0)])
        rates = 3.0, 2.0, 0.9, 0.001
        options = m.n_rows, m.n_chains, 2, m.exponent, 3, *rates, SEED, 9, 0.0, most
        written_alike(
            "train_steps_",
            parameters(m, False, True),
            m.chains if persistent else None,
            lambda op, t, c, b=batches, o=options: op(*t, b, c, *o),
        )


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("density", [0.0, 1.0])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e4, 1e30])
def test_extreme_weights(scale: float, density: float, n_digits: int) -> None:
    m = Machine((61, 67, 70, 70), n_digits, scale, density)
    both("pack_weights", m.weight, m.mask, n_digits, m.exponent)
    both("hidden_mean", m.data, *m.to_hidden())
    both("hidden_mean", m.levels, *m.to_hidden())
    both("sample_hidden", m.data, *m.to_hidden(), SEED, 0, 0, None)
    batch = m.n_rows, m.n_rows, 1, m.exponent, 0, 0.1, 0.5, 0.0, 0.0, SEED, 0
    written_alike(
        "train_step_",
        parameters(m, False, False),
        None,
        lambda op, t, _: op(*t, m.data, None, *batch),
    )


def test_many_rows_use_wide_sums() -> None:
    m = Machine((9, 6, 32700, 32700), 2)
    h_data, h_model = m.hidden_levels(m.data, m.n_rows), m.hidden_levels(m.chains, m.n_chains)
    both("connection_gradient", h_data, m.data, h_model, m.chains, m.weight, m.mask)


def test_many_inputs() -> None:
    """More than 65 536 real-valued inputs: partial sums of 32 bits are added in 64."""
    m = Machine((66001, 3, 5, 5), 3)
    m.levels.fill_(65535)
    both("hidden_mean", m.levels, *m.to_hidden())
    both("hidden_mean", m.data, *m.to_hidden())


def test_non_contiguous_inputs() -> None:
    m = Machine((61, 67, 70, 70), 2)
    spread = torch.empty(61, 4, dtype=torch.int64)
    spread[:, ::2] = m.data
    both("hidden_mean", spread[:, ::2], *m.to_hidden())
    both("pack_weights", m.weight.t().contiguous().t(), m.mask, 2, m.exponent)


def test_further_bits_are_drawn() -> None:
    """P = 1.01e-5 < 2**-16: only a first draw of 0 can be on, and it leaves the outcome open."""
    n_units, n_chains = 64, 20000
    bias = torch.full((n_units,), -11.5)
    digits = torch.zeros(2, 2, 1, 32, 64, dtype=torch.int8)
    states = torch.zeros(1, -(-n_chains // 64), dtype=torch.int64)
    args = states, digits, bias, 0, n_chains, SEED, 0, 0, None
    both("sample_hidden", *args)
    on = int(reference.unpack_states(cpu.sample_hidden(*args), n_chains).sum())
    assert 1 <= on <= 40  # expected 13


def test_instruction_set_must_exist() -> None:
    with pytest.raises(
        ValueError, match=r'name must be supported by this processor \(base.*got "sse9"'
    ):
        cpu.use_instruction_set("sse9")


def test_avx2_and_base_are_always_tested_on_x86() -> None:
    import platform

    if platform.machine() in ("x86_64", "AMD64"):
        assert "base" in ISAS and "avx2" in ISAS


@pytest.mark.parametrize("name", ["weight", "strength", "visible_bias", "hidden_bias"])
def test_broken_parameters_are_reported(name: str) -> None:
    m = Machine((61, 67, 70, 70), 2)
    getattr(m, name).view(-1)[-1] = math.nan
    tensors = parameters(m, False, False)
    batch = m.n_rows, m.n_rows, 1, m.exponent, 0, 0.1, 0.5, 0.0, 0.0, SEED, 0
    want = reference.train_step_(
        *(None if t is None else t.clone() for t in tensors), m.data, None, *batch
    )
    assert math.isnan(float(want[0]))
    for variant in variants():
        got = cpu.train_step_(
            *(None if t is None else t.clone() for t in tensors), m.data, None, *batch
        )
        assert math.isnan(float(got[0])), variant
