"""Streams and graphs of torch, and whole trainings, on a GPU."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import pytest
import torch
from test_determinism import trained_hash
from test_parity import SEED, Machine, parameters, same_bits
from torch import Tensor

import ncg_fast
from ncg_fast import backends
from ncg_fast.backends import reference

RATES = 0.3, 2.0, 0.9, 0.001
# n_visible, n_hidden, rows, chains: the last does not fit a cluster of blocks
SHAPES = [(127, 131, 66, 66), (784, 500, 128, 128), (784, 1500, 130, 66)]


def on_gpu(values: Any) -> list[Any]:
    return [v.cuda() if isinstance(v, Tensor) else v for v in values]


def step_of(m: Machine) -> tuple[list[Tensor | None], list[Any]]:
    """Tensors that a step writes and its other arguments."""
    tensors = [*parameters(m, False, True)]
    return tensors, [m.data, None, m.n_rows, m.n_rows, 2, m.exponent, 3, *RATES, SEED, 9]


def sweeps_of(m: Machine) -> list[Any]:
    return [m.data, *m.model(), 3, SEED, 5, 7, None, None]


@pytest.mark.parametrize("shape", SHAPES)
def test_streams_do_not_disturb_each_other(backend: ModuleType, shape: tuple[int, ...]) -> None:
    machines = [Machine(shape, n_digits) for n_digits in (2, 3)]
    work, streams = [], []
    for m in machines * 2:
        tensors, rest = step_of(m)
        want = reference.train_step_(*tensors, *rest)
        work.append((on_gpu(step_of(m)[0]), on_gpu(rest), [want, *tensors]))
        streams.append(torch.cuda.Stream())
    torch.cuda.synchronize()
    found = []
    for (tensors, rest, _), stream in zip(work, streams, strict=True):
        with torch.cuda.stream(stream):
            found.append(backend.train_step_(*tensors, *rest))
    torch.cuda.synchronize()
    for (tensors, _, want), result in zip(work, found, strict=True):
        for got, right in zip([result, *tensors], want, strict=True):
            same_bits(got.cpu(), right, "train_step_")


@pytest.mark.parametrize("shape", SHAPES)
def test_graphs(backend: ModuleType, shape: tuple[int, ...]) -> None:
    """Two replays of a captured step and of captured sweeps are two calls."""
    m = Machine(shape, 2)
    tensors, rest = step_of(m)
    there, rest_there, sweeps = on_gpu(tensors), on_gpu(rest), on_gpu(sweeps_of(m))
    before = [None if t is None else t.clone() for t in there]
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):  # what is compiled at the first call, is
        backend.train_step_(*there, *rest_there)
        backend.gibbs_steps(*sweeps)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = backend.train_step_(*there, *rest_there)
        states = backend.gibbs_steps(*sweeps)
    for t, start in zip(there, before, strict=True):
        if t is not None:
            t.copy_(start)
    for _ in range(2):
        graph.replay()
        want = reference.train_step_(*tensors, *rest)
    for got, right in zip([found, *there], [want, *tensors], strict=True):
        same_bits(got.cpu(), right, "train_step_")
    same_bits(tuple(s.cpu() for s in states), reference.gibbs_steps(*sweeps_of(m)), "gibbs_steps")


def test_a_caller_waits_for_nothing(backend: ModuleType) -> None:
    m = Machine(SHAPES[0], 2)
    tensors, rest = step_of(m)
    there, rest_there = on_gpu(tensors), on_gpu(rest)
    backend.train_step_(*there, *rest_there)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        backend.train_step_(*there, *rest_there)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two GPUs are here")
def test_other_devices(backend: ModuleType) -> None:
    m = Machine(SHAPES[0], 2)
    sweeps = [v.to("cuda:1") if isinstance(v, Tensor) else v for v in sweeps_of(m)]
    got = backend.gibbs_steps(*sweeps)
    same_bits(tuple(s.cpu() for s in got), reference.gibbs_steps(*sweeps_of(m)), "gibbs_steps")


@pytest.mark.parametrize(
    "options",
    [{"n_steps": 3}, {"n_steps": 2, "persistent": True, "n_chains": 70}, {"momentum": 0.5}],
)
def test_trainings_end_with_the_bits_of_the_cpu(
    backend: ModuleType, monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    """Three epochs; MNIST where its folder is given, else generated rows."""
    monkeypatch.setattr(backends, "_gpu", lambda: backend)
    if os.environ.get("NCG_FAST_DATA"):
        x = ncg_fast.data.load("mnist").train
    else:
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(5003, 784, generator=generator) < torch.rand(784, generator=generator)
    assert trained_hash(x, device="cuda", **options) == trained_hash(x, **options)
