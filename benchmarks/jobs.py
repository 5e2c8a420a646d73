"""The jobs whose speed is measured: ours, the same in eager torch, the check, and the work."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import baselines
import torch
from torch import Tensor

import ncg_fast
from ncg_fast import data, ops
from ncg_fast.backends import cpu
from ncg_fast.backends.numerics import to_levels
from ncg_fast.backends.records import Draw
from ncg_fast.benchmark.jobs import Case, Eager, by_reference, same
from ncg_fast.benchmark.timing import Run
from ncg_fast.model.digits import EVALUATION_DIGITS, TRAINING_DIGITS, forced_form

OURS, DENSE = "ncg_fast", "2 digits, dense"
_UPDATED = 2 * (4 + 4 + 1) + 2 * TRAINING_DIGITS  # bytes a connection that an update moves
_RESIDENT = 4 + 4 + 1 + 2 * TRAINING_DIGITS  # bytes a connection that a training step touches
_PLANES = 2  # bytes of a hidden probability

T = TypeVar("T")
Paths = dict[str, list[str]]  # of half steps, by variant


class Work(NamedTuple):
    """Of one call: what eager torch multiplies; what dense kernels multiply and move at least."""

    multiply_adds: float  # of the mathematics, every connection counted
    products: float  # multiply-adds of bytes
    read: float  # bytes that are read only
    updated: float  # bytes that are read and written, both counted
    resident: float  # bytes of weights, digits, strengths and mask


class Job(NamedTuple):
    """A job on a case."""

    name: str
    own: dict[str, tuple[Run, Work]]
    eager: Callable[[Eager], Run]
    check: Callable[[], object]
    note: str = ""
    # The eager job with its parts handed to torch.compile, where that would write out a loop.
    by_parts: Callable[[Eager, Callable[..., Any]], Run] | None = None
    paths: Paths | None = None


def forced(instruction_set: str, run: Callable[[], T]) -> Callable[[], T]:
    """Runs on another instruction set than the best one."""

    def call() -> T:
        before = cpu.instruction_set()
        cpu.use_instruction_set(instruction_set)
        try:
            return run()
        finally:
            cpu.use_instruction_set(before)

    return call


def with_dense(
    case: Case,
    own: dict[str, tuple[Run, Work]],
    paths: Paths,
    run: Callable[[Case], Run],
    check: Callable[[Case], Any],
) -> Callable[[], None]:
    """Where digits are sparse, adds the same from dense digits; the check of what was added."""
    if case.digits_form() == "dense":
        return lambda: None
    twin = copy.copy(case)
    twin.rbm = copy.deepcopy(case.rbm)

    def call() -> None:
        with forced_form("dense"):
            run(twin)()

    first = next(iter(own))
    own[DENSE] = call, own[first][1]
    with forced_form("dense"):
        paths[DENSE] = twin.half_step_ways()[: len(paths[first])]

    def check_dense() -> None:
        with forced_form("dense"):
            check(twin)

    return check_dense


def half_step_work(case: Case, n_digits: int, n_half_steps: int = 1) -> Work:
    pairs = case.rbm.weight.numel()
    multiply_adds = n_half_steps * case.n_rows * pairs
    read, resident = n_half_steps * n_digits * pairs, min(n_half_steps, 2) * n_digits * pairs
    return Work(multiply_adds, n_digits * multiply_adds, read, 0, resident)


def half_step(case: Case) -> Job:
    own = {
        f"{n} digits": (partial(case.half_step, n), half_step_work(case, n))
        for n in (TRAINING_DIGITS, EVALUATION_DIGITS)
    }

    paths = {f"{n} digits": case.half_step_ways()[:1] for n in (TRAINING_DIGITS, EVALUATION_DIGITS)}
    check_dense = with_dense(
        case, own, paths, lambda twin: twin.half_step, lambda twin: twin.check_sweep(twin.visible)
    )

    def check() -> None:
        for n in (TRAINING_DIGITS, EVALUATION_DIGITS):
            case.check_sweep(case.visible, n)
        check_dense()

    return Job("half step v → h", own, lambda eager: eager.half_step, check, paths=paths)


def half_step_back(case: Case) -> Job:
    hidden = case.half_step()

    def run() -> Tensor:
        layer, draw = case.rbm._model(TRAINING_DIGITS).visible_layer, case.rbm._draw()
        return ops.sample_visible(hidden, *layer, case.n_rows, seed=draw.seed, step=draw.step)

    own = {"2 digits": (run, half_step_work(case, TRAINING_DIGITS))}
    states = ops.unpack_states(hidden, case.n_rows)

    def eager(machine: Eager) -> Run:
        return partial(baselines.sample_visible, machine, states.to(machine.v.dtype))

    paths = {"2 digits": case.half_step_ways()[1:2]}
    check = partial(case.check_sweep, case.visible)
    return Job("half step h → v", own, eager, check, paths=paths)


def gibbs_steps(case: Case, n_steps: int = 100) -> Job:
    def run(n_steps: int = n_steps) -> tuple[Tensor, Tensor]:
        model, draw = case.rbm._model(TRAINING_DIGITS), case.rbm._draw()
        chosen = {"seed": draw.seed, "step": draw.step}
        return ops.gibbs_steps(case.visible, *model, case.n_rows, n_steps, **chosen)

    def check() -> None:
        last = case.check_sweep(case.check_sweep(case.visible), t=1)
        same("gibbs_steps", [run(2)[0]], [last])

    own = {"2 digits": (run, half_step_work(case, TRAINING_DIGITS, 2 * n_steps))}
    name, note = f"{n_steps} Gibbs steps", "checked on its first 2; torch.compile has single ones"

    def eager(machine: Eager, compile: Callable[..., Any] = lambda sweep: sweep) -> Run:
        return partial(baselines.gibbs_steps, machine, n_steps, compile(baselines.sweep))

    return Job(name, own, eager, check, note, eager)


def _phases(case: Case) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    model, draw = case.rbm._model(TRAINING_DIGITS), case.rbm._draw()
    chosen = {"seed": draw.seed, "step": draw.step}
    last, _ = ops.gibbs_steps(case.visible, *model, case.n_rows, 1, **chosen)
    layer = model.hidden_layer
    means = (ops.hidden_mean(v, *layer, case.n_rows) for v in (case.visible, last))
    data_levels, model_levels = map(to_levels, means)
    return data_levels, case.visible, model_levels, last


def _eager_phases(case: Case, eager: Eager) -> tuple[Tensor, Tensor, Tensor]:
    h_data, _, h_model, v_model = _phases(case)
    states = ops.unpack_states(v_model, case.n_rows)
    means = (levels / 65535 for levels in (h_data, h_model))
    p_h, p_k, v_k = (t.to(eager.v.dtype) for t in (*means, states))
    return p_h, p_k, v_k


def _gradient_work(case: Case, updated: int, resident: int) -> Work:
    pairs, multiply_adds = case.rbm.weight.numel(), 2 * case.n_rows * case.rbm.weight.numel()
    return Work(multiply_adds, _PLANES * multiply_adds, 0, updated * pairs, resident * pairs)


def connection_gradient(case: Case) -> Job:
    phases, pairs = _phases(case), {"weight": case.rbm.weight, "mask": case.rbm.mask}
    run = partial(ops.connection_gradient, *phases, **pairs)

    def check() -> None:
        same("phases", list(phases), list(case.phases()))
        same(
            "connection_gradient",
            [*run()],
            [*by_reference("connection_gradient", *phases, *pairs.values())],
        )

    def eager(machine: Eager) -> Run:
        return partial(baselines.connection_gradient, machine, *_eager_phases(case, machine))

    own = {OURS: (run, _gradient_work(case, 4 + 1 + 3 * 4, 4 + 1 + 3 * 4))}
    return Job("connection gradient", own, eager, check)


def ncg_update(case: Case) -> Job:
    phases, (*_, exponent) = _phases(case), case.rbm._model(TRAINING_DIGITS)
    written = ops.Parameters(*(tensor.clone() for tensor in case.checked_parameters()))
    rates = {"lr": 1e-4, "lr_strength": 1e-4}

    def run() -> Tensor:
        return ops.ncg_update_(written, *phases, weight_exponent=exponent, **rates)

    def check() -> None:
        expected = [t if t is None else t.to("cpu", copy=True) for t in written]
        options = *rates.values(), 0.0, 0.0, *ops.Offsets(), exponent, 0
        found = by_reference("ncg_update_", *expected, *phases, *options)
        same("ncg_update_", [run(), *written[:7]], [found, *expected[:7]])

    def eager(machine: Eager) -> Run:
        return partial(machine.update, *_eager_phases(case, machine))

    own = {OURS: (run, _gradient_work(case, _UPDATED, _RESIDENT))}
    return Job("update", own, eager, check)


def training_work(case: Case, n_steps: int, n_batches: int = 1) -> Work:
    chains = half_step_work(case, TRAINING_DIGITS, 2 * n_steps + 1)
    update = _gradient_work(case, _UPDATED, _RESIDENT)
    once = Work(*(a + b for a, b in zip(chains, update, strict=True)))
    return Work(*(n_batches * amount for amount in once[:-1]), update.resident)


def training_step(case: Case, n_steps: int = 1, lower: tuple[str, ...] = ()) -> Job:
    """CD-k; lower instruction sets are forced in further variants."""
    work, run = training_work(case, n_steps), partial(case.train_step, n_steps)
    own = {OURS: (run, work), **{name: (forced(name, run), work) for name in lower}}
    paths = {OURS: case.half_step_ways()}
    paths |= {name: forced(name, case.half_step_ways)() for name in lower}
    check_dense = with_dense(
        case,
        own,
        paths,
        lambda twin: partial(twin.train_step, n_steps),
        lambda twin: twin.check_train_step(n_steps),
    )

    def check() -> None:
        case.check_train_step(n_steps)
        check_dense()
        for name in lower:
            forced(name, partial(case.check_train_step, n_steps))()

    name = f"CD-{n_steps} step"
    return Job(name, own, lambda e: partial(e.train_step, n_steps), check, paths=paths)


def mnist_epoch(case: Case, n_steps: int = 10) -> Job:
    rows = data.load("mnist").train.to(case.rows.device)
    return _epoch(f"MNIST epoch, CD-{n_steps}", case, rows, n_steps)


def epoch_of_batches(case: Case, n_batches: int = 1000) -> Job:
    """The rows of the case so many times over."""
    return _epoch(f"epoch of {n_batches} batches, CD-1", case, case.rows.repeat(n_batches, 1), 1)


def _epoch(name: str, case: Case, rows: Tensor, n_steps: int) -> Job:
    rates = {"lr": 0.1, "lr_strength": 0.5, "progress": False}
    run = partial(
        ncg_fast.fit, case.rbm, rows, epochs=1, batch_size=case.n_rows, n_steps=n_steps, **rates
    )
    n_batches = -(-len(rows) // case.n_rows)
    own = {OURS: (run, training_work(case, n_steps, n_batches))}
    note = "one of its steps is checked; eager: the steps alone"
    check = partial(case.check_train_step, n_steps)
    return Job(name, own, lambda e: partial(baselines.epoch, e, rows, n_steps), check, note)


def _close(op: str, found: Tensor, expected: Tensor) -> None:
    agree = torch.isclose(found.cpu(), expected, rtol=1e-10, atol=0).all()
    same(op, [agree], [torch.ones_like(agree)])


def free_energy(case: Case) -> Job:
    model = case.rbm._model(EVALUATION_DIGITS)
    digits, c, exponent = model.hidden_layer
    run = partial(
        ops.free_energy, case.visible, digits, model.visible_bias, c, exponent, case.n_rows
    )
    own = {"3 digits": (run, half_step_work(case, EVALUATION_DIGITS))}

    def check() -> None:
        flat = case.visible, case.n_rows, *model.hidden_layer, model.visible_bias
        _close("free_energy", run(), by_reference("free_energy", *flat))

    return Job("free energy", own, lambda e: partial(baselines.free_energy, e), check)


def anneal(case: Case, n_betas: int = 101) -> Job:
    *model, exponent = case.rbm._model(EVALUATION_DIGITS)
    base = torch.zeros_like(model[2])
    ladder = torch.linspace(0, 1, n_betas, dtype=torch.float64, device=base.device)

    def run(ladder: Tensor = ladder) -> tuple[Tensor, Tensor]:
        return ops.anneal(case.visible, *model, base, ladder, exponent, case.n_rows, seed=1)

    def check() -> None:
        short = torch.linspace(0, 1, 4, dtype=torch.float64, device=base.device)
        flat = case.visible, case.n_rows, *model, exponent, base, short, *Draw(1)
        (states, log_weights), expected = run(short), by_reference("anneal", *flat)
        same("anneal", [states], [expected[0]])
        _close("anneal", log_weights, expected[1])

    own = {"3 digits": (run, half_step_work(case, EVALUATION_DIGITS, 2 * (n_betas - 1)))}
    name, note = f"AIS, {n_betas - 1} sweeps", "checked on a ladder of 3 sweeps"
    return Job(name, own, lambda e: partial(baselines.anneal, e, ladder), check, note)
