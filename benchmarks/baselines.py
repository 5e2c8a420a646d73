"""What a user would run instead: plain torch, torch.compile, scikit-learn, rbms."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ncg_fast.benchmark.jobs import Case, Eager
from ncg_fast.benchmark.timing import Run

if TYPE_CHECKING:
    from jobs import Job

EAGER = "eager fp32"  # the one that every job is held against
LOW_PRECISION = {"eager bf16": torch.bfloat16, "eager fp16": torch.float16}


def sample_visible(eager: Eager, h: Tensor) -> Tensor:
    return eager.draw(eager.visible(h))


def sweep(eager: Eager, v: Tensor) -> Tensor:
    return sample_visible(eager, eager.draw(eager.hidden(v)))


def gibbs_steps(eager: Eager, n_steps: int, sweep: Callable[[Eager, Tensor], Tensor]) -> Tensor:
    v = eager.v
    for _ in range(n_steps):
        v = sweep(eager, v)
    return v


def connection_gradient(eager: Eager, p_h: Tensor, p_k: Tensor, v_k: Tensor) -> list[Tensor]:
    g = (p_h.t() @ eager.v - p_k.t() @ v_k) / len(v_k)
    return [g, eager.a * g, eager.w * g, (eager.v - v_k).mean(0), (p_h - p_k).mean(0)]


def free_energy(eager: Eager) -> Tensor:
    x = torch.addmm(eager.c, eager.v, (eager.w * eager.a).t())
    return -(eager.v @ eager.b) - torch.nn.functional.softplus(x).sum(1)


def anneal(eager: Eager, betas: Tensor) -> Tensor:
    """AIS from uniform visible units; the preactivation of a state serves both its uses."""
    v = eager.v
    log_weights = v.new_zeros(len(v), dtype=torch.float64)
    for last, beta in zip(betas.tolist(), betas.tolist()[1:], strict=False):
        masked = eager.w * eager.a
        x = torch.addmm(eager.c, v, masked.t())
        softplus = torch.nn.functional.softplus
        log_weights += (beta - last) * (v @ eager.b)
        log_weights += (softplus(beta * x) - softplus(last * x)).sum(1)
        h = eager.draw(torch.sigmoid(beta * x))
        v = eager.draw(torch.sigmoid(beta * torch.addmm(eager.b, h, masked)))
    return log_weights


def epoch(eager: Eager, rows: Tensor, n_steps: int) -> None:
    """One epoch over shuffled rows in batches of as many as the case has."""
    shuffled = rows[torch.randperm(len(rows))].to(eager.v.dtype)
    for batch in shuffled.split(len(eager.v)):
        eager.v = batch
        eager.train_step(n_steps)


def low_precision(case: Case, draw: str, job: Callable[[Eager], Run]) -> dict[str, Run]:
    return {name: job(Eager(case, draw, dtype)) for name, dtype in LOW_PRECISION.items()}


def compiled(case: Case, job: Job, notes: list[str], **options: str) -> dict[str, Run]:
    """The eager job under torch.compile, with the draw that it can fuse."""
    eager, compile = Eager(case, "rand < p"), partial(torch.compile, **options)
    run = job.by_parts(eager, compile) if job.by_parts else compile(job.eager(eager))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run()
    except Exception as error:  # of the compiler, of many kinds
        notes.append(f"torch.compile is left out: {type(error).__name__}.")
        return {}
    return {"torch.compile": run}


def scikit_learn(case: Case, notes: list[str]) -> dict[str, Run]:
    """A PCD-1 step in float64, without a mask."""
    try:
        from sklearn.neural_network import BernoulliRBM
    except ImportError:
        notes.append("scikit-learn is left out: it is not installed.")
        return {}
    n_hidden, rows = case.rbm.n_hidden, case.rows.double().numpy()
    machine = BernoulliRBM(n_hidden, learning_rate=1e-4, batch_size=case.n_rows, random_state=0)
    return {"scikit-learn": lambda: machine.partial_fit(rows)}


def rbms(case: Case, notes: list[str]) -> dict[str, Run]:
    """A CD-1 step in float32, without a mask, as its training loop takes it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from rbms.bernoulli_bernoulli.classes import BBRBM
            from rbms.training.pcd import fit_batch_pcd
    except ImportError:
        notes.append("rbms is left out: it is not installed (pip install rbms).")
        return {}
    rbm, rows = case.rbm, case.rows.float()
    ones = rows.new_ones(case.n_rows)
    parameters = rbm.weight.detach().t().contiguous(), rbm.visible_bias, rbm.hidden_bias
    machine = BBRBM(*(parameter.detach().clone() for parameter in parameters))
    optimizer = torch.optim.SGD(machine.parameters(), lr=1e-4, maximize=True)

    def step() -> None:
        with torch.no_grad():
            for parameter in machine.parameters():
                parameter.grad = torch.zeros_like(parameter)
            chains = machine.init_chains(case.n_rows, weights=ones, start_v=rows)
            fit_batch_pcd((rows, ones), chains, machine, gibbs_steps=1, beta=1.0, centered=False)
            optimizer.step()

    return {"rbms": step}
