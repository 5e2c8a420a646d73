"""Faults found while testing, each with what showed it."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from ncg_fast import RBM, fit, log_likelihood, log_partition, log_partition_ais, ops


def scale_weights(rbm, factor):
    with torch.no_grad():
        rbm.weight.mul_(factor)


def test_evaluating_between_two_edits_does_not_change_training():
    """The exponent of the training digits depended on whether anyone looked at the machine."""
    trained = []
    for look in (False, True):
        rbm = RBM(7, 5, seed=0)
        rbm.sample(1, 1)
        scale_weights(rbm, 4.0)
        if look:
            rbm.free_energy(torch.zeros(1, 7))
        scale_weights(rbm, 3 / 8)
        rows = torch.arange(140).view(20, 7) % 3 == 0
        for _ in range(10):
            rbm.train_step_(rows, 5, lr=0.1)
        trained.append(rbm)
    assert torch.equal(trained[0].weight, trained[1].weight)
    assert torch.equal(trained[0].get_extra_state(), trained[1].get_extra_state())


@pytest.mark.parametrize("name", ["weight", "mask"])
def test_a_new_tensor_at_an_old_address_is_seen(name):
    """Digits were kept for a tensor whose memory and version number a later one had taken over."""
    rbm = RBM(61, 67, learn_connections=False)

    def put(value):
        if name == "mask":
            rbm.mask = torch.full((67, 61), bool(value % 2))
        else:
            rbm.weight = torch.nn.Parameter(torch.full((67, 61), value / 30))

    for value in range(20):
        put(value)
        rbm.sample(1, 1)
        put(0)
        put(value + 1)
        model = rbm._model(2)
        fresh, _ = ops.pack_weights(rbm.weight, rbm.mask, 2, model.weight_exponent)
        assert torch.equal(model.to_hidden, fresh)


@pytest.mark.parametrize("n_chains", [20, 64, 5000])
def test_cd_takes_no_other_number_of_chains(n_chains):
    """Beyond the rows' words the kernels read memory that is not theirs."""
    rbm = RBM(7, 5)
    with pytest.raises(ValueError, match="train_step_: n_chains must be"):
        rbm.train_step_(torch.zeros(50, 7), 1, lr=0.1, n_chains=n_chains)


def test_persistent_chains_need_their_number():
    """Without it the number of rows was taken, and further chains in the last word were erased."""
    rbm = RBM(7, 5)
    chains = ops.pack_states(torch.ones(60, 7, dtype=torch.uint8))
    with pytest.raises(ValueError, match="train_step_: n_chains must be"):
        rbm.train_step_(torch.zeros(50, 7), 1, lr=0.1, chains=chains)


@pytest.mark.parametrize(
    "betas",
    [[0.2, 1.0], [0.0, 0.5], [0.0, 1.0, 0.5, 1.0], [0.0, float("nan"), 1.0], [0.0], []],
)
def test_anneal_refuses_a_ladder_that_is_none(betas):
    """Its log-weights were then those of another quantity."""
    model, visible = RBM(7, 5)._model(2), ops.pack_states(torch.zeros(50, 7, dtype=torch.uint8))
    ladder = torch.tensor(betas, dtype=torch.float64)
    with pytest.raises(ValueError, match="anneal: betas must"):
        ops.anneal(visible, *model[:4], torch.zeros(7), ladder, model[4], 50, seed=0)


def test_torch_s_default_dtype_does_not_matter():
    """Results were allocated in the default dtype and filled as float32."""
    before = RBM(7, 5, seed=0)
    try:
        torch.set_default_dtype(torch.float64)
        rbm = RBM(7, 5, seed=0)
        rows = torch.arange(140).view(20, 7) % 3 == 0
        mean, gradient = rbm(rows), rbm.connection_gradient(rows)
        rbm.train_step_(rows, 2, lr=0.1, lr_strength=0.1)
        rbm.gibbs_steps(rows, 2, beta=0.5)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {p.dtype for p in rbm.parameters()} == {torch.float32}
    assert torch.equal(mean, before(rows)) and torch.equal(
        gradient, before.connection_gradient(rows)
    )
    before.train_step_(rows, 2, lr=0.1, lr_strength=0.1)
    before.gibbs_steps(rows, 2, beta=0.5)
    assert torch.equal(rbm.sample(9, 3), before.sample(9, 3))


def test_a_forked_child_can_sample():
    """The child waited for threads that it does not have, as torch's own larger ops still do."""
    code = (
        "import os, torch, warnings\n"
        "from ncg_fast import RBM\n"
        "warnings.simplefilter('ignore')\n"
        "torch.set_num_threads(2)\n"
        "def draw(): return RBM(60, 70, seed=1).sample(200, n_steps=3)\n"
        "mine = draw()\n"
        "if os.fork() == 0: os._exit(0 if torch.equal(draw(), mine) else 1)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))\n"
    )
    environment = {**os.environ, "NCG_FAST_TEAMS": "always"}  # however busy the computer
    done = subprocess.run([sys.executable, "-c", code], env=environment, timeout=30)
    assert done.returncode == 0


@pytest.mark.parametrize("bias", [-15.0, -40.0, -80.0])
def test_small_free_energies_keep_their_digits(bias):
    """A product of factors near 1 lost what they add to it."""
    rbm = RBM(4, 37, weight_scale=0.0)
    with torch.no_grad():
        rbm.hidden_bias.fill_(bias)
    want = -37 * torch.nn.functional.softplus(torch.tensor(bias, dtype=torch.float64))
    torch.testing.assert_close(rbm.free_energy(torch.zeros(4)), want, rtol=1e-10, atol=0.0)


def test_update_arguments_that_were_not_looked_at():
    """None for a mask, strided chains and momentum without velocities went through."""
    rbm, rows = RBM(7, 5), torch.zeros(50, 7)
    with pytest.raises(ValueError, match="velocities must be given with momentum"):
        rbm.train_step_(rows, lr=0.1, momentum=0.9)
    spread = torch.zeros(7, 4, dtype=torch.int64)[:, ::2]
    with pytest.raises(ValueError, match="chains must be contiguous"):
        rbm.train_step_(rows, lr=0.1, chains=spread, n_chains=100)
    to_hidden, to_visible, b, c, exponent = rbm._model(2)
    parameters = ops.Parameters(rbm.weight, None, None, b, c, to_hidden, to_visible)
    batch = {"n_rows": 50, "n_steps": 1, "weight_exponent": exponent, "seed": 0, "step": 0}
    packed = ops.pack_states(rows.bool())
    with pytest.raises(
        ValueError, match=r"train_step_: mask must be a torch\.Tensor, got NoneType"
    ):
        ops.train_step_(parameters, packed, lr=0.1, **batch)


def test_broken_strengths_stop_training():
    rbm = RBM(7, 5, density=0.5, weight_scale=0.0)
    rows = torch.arange(140).view(20, 7) % 3 == 0

    def spoil(machine, record):
        with torch.no_grad():
            machine.connection_strength[2, 3] = torch.nan

    with pytest.raises(FloatingPointError, match="parameters must stay finite"):
        fit(rbm, rows, epochs=3, batch_size=10, lr=0.1, callbacks=[spoil], progress=False)
    with pytest.raises(FloatingPointError, match=r"RBM.train_step_: parameters must stay finite"):
        rbm.train_step_(rows, lr=0.1)


def test_rates_stay_within_float32():
    rbm, rows = RBM(7, 5), torch.zeros(20, 7)
    with pytest.raises(ValueError, match=r"^fit: lr_strength must be at most 3\.40282e\+38, got"):
        fit(rbm, rows, lr=1e38, batch_size=5, progress=False)
    with pytest.raises(ValueError, match=r"^RBM: weight_scale must be at most 1e\+30, got 1e\+300"):
        RBM(7, 5, weight_scale=1e300)


def test_parameters_that_require_no_gradient_are_left_alone():
    rbm, rows = RBM(7, 5, density=0.5), torch.eye(7)
    rbm.hidden_bias.requires_grad_(False)
    rbm.connection_strength.requires_grad_(False)
    rbm.contrastive_divergence(rows)
    assert rbm.hidden_bias.grad is None and rbm.connection_strength.grad is None
    assert rbm.weight.grad is not None and rbm.visible_bias.grad is not None
    with pytest.raises(ValueError, match=r"^RBM.train_step_: hidden_bias must require gradients"):
        rbm.train_step_(rows, lr=0.1)
    rbm.hidden_bias.requires_grad_()
    mask, strength = rbm.mask.clone(), rbm.connection_strength.clone()
    assert rbm.train_step_(rows, lr=0.1, lr_strength=100.0) == (0, 0)
    assert torch.equal(mask, rbm.mask) and torch.equal(strength, rbm.connection_strength)
    with pytest.raises(
        ValueError, match=r'^fit: rbm must have connection strengths with rule="ncg"'
    ):
        fit(rbm, rows, batch_size=5, progress=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_extra_state", torch.tensor([-1, 0, 0, 0])),
        ("_extra_state", torch.tensor([0, 0, 1, 2000])),
        ("_extra_state", torch.zeros(3, dtype=torch.int64)),
        ("connection_strength", torch.full((5, 7), 7.0)),
        ("connection_strength", torch.full((5, 7), torch.nan)),
    ],
)
def test_a_state_no_machine_can_hold_changes_nothing(name, value):
    rbm, other = RBM(7, 5, seed=0), RBM(7, 5, seed=1)
    weight = rbm.weight.clone()
    with pytest.raises(ValueError, match=rf"^RBM.load_state_dict: .*{name}"):
        rbm.load_state_dict({**other.state_dict(), name: value})
    assert torch.equal(rbm.weight, weight) and rbm._draw().seed == 0


def test_options_of_ais_are_looked_at_where_log_z_is_exact():
    rbm, rows = RBM(7, 5), torch.zeros(4, 7)
    for options in ({"typo": 3}, {"betas": -5}, {"n_chains": 0}, {"base": "flat"}):
        with pytest.raises(ValueError, match=r"^log_likelihood: "):
            log_likelihood(rbm, rows, **options)
    with pytest.raises(ValueError, match="options of AIS must be left out with log_z"):
        log_likelihood(rbm, rows, log_z=3.0, n_chains=10)


def test_sizes_and_rates_of_numpy_are_taken():
    rbm = RBM(np.int64(7), np.int32(5), density=np.float32(0.5), seed=np.int64(3))
    assert torch.equal(rbm.weight, RBM(7, 5, density=0.5, seed=3).weight)
    rows = torch.zeros(8, 7)
    fit(rbm, rows, epochs=np.int64(1), batch_size=np.int64(4), lr=np.float64(0.1), progress=False)
    assert rbm.sample(np.int64(2), np.int16(3)).shape == (2, 7)


def test_a_machine_made_in_inference_mode_works_outside():
    with torch.inference_mode():
        rbm = RBM(7, 5, seed=0)
    assert torch.equal(rbm(torch.eye(7)), RBM(7, 5, seed=0)(torch.eye(7)))


def test_ais_stays_on_the_machine_s_device():
    rbm, wide = RBM(7, 5), RBM(26, 26)
    with torch.device("meta"):
        assert log_partition_ais(rbm, betas=5, n_chains=4).value > 0
        log_partition(rbm)
    log_likelihood(wide, torch.zeros(3, 26), betas=5, n_chains=4)
    for betas in ([0.0, 1.0], np.linspace(0, 1, 5)):
        with pytest.raises(ValueError, match=r"betas must be an int or a floating tensor, got"):
            log_partition_ais(rbm, betas=betas)


def test_states_with_nan_or_of_another_dtype_are_not_loaded():
    rbm, other = RBM(7, 5, seed=0), RBM(7, 5, seed=1)
    weight = rbm.weight.clone()
    broken = {**other.state_dict(), "hidden_bias": torch.full((5,), torch.nan)}
    with pytest.raises(ValueError, match=r"^RBM.load_state_dict: hidden_bias must hold finite"):
        rbm.load_state_dict(broken)
    double = {**other.state_dict(), "weight": other.weight.detach().double()}
    with pytest.raises(ValueError, match=r"weight must be float32 with assign=True, got torch"):
        rbm.load_state_dict(double, assign=True)
    assert torch.equal(rbm.weight, weight)
    rbm.load_state_dict(double)
    assert torch.equal(rbm.weight, other.weight)
    with pytest.raises(RuntimeError, match='backend "meta" does not exist'):
        rbm.to("meta")
