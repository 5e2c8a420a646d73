"""Stacks of machines: training, use as a layer, sampling, files."""

import os
import re

import pytest
import torch
from torch import nn
from training_runs import assert_same_bits, binary_rows

import ncg_fast
from ncg_fast import RBM, DeepBeliefNetwork
from ncg_fast.training import machine_file

OPTIONS = {"epochs": 3, "batch_size": 5, "lr": 0.1, "progress": False}
ROWS = binary_rows()


def network(**options):
    return DeepBeliefNetwork([7, 5, 4, 3], **{"density": 0.6, "weight_scale": 0.5, **options})


def test_each_machine_is_fitted_to_the_probabilities_below():
    stack, alone = network(seed=3), network(seed=3)
    histories = stack.fit(ROWS, **{**OPTIONS, "epochs": (3, 1, 2), "lr_decay": "linear"})
    assert [len(each) for each in histories] == [3, 1, 2]
    rows = ROWS
    for rbm, epochs in zip(alone.layers, (3, 1, 2), strict=True):
        with torch.no_grad():
            mean = (rows.double().sum(0) + 1) / (len(rows) + 2)
            rbm.visible_bias.copy_(torch.logit(mean))
        ncg_fast.fit(rbm, rows, **{**OPTIONS, "epochs": epochs, "lr_decay": "linear"})
        rows = rbm(rows).detach()
    for one, other in zip(stack.layers, alone.layers, strict=True):
        assert_same_bits(one, other)


def test_connections_are_learned_in_every_layer_or_stay():
    for learned in (True, False):
        stack = network(learn_connections=learned, seed=1)
        before = [rbm.mask.clone() for rbm in stack.layers]
        rule = "ncg" if learned else "static"
        stack.fit(ROWS, **{**OPTIONS, "epochs": 30, "lr_strength": 20.0}, rule=rule)
        moved = [bool((a != rbm.mask).any()) for a, rbm in zip(before, stack.layers, strict=True)]
        assert moved == [learned] * 3


def test_seeds_make_machines_that_differ_and_networks_that_do_not():
    one, other, third = network(seed=1), network(seed=1), network(seed=2)
    assert_same_bits(one, other)
    assert not torch.equal(one.layers[0].weight, third.layers[0].weight)
    square = DeepBeliefNetwork([5, 5, 5], seed=0)
    assert not torch.equal(square.layers[0].weight, square.layers[1].weight)


def test_upward_is_one_machine_after_the_other():
    stack, x = network(), torch.rand(2, 3, 7)
    expected = stack.layers[2](stack.layers[1](stack.layers[0](x)))
    assert torch.equal(stack(x), expected)
    assert stack(x).requires_grad
    assert not stack.transform(x).requires_grad
    assert torch.equal(stack.transform(x), expected)


def test_a_sample_is_the_top_machine_s_drawn_downward():
    stack, other = network(seed=4), network(seed=4)
    states = other.layers[2].sample(50, 20)
    for rbm in (other.layers[1], other.layers[0]):
        states = rbm.sample_visible(states)
    found = stack.sample(50, 20)
    assert torch.equal(found, states)
    assert found.shape == (50, 7) and found.dtype == torch.uint8


def test_samples_have_the_statistics_of_the_rows():
    """Two patterns that never mix: a stack that learned them draws both and little else."""
    rows = torch.tensor([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], dtype=torch.uint8).repeat(50, 1)
    stack = DeepBeliefNetwork([6, 8, 4], seed=0, weight_scale=0.1)
    chains = {"persistent": True, "n_chains": 100, "chain_start": "rows"}
    stack.fit(rows, epochs=150, batch_size=20, lr=0.1, n_steps=5, progress=False, **chains)
    drawn = stack.sample(2000, 500).float()
    halves = torch.stack([drawn[:, :3].mean(1), drawn[:, 3:].mean(1)])
    pure = ((halves[0] - halves[1]).abs() == 1).float().mean()
    assert pure > 0.8
    assert 0.2 < float((halves[0] == 1).float().mean()) < 0.8


def test_fine_tuning_by_backpropagation_moves_every_layer():
    stack = network(seed=5)
    stack.fit(ROWS, **OPTIONS)
    net = stack.as_sequential(nn.Linear(3, 2))
    before = [rbm.weight.clone() for rbm in stack.layers]
    target = ROWS[:, 0].long()
    ours = [p for rbm in stack.layers for p in rbm.parameters()]
    optimizers = ncg_fast.optim.NCG(ours, lr=0.5), torch.optim.SGD(net[-1].parameters(), lr=0.5)
    losses = []
    for _ in range(200):
        loss = nn.functional.cross_entropy(net(ROWS.float()), target)
        losses.append(float(loss.detach()))
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
    assert losses[-1] < 0.7 * losses[0]
    for rbm, weight in zip(stack.layers, before, strict=True):
        assert not torch.equal(rbm.weight, weight)
        assert torch.equal(rbm.mask, rbm.connection_strength > 0.5)


class TestFiles:
    def test_all_machines_come_back_and_go_on(self, tmp_path):
        stack = network(seed=6)
        stack.fit(ROWS, **OPTIONS)
        stack.save(tmp_path / "net")
        again = DeepBeliefNetwork.load(tmp_path / "net")
        assert_same_bits(stack, again)
        assert torch.equal(stack.sample(5, 7), again.sample(5, 7))
        assert os.listdir(tmp_path) == ["net"]

    def test_what_is_no_network_is_refused(self, tmp_path):
        file = tmp_path / "file"
        stack = network()
        stack.save(file)
        content = file.read_bytes()
        ncg_fast.save(stack.layers[0], tmp_path / "machine")
        cases = {"missing": None, "short": content[:-9], "other": b"no", "empty": b""}
        for name, data in cases.items():
            if data is not None:
                (tmp_path / name).write_bytes(data)
        for name in (*cases, "machine", "."):
            rule = f"DeepBeliefNetwork.load: {tmp_path / name} must be a deep belief network of "
            with pytest.raises(ValueError, match=f"^{re.escape(rule)}"):
                DeepBeliefNetwork.load(tmp_path / name)
        with pytest.raises(ValueError, match=r"^load: .* must be a checkpoint of ncg_fast, got "):
            ncg_fast.load(file)

    def test_machines_that_do_not_fit_are_refused(self, tmp_path):
        tensors, models = {}, []
        for index, rbm in enumerate((RBM(6, 4), RBM(5, 3))):
            tensors |= {f"{index}.{name}": value for name, value in rbm.state_dict().items()}
            models.append(machine_file.sizes(rbm))
        (tmp_path / "x").write_bytes(
            machine_file.contents("ncg_fast.deep", {"models": models}, tensors)
        )
        with pytest.raises(ValueError, match=r"got machines that do not fit each other\. "):
            DeepBeliefNetwork.load(tmp_path / "x")

    def test_a_broken_machine_is_not_saved(self, tmp_path):
        stack = network()
        with torch.no_grad():
            stack.layers[1].weight[0, 0] = torch.nan
        with pytest.raises(ValueError, match=r"^DeepBeliefNetwork.save: weight must hold finite "):
            stack.save(tmp_path / "x")
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DeepBeliefNetwork([7]), "DeepBeliefNetwork: sizes must be a list of at least two"),
        (lambda: DeepBeliefNetwork(7), "DeepBeliefNetwork: sizes must be a list of at least two"),
        (lambda: DeepBeliefNetwork([7, 0]), "RBM: n_hidden must be at least 1, got 0."),
        (lambda: DeepBeliefNetwork([7, 2], density=2), "RBM: density must be in [0, 1], got 2."),
        (
            lambda: network().fit(ROWS, epochs=(1, 2)),
            "DeepBeliefNetwork.fit: epochs must have one value for each of 3 machines, got (1, 2).",
        ),
        (
            lambda: network().fit(ROWS, resume=True),
            "DeepBeliefNetwork.fit: resume must be left out, got True. Call ncg_fast.fit on each ",
        ),
        (lambda: network().fit(ROWS[:, :5]), "DeepBeliefNetwork.fit: x must "),
        (lambda: network().fit(ROWS * torch.nan), "DeepBeliefNetwork.fit: x must "),
        (lambda: network().sample(0), "RBM.sample: n must be at least 1, got 0."),
        (
            lambda: network().as_sequential(3),
            "as_sequential: layers on top must be torch.nn.Modules",
        ),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        call()
