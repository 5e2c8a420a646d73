"""The module as users of torch meet it: what it computes, draws and learns."""

from __future__ import annotations

import pytest
import torch
from small_machine import N_HIDDEN, N_VISIBLE, N, masked

from ncg_fast import RBM
from ncg_fast.backends import cpu
from ncg_fast.backends.numerics import LEVELS, to_levels
from ncg_fast.model import units
from ncg_fast.model.digits import EVALUATION_DIGITS
from ncg_fast.ops.registration import registered


def test_means_and_energies_agree_with_float64(rbm: RBM, v: torch.Tensor) -> None:
    with torch.no_grad():
        rbm.visible_bias.uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
        rbm.hidden_bias.uniform_(-1, 1, generator=torch.Generator().manual_seed(2))
    b, c = rbm.visible_bias.detach().double(), rbm.hidden_bias.detach().double()
    x = v.double() @ masked(rbm).T + c
    torch.testing.assert_close(rbm(v).double(), x.sigmoid(), rtol=0, atol=3e-7)
    energy = -(v.double() @ b) - torch.nn.functional.softplus(x).sum(1)
    torch.testing.assert_close(rbm.free_energy(v), energy, rtol=0, atol=2e-5)
    mean = x.sigmoid() @ masked(rbm) + b
    torch.testing.assert_close(rbm.reconstruct(v).double(), mean.sigmoid(), rtol=0, atol=2e-5)
    h = rbm.sample_hidden(v)
    want = -torch.einsum("ni,ij,nj->n", h.double(), masked(rbm), v.double())
    want -= v.double() @ b + h.double() @ c
    torch.testing.assert_close(rbm.energy(v, h), want, rtol=1e-12, atol=1e-12)


def test_values_in_between_are_probabilities_of_16_bits(rbm: RBM) -> None:
    p = torch.rand(N, N_VISIBLE, generator=torch.Generator().manual_seed(4))
    x = (p * LEVELS).round().double() / LEVELS @ masked(rbm).T
    torch.testing.assert_close(rbm(p).double(), x.sigmoid(), rtol=0, atol=3e-7)


def test_float64_is_looked_at_before_float32_rounds_it(rbm: RBM, v: torch.Tensor) -> None:
    near = v.double()
    near[0, 0] = 1 - 1e-12
    layer = rbm._model(EVALUATION_DIGITS).hidden_layer
    assert torch.equal(rbm(near).float(), registered.mean(to_levels(near), len(v), *layer))
    one = near.clone()
    near[0, 0], one[0, 0] = 1 + 1e-12, 1.0
    far = near.clone()
    far[0, 0] = 1 + 1e-5
    for call in (rbm, rbm.free_energy, rbm.reconstruct):
        assert torch.equal(call(near), call(one))
        with pytest.raises(ValueError, match=r"visible must hold values in \[0, 1\], got "):
            call(far)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32])
def test_kernels_alone_look_at_rows(
    rbm: RBM, v: torch.Tensor, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = v.to(dtype)
    want = rbm(rows), rbm.free_energy(rows), rbm.reconstruct(rows)
    monkeypatch.delattr(units, "ones_of")
    monkeypatch.delattr(units, "to_levels")
    monkeypatch.delattr(cpu.launcher, "pack_states")
    got = rbm(rows), rbm.free_energy(rows), rbm.reconstruct(rows)
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.float16])
def test_every_dtype_of_0_and_1_means_the_same(v: torch.Tensor, dtype: torch.dtype) -> None:
    machines = [RBM(N_VISIBLE, N_HIDDEN, seed=3) for _ in range(2)]
    for call in (RBM.forward, RBM.free_energy, RBM.reconstruct, RBM.sample_hidden):
        want, got = call(machines[0], v), call(machines[1], v.to(dtype))
        assert torch.equal(got.to(want.dtype), want)
    assert machines[0].sample_hidden(v.to(dtype)).dtype == dtype


def test_one_row_has_one_axis(rbm: RBM, v: torch.Tensor) -> None:
    assert torch.equal(rbm(v[0]), rbm(v)[0])
    assert torch.equal(rbm.free_energy(v[0]), rbm.free_energy(v)[0])
    assert torch.equal(rbm.reconstruct(v[0]), rbm.reconstruct(v)[0])
    assert rbm.sample_hidden(v[0]).shape == (N_HIDDEN,)
    assert rbm.gibbs_steps(v[0], 2)[1].shape == (N_HIDDEN,)
    assert rbm.energy(v[0], torch.zeros(N_HIDDEN)).shape == ()


def test_empty_batches(rbm: RBM) -> None:
    none = torch.zeros(0, N_VISIBLE)
    assert rbm(none).shape == (0, N_HIDDEN)
    assert rbm.free_energy(none).shape == (0,)
    assert rbm.gibbs_steps(none, 3)[0].shape == (0, N_VISIBLE)


def test_non_contiguous_rows(rbm: RBM, v: torch.Tensor) -> None:
    assert torch.equal(rbm(v.t().contiguous().t()), rbm(v))
    assert torch.equal(rbm(v.float()[::2]), rbm(v)[::2])


def test_same_seed_same_draws_and_each_call_anew(v: torch.Tensor) -> None:
    a, b = (RBM(N_VISIBLE, N_HIDDEN, seed=5) for _ in range(2))
    first, second = a.sample(200, n_steps=3), a.sample(200, n_steps=3)
    assert torch.equal(first, b.sample(200, n_steps=3))
    assert not torch.equal(first, second)
    assert torch.equal(a.manual_seed(5).sample(200, n_steps=3), first)
    assert not torch.equal(a.manual_seed(6).sample(200, n_steps=3), first)


def test_steps_one_by_one_are_the_same_chain(v: torch.Tensor) -> None:
    a, b = (RBM(N_VISIBLE, N_HIDDEN, seed=5) for _ in range(2))
    at_once, _ = a.gibbs_steps(v, 4)
    one_by_one = v
    for _ in range(4):
        one_by_one, _ = b.gibbs_steps(one_by_one, 1)
    assert torch.equal(at_once, one_by_one)


def test_a_chain_does_not_depend_on_its_neighbours(v: torch.Tensor) -> None:
    a, b = (RBM(N_VISIBLE, N_HIDDEN, seed=5) for _ in range(2))
    assert torch.equal(a.gibbs_steps(v, 3)[0][:4], b.gibbs_steps(v[:4], 3)[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_rounding_put_outside_is_clipped(dtype: torch.dtype) -> None:
    machine = RBM(3, N_HIDDEN, seed=3)
    inside = torch.tensor([[0.0, 0.25, 1.0], [1.0, 0.5, 0.0]], dtype=dtype)
    outside = torch.where(inside == 1, 1 + 9e-7, torch.where(inside == 0, -9e-7, inside))
    assert (outside > 1).any() and (outside < 0).any()
    for call in (RBM.forward, RBM.free_energy, RBM.reconstruct):
        assert torch.equal(call(machine, outside), call(machine, inside))
    states, near = inside[:, ::2], outside[:, ::2]  # 0 and 1 alone
    machine = RBM(2, N_HIDDEN, seed=3)
    again = RBM(2, N_HIDDEN, seed=3)
    assert torch.equal(machine.gibbs_steps(near, 2)[0], again.gibbs_steps(states, 2)[0])
    machine.train_step_(near, lr=0.1)
    again.train_step_(states, lr=0.1)
    assert torch.equal(machine.weight, again.weight)


def test_samples_of_a_seed_leave_the_draws_of_the_machine(v: torch.Tensor) -> None:
    a, b = RBM(N_VISIBLE, N_HIDDEN, seed=3), RBM(N_VISIBLE, N_HIDDEN, seed=3)
    first = a.sample(50, n_steps=3, seed=5)
    assert torch.equal(a.sample(50, n_steps=3, seed=5), first)
    assert not torch.equal(a.sample(50, n_steps=3, seed=6), first)
    started = a.sample(N, n_steps=3, start=v, seed=5)
    assert torch.equal(a.sample(50, n_steps=3), b.sample(50, n_steps=3))
    assert torch.equal(b.manual_seed(5).sample(50, n_steps=3), first)
    assert torch.equal(b.manual_seed(5).sample(N, n_steps=3, start=v), started)


def test_samples_start_where_they_are_told(v: torch.Tensor) -> None:
    a, b = (RBM(N_VISIBLE, N_HIDDEN, seed=5) for _ in range(2))
    samples = a.sample(N, n_steps=2, start=v)
    assert samples.dtype == torch.uint8
    assert torch.equal(samples.bool(), b.gibbs_steps(v, 2)[0])
    with pytest.raises(ValueError, match=r"RBM\.sample: start must have n = 3 rows, got 9\."):
        a.sample(3, n_steps=2, start=v)


def test_clamp_holds_units_and_leaves_others(rbm: RBM) -> None:
    clamp = torch.full((N_VISIBLE,), float("nan"))
    clamp[2], clamp[5] = 1.0, 0.0
    samples = rbm.sample(300, n_steps=5, clamp=clamp)
    assert samples[:, 2].all() and not samples[:, 5].any()
    free = samples[:, [j for j in range(N_VISIBLE) if j not in (2, 5)]].float().mean(0)
    assert (free > 0).all() and (free < 1).all()


def test_beta_zero_ignores_the_model(rbm: RBM) -> None:
    with torch.no_grad():
        rbm.visible_bias.fill_(8.0)
    hot, _ = rbm.gibbs_steps(torch.zeros(4000, N_VISIBLE), 1, beta=0.0)
    assert abs(float(hot.mean()) - 0.5) < 0.01
    assert float(rbm.gibbs_steps(torch.zeros(4000, N_VISIBLE), 1)[0].mean()) > 0.9


def test_gradients_accumulate_as_backward_does(rbm: RBM, v: torch.Tensor) -> None:
    rbm.contrastive_divergence(v)
    once = {name: p.grad.clone() for name, p in rbm.named_parameters() if p.grad is not None}
    rbm.manual_seed(3)
    rbm.contrastive_divergence(v)
    assert len(once) == 4
    for name, p in rbm.named_parameters():
        torch.testing.assert_close(p.grad, 2 * once[name])
    assert not rbm.weight.grad[~rbm.mask].any()
    assert rbm.connection_strength.grad[~rbm.mask].any()


def test_plain_sgd_takes_the_fused_step(v: torch.Tensor) -> None:
    """torch.optim.SGD with two groups, then update_mask_: train_step_ to rounding."""
    a, b = (RBM(N_VISIBLE, N_HIDDEN, density=0.5, seed=5) for _ in range(2))
    groups = [
        {"params": [a.weight, a.visible_bias, a.hidden_bias], "lr": 0.1},
        {"params": [a.connection_strength], "lr": 0.5},
    ]
    optimiser = torch.optim.SGD(groups, lr=0.1)
    for _ in range(5):
        optimiser.zero_grad()
        a.contrastive_divergence(v, n_steps=2)
        optimiser.step()
        switched = a.update_mask_()
        assert switched == b.train_step_(v, 2, lr=0.1, lr_strength=0.5)
    assert torch.equal(a.mask, b.mask)
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-6)


def test_persistent_chains_go_on(rbm: RBM, v: torch.Tensor) -> None:
    chains = rbm.contrastive_divergence(v, chains=torch.zeros(4, N_VISIBLE))
    assert chains.shape == (4, N_VISIBLE) and chains.dtype == v.dtype
    rbm.contrastive_divergence(v, chains=chains)


def test_connection_gradient_is_full_and_sets_nothing(rbm: RBM, v: torch.Tensor) -> None:
    gradient = rbm.connection_gradient(v)
    assert gradient.shape == (N_HIDDEN, N_VISIBLE) and gradient[~rbm.mask].any()
    assert all(p.grad is None for p in rbm.parameters())


def test_labels_are_always_connected(v: torch.Tensor) -> None:
    rbm = RBM(N_VISIBLE, N_HIDDEN, density=0.0, n_labels=3, seed=1)
    assert rbm.mask[:, -3:].all() and not rbm.mask[:, :-3].any()
    rbm.contrastive_divergence(v)
    assert not rbm.connection_strength.grad[:, -3:].any()
    rbm.train_step_(v, 1, lr=0.1, lr_strength=100.0)
    assert rbm.mask[:, -3:].all()


def test_a_fixed_mask_has_no_strength(v: torch.Tensor) -> None:
    mask = torch.rand(N_HIDDEN, N_VISIBLE) < 0.5
    rbm = RBM(N_VISIBLE, N_HIDDEN, mask=mask)
    assert rbm.connection_strength is None
    rbm.contrastive_divergence(v)
    assert rbm.train_step_(v, lr=0.1) == (0, 0) and torch.equal(rbm.mask, mask)
    with pytest.raises(ValueError, match=r"RBM\.update_mask_: rbm must have connection strengths"):
        rbm.update_mask_()
    learned = RBM(N_VISIBLE, N_HIDDEN, mask=mask, learn_connections=True)
    assert torch.equal(learned.connection_strength > 0.5, mask)


def test_broken_weights_stop_training_and_are_named(rbm: RBM, v: torch.Tensor) -> None:
    with pytest.raises(FloatingPointError, match="parameters must stay finite, got inf"):
        for _ in range(5):
            rbm.train_step_(v, 1, lr=1e30, weight_decay=1e30)
    with pytest.raises(ValueError, match=r"weight must hold finite numbers, got \d+ that are NaN"):
        rbm(v)


def test_a_strength_of_one_half_leaves_a_connection_as_it_is() -> None:
    rbm = RBM(N_VISIBLE, N_HIDDEN, density=0.5, seed=0)
    before = rbm.mask.clone()
    assert before.any() and not before.all()
    with torch.no_grad():
        rbm.connection_strength.fill_(0.5)
    assert rbm.update_mask_() == (0, 0)
    assert torch.equal(rbm.mask, before)
    with torch.no_grad():
        rbm.connection_strength[0], rbm.connection_strength[1] = 0.5 + 2**-24, 0.5 - 2**-25
    rbm.update_mask_()
    assert rbm.mask[0].all() and not rbm.mask[1].any()
    assert torch.equal(rbm.mask[2:], before[2:])


def test_samples_start_from_the_visible_biases() -> None:
    """v ~ P(v | h = 0), with a draw of its own, then the sweeps."""
    one, other = (RBM(N_VISIBLE, N_HIDDEN, density=0.5, seed=5) for _ in range(2))
    for rbm in (one, other):
        with torch.no_grad():
            rbm.visible_bias.copy_(torch.linspace(-3, 3, N_VISIBLE))
    start = one.sample_visible(torch.zeros(70, N_HIDDEN, dtype=torch.uint8))
    assert torch.equal(other.sample(70, 2), one.gibbs_steps(start, 2)[0])
    assert torch.equal(other.sample(3, 2, start=start[:3]), one.gibbs_steps(start[:3], 2)[0])
