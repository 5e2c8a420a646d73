"""Every op in Triton equals reference.py bit for bit, on a GPU or in Triton's interpreter.

The interpreter needs a process of its own, TRITON_INTERPRET=1 from the start: ``test_triton.py``
runs this file in one. It is slow, so the sizes are small.
"""

from __future__ import annotations

import math
import os
from typing import Any

import pytest
import torch
from test_parity import SEED, Machine, parameters, same_bits
from torch import Tensor

from ncg_fast.backends import reference

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
pytest.importorskip("triton")
if not (INTERPRETED or torch.cuda.is_available()):
    pytest.skip("needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)
DEVICE = "cpu" if INTERPRETED else "cuda"
_triton = pytest.importorskip("ncg_fast.backends.triton")

SHAPES = [(1, 1, 1, 1), (7, 5, 3, 3), (67, 61, 5, 66), (31, 33, 0, 0)]
if not INTERPRETED:
    SHAPES += [(127, 131, 66, 66), (784, 31, 17, 16), (500, 784, 200, 130)]
WITH_ROWS = [shape for shape in SHAPES if shape[2]]


def moved(value: Any, device: str) -> Any:
    if isinstance(value, tuple):
        return tuple(moved(each, device) for each in value)
    return value.to(device) if isinstance(value, Tensor) else value


def on_device(op: str, *args: Any) -> Any:
    return moved(getattr(_triton, op)(*moved(args, DEVICE)), "cpu")


def both(op: str, *args: Any) -> None:
    same_bits(on_device(op, *args), getattr(reference, op)(*args), op)


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_half_steps(shape: tuple[int, int, int, int], n_digits: int) -> None:
    m = Machine(shape, n_digits)
    draw = SEED, 5, (3 << 32) + 1
    both("pack_states", m.rows)
    both("unpack_states", m.data, m.n_rows)
    both("pack_weights", m.weight, m.mask, n_digits, m.exponent)
    both("pack_weights", m.weight, None, n_digits, m.exponent)
    for visible, beta in ((m.data, None), (m.levels, m.beta)):
        both("hidden_mean", visible, *m.to_hidden())
        both("sample_hidden", visible, *m.to_hidden(), *draw, beta)
    both("visible_mean", m.hidden, *m.to_visible())
    both("sample_visible", m.hidden, *m.to_visible(), *draw, m.beta)


def test_sweeps() -> None:
    m = Machine((37, 35, 66, 2), 2)
    draw = 2, SEED, 2**32 - 7, 2**55
    both("gibbs_steps", m.levels, *m.model(), *draw, None, None)
    both("gibbs_steps", m.data, *m.model(), *draw, m.beta, m.clamped)


def test_non_contiguous_inputs() -> None:
    m = Machine((7, 5, 3, 3), 2)
    spread = torch.empty(7, 2, dtype=torch.int64)
    spread[:, ::2] = m.data
    both("hidden_mean", spread[:, ::2], *m.to_hidden())
    both("pack_weights", m.weight.t().contiguous().t(), m.mask, 2, m.exponent)


@pytest.mark.parametrize("bias", [-10.5, -11.0])
def test_further_bits_are_drawn(bias: float) -> None:
    """P = 1.8 and 1.09 times 2**-16: the one first draw of 1 leaves the outcome open."""
    digits = torch.zeros(1, 2, 1, 32, 64, dtype=torch.int8)
    states, biases = torch.zeros(1, 1, dtype=torch.int64), torch.full((32,), bias)
    args = states, digits, biases, 0, 64, 22, 0, 0, None
    both("sample_hidden", *args)
    n_on = int(reference.unpack_states(on_device("sample_hidden", *args), 64).sum())
    assert n_on == (1 if bias == -10.5 else 0)


@pytest.mark.skipif(INTERPRETED, reason="takes half a minute in the interpreter")
def test_many_inputs() -> None:
    """More than 32 768 real-valued inputs: sums of 32 bits are carried into 64."""
    m = Machine((33001, 3, 2, 2), 2)
    m.levels.fill_(65535)
    m.weight.fill_(1.75)
    digits = reference.pack_weights(m.weight, None, 2, 1)[0]
    both("hidden_mean", m.levels, digits, m.hidden_bias, 1, 2)


@pytest.mark.parametrize("shape", WITH_ROWS)
def test_connection_gradient(shape: tuple[int, int, int, int]) -> None:
    m = Machine(shape, 2)
    h_model = m.hidden_levels(m.chains, m.n_chains)
    for visible, given in ((m.data, (None, None)), (m.levels, (m.weight, m.mask))):
        h_data = m.hidden_levels(visible, m.n_rows)
        both("connection_gradient", h_data, visible, h_model, m.chains, *given)
        both("connection_gradient", h_data, visible, h_data, m.data, None, m.mask)


def written_alike(
    op: str, tensors: tuple[Tensor | None, ...], chains: Tensor | None, call: Any
) -> None:
    def run(backend: Any, device: str) -> tuple[Tensor, ...]:
        copies = [None if t is None else t.clone().to(device) for t in (*tensors, chains)]
        returned = call(getattr(backend, op), copies[:-1], copies[-1])
        return tuple(t.cpu() for t in (*returned, *copies) if t is not None)

    same_bits(run(_triton, DEVICE), run(reference, "cpu"), op)


@pytest.mark.parametrize("options", ["plain", "momentum", "fixed", "labels"])
@pytest.mark.parametrize(("shape", "n_digits"), [((7, 5, 3, 3), 2), ((67, 35, 5, 6), 3)])
def test_update_and_train_step(
    shape: tuple[int, int, int, int], n_digits: int, options: str
) -> None:
    m = Machine(shape, n_digits)
    tensors = parameters(m, options == "fixed", options == "momentum")
    n_labels = 3 if options == "labels" else 0
    rates = 0.3, 2.0, 0.9, 0.001 if options == "momentum" else 0.0
    for visible, chains, count in ((m.data, None, m.n_rows), (m.levels, m.chains, m.n_chains)):
        states = m.hidden_levels(visible, m.n_rows), visible
        states += m.hidden_levels(m.chains, m.n_chains), m.chains
        written_alike(
            "ncg_update_",
            tensors,
            None,
            lambda op, t, _, s=states: op(*t, *moved(s, t[0].device), m.exponent, n_labels, *rates),
        )
        batch = m.n_rows, count, 2, m.exponent, n_labels, *rates, SEED, 9
        written_alike(
            "train_step_",
            tensors,
            chains,
            lambda op, t, c, v=visible, b=batch: op(*t, moved(v, t[0].device), c, *b),
        )


@pytest.mark.parametrize("most", [math.inf, 2.0, 0.0])
def test_train_steps(most: float) -> None:
    """Several batches in one call: until max |W| leaves the range."""
    m = Machine((21, 17, 10, 12), 2)
    for visible, chains in ((m.data, m.chains), (m.levels, None)):
        batches = torch.stack([visible, visible.flip(0), visible.roll(1, 0)])
        count = m.n_rows if chains is None else m.n_chains
        options = m.n_rows, count, 1, m.exponent, 3, 3.0, 2.0, 0.9, 0.001, SEED, 9, 0.0, most
        written_alike(
            "train_steps_",
            parameters(m, False, True),
            chains,
            lambda op, t, c, b=batches, o=options: op(*t, moved(b, t[0].device), c, *o),
        )


@pytest.mark.parametrize("scale", [1e-30, 1e4, 1e30])
def test_extreme_weights(scale: float) -> None:
    m = Machine((7, 35, 5, 5), 3, scale, 1.0)
    both("pack_weights", m.weight, m.mask, 3, m.exponent)
    both("hidden_mean", m.levels, *m.to_hidden())
    batch = m.n_rows, m.n_rows, 1, m.exponent, 0, 0.1, 0.5, 0.0, 0.0, SEED, 0
    tensors = parameters(m, False, False)
    call = lambda op, t, _: op(*t, moved(m.data, t[0].device), None, *batch)  # noqa: E731
    written_alike("train_step_", tensors, None, call)


@pytest.mark.parametrize("name", ["weight", "strength", "visible_bias", "hidden_bias"])
def test_broken_parameters_are_reported(name: str) -> None:
    m = Machine((7, 5, 3, 3), 2)
    getattr(m, name).view(-1)[-1] = math.nan
    tensors = moved(parameters(m, False, False), DEVICE)
    batch = m.n_rows, m.n_rows, 1, m.exponent, 0, 0.1, 0.5, 0.0, 0.0, SEED, 0
    assert math.isnan(float(_triton.train_step_(*tensors, moved(m.data, DEVICE), None, *batch)[0]))


@pytest.mark.parametrize(("shape", "n_digits"), [((7, 5, 3, 3), 2), ((67, 35, 5, 6), 3)])
def test_float64_sums(shape: tuple[int, int, int, int], n_digits: int) -> None:
    m = Machine(shape, n_digits)
    biases = m.visible_bias, m.hidden_bias
    for visible in (m.data, m.levels):
        args = visible, m.digits[0], *biases, m.exponent, m.n_rows
        want = reference.free_energy(*args)
        torch.testing.assert_close(on_device("free_energy", *args), want, rtol=1e-10, atol=1e-12)
    betas = torch.linspace(0, 1, 4, dtype=torch.float64)
    args = m.data, *m.digits, *biases, 0.1 * m.visible_bias, betas, m.exponent, m.n_rows, SEED, 3, 2
    states, log_weights = on_device("anneal", *args)
    want, want_log_weights = reference.anneal(*args)
    same_bits(states, want, "anneal")
    torch.testing.assert_close(log_weights, want_log_weights, rtol=1e-10, atol=1e-10)
