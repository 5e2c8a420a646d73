"""The ops as torch sees them: registration, tracing, version counters, messages, threads."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
import torch

from ncg_fast import ops
from ncg_fast.backends.numerics import VISIBLE_STREAM, next_exponent, to_levels
from ncg_fast.ops.registration import SIGNATURES

N_VISIBLE, N_HIDDEN, N = 13, 7, 5


@pytest.fixture
def m() -> dict[str, Any]:
    """Arguments of a small machine by name."""
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(N_HIDDEN, N_VISIBLE, generator=g)
    mask = torch.rand(N_HIDDEN, N_VISIBLE, generator=g) < 0.5
    exponent = next_exponent(None, float(weight.abs().max()))
    to_hidden, to_visible = ops.pack_weights(weight, mask, 2, exponent)
    rows = torch.rand(N, N_VISIBLE, generator=g) < 0.5
    hidden = torch.rand(N, N_HIDDEN, generator=g)
    return {
        "weight": weight,
        "mask": mask,
        "strength": torch.rand(N_HIDDEN, N_VISIBLE, generator=g),
        "b": torch.randn(N_VISIBLE, generator=g),
        "c": torch.randn(N_HIDDEN, generator=g),
        "exponent": exponent,
        "to_hidden": to_hidden,
        "to_visible": to_visible,
        "rows": rows,
        "visible": ops.pack_states(rows),
        "hidden": ops.pack_states(hidden < 0.5),
        "levels": to_levels(hidden),
    }


def raw_arguments(m: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """One call of each registered op."""
    exponent, draw = m["exponent"], (1, 0, 0)
    model = m["to_hidden"], m["to_visible"], m["b"], m["c"]
    written = m["weight"], m["strength"], m["mask"], m["b"], m["c"], m["to_hidden"], m["to_visible"]
    velocities = torch.zeros_like(m["weight"]), torch.zeros(N_VISIBLE), torch.zeros(N_HIDDEN)
    phases = m["levels"], m["visible"], m["levels"].flip(0), m["visible"].flip(0)
    gradients = m["weight"].clone(), None, m["b"].clone(), m["c"].clone()
    rates = 0.1, 0.5, 0.9, 0.01
    offsets = torch.full((N_VISIBLE,), 0.3), torch.full((N_HIDDEN,), 0.6)
    betas = torch.linspace(0, 1, 4, dtype=torch.float64)
    chains = m["visible"].clone()
    batch = m["visible"].expand(3, -1, -1), chains, N, N, 2
    no_momentum = None, None, None
    sums = tuple(
        torch.ones(shape, dtype=torch.int64)
        for shape in ((N_HIDDEN, N_VISIBLE), (N_VISIBLE,), (N_HIDDEN,))
    )
    return {
        "pack_states": (m["rows"],),
        "unpack_states": (m["visible"], N),
        "pack_weights": (m["weight"], m["mask"], 2, exponent, None),
        "scan_weights": (m["weight"], m["mask"]),
        "mean": (m["visible"], N, m["to_hidden"], m["c"], exponent),
        "sample": (m["hidden"], N, *model[1:3], exponent, *draw, torch.ones(N), 0, VISIBLE_STREAM),
        "gibbs_steps": (m["visible"], N, *model, exponent, 2, *draw, None, 0, m["visible"]),
        "connection_gradient": (*phases, m["weight"], m["mask"]),
        "phase_sums": (m["levels"], m["visible"], *sums),
        "ncg_update_": (*written, *velocities, *phases, *rates, *offsets, exponent, 2),
        "update_from_sums_": (
            *(*written, *no_momentum, *sums, *sums, N, N, False, *rates, exponent, 0),
        ),
        "gradient_update_": (*written, *velocities, *gradients, *rates, exponent, 2),
        "train_steps_": (
            *(
                *written,
                *no_momentum,
                *batch,
                *rates,
                None,
                *offsets,
                *draw,
                None,
                0,
                exponent,
                0,
                0.0,
                1e30,
            ),
        ),
        "free_energy": (m["visible"], N, m["to_hidden"], m["c"], exponent, m["b"]),
        "anneal": (
            *(m["visible"], N, *model, exponent, torch.zeros(N_VISIBLE), betas, *draw, None, 0),
        ),
    }


@pytest.mark.parametrize("name", SIGNATURES)
def test_opcheck(m: dict[str, Any], name: str) -> None:
    torch.library.opcheck(getattr(torch.ops.ncg_fast, name).default, raw_arguments(m)[name])


def test_opcheck_of_sparse_digits(m: dict[str, Any]) -> None:
    given = m["weight"], m["mask"], 2, m["exponent"]
    torch.library.opcheck(torch.ops.ncg_fast.pack_weights.default, (*given, 91))
    m["to_hidden"], m["to_visible"] = ops.pack_weights(*given, capacity=91)
    for name in SIGNATURES:
        torch.library.opcheck(getattr(torch.ops.ncg_fast, name).default, raw_arguments(m)[name])


@pytest.mark.parametrize("capacity", [None, 91])
def test_compile_traces_the_public_functions_whole(m: dict[str, Any], capacity: int | None) -> None:
    given = m["weight"], m["mask"], 2, m["exponent"]
    m["to_hidden"], m["to_visible"] = ops.pack_weights(*given, capacity=capacity)

    def chain(visible: torch.Tensor) -> torch.Tensor:
        model = m["to_hidden"], m["to_visible"], m["b"], m["c"]
        last, _ = ops.gibbs_steps(visible, *model, m["exponent"], N, 3, seed=1)
        hidden = ops.sample_hidden(last, m["to_hidden"], m["c"], m["exponent"], N, seed=1, step=9)
        mean = ops.visible_mean(hidden, m["to_visible"], m["b"], m["exponent"], N)
        energy = ops.free_energy(last, m["to_hidden"], m["b"], m["c"], m["exponent"], N)
        again = ops.hidden_mean(mean, m["to_hidden"], m["c"], m["exponent"], N)  # of rows
        return mean.sum(1) + again.sum(1) + energy

    compiled = torch.compile(chain, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(m["visible"]), chain(m["visible"]))


@pytest.mark.parametrize("capacity", [None, 91])
def test_compile_traces_the_training_step(m: dict[str, Any], capacity: int | None) -> None:
    def step(weight: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        digits = ops.pack_weights(weight, mask, 2, m["exponent"], capacity=capacity)
        tensors = weight, m["strength"].clone(), mask, m["b"].clone(), m["c"].clone(), *digits
        options = {"lr": 0.1, "lr_strength": 0.5, "seed": 1, "step": 0}
        batch = {"n_rows": N, "n_steps": 2, "weight_exponent": m["exponent"]}
        ops.train_step_(ops.Parameters(*tensors), m["visible"], **batch, **options)
        return weight, mask

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    got, want = (f(m["weight"].clone(), m["mask"].clone()) for f in (compiled, step))
    assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1])


def test_updates_move_version_counters(m: dict[str, Any]) -> None:
    arguments = raw_arguments(m)["train_steps_"]
    tensors = [*arguments[:7], arguments[11]]
    before = [t._version for t in tensors]
    torch.ops.ncg_fast.train_steps_(*arguments)
    assert all(t._version > old for t, old in zip(tensors, before, strict=True))


def test_threads_of_python_do_not_disturb_each_other(m: dict[str, Any]) -> None:
    """Scratch memory is the thread's own: concurrent calls give the same bits."""
    model = m["to_hidden"], m["to_visible"], m["b"], m["c"]
    calls = [
        (m["visible"], N, *model, m["exponent"], 50 + k, 1, 0, 0, None, 0, None) for k in range(4)
    ]
    want = [torch.ops.ncg_fast.gibbs_steps(*call)[0] for call in calls]
    got: list[list[torch.Tensor]] = [[] for _ in calls]

    def work(k: int) -> None:
        got[k] = [torch.ops.ncg_fast.gibbs_steps(*calls[k])[0] for _ in range(20)]

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for results, expected in zip(got, want, strict=True):
        assert len(results) == 20 and all(torch.equal(result, expected) for result in results)


def test_the_gil_is_released() -> None:
    """While one thread samples, another runs Python."""
    states = torch.zeros(2048, 8, dtype=torch.int64)
    digits, _ = ops.pack_weights(torch.zeros(2048, 2048), None, 2, 0)
    model = digits, digits, torch.zeros(2048), torch.zeros(2048)
    done = threading.Event()
    worker = threading.Thread(
        target=lambda: (ops.gibbs_steps(states, *model, 0, 512, 8, seed=0), done.set())
    )
    worker.start()
    turns = 0
    while not done.is_set():
        turns += 1
    worker.join()
    assert turns > 100


def message(call: Any) -> str:
    with pytest.raises(ValueError) as error:
        call()
    return str(error.value)


def test_messages(m: dict[str, Any]) -> None:
    layer = m["to_hidden"], m["c"], m["exponent"], N
    sparse, full = (ops.pack_weights(m["weight"], None, 2, 0, capacity=n) for n in (91, 90))
    cases = {
        lambda: ops.hidden_mean(m["visible"][:, :0], *layer): (
            "hidden_mean: visible must have shape (n_units, ceil(B / 64)) = (13, 1), got (13, 0). "
            "Use pack_states."
        ),
        lambda: ops.hidden_mean(m["visible"].double(), *layer): (
            "hidden_mean: visible must be int64, got torch.float64. Use pack_states."
        ),
        lambda: ops.hidden_mean(m["rows"].float()[1:], *layer): (
            "hidden_mean: visible must have shape (B, n_units) = (5, 13), got (4, 13). "
            "Pass a tensor of that shape."
        ),
        lambda: ops.hidden_mean(m["visible"], m["to_hidden"][0], *layer[1:]): (
            "hidden_mean: to_hidden must have shape (planes, blocks, n_in + 1, 64) = "
            "(1, 1, 14, 64), got (1, 14, 64). Use pack_weights."
        ),
        lambda: ops.pack_weights(m["weight"], m["mask"].t(), 2, 0): (
            "pack_weights: mask must have shape (n_hidden, n_visible) = (7, 13), got (13, 7). "
            "Did you pass mask.T?"
        ),
        lambda: ops.pack_weights(m["weight"], None, 4, 0): (
            "pack_weights: n_digits must be in [2, 3], got 4. Pass a value from 2 to 3."
        ),
        lambda: ops.pack_weights(m["weight"], None, 2, 0, capacity=-1): (
            "pack_weights: capacity must be in [0, 91], got -1. Pass a value from 0 to 91."
        ),
        lambda: ops.hidden_mean(m["visible"], sparse[1], *layer[1:]): (
            "hidden_mean: to_hidden must be of (n_out, n_in) = (7, 13) units, got (13, 7). "
            "Use pack_weights."
        ),
        lambda: ops.hidden_mean(m["visible"], sparse[0][:-1], *layer[1:]): (
            "hidden_mean: to_hidden must have 12 words and two a connection, got 193. "
            "Use pack_weights."
        ),
        lambda: ops.hidden_mean(m["visible"], full[0], *layer[1:]): (
            "hidden_mean: to_hidden must hold all connections, got more than its capacity of 90. "
            "Use pack_weights with a larger capacity."
        ),
        lambda: ops.pack_weights(m["weight"].double(), None, 2, 0): (
            "pack_weights: weight must be float32, got torch.float64. Use weight.to(torch.float32)."
        ),
        lambda: ops.pack_states(m["rows"].float()): (
            "pack_states: states must be bool or uint8, got torch.float32. Use states == 1."
        ),
        lambda: ops.sample_hidden(m["visible"], *layer, seed=-1): (
            "sample_hidden: seed must be at least 0, got -1. Pass 0 or more."
        ),
        lambda: ops.gibbs_steps(
            m["visible"], m["to_hidden"], m["to_visible"], m["b"], m["c"], 0, N, 0, seed=0
        ): "gibbs_steps: n_steps must be at least 1, got 0. Pass 1 or more.",
    }
    for call, text in cases.items():
        assert message(call) == text


def test_meta_tensors_have_no_back_end(m: dict[str, Any]) -> None:
    with pytest.raises(RuntimeError, match=re.escape('backend "meta" does not exist. Use tensors')):
        ops.pack_weights(m["weight"].to("meta"), m["mask"].to("meta"), 2, 0)
