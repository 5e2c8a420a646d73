"""Weights of connections that are off: the range of the digits is that of the others."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from backend_choice import BackEnd
from calls import serving
from machines import random_rbm, random_rows
from parity import SEED, Machine, agree, same_bits, wanted
from torch import Tensor

import ncg_fast
from ncg_fast import RBM
from ncg_fast.backends.numerics import exponent_range, next_exponent
from ncg_fast.evaluation.likelihood import log_likelihood

SHAPE = 21, 17, 10, 12
HUGE = [1e30, -math.inf, math.nan]


def with_off_weights(m: Machine, value: float) -> Machine:
    """The digits stay: their range is that of the weights that are on."""
    changed = copy.copy(m)
    changed.weight = m.weight.where(m.mask, value)
    return changed


def without_weights(found: tuple[Tensor, ...], mask: Tensor) -> tuple[Tensor, ...]:
    """What an op found and wrote, weights that are off left out."""
    weights = (t.shape == mask.shape and t.is_floating_point() for t in found)
    return tuple(t.where(mask, 0.0) if w else t for t, w in zip(found, weights, strict=True))


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("op", ["ncg_update_", "update_from_sums_", "train_step_", "train_steps_"])
def test_updates_are_those_without_them(backend: BackEnd, op: str, value: float) -> None:
    """Where the mask is fixed: strengths would move by W∘G."""
    m = Machine(SHAPE, 2)
    phases = m.phases(m.data)
    given: dict[str, Any] = {"weight_exponent": m.exponent, "lr": 0.3, "weight_decay": 0.01}
    batch = {"n_rows": m.n_rows, "n_steps": 2, "seed": SEED, "step": 9}
    arguments: tuple[Any, ...] = phases
    if op == "update_from_sums_":
        arguments = tuple(
            ncg_fast.ops.PhaseSums(*wanted("phase_sums", *phases[i : i + 2], empty_sums(m)))
            for i in (0, 2)
        )
        given |= {"n_rows": m.n_rows, "n_chains": m.n_chains, "data_levels": False}
    elif op == "train_step_":
        arguments, given = (m.data,), given | batch
    elif op == "train_steps_":
        arguments = (torch.stack([m.data.roll(i, 0) for i in range(3)]),)
        least, most = exponent_range(m.exponent)
        given |= batch | {"momentum": 0.5, "least": least, "most": most}
    with_momentum = op == "train_steps_"
    results = []
    for each in (with_off_weights(m, 0.0), with_off_weights(m, value)):
        parameters = each.parameters(fixed=True, momentum=with_momentum)
        if with_momentum:
            parameters.weight_velocity.nan_to_num_(0.0, 0.0, 0.0)
        agree(backend, op, parameters, *arguments, **given)
        results.append(backend.run(op, parameters, *arguments, **given))
    plain, changed = (without_weights(found, m.mask) for found in results)
    same_bits(changed, plain, op)
    assert math.isfinite(plain[0][0]) and (op != "train_steps_" or plain[0][3] == 3)


def empty_sums(m: Machine) -> ncg_fast.ops.PhaseSums:
    sizes = m.mask.shape, m.visible_bias.shape, m.hidden_bias.shape
    return ncg_fast.ops.PhaseSums(*(torch.zeros(size, dtype=torch.int64) for size in sizes))


@pytest.mark.parametrize("begins", [0, 1, 2], ids=["never", "at once", "in the third batch"])
def test_batches_end_where_a_weight_beyond_the_range_comes_on(
    backend: BackEnd, begins: int
) -> None:
    """Weights of 50 that are off, in the range of weights of 1: those that come on leave it."""
    m = with_off_weights(Machine(SHAPE, 2), 50.0)
    m.exponent = next_exponent(None, float(m.weight[m.mask].abs().max()))
    m.digits = ncg_fast.backends.formats.pack_weights(m.weight, m.mask, 2, m.exponent)
    least, most = exponent_range(m.exponent)
    assert most < 50
    start = {0: 0.0, 1: 0.4999, 2: 0.25}[begins]
    m.strength = torch.where(m.mask, 1.0, start)
    m.strength[1:] = torch.where(m.mask, 1.0, 0.0)[1:]
    rates = {"lr": 0.001, "lr_strength": {0: 0.0, 1: 1.0, 2: 0.01}[begins]}
    batches = torch.stack([m.data] * 9)
    given = {"n_rows": m.n_rows, "n_steps": 1, "seed": SEED, "step": 0, "least": least}
    given |= {"most": most, "weight_exponent": m.exponent, **rates}
    agree(backend, "train_steps_", m.parameters(), batches, **given)
    largest, n_on, _, done = backend.run("train_steps_", m.parameters(), batches, **given)[0]
    if begins == 0:
        assert done == 9 and n_on == 0 and least <= largest <= most
    else:
        assert largest >= 50 - 0.1 and n_on > 0
        assert done == 1 if begins == 1 else 1 < done < 9


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("n_labels", [0, 1])
def test_bad_weights_count_where_they_are_on(
    backend: BackEnd, n_labels: int, on: bool, bad: float
) -> None:
    """Where strengths are learned, too, of a label, which has none."""
    m = Machine(SHAPE, 2)
    m.weight[-1, -1], m.mask[-1, -1] = bad, on
    parameters = m.parameters(fixed=not n_labels)
    given = {"weight_exponent": m.exponent, "lr": 0.3, "lr_strength": 0.5, "n_labels": n_labels}
    for variant in backend.variants():  # digits of NaN have no meaning
        found = backend.run("ncg_update_", parameters, *m.phases(m.data), **given)[0]
        assert math.isfinite(found[0]) != on, variant
        assert not on or math.isnan(found[0]) == math.isnan(bad), variant


def fixed_machine(value: float) -> RBM:
    rbm = random_rbm(13, 9, seed=4)
    fixed = RBM(13, 9, mask=rbm.mask, seed=4)
    with torch.no_grad():
        fixed.weight.copy_(rbm.weight.where(rbm.mask, value))
    return fixed


def computed(rbm: RBM) -> list[Any]:
    """What a machine samples, computes and becomes."""
    x = random_rows(11, 13)
    found = [rbm(x), rbm.reconstruct(x), rbm.free_energy(x), rbm.energy(x, rbm(x))]
    found += [rbm.sample(5, 3), rbm.sample_hidden(x), ncg_fast.log_partition(rbm)]
    likelihood = {"log_z": ncg_fast.log_partition_ais(rbm, betas=20, n_chains=5)}
    found += [log_likelihood(rbm, x, **likelihood).mean]
    for _ in range(3):
        found.append(rbm.train_step_(x, 2, lr=0.1))
    rbm.contrastive_divergence(x)
    found += [rbm.weight.grad, rbm.get_extra_state(), rbm.weight.detach().where(rbm.mask, 0.0)]
    return [*found, rbm.visible_bias.detach(), rbm.hidden_bias.detach(), rbm(x)]


@pytest.mark.parametrize("value", HUGE)
def test_a_machine_is_that_without_them(backend: BackEnd, value: float) -> None:
    with serving(backend.kernels):
        want = computed(fixed_machine(0.0))
        for variant in backend.variants():
            for got, expected in zip(computed(fixed_machine(value)), want, strict=True):
                same = torch.equal(got, expected) if torch.is_tensor(got) else got == expected
                assert same, (variant, got, expected)


@pytest.mark.parametrize("value", HUGE)
def test_one_that_comes_on_is_noticed(value: float) -> None:
    rbm, other = fixed_machine(value), fixed_machine(0.0)
    x = random_rows(11, 13)
    assert torch.equal(rbm(x), other(x))
    i, j = (~rbm.mask).nonzero()[0]
    rbm.mask[i, j] = True
    if math.isfinite(value):
        assert not torch.equal(rbm(x), other(x))
    else:
        with pytest.raises(ValueError, match="weight must hold finite numbers, got 1 that are"):
            rbm(x)
