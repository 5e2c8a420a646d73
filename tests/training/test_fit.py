import copy
import doctest
import re

import numpy as np
import pytest
import torch
from training_runs import (
    N_HIDDEN,
    N_ROWS,
    N_VISIBLE,
    assert_same_bits,
    binary_rows,
    bits,
    grey_rows,
    held_out,
    machine,
    order,
    train,
)

from ncg_fast import ops
from ncg_fast.model.rbm import RBM
from ncg_fast.training import fit as training
from ncg_fast.training import history, run
from ncg_fast.training.history import History


@pytest.mark.parametrize("x", [binary_rows(), grey_rows()], ids=["binary", "grey"])
@pytest.mark.parametrize("rates", [{}, {"momentum": 0.5, "weight_decay": 0.01}])
def test_fit_is_one_train_step_per_batch_of_a_new_order_each_epoch(x, rates):
    fitted, stepped = machine(), machine()
    train(fitted, x, n_steps=2, **rates)
    velocities = tuple(
        torch.zeros_like(each.detach())
        for each in (stepped.weight, stepped.visible_bias, stepped.hidden_bias)
    )
    for epoch in (1, 2):
        for batch in x[order(3, epoch)].split(5):  # 5, 5 and 3 rows
            stepped.train_step_(
                batch,
                2,
                lr=0.3,
                lr_strength=1.0,
                velocities=velocities if rates else None,
                **rates,
            )
    assert_same_bits(fitted, stepped)


def test_chains_persist_from_step_to_step():
    fitted, stepped = machine(), machine()
    train(fitted, persistent=True, n_chains=70)
    chains = ops.pack_states(stepped.sample_visible(torch.zeros(70, N_HIDDEN, dtype=torch.uint8)))
    for epoch in (1, 2):
        for batch in binary_rows()[order(3, epoch)].split(5):
            stepped.train_step_(batch, 1, lr=0.3, lr_strength=1.0, chains=chains, n_chains=70)
    assert_same_bits(fitted, stepped)


def test_shuffle_false_keeps_the_order_of_rows():
    fitted, stepped = machine(), machine()
    train(fitted, epochs=1, shuffle=False)
    for batch in binary_rows().split(5):
        stepped.train_step_(batch, 1, lr=0.3, lr_strength=1.0)
    assert_same_bits(fitted, stepped)


def test_seed_starts_the_draws_anew_and_orders_the_rows():
    one, other = machine(), machine()
    other.sample(2, n_steps=3)  # moves the stream of draws
    train(one, seed=8)
    train(other, seed=8)
    assert_same_bits(one, other)
    third = machine()
    train(third, seed=9)
    assert not torch.equal(one.weight, third.weight)


def test_dense_machine_without_strength_rate_equals_static_training():
    learned, static = machine(density=1.0), machine(density=1.0)
    train(learned, lr_strength=0.0, momentum=0.5)
    train(static, rule="static", momentum=0.5)
    assert_same_bits(learned, static)


def test_static_rule_leaves_mask_and_strengths():
    rbm = machine()
    before = bits(rbm)
    train(rbm, rule="static")
    after = bits(rbm)
    assert torch.equal(before["mask"], after["mask"])
    assert torch.equal(before["connection_strength"], after["connection_strength"])
    off = ~before["mask"]
    assert torch.equal(before["weight"][off], after["weight"][off])
    assert not torch.equal(before["weight"], after["weight"])


def test_fixed_mask_trains_statically():
    mask = machine().mask
    rbm = RBM(N_VISIBLE, N_HIDDEN, mask=mask, seed=3)
    history = train(rbm, rule="static")
    assert torch.equal(rbm.mask, mask)
    assert [record.switched_on + record.switched_off for record in history] == [0, 0]


def test_label_connections_stay_on():
    rbm = machine(density=0.1, n_labels=2)
    labels = torch.eye(2, dtype=torch.uint8)[torch.arange(N_ROWS) % 2]
    train(rbm, torch.cat([binary_rows()[:, :5], labels], 1), lr_strength=5.0)
    assert rbm.mask[:, -2:].all()


def test_strength_rate_defaults_to_five_times_the_weight_rate():
    one, other = machine(), machine()
    train(one, lr=0.2, lr_strength=None)
    train(other, lr=0.2, lr_strength=1.0)
    assert_same_bits(one, other)


@pytest.mark.parametrize("convert", [torch.Tensor.bool, torch.Tensor.float, torch.Tensor.double])
def test_dtype_of_binary_rows_does_not_matter(convert):
    one, other = machine(), machine()
    train(one)
    train(other, convert(binary_rows()))
    assert_same_bits(one, other)


def test_rows_need_not_be_contiguous_and_stay_as_they_are():
    one, other = machine(), machine()
    train(one, shuffle=False)
    strided = binary_rows().t().contiguous().t()
    train(other, strided, shuffle=False)
    assert_same_bits(one, other)
    assert torch.equal(strided, binary_rows())


def test_training_brings_the_nll_near_the_entropy_of_the_data():
    side = torch.tensor([[a, b] for a in (0, 1) for b in (0, 1)], dtype=torch.uint8)
    bars = torch.cat([side.repeat_interleave(2, 1), side.repeat(1, 2)])  # 2 x 2 bars and stripes
    entropy = np.log(8) - np.log(2) / 2  # two of the six patterns come twice
    options = {"epochs": 1000, "batch_size": 8, "lr": 1.0, "lr_strength": 0.1, "n_steps": 5}
    nll = train(RBM(4, 8, density=0.5, seed=0), bars, nll_every=1000, **options)[-1].train_nll
    assert entropy < nll < entropy + 0.4  # independent fair bits: entropy + 1.04


def dense_mean(rbm, v):
    weight = rbm.weight.detach().double() * rbm.mask
    hidden = torch.sigmoid(v @ weight.t() + rbm.hidden_bias.detach())
    return torch.sigmoid(hidden @ weight + rbm.visible_bias.detach())


def dense_free_energy(rbm, v):
    weight = rbm.weight.detach().double() * rbm.mask
    x = v @ weight.t() + rbm.hidden_bias.detach()
    return -v @ rbm.visible_bias.detach().double() - torch.nn.functional.softplus(x).sum(1)


def test_record_holds_the_measures_of_the_machine():
    rbm, held_out = machine(), binary_rows(4, seed=5)
    start = int(rbm.mask.sum())
    history = train(rbm, x_held_out=held_out, lr_strength=3.0)
    last, v = history[-1], binary_rows().double()
    error = (dense_mean(rbm, v) - v).square().mean()
    assert last.reconstruction_error == pytest.approx(float(error), abs=1e-4)
    seen = v[[0, 3, 6, 9]]  # as many as held-out rows, evenly spread
    gap = dense_free_energy(rbm, held_out.double()).mean() - dense_free_energy(rbm, seen).mean()
    assert last.free_energy_gap == pytest.approx(float(gap), abs=1e-3)
    assert last.density == rbm.density == last.n_connections / 35
    assert last.n_connections == int(rbm.mask.sum())
    net = sum(record.switched_on - record.switched_off for record in history)
    assert net == last.n_connections - start
    assert sum(record.switched_on + record.switched_off for record in history) > 0
    for name, axis in (("hidden", 1), ("visible", 0)):
        degrees = rbm.mask.sum(axis).double()
        measured = [getattr(last, f"{name}_degree_{kind}") for kind in ("min", "mean", "max")]
        assert measured == [degrees.min(), degrees.mean(), degrees.max()]
    assert [record.epoch for record in history] == [1, 2]
    assert all(record.seconds > 0 for record in history)
    assert last.train_nll is None and last.test_nll is None


def test_gap_is_none_without_held_out_rows():
    assert train(machine(), epochs=1)[0].free_energy_gap is None


def test_nll_is_exact_and_of_the_epochs_asked_for():
    rbm = machine()
    history = train(rbm, epochs=4, nll_every=2, x_held_out=binary_rows(6, seed=5))
    assert [record.train_nll is None for record in history] == [True, False, True, False]
    states = (torch.arange(2**N_VISIBLE)[:, None] >> torch.arange(N_VISIBLE) & 1).double()
    log_z = torch.logsumexp(-dense_free_energy(rbm, states), 0)
    for nll, x in ((history[-1].train_nll, binary_rows()), (history[-1].test_nll, held_out())):
        exact = float((dense_free_energy(rbm, x.double()) + log_z).mean())
        assert nll == pytest.approx(exact, abs=1e-4)
    assert history[-1].train_nll_error > 0


def test_measures_do_not_change_the_run():
    plain, measured = machine(), machine()
    train(plain, epochs=3)
    train(measured, epochs=3, nll_every=1, x_held_out=held_out())
    assert_same_bits(plain, measured)


def test_history_is_a_sequence_of_records():
    history = train(machine())
    assert len(history) == 2
    assert history[-1] is history.records[1]
    assert [record.epoch for record in history[:1]] == [1]
    assert history.to_dicts()[0]["epoch"] == 1
    assert not history.interrupted
    assert list(History()) == []


def test_callbacks_see_machine_and_record_and_may_stop():
    rbm, seen = machine(), []

    def stop_after_two(machine, record):
        seen.append((machine, record.epoch))
        return record.epoch == 2

    history = train(rbm, epochs=5, callbacks=[stop_after_two, lambda *_: seen.append("all run")])
    assert seen == [(rbm, 1), "all run", (rbm, 2), "all run"]
    assert len(history) == 2
    assert not history.interrupted


def test_a_callback_that_samples_by_seed_changes_no_bit():
    plain, watched = machine(), machine()
    drawn = []
    train(plain, epochs=2)
    given = {"callbacks": [lambda rbm, _: drawn.append(rbm.sample(7, n_steps=3, seed=1))]}
    given["batch_callbacks"] = [lambda rbm, _: drawn.append(rbm.sample(2, n_steps=1, seed=0))]
    train(watched, epochs=2, **given)
    assert_same_bits(plain, watched)
    assert torch.equal(plain.sample(7, n_steps=3), watched.sample(7, n_steps=3))
    assert len(drawn) > 4 and torch.equal(drawn[-1], plain.sample(7, n_steps=3, seed=1))


def test_batch_callbacks_see_each_step_and_change_no_bit():
    seen, plain, watched = [], machine(), machine()
    train(plain)
    train(watched, batch_callbacks=[lambda rbm, step: seen.append((rbm is watched, step))])
    assert_same_bits(plain, watched)
    assert seen == [(True, step) for step in range(1, 7)]


def test_what_a_batch_callback_writes_counts():
    """Through NumPy, which no version counter sees."""
    rbm, other, weights = machine(), machine(), []

    def halve(machine, step):
        if step == 2:
            machine.weight.detach().numpy()[...] *= 0.5
        weights.append(machine.weight.detach().clone())

    train(rbm, batch_callbacks=[halve])
    train(other)
    assert not torch.equal(rbm.weight, other.weight)
    assert torch.equal(rbm.weight, weights[-1])
    assert torch.equal(copy.deepcopy(rbm)(binary_rows()), rbm(binary_rows()))


def test_progress_is_one_bar_on_stderr_or_silence(capfd):
    train(machine())
    assert capfd.readouterr() == ("", "")
    train(machine(), progress=True, nll_every=1, x_held_out=held_out())
    out, err = capfd.readouterr()
    assert out == ""
    assert "epoch 2/2: 100%" in err
    assert "6/6" in err
    assert re.search(r"density 0\.\d{3}, error 0\.\d{4}, train_nll \d+\.\d\d, test_nll", err)


@pytest.mark.parametrize("module", [training, history], ids=["training", "history"])
def test_examples_run(module):
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("options", [{}, {"persistent": True, "momentum": 0.5}, {"x": grey_rows()}])
def test_calls_of_many_steps_change_no_bit(options, monkeypatch):
    together, apart = machine(), machine()
    options = {"epochs": 4, "batch_size": 2, "lr": 0.9, **options}  # the exponent moves
    first = train(together, **options)
    monkeypatch.setitem(run._WORK, "cpu", 1)
    second = train(apart, **options)
    assert_same_bits(bits(together), apart)
    assert [(r.switched_on, r.density) for r in first] == [
        (r.switched_on, r.density) for r in second
    ]


def test_persistent_chains_are_as_many_as_the_rows_of_a_batch():
    one, other = machine(), machine()
    train(one, persistent=True)
    train(other, persistent=True, n_chains=5)
    assert_same_bits(one, other)
    third = machine()
    train(third, persistent=True, n_chains=N_ROWS)
    assert not torch.equal(one.weight, third.weight)
