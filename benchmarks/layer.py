"""Jobs of a user's own loop: means, free energies and gradients of rows of float32, and a step."""

from __future__ import annotations

from collections.abc import Callable

import baselines
import torch
from jobs import OURS, Job, Work, half_step_work, training_work
from torch import Tensor

from ncg_fast.benchmark.jobs import Case, Eager, by_reference, same
from ncg_fast.benchmark.timing import Run
from ncg_fast.model.digits import EVALUATION_DIGITS
from ncg_fast.optim import NCG

_RATES = {"lr": 1e-4, "lr_strength": 1e-4}


def forward(case: Case) -> Job:
    return _of_rows("rbm(v)", case, case.rbm, lambda eager: eager.hidden(eager.v))


def free_energy(case: Case) -> Job:
    return _of_rows("rbm.free_energy(v)", case, case.rbm.free_energy, baselines.free_energy)


def _of_rows(
    name: str, case: Case, ours: Callable[[Tensor], Tensor], theirs: Callable[[Eager], Tensor]
) -> Job:
    """Values alone, and values with gradients."""
    rows, work = case.rows.float(), half_step_work(case, EVALUATION_DIGITS)

    def values() -> Tensor:
        with torch.no_grad():
            return ours(rows)

    def gradients() -> None:
        case.rbm.zero_grad()
        ours(rows).sum().backward()

    def check() -> None:
        layer = case.rbm._model(EVALUATION_DIGITS).hidden_layer
        same(name, [case.rbm(rows)], [by_reference("mean", case.visible, case.n_rows, *layer)])

    def eager(machine: Eager) -> Run:
        return lambda: theirs(machine)

    own: dict[str, tuple[Run, Work]] = {"values": (values, work), "gradients": (gradients, work)}
    return Job(name, own, eager, check, "eager: values alone")


def backward(case: Case) -> Job:
    """The gradients beside those of autograd."""
    job = forward(case)

    def eager(machine: Eager) -> Run:
        leaves = [t.requires_grad_() for t in (machine.w, machine.c)]

        def run() -> None:
            for leaf in leaves:
                leaf.grad = None
            machine.hidden(machine.v).sum().backward()

        return run

    own = {OURS: job.own["gradients"]}
    return Job("rbm(v), backward", own, eager, job.check, "eager: without the mask's gradient")


def optimizer_step(case: Case) -> Job:
    """``contrastive_divergence`` and a step of an optimiser."""
    rows, rbm = case.rows.float(), case.rbm
    ours = NCG(rbm.parameters(), **_RATES)
    groups = [
        {"params": [rbm.weight, rbm.visible_bias, rbm.hidden_bias]},
        {"params": [rbm.connection_strength]},
    ]
    plain = torch.optim.SGD(groups, lr=_RATES["lr"])

    def with_ncg() -> None:
        ours.zero_grad()
        rbm.contrastive_divergence(rows)
        ours.step()

    def with_sgd() -> None:
        plain.zero_grad()
        rbm.contrastive_divergence(rows)
        plain.step()
        rbm.update_mask_()

    work = training_work(case, 1)
    own = {"optim.NCG": (with_ncg, work), "torch.optim.SGD": (with_sgd, work)}
    return Job("CD-1 and optimiser", own, lambda e: e.train_step, lambda: case.check_train_step(1))
