"""Rates, gradients and buffers that the optimiser refuses, and steps that fail."""

from __future__ import annotations

import doctest
import math
from typing import Any

import pytest
import torch
from machines import random_rbm, random_rows
from torch import nn

from ncg_fast import RBM, optim
from ncg_fast.optim import NCG

V = random_rows(20, 31)


@pytest.fixture
def rbm() -> RBM:
    found = random_rbm(31, 17)
    found.contrastive_divergence(V)
    return found


def unchanged(rbm: RBM) -> bool:
    return all(
        torch.equal(ours, theirs)
        for ours, theirs in zip(rbm.parameters(), random_rbm(31, 17).parameters(), strict=True)
    )


def test_doctest() -> None:
    results = doctest.testmod(optim)
    assert results.attempted == 4
    assert results.failed == 0


@pytest.mark.parametrize(
    ("rates", "rule"),
    [
        ({"lr": -1.0}, "lr must be at least 0, got -1.0"),
        ({"lr": math.nan}, "lr must be finite, got nan"),
        ({"lr": None}, "lr must be a number, got NoneType None"),
        ({"lr": torch.tensor(0.1)}, "lr must be a number, got Tensor"),
        ({"lr_strength": -1.0}, "lr_strength must be at least 0, got -1.0"),
        ({"momentum": 1.5}, r"momentum must be in \[0, 1\], got 1.5"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0, got -1.0"),
    ],
)
def test_rates_out_of_range(rbm: RBM, rates: dict[str, Any], rule: str) -> None:
    """Of the optimiser, of one group, and those that a scheduler set."""
    with pytest.raises(ValueError, match=f"^NCG: {rule}"):
        NCG(rbm.parameters(), **{"lr": 0.1, **rates})
    with pytest.raises(ValueError, match=f"^NCG: {rule}"):
        NCG([{"params": [rbm.weight], **rates}], lr=0.1)
    optimizer = NCG(rbm.parameters(), lr=0.1)
    optimizer.param_groups[0].update(rates)
    with pytest.raises(ValueError, match=rf"^NCG\.step: {rule}"):
        optimizer.step()
    assert unchanged(rbm)


@pytest.mark.parametrize("option", ["maximize", "foreach", "fused", "nesterov", "dampening"])
def test_options_that_do_not_exist(rbm: RBM, option: str) -> None:
    with pytest.raises(TypeError, match=option):
        NCG(rbm.parameters(), lr=0.1, **{option: True})


def test_parameters_in_two_groups(rbm: RBM) -> None:
    optimizer = NCG([rbm.weight], lr=0.1)
    with pytest.raises(ValueError, match="more than one parameter group"):
        optimizer.add_param_group({"params": list(rbm.parameters())})


@pytest.mark.parametrize("name", ["weight", "connection_strength"])
def test_sparse_gradients(rbm: RBM, name: str) -> None:
    parameter = getattr(rbm, name)
    parameter.grad = parameter.grad.to_sparse()
    message = rf"^NCG\.step: {name}\.grad must be a dense tensor, got layout torch\.sparse_coo"
    with pytest.raises(ValueError, match=message):
        NCG(rbm.parameters(), lr=0.1).step()
    assert unchanged(rbm)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda t: t[:-1], "must have shape of the parameter"),
        (lambda t: t.double(), "must be float32"),
        (lambda t: t.t().contiguous().t(), "must be contiguous"),
        (lambda t: t.numpy(), r"must be a torch\.Tensor"),
        (lambda t: t.to("meta"), None),
    ],
)
def test_momentum_buffers(rbm: RBM, change: Any, rule: str | None) -> None:
    optimizer = NCG(rbm.parameters(), lr=0.1, momentum=0.9)
    buffer = torch.zeros_like(rbm.weight.detach())
    optimizer.state[rbm.weight]["momentum_buffer"] = change(buffer)
    message = rf"^NCG\.step: momentum_buffer of weight {rule}" if rule else '^backend "meta" does'
    with pytest.raises(ValueError if rule else RuntimeError, match=message):
        optimizer.step()
    assert torch.equal(rbm.weight, random_rbm(31, 17).weight)


def test_weights_on_a_device_without_kernels(rbm: RBM) -> None:
    rbm.weight = nn.Parameter(rbm.weight.detach().to("meta"))
    rbm.weight.grad = torch.zeros_like(rbm.weight)
    with pytest.raises(RuntimeError, match=r'^backend "meta" does not exist'):
        NCG(rbm.parameters(), lr=0.1).step()


def test_weights_that_are_not_contiguous(rbm: RBM) -> None:
    rbm.weight = nn.Parameter(rbm.weight.detach().t().contiguous().t())
    rbm.contrastive_divergence(V)
    with pytest.raises(ValueError, match=r"^NCG\.step: weight must be contiguous"):
        NCG(rbm.parameters(), lr=0.1).step()


@pytest.mark.parametrize("name", ["weight", "connection_strength", "visible_bias", "hidden_bias"])
def test_gradients_that_are_not_finite(rbm: RBM, name: str) -> None:
    getattr(rbm, name).grad.view(-1)[0] = math.nan
    rbm.weight.grad[rbm.mask.logical_not()] = math.nan  # nobody looks at these
    message = r"^NCG\.step: parameters must stay finite, got nan\. Lower lr, and reload the last"
    with pytest.raises(FloatingPointError, match=message):
        NCG(rbm.parameters(), lr=0.1).step()


def test_gradients_of_connections_that_are_off_are_not_looked_at(rbm: RBM) -> None:
    off = rbm.mask.logical_not()
    rbm.weight.grad[off] = math.nan
    before = rbm.weight.detach().clone()
    NCG(rbm.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1).step()
    assert torch.equal(rbm.weight[off], before[off])
    assert rbm.weight.isfinite().all()


def test_parameters_that_were_broken_before(rbm: RBM) -> None:
    with torch.no_grad():
        rbm.weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="weight must hold finite numbers"):
        NCG(rbm.parameters(), lr=0.1).step()
