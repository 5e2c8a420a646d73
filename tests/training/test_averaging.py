"""Averages of the parameters over the last part of a run."""

import pytest
import torch
from training_runs import (
    assert_same_bits,
    binary_rows,
    grey_rows,
    machine,
    train,
    without_time,
)

import ncg_fast
from ncg_fast.training.averaging import EVERY
from ncg_fast.training.checkpoint import CHECKPOINT_NAME, load_checkpoint

ROWS = binary_rows(123)  # 25 mini-batches, the last of 3 rows: samples after 10, 20 and 25


def looked_at(share, epochs):
    """Parameters after the mini-batches that count, and the machine in training at the end."""
    rbm, seen = machine(), []

    def look(rbm, step):
        epoch, within = divmod(step - 1, 25)
        if epoch >= epochs - max(1, round(share * epochs)) and (
            (within + 1) % EVERY == 0 or within == 24
        ):
            weight = (rbm.weight * rbm.mask).detach().double()
            seen.append(
                (weight, *(b.detach().double() for b in (rbm.visible_bias, rbm.hidden_bias)))
            )

    train(rbm, ROWS, epochs=epochs, batch_callbacks=[look])
    return rbm, [torch.stack(values).mean(0) for values in zip(*seen, strict=True)], len(seen)


@pytest.mark.parametrize(("share", "n_seen"), [(0.01, 3), (0.5, 6), (1.0, 12)])
def test_the_machine_ends_as_the_mean_of_what_was_seen(share, n_seen):
    last, (weight, visible, hidden), n = looked_at(share, 4)
    assert n == n_seen
    rbm = machine()
    history = train(rbm, ROWS, epochs=4, average=share)
    assert torch.equal(rbm.mask, last.mask)
    assert torch.equal(rbm.connection_strength, last.connection_strength)
    assert torch.allclose(rbm.weight[rbm.mask].double(), weight[rbm.mask], atol=1e-7)
    assert torch.equal(rbm.weight[~rbm.mask], last.weight[~rbm.mask])
    assert torch.allclose(rbm.visible_bias.double(), visible, atol=1e-7)
    assert torch.allclose(rbm.hidden_bias.double(), hidden, atol=1e-7)
    assert not torch.equal(rbm.weight, last.weight)
    some = ROWS.float()  # the last record is of this machine
    error = (rbm.reconstruct(some) - some).detach().double().square().mean()
    assert history[-1].reconstruction_error == float(error)


def test_a_connection_counts_nothing_while_it_is_off():
    rbm = machine()
    sums = ncg_fast.training.averaging.start(rbm)
    with torch.no_grad():
        rbm.weight.fill_(1.0)
        rbm.mask.fill_(True)
        ncg_fast.training.averaging.add(rbm, sums)
        rbm.mask[0, 0] = False
        rbm.mask[1, 1] = False
        ncg_fast.training.averaging.add(rbm, sums)
        rbm.mask[1, 1] = True
    found = ncg_fast.training.averaging.averaged(rbm, sums)
    assert found.weight[1, 1] == 0.5
    assert found.weight[0, 0] == found.weight[2, 2] == 1.0
    assert not found.mask[0, 0]


@pytest.mark.parametrize("x", [ROWS, grey_rows(33)], ids=["binary", "grey"])
def test_a_run_that_was_stopped_ends_with_the_same_averages(x, tmp_path):
    straight, other, options = machine(), machine(), {"epochs": 4, "average": 0.75}
    expected = train(straight, x, **options, checkpoint_dir=tmp_path / "straight")
    kept = {"checkpoint_dir": tmp_path / "stopped"}
    train(machine(), x, **options, **kept, callbacks=[lambda _, record: record.epoch == 3])
    found = train(other, x, **options, **kept, resume=True)
    assert_same_bits(straight, other)
    assert without_time(found) == without_time(expected)
    again = machine()
    train(again, x, **options, **kept, resume=True)  # nothing is left to do
    assert_same_bits(straight, again)
    for folder in ("straight", "stopped"):
        file = tmp_path / folder / CHECKPOINT_NAME
        assert_same_bits(ncg_fast.load(file), straight)
        assert not torch.equal(load_checkpoint(file)[0].weight, straight.weight)


def test_the_size_of_a_call_does_not_matter(monkeypatch):
    one, other = machine(), machine()
    train(one, ROWS, average=1.0)
    monkeypatch.setattr("ncg_fast.training.run._WORK", {"cpu": 1})
    train(other, ROWS, average=1.0)
    assert_same_bits(one, other)


def test_ctrl_c_leaves_the_average_of_the_complete_epochs():
    def interrupt(_, step):
        if step == 60:
            raise KeyboardInterrupt

    rbm, expected = machine(), machine()
    assert train(rbm, ROWS, epochs=4, average=1.0, batch_callbacks=[interrupt]).interrupted
    train(expected, ROWS, epochs=4, average=1.0, callbacks=[lambda _, record: record.epoch == 2])
    assert_same_bits(rbm, expected)
