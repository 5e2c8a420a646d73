"""The optimiser takes the step of ``train_step_``: the same bits from ``.grad``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from machines import random_rbm, random_rows
from torch import Tensor, nn
from torch.optim import lr_scheduler

from ncg_fast import RBM, ops
from ncg_fast.backends.numerics import f32, fma
from ncg_fast.model.digits import forced_form
from ncg_fast.model.rbm import PARAMETERS
from ncg_fast.optim import NCG

N_VISIBLE, N_HIDDEN, N_STEPS = 61, 67, 12
V = random_rows(50, N_VISIBLE)
RATES = {"lr": 0.2, "momentum": 0.9, "weight_decay": 0.01}


def machine(**arguments: Any) -> RBM:
    return random_rbm(N_VISIBLE, N_HIDDEN, seed=3, **arguments)


def same(a: RBM, b: RBM) -> None:
    for (name, ours), theirs in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


def step(rbm: RBM, optimizer: NCG, v: Tensor = V, **options: Any) -> Tensor:
    optimizer.zero_grad()
    chains = rbm.contrastive_divergence(v, **options)
    optimizer.step()
    return chains


class Whole:
    """Steps of ``train_step_``, momentum kept between them."""

    def __init__(self, rbm: RBM):
        self.rbm = rbm
        parameters = rbm.weight, rbm.visible_bias, rbm.hidden_bias
        self.velocities = tuple(torch.zeros_like(p.detach()) for p in parameters)

    def step(self, v: Tensor = V, lr: float = 0.2, **options: Any) -> int:
        given = {"lr_strength": 5 * lr, "velocities": self.velocities, **options}
        return sum(self.rbm.train_step_(v, lr=lr, **given))


@pytest.mark.parametrize("rates", [{"lr": 0.2}, RATES, {**RATES, "lr_strength": 2.0}])
@pytest.mark.parametrize("data", [V, V * 0.7])
def test_contrastive_divergence(rates: dict[str, float], data: Tensor) -> None:
    a, b = machine(), machine()
    optimizer, whole = NCG(a.parameters(), **rates), Whole(b)
    n_switched = 0
    for rows in (data[:20], data[20:40], data[40:]) * 4:
        step(a, optimizer, rows, n_steps=2)
        n_switched += whole.step(rows, n_steps=2, **rates)
        same(a, b)
    assert n_switched > 100


def test_persistent_chains() -> None:
    a, b = machine(), machine()
    optimizer, whole = NCG(a.parameters(), **RATES), Whole(b)
    chains = random_rows(70, N_VISIBLE, 9)
    packed = ops.pack_states(chains)
    for _ in range(N_STEPS):
        chains = step(a, optimizer, chains=chains)
        whole.step(**RATES, chains=packed, n_chains=70)
        same(a, b)
        assert torch.equal(ops.pack_states(chains), packed)


def test_labels_stay_connected() -> None:
    a, b = machine(n_labels=5), machine(n_labels=5)
    optimizer, whole = NCG(a.parameters(), **RATES), Whole(b)
    for _ in range(N_STEPS):
        step(a, optimizer)
        whole.step(**RATES)
        same(a, b)
    assert a.mask[:, -5:].all()


@pytest.mark.parametrize("how", ["fixed", "frozen", "left out"])
def test_a_mask_that_is_not_learned_stays(how: str) -> None:
    arguments = {"learn_connections": False} if how == "fixed" else {}
    a, b = machine(**arguments), machine(**arguments)
    parameters = [p for name, p in a.named_parameters() if name != "connection_strength"]
    if how == "frozen":
        a.contrastive_divergence(V)  # a gradient from before
        a.manual_seed(3).connection_strength.requires_grad_(False)
        a.zero_grad(set_to_none=False)
    optimizer = NCG(parameters if how == "left out" else a.parameters(), **RATES)
    whole, mask = Whole(b), a.mask.clone()
    for _ in range(N_STEPS):
        step(a, optimizer)
        whole.step(**RATES, static=True)
        same(a, b)
    assert torch.equal(a.mask, mask)


def test_sparse_digits() -> None:
    with forced_form("sparse"):
        a, b = machine(), machine()
        optimizer, whole = NCG(a.parameters(), **RATES), Whole(b)
        for _ in range(N_STEPS):
            step(a, optimizer)
            whole.step(**RATES)
            same(a, b)


def test_weights_that_outgrow_their_digits() -> None:
    a, b = machine(scale=0.01), machine(scale=0.01)
    optimizer, whole = NCG(a.parameters(), lr=2.0, momentum=0.9), Whole(b)
    exponents = set()
    for _ in range(N_STEPS):
        step(a, optimizer)
        whole.step(lr=2.0, momentum=0.9)
        same(a, b)  # with the exponent
        exponents.add(int(a.get_extra_state()[3]))
    assert len(exponents) > 2


@pytest.mark.parametrize("rate", [None, 0.3])
@pytest.mark.parametrize(
    "make",
    [
        lambda o: lr_scheduler.StepLR(o, 3, 0.5),
        lambda o: lr_scheduler.CosineAnnealingLR(o, N_STEPS),
        lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
        lambda o: lr_scheduler.OneCycleLR(o, 0.3, N_STEPS),
    ],
    ids=["step", "cosine", "lambda", "one cycle"],
)
def test_schedulers(make: Callable[[NCG], Any], rate: float | None) -> None:
    """lr_strength follows lr where it was not given; the momentum may be scheduled, too."""
    a, b = machine(), machine()
    optimizer, whole = NCG(a.parameters(), lr=0.2, lr_strength=rate, momentum=0.5), Whole(b)
    scheduler, rates = make(optimizer), set()
    for _ in range(N_STEPS):
        (group,) = optimizer.param_groups
        lr = group["lr"]
        whole.step(lr=lr, lr_strength=5 * lr if rate is None else rate, momentum=group["momentum"])
        step(a, optimizer)
        same(a, b)
        rates.add(lr)
        scheduler.step()
    assert len(rates) > 3


def test_strengths_of_a_group_of_their_own() -> None:
    """In any order: the mask moves after the weights that it is for."""
    a, b = machine(), machine()
    rest = [a.weight, a.hidden_bias, a.visible_bias]
    groups = [{"params": [a.connection_strength], "lr_strength": 1.5}, {"params": rest}]
    optimizer, whole = NCG(groups, **RATES), Whole(b)
    for _ in range(N_STEPS):
        step(a, optimizer)
        whole.step(**RATES, lr_strength=1.5)
        same(a, b)


def test_each_group_has_rates_of_its_own() -> None:
    rates = {"weight": 0.1, "visible_bias": 0.2, "hidden_bias": 0.3, "connection_strength": 0.4}
    rbm = machine()
    groups = [{"params": [getattr(rbm, name)], "lr": lr} for name, lr in rates.items()]
    step(rbm, NCG(groups, lr=9.0))
    for name, lr in rates.items():
        of_one_rate = machine()
        Whole(of_one_rate).step(lr=lr)
        assert torch.equal(getattr(rbm, name), getattr(of_one_rate, name)), name
        if name == "connection_strength":
            assert torch.equal(rbm.mask, of_one_rate.mask)


def test_a_group_that_is_added() -> None:
    a, b = machine(), machine()
    optimizer = NCG([a.weight], lr=0.2)
    optimizer.add_param_group({"params": [p for p in a.parameters() if p is not a.weight]})
    whole = Whole(b)
    for _ in range(3):
        step(a, optimizer)
        whole.step()
        same(a, b)


def test_machines_and_a_head_in_one_optimizer() -> None:
    machines, apart = [machine(), random_rbm(13, 7)], [machine(), random_rbm(13, 7)]
    data = V, random_rows(9, 13)
    head, alone = nn.Linear(N_HIDDEN, 3), nn.Linear(N_HIDDEN, 3)
    alone.load_state_dict(head.state_dict())
    modules = nn.ModuleList([nn.Sequential(machines[0], head), machines[1]])
    optimizer = NCG(modules.parameters(), **RATES)
    sgd = torch.optim.SGD(alone.parameters(), **RATES)
    wholes = [Whole(rbm) for rbm in apart]
    for _ in range(N_STEPS):
        optimizer.zero_grad()
        sgd.zero_grad()
        features = machines[0](V).detach()
        head(features).square().mean().backward()
        alone(features).square().mean().backward()
        for rbm, rows in zip(machines, data, strict=True):
            rbm.contrastive_divergence(rows)
        optimizer.step()
        sgd.step()
        for whole, rows in zip(wholes, data, strict=True):
            whole.step(rows, **RATES)
        for ours, theirs in zip(head.parameters(), alone.parameters(), strict=True):
            assert torch.equal(ours, theirs)
        for ours, theirs in zip(machines, apart, strict=True):
            same(ours, theirs)


def moved_by(before: RBM, gradient: Tensor, lr: float) -> Tensor:
    """Weights after a plain step."""
    weight = before.weight.detach()
    return torch.where(before.mask, fma(f32(lr, weight), -gradient, weight), weight)


def test_gradients_add_up_until_they_are_zeroed() -> None:
    rbm, before = machine(), machine()
    optimizer = NCG(rbm.parameters(), lr=0.2)
    rbm.contrastive_divergence(V[:25])
    first = rbm.weight.grad.clone()
    rbm.contrastive_divergence(V[25:])
    assert not torch.equal(first, rbm.weight.grad)
    gradient = rbm.weight.grad.clone()
    optimizer.step()
    assert torch.equal(rbm.weight, moved_by(before, gradient, 0.2))


def test_gradients_may_be_clipped() -> None:
    rbm, before = machine(), machine()
    optimizer = NCG(rbm.parameters(), lr=0.2)
    rbm.contrastive_divergence(V)
    norm = torch.nn.utils.clip_grad_norm_(rbm.parameters(), 0.1)
    total = sum(p.grad.square().sum() for p in rbm.parameters()).sqrt()
    assert norm > 0.2 and abs(total - 0.1) < 1e-3
    gradient = rbm.weight.grad.clone()
    optimizer.step()
    assert torch.equal(rbm.weight, moved_by(before, gradient, 0.2))


def test_hooks() -> None:
    rbm, before = machine(), machine()
    optimizer, seen = NCG(rbm.parameters(), lr=0.2), []
    rbm.contrastive_divergence(V)
    gradient = rbm.weight.grad * 0.5

    def halve(*_: Any) -> None:
        for parameter in rbm.parameters():
            parameter.grad.mul_(0.5)

    optimizer.register_step_pre_hook(halve)
    optimizer.register_step_post_hook(lambda *_: seen.append(rbm.weight.detach().clone()))
    optimizer.step()
    (after,) = seen
    assert torch.equal(after, moved_by(before, gradient, 0.2))


def test_a_closure_computes_gradients_and_a_loss() -> None:
    a, b = machine(), machine()
    optimizer, whole = NCG(a.parameters(), lr=0.2), Whole(b)

    def closure() -> float:
        assert torch.is_grad_enabled()
        optimizer.zero_grad()
        a.contrastive_divergence(V)
        return 7.0

    assert optimizer.step(closure) == 7.0
    assert optimizer.step() is None
    whole.step()
    assert not torch.equal(a.weight, b.weight)  # the gradients were used twice
    optimizer.zero_grad()
    assert all(p.grad is None for p in a.parameters())


@pytest.mark.parametrize("left_out", PARAMETERS)
@pytest.mark.parametrize("how", ["no gradient", "frozen", "not given"])
def test_what_is_left_out_stays(left_out: str, how: str) -> None:
    """And the rest moves as it would with it."""
    rbm, before, whole = machine(), machine(), machine()
    named = dict(rbm.named_parameters())
    given = [p for name, p in named.items() if how != "not given" or name != left_out]
    optimizer = NCG(given, **RATES)
    rbm.contrastive_divergence(V)
    if how == "no gradient":
        named[left_out].grad = None
    if how == "frozen":
        named[left_out].requires_grad_(False)
    optimizer.step()
    Whole(whole).step(**RATES)
    for name, parameter in rbm.named_parameters():
        assert torch.equal(parameter, getattr(before if name == left_out else whole, name)), name
    assert torch.equal(rbm.mask, (before if left_out == "connection_strength" else whole).mask)
    moved = {id(p) for name, p in named.items() if name not in (left_out, "connection_strength")}
    assert {id(p) for p in optimizer.state} == moved


def test_a_step_without_gradients_does_nothing() -> None:
    a, b = machine(), machine()
    NCG(a.parameters(), **RATES).step()
    same(a, b)
