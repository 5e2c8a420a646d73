"""Centred gradients in fit: where the offsets come from, and that a run goes on with them."""

import pytest
import torch
from training_runs import (
    assert_same_bits,
    binary_rows,
    grey_rows,
    machine,
    order,
    train,
    without_time,
)

import ncg_fast
from ncg_fast import ops
from ncg_fast.backends.records import Batch, Offsets, Rates
from ncg_fast.model import units


def stepped(x, epochs):
    """Mini-batch by mini-batch, with mu the mean of the rows and lambda from 1/2 on."""
    rbm = machine()
    levels = (x.double() * 65535).round() if x.is_floating_point() else x.double()
    mu = levels.mean(0) / (65535 if x.is_floating_point() else 1)
    offsets = Offsets(mu.float(), torch.full((5,), 0.5))
    for epoch in range(1, epochs + 1):
        for batch in x[order(3, epoch)].split(5):
            encoded = units.encoded(units.valued("", "", batch))
            made = Batch(encoded.unsqueeze(0), None, len(batch), len(batch), 1)
            rbm._train(made, Rates(0.3, 1.0), None, static=False, offsets=offsets)
    return rbm, offsets


@pytest.mark.parametrize("x", [binary_rows(), grey_rows()], ids=["binary", "grey"])
def test_offsets_are_the_mean_of_the_rows_and_a_moving_mean(x):
    fitted, plain, (expected, offsets) = machine(), machine(), stepped(x, 2)
    train(fitted, x, centered=True)
    train(plain, x)
    assert_same_bits(fitted, expected)
    assert not torch.equal(plain.weight, fitted.weight)
    assert not torch.equal(offsets.hidden, torch.full((5,), 0.5))


@pytest.mark.parametrize("options", [{}, {"momentum": 0.5, "average": 0.5, "lr_decay": "linear"}])
def test_a_run_that_was_stopped_goes_on_with_its_offsets(options, tmp_path):
    straight, other = machine(), machine()
    options = {"epochs": 4, "persistent": True, "centered": True, **options}
    expected = train(straight, **options)
    stop = [lambda _, record: record.epoch == 2]
    train(machine(), **options, checkpoint_dir=tmp_path, callbacks=stop)
    found = train(other, **options, checkpoint_dir=tmp_path, resume=True)
    assert_same_bits(straight, other)
    assert without_time(found) == without_time(expected)


def test_a_machine_and_the_one_with_flipped_units_learn_alike():
    """Centred gradients do not care which of its two states a unit calls 1 (plain ones do)."""

    def differences(**options):
        rows, found = binary_rows(400, seed=2), []
        for flip in (False, True):
            rbm = ncg_fast.RBM(7, 5, seed=3, weight_scale=0.0, learn_connections=False)
            with torch.no_grad():
                rbm.weight.copy_(torch.linspace(-1, 1, 35).view(5, 7) * (-1 if flip else 1))
                rbm.hidden_bias.copy_(-rbm.weight.sum(1) if flip else torch.zeros(5))
            x = 1 - rows if flip else rows
            # One step of many sweeps in many chains: their noise hardly counts.
            given = {"n_steps": 20, "persistent": True, "n_chains": 20_000, "rule": "static"}
            ncg_fast.fit(
                rbm, x, epochs=1, batch_size=400, lr=1.0, progress=False, **given, **options
            )
            start = torch.linspace(-1, 1, 35).view(5, 7)
            found.append((rbm.weight.detach() * (-1 if flip else 1)) - start)
        return float((found[0] - found[1]).abs().max() / found[0].abs().max())

    assert differences(centered=True) < 0.1
    assert differences(centered=False) > 0.3


def test_offsets_are_refused_by_name():
    with pytest.raises(ValueError, match=r"^ncg_update_: offsets must be ops.Offsets or None"):
        ops.ncg_update_(*_arguments(), weight_exponent=1, lr=0.1, offsets=3)


def _arguments():
    weight, mask = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
    digits = ops.pack_weights(weight, mask, 2, 1)
    parameters = ops.Parameters(weight, None, mask, torch.zeros(3), torch.zeros(2), *digits)
    levels = torch.zeros(4, 2, dtype=torch.int32)
    states = ops.pack_states(torch.ones(4, 3, dtype=torch.uint8))
    return parameters, levels, states, levels, states
