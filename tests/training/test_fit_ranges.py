"""One call of the kernels trains several batches: their digits follow weights of every size."""

from __future__ import annotations

import copy

import pytest
import torch
from training_runs import assert_same_bits, binary_rows, grey_rows, machine, order, train

from ncg_fast import ops
from ncg_fast.model.digits import TRAINING_DIGITS

N_BATCHES = 12


def stepped(rbm, x, **rates):
    """The same training, a batch a call."""
    for batch in x[order(3, 1, len(x))].split(3):
        rbm.train_step_(batch, 1, **rates)
    return rbm


@pytest.mark.parametrize("x", [binary_rows(3 * N_BATCHES), grey_rows(3 * N_BATCHES)])
@pytest.mark.parametrize(
    "rates",
    [
        {"lr": 0.01, "weight_decay": 80.0, "lr_strength": 0.0},  # W falls to a fifth a step
        {"lr": 100.0, "weight_decay": 0.0, "lr_strength": 0.0},
        {"lr": 0.01, "weight_decay": 80.0, "lr_strength": 3.0},
    ],
    ids=["shrinking", "growing", "switching"],
)
def test_weights_that_leave_their_range(x, rates):
    learned = bool(rates["lr_strength"])
    fitted, other = (machine(density=0.6 if learned else 1.0) for _ in range(2))
    stepped(other, x, **rates)
    fitted(x)
    before = int(fitted.get_extra_state()[3])
    train(fitted, x, epochs=1, batch_size=3, **rates)
    assert_same_bits(fitted, other)
    assert torch.equal(fitted.get_extra_state(), other.get_extra_state())
    after = int(fitted.get_extra_state()[3])
    assert learned or abs(after - before) >= 2  # weights of connections that are off stay
    # The digits are those that the tensors alone lead to.
    assert torch.equal(copy.deepcopy(fitted).sample(20, 3), fitted.sample(20, 3))
    model = fitted._model(TRAINING_DIGITS)
    assert model.weight_exponent == after
    fresh = ops.pack_weights(fitted.weight, fitted.mask, TRAINING_DIGITS, after)
    assert all(map(torch.equal, model[:2], fresh))
