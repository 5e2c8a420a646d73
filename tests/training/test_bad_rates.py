"""A rate that is too high ends in a warning, and not in silence."""

import warnings

import pytest
import torch
from training_runs import binary_rows, machine, train


def test_a_machine_worse_than_independent_units_is_told_of():
    rows = binary_rows(40)
    on = rows.double().mean(0)
    nll = -float((on * on.log() + (1 - on) * (1 - on).log()).sum())
    message = rf"^fit: the NLL should end below that of independent units, {nll:.2f} nats a row, "
    with pytest.warns(RuntimeWarning, match=message):
        train(machine(), rows, epochs=70, lr=20.0, nll_every=70)


@pytest.mark.parametrize(
    "options", [{"nll_every": 70}, {"lr": 20.0}, {"lr": 20.0, "nll_every": 20, "epochs": 20}]
)
def test_a_sound_run_one_without_nll_and_a_short_one_are_not(options):
    rbm = machine()
    with torch.no_grad():
        rbm.weight.mul_(0.01)
        rbm.visible_bias.copy_(torch.logit(binary_rows(40).double().mean(0)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(rbm, binary_rows(40), **{"epochs": 70, "lr": 0.05, **options})
