"""Arguments of ops that do not go together."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from ncg_fast import ops


def test_phases_of_another_machine_are_refused():
    weight, mask = torch.zeros(5, 7), torch.ones(5, 7, dtype=torch.bool)
    digits = ops.pack_weights(weight, mask, 2, 1)
    parameters = ops.Parameters(weight, None, mask, torch.zeros(7), torch.zeros(5), *digits)
    levels, visible = torch.zeros(3, 6, dtype=torch.int32), torch.zeros(9, 1, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"phases must be of \(n_hidden, n_visible\) = \(5, 7\)"):
        ops.ncg_update_(parameters, levels, visible, levels, visible, weight_exponent=1, lr=0.1)


def test_digits_of_two_formats_are_refused_where_both_are_written():
    weight, mask = torch.zeros(5, 7), torch.ones(5, 7, dtype=torch.bool)
    dense, room = (
        ops.pack_weights(weight, mask, 2, 0),
        ops.pack_weights(weight, mask, 2, 0, capacity=35),
    )
    states, rates = torch.zeros(7, 1, dtype=torch.int64), {"lr": 0.1, "seed": 0, "step": 0}
    biases = torch.zeros(7), torch.zeros(5)
    for digits, rule in (
        ((dense[0], room[1]), "must be dense as to_hidden is, got sparse with a capacity of 35"),
        ((room[0], dense[1]), "must be sparse with a capacity of 35 as to_hidden is, got dense"),
    ):
        parameters = ops.Parameters(weight, None, mask, *biases, *digits)
        with pytest.raises(ValueError, match=f"to_visible {rule}"):
            ops.train_step_(parameters, states, n_rows=3, n_steps=1, weight_exponent=0, **rates)


def test_chains_in_the_memory_of_the_data_are_refused():
    weight, mask = torch.zeros(5, 7), torch.ones(5, 7, dtype=torch.bool)
    digits = ops.pack_weights(weight, mask, 2, 0)
    parameters = ops.Parameters(weight, None, mask, torch.zeros(7), torch.zeros(5), *digits)
    states = torch.zeros(4, 7, 1, dtype=torch.int64)
    options = {"n_rows": 3, "n_chains": 3, "n_steps": 1, "weight_exponent": 0, "lr": 0.1}
    options |= {"seed": 0, "step": 0}
    message = r"chains must not share memory with visible_data, .*\. Use chains\.clone\(\)"
    with pytest.raises(ValueError, match=message):
        ops.train_step_(parameters, states[1], chains=states[1][:], **options)
    with pytest.raises(ValueError, match=message):
        ops.train_steps_(parameters, states, chains=states[3], **options)
    ops.train_step_(parameters, states[1], chains=states[2], **options)
    ops.train_steps_(parameters, states[:3], chains=states[3], **options)


def test_fake_chains_share_nothing():
    with FakeTensorMode():
        weight, mask = torch.zeros(5, 7), torch.ones(5, 7, dtype=torch.bool)
        digits = (torch.zeros(1, 2, 1, 32, 64, dtype=torch.int8) for _ in range(2))
        parameters = ops.Parameters(weight, None, mask, torch.zeros(7), torch.zeros(5), *digits)
        data, chains = (torch.zeros(7, 1, dtype=torch.int64) for _ in range(2))
        options = {"n_rows": 3, "n_chains": 3, "n_steps": 1, "weight_exponent": 0, "lr": 0.1}
        found = ops.train_step_(parameters, data, chains=chains, **options, seed=0, step=0)
    assert found.shape == (3,)


def test_room_for_more_connections_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"capacity must be in \[0, 35\], got 36"):
        ops.pack_weights(torch.zeros(5, 7), None, 2, 0, capacity=36)


def test_digits_of_two_numbers_are_refused():
    weight, mask = torch.zeros(5, 7), torch.ones(5, 7, dtype=torch.bool)
    mixed = ops.pack_weights(weight, mask, 2, 1)[0], ops.pack_weights(weight, mask, 3, 1)[1]
    parameters = ops.Parameters(weight, None, mask, torch.zeros(7), torch.zeros(5), *mixed)
    batch = {"n_rows": 3, "n_steps": 1, "weight_exponent": 1, "seed": 0, "step": 0, "lr": 0.1}
    with pytest.raises(ValueError, match=r"to_visible must have as many digits as to_hidden \(2\)"):
        ops.train_step_(parameters, torch.zeros(7, 1, dtype=torch.int64), **batch)


@pytest.mark.parametrize("given", [(0,), (1,), (0, 1), (0, 2), (1, 2)])
def test_velocities_are_given_together(given):
    weight, mask = torch.zeros(5, 7), torch.ones(5, 7, dtype=torch.bool)
    digits = ops.pack_weights(weight, mask, 2, 1)
    biases = torch.zeros(7), torch.zeros(5)
    velocities = [t.clone() if i in given else None for i, t in enumerate((weight, *biases))]
    parameters = ops.Parameters(weight, None, mask, *biases, *digits, *velocities)
    batch = {"n_rows": 3, "n_steps": 1, "weight_exponent": 1, "seed": 0, "step": 0, "lr": 0.1}
    rule = f"velocities must be all given or all None, got {len(given)} of 3"
    with pytest.raises(ValueError, match=rf"^train_step_: {rule}\. Pass three or none\.$"):
        ops.train_step_(parameters, torch.zeros(7, 1, dtype=torch.int64), **batch)


@pytest.mark.parametrize("name", ["weight", "connection_strength", "mask", "weight_velocity"])
def test_what_is_written_must_be_contiguous(name):
    """Transposed memory of the right shape."""
    pair, mask = torch.zeros(5, 7), torch.ones(5, 7, dtype=torch.bool)
    digits, biases = ops.pack_weights(pair, mask, 2, 1), (torch.zeros(7), torch.zeros(5))
    velocities = torch.zeros(5, 7), *(b.clone() for b in biases)
    parameters = ops.Parameters(pair, pair + 0.5, mask, *biases, *digits, *velocities)
    turned = getattr(parameters, name).t().contiguous().t()
    batch = {"n_rows": 3, "n_steps": 1, "weight_exponent": 1, "seed": 0, "step": 0, "lr": 0.1}
    states = torch.zeros(7, 1, dtype=torch.int64)
    message = rf"^train_step_: {name} must be contiguous, got strides \(1, 5\)\. Use \.contiguous"
    with pytest.raises(ValueError, match=message):
        ops.train_step_(parameters._replace(**{name: turned}), states, **batch)
    chains = torch.zeros(7, 2, dtype=torch.int64)[:, :1]
    with pytest.raises(ValueError, match=r"^train_step_: chains must be contiguous"):
        ops.train_step_(parameters, states, chains=chains, n_chains=3, **batch)


def test_chains_just_before_the_data_are_apart():
    weight, mask = torch.zeros(5, 7), torch.ones(5, 7, dtype=torch.bool)
    digits = ops.pack_weights(weight, mask, 2, 0)
    parameters = ops.Parameters(weight, None, mask, torch.zeros(7), torch.zeros(5), *digits)
    states = torch.zeros(2, 7, 1, dtype=torch.int64)
    options = {"n_rows": 3, "n_chains": 3, "n_steps": 1, "weight_exponent": 0, "lr": 0.1}
    ops.train_step_(parameters, states[1], chains=states[0], **options, seed=0, step=0)
