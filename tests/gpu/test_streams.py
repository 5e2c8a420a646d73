"""Streams and graphs of torch, and whole trainings, on a GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from backend_choice import CPU, REFERENCE, BackEnd
from calls import serving
from digests import trained_hash
from parity import SEED, Machine, Shape, same_bits
from torch import Tensor

import ncg_fast
from ncg_fast import ops

# The last does not fit a cluster of blocks.
SHAPES: list[Shape] = [(127, 131, 66, 66), (784, 500, 128, 128), (784, 1500, 130, 66)]


@pytest.fixture(autouse=True)
def served(gpu_backend: BackEnd) -> Iterator[None]:
    with serving(gpu_backend.kernels):
        yield


def on_gpu(parameters: ops.Parameters) -> ops.Parameters:
    return ops.Parameters(*(None if t is None else t.cuda() for t in parameters))


def held(parameters: ops.Parameters) -> list[Tensor]:
    return [t for t in parameters if t is not None]


class Step:
    """A training step of a machine on a GPU, and on the CPU to check it."""

    def __init__(self, m: Machine):
        self.parameters, options = m.learning("momentum")
        self.options = {**options, "n_rows": m.n_rows, "n_steps": 2, "seed": SEED, "step": 9}
        self.options["n_labels"], self.data = 3, m.data
        self.there, self.data_there = on_gpu(self.parameters), m.data.cuda()

    def __call__(self) -> Tensor:
        return ops.train_step_(self.there, self.data_there, **self.options)

    def check(self, found: Tensor, n: int = 1) -> None:
        """What n steps found and wrote is what the reference does."""
        parameters = self.parameters
        for _ in range(n):
            want = REFERENCE.run("train_step_", parameters, self.data, **self.options)
            written = iter(want[1:])
            parameters = ops.Parameters(*(t if t is None else next(written) for t in parameters))
        got = found, *held(self.there)
        same_bits(tuple(t.cpu() for t in got), want, "train_step_")


def sweeps_of(m: Machine) -> tuple[Any, ...]:
    return m.data, *m.model(), 3


DRAW = {"seed": SEED, "chain_offset": 5, "step": 7}


def moved(values: tuple[Any, ...], device: str) -> list[Any]:
    return [v.to(device) if isinstance(v, Tensor) else v for v in values]


@pytest.mark.parametrize("shape", SHAPES)
def test_streams_do_not_disturb_each_other(shape: Shape) -> None:
    steps = [Step(Machine(shape, n_digits)) for n_digits in (2, 3) * 2]
    streams = [torch.cuda.Stream() for _ in steps]
    torch.cuda.synchronize()
    found = []
    for step, stream in zip(steps, streams, strict=True):
        with torch.cuda.stream(stream):
            found.append(step())
    torch.cuda.synchronize()
    for step, result in zip(steps, found, strict=True):
        step.check(result)


@pytest.mark.parametrize("shape", SHAPES)
def test_graphs(shape: Shape) -> None:
    """Two replays of a captured step and of captured sweeps are two calls."""
    m = Machine(shape, 2)
    step, sweeps = Step(m), moved(sweeps_of(m), "cuda")
    before = [t.clone() for t in held(step.there)]
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):  # what is compiled at the first call, is
        step()
        ops.gibbs_steps(*sweeps, **DRAW)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = step()
        states = ops.gibbs_steps(*sweeps, **DRAW)
    for t, start in zip(held(step.there), before, strict=True):
        t.copy_(start)
    for _ in range(2):
        graph.replay()
    step.check(found, 2)
    want = REFERENCE.run("gibbs_steps", *sweeps_of(m), **DRAW)
    same_bits(tuple(s.cpu() for s in states), want, "gibbs_steps")


def test_a_caller_waits_for_nothing() -> None:
    step = Step(Machine(SHAPES[0], 2))
    step()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two GPUs are here")
def test_other_devices() -> None:
    m = Machine(SHAPES[0], 2)
    got = ops.gibbs_steps(*moved(sweeps_of(m), "cuda:1"), **DRAW)
    want = REFERENCE.run("gibbs_steps", *sweeps_of(m), **DRAW)
    same_bits(tuple(s.cpu() for s in got), want, "gibbs_steps")


@pytest.mark.parametrize(
    "options",
    [{"n_steps": 3}, {"n_steps": 2, "persistent": True, "n_chains": 70}, {"momentum": 0.5}],
)
def test_trainings_end_with_the_bits_of_the_cpu(
    gpu_backend: BackEnd, options: dict[str, object]
) -> None:
    """Three epochs; MNIST where its folder is given, else generated rows."""
    if os.environ.get("NCG_FAST_DATA"):
        x = ncg_fast.data.load("mnist").train
    else:
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(5003, 784, generator=generator) < torch.rand(784, generator=generator)
    there = trained_hash(x, device="cuda", **options)
    with serving(CPU.kernels):
        assert trained_hash(x, **options) == there
