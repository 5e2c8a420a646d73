"""What the optimiser keeps, and how it finds the machine of a parameter."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from machines import random_rbm, random_rows
from torch import nn

from ncg_fast import RBM
from ncg_fast.optim import NCG

V = random_rows(20, 31)
RATES = {"lr": 0.2, "momentum": 0.9, "weight_decay": 0.01}
Pair = tuple[RBM, NCG]


def pair() -> Pair:
    rbm = random_rbm(31, 17)
    return rbm, NCG(rbm.parameters(), **RATES)


def steps(rbm: RBM, optimizer: NCG, n: int) -> None:
    for _ in range(n):
        optimizer.zero_grad()
        rbm.contrastive_divergence(V)
        optimizer.step()


def same(a: Any, b: Any) -> None:
    for name, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[name]), name


def through_a_file(value: Any) -> Any:
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file)


def by_state_dicts(rbm: RBM, optimizer: NCG) -> Pair:
    of_rbm, of_optimizer = through_a_file((rbm.state_dict(), optimizer.state_dict()))
    new = random_rbm(31, 17, seed=9)
    found = NCG(new.parameters(), lr=0.7)
    new.load_state_dict(of_rbm)
    found.load_state_dict(of_optimizer)
    return new, found


COPIES: dict[str, Callable[[RBM, NCG], Pair]] = {
    "state_dict": by_state_dicts,
    "deepcopy": lambda *pair: copy.deepcopy(pair),
    "pickle": lambda *pair: pickle.loads(pickle.dumps(pair)),
    "pickle, optimizer first": lambda *pair: pickle.loads(pickle.dumps(pair[::-1]))[::-1],
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_goes_on_bit_for_bit(how: str) -> None:
    rbm, optimizer = pair()
    steps(rbm, optimizer, 4)
    new = COPIES[how](rbm, optimizer)
    steps(rbm, optimizer, 5)
    before = {name: value.clone() for name, value in new[0].state_dict().items()}
    assert not torch.equal(before["weight"], rbm.weight)
    steps(*new, 5)
    same(rbm, new[0])
    buffers = (o.state_dict()["state"] for o in (optimizer, new[1]))
    for ours, theirs in zip(*(each.values() for each in buffers), strict=True):
        assert torch.equal(ours["momentum_buffer"], theirs["momentum_buffer"])


def test_the_state_is_that_of_sgd() -> None:
    """Momentum buffers like the parameters; strengths have none."""
    rbm, optimizer = pair()
    steps(rbm, optimizer, 1)
    names = {id(parameter): name for name, parameter in rbm.named_parameters()}
    found = {names[id(parameter)]: state for parameter, state in optimizer.state.items()}
    assert set(found) == {"weight", "visible_bias", "hidden_bias"}
    for name, state in found.items():
        assert set(state) == {"momentum_buffer"}
        assert state["momentum_buffer"].shape == getattr(rbm, name).shape
    rbm, optimizer = random_rbm(31, 17), None
    optimizer = NCG(rbm.parameters(), lr=0.2)
    steps(rbm, optimizer, 1)
    assert not optimizer.state


@pytest.mark.parametrize(
    "convert", [lambda rbm: rbm.to("cpu"), lambda rbm: rbm.float(), nn.Sequential, nn.Module.train]
)
def test_conversions_keep_the_machine(convert: Callable[[RBM], Any]) -> None:
    (a, optimizer), (b, other) = pair(), pair()
    convert(a)
    steps(a, optimizer, 3)
    steps(b, other, 3)
    same(a, b)


def test_parameters_that_are_replaced_belong_to_the_machine_again() -> None:
    (a, _), (b, other) = pair(), pair()
    a.weight = nn.Parameter(a.weight.detach().clone())
    optimizer = NCG(a.parameters(), **RATES)
    steps(a, optimizer, 3)
    steps(b, other, 3)
    same(a, b)


def test_a_shallow_copy_shares_the_mask_that_moves() -> None:
    rbm, optimizer = pair()
    shallow, before = copy.copy(rbm), rbm.mask.clone()
    steps(shallow, optimizer, 3)
    assert rbm.mask is shallow.mask
    assert not torch.equal(rbm.mask, before)
    assert torch.equal(rbm.mask, rbm.connection_strength > 0.5)
    assert torch.equal(rbm(V), shallow(V))


def test_machines_are_not_kept_alive() -> None:
    rbm, optimizer = pair()
    steps(rbm, optimizer, 1)
    seen = weakref.ref(rbm)
    del rbm
    gc.collect()
    assert seen() is None


def test_a_parameter_of_two_machines_is_refused() -> None:
    a, b = random_rbm(31, 17), random_rbm(31, 17)
    b.weight = a.weight
    optimizer = NCG(a.parameters(), lr=0.1)
    a.contrastive_divergence(V)
    message = (
        r"^NCG\.step: parameters must be of one RBM each, got one of 2 machines\. "
        r"Give each machine parameters of its own\.$"
    )
    with pytest.raises(ValueError, match=message):
        optimizer.step()
