"""The module as users of torch meet it."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch

from ncg_fast import RBM
from ncg_fast.numerics import LEVELS

N_VISIBLE, N_HIDDEN, N = 13, 7, 9


@pytest.fixture
def rbm() -> RBM:
    return RBM(N_VISIBLE, N_HIDDEN, density=0.5, seed=3)


@pytest.fixture
def v() -> torch.Tensor:
    return torch.rand(N, N_VISIBLE, generator=torch.Generator().manual_seed(0)) < 0.4


def masked(rbm: RBM) -> torch.Tensor:
    return rbm.weight.detach().double() * rbm.mask


# --- what is computed ---


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


# --- draws ---


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


# --- state ---


def same(a: RBM, b: RBM) -> None:
    assert torch.equal(a.sample(20, n_steps=3), b.sample(20, n_steps=3))
    assert torch.equal(a.mask, b.mask)


def test_state_dict_copies_and_pickles(rbm: RBM, v: torch.Tensor) -> None:
    rbm.train_step_(v, 2, lr=0.3, lr_strength=2.0)
    rbm.sample(3, n_steps=2)
    other = RBM(N_VISIBLE, N_HIDDEN, seed=99)
    other.sample(2, n_steps=1)
    other.load_state_dict(rbm.state_dict())
    same(other, copy.deepcopy(rbm))
    same(pickle.loads(pickle.dumps(rbm)), copy.deepcopy(rbm))
    file = io.BytesIO()
    torch.save(rbm.state_dict(), file)
    file.seek(0)
    third = RBM(N_VISIBLE, N_HIDDEN)
    third.load_state_dict(torch.load(file))
    same(third, rbm)


def test_copies_share_nothing(rbm: RBM, v: torch.Tensor) -> None:
    before = rbm(v)
    twin = copy.deepcopy(rbm)
    twin.train_step_(v, 1, lr=1.0, lr_strength=1.0)
    assert torch.equal(rbm(v), before) and not torch.equal(twin(v), before)


def test_edits_in_place_are_noticed(rbm: RBM, v: torch.Tensor) -> None:
    with torch.no_grad():
        for edit in (
            lambda: rbm.weight.mul_(0.5),
            lambda: rbm.mask.logical_not_(),
            lambda: rbm.hidden_bias.add_(1.0),
            lambda: rbm.weight[0].zero_(),
            lambda: rbm.weight.copy_(torch.ones(N_HIDDEN, N_VISIBLE)),
        ):
            before = rbm(v)
            edit()
            assert not torch.equal(rbm(v), before)
            x = v.double() @ masked(rbm).T + rbm.hidden_bias.double()
            torch.testing.assert_close(rbm(v).double(), x.sigmoid(), rtol=0, atol=1e-6)


def test_a_new_parameter_is_noticed(rbm: RBM, v: torch.Tensor) -> None:
    rbm(v)
    rbm.weight = torch.nn.Parameter(torch.zeros(N_HIDDEN, N_VISIBLE))
    assert torch.equal(rbm(v), torch.full((N, N_HIDDEN), 0.5))


def test_fused_steps_move_version_counters(rbm: RBM, v: torch.Tensor) -> None:
    names = ("weight", "connection_strength", "mask", "visible_bias", "hidden_bias")
    before = [getattr(rbm, name)._version for name in names]
    rbm.train_step_(v, 1, lr=0.1, lr_strength=0.1)
    after = [getattr(rbm, name)._version for name in names]
    assert all(new > old for new, old in zip(after, before, strict=True))


def test_digits_after_a_step_are_those_of_the_new_weights(rbm: RBM, v: torch.Tensor) -> None:
    for _ in range(30):
        rbm.train_step_(v, 1, lr=0.5, lr_strength=0.5)
    fresh = copy.deepcopy(rbm)
    same(fresh, rbm)


@pytest.mark.parametrize("name", ["double", "half", "bfloat16"])
def test_other_dtypes_are_refused_and_change_nothing(rbm: RBM, v: torch.Tensor, name: str) -> None:
    before = rbm(v)
    with pytest.raises(ValueError, match=r"RBM\.to: RBM parameters must stay float32"):
        getattr(rbm, name)()
    assert rbm.weight.dtype == torch.float32 and torch.equal(rbm(v), before)


def test_to_cpu_float32_is_itself(rbm: RBM) -> None:
    assert rbm.to("cpu").to(torch.float32).float() is rbm


def test_in_a_container_and_by_name(rbm: RBM, v: torch.Tensor) -> None:
    net = torch.nn.Sequential(rbm, torch.nn.Linear(N_HIDDEN, 3))
    assert net(v).shape == (N, 3)
    assert {name for name, _ in rbm.named_parameters()} == {
        "weight",
        "visible_bias",
        "hidden_bias",
        "connection_strength",
    }


# --- learning ---


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
    with pytest.raises(RuntimeError, match=r"RBM\.update_mask_: needs connection strengths"):
        rbm.update_mask_()
    learned = RBM(N_VISIBLE, N_HIDDEN, mask=mask, learn_connections=True)
    assert torch.equal(learned.connection_strength > 0.5, mask)


def test_broken_weights_stop_training_and_are_named(rbm: RBM, v: torch.Tensor) -> None:
    with pytest.raises(FloatingPointError, match="parameters must stay finite, got max"):
        for _ in range(5):
            rbm.train_step_(v, 1, lr=1e30, weight_decay=1e30)
    with pytest.raises(ValueError, match=r"weight must hold finite numbers, got \d+ that are NaN"):
        rbm(v)


# --- wrong arguments ---

NAN = float("nan")
BAD_STATES = [
    (
        torch.zeros(N_VISIBLE, N),
        f"visible must have shape (n_rows, n_units) = (any, {N_VISIBLE}), got ({N_VISIBLE}, {N}). "
        "Did you pass visible.T?",
    ),
    (
        torch.zeros(2, 3, N_VISIBLE),
        f"visible must have shape (n_rows, n_units) = (any, {N_VISIBLE}), got (2, 3, {N_VISIBLE}).",
    ),
    (
        torch.full((2, N_VISIBLE), 255, dtype=torch.uint8),
        "visible must hold only 0 and 1, got values up to 255. "
        "Binarise it, or pass visible / 255 as probabilities.",
    ),
    (
        torch.full((2, N_VISIBLE), 255.0),
        "visible must hold values in [0, 1], got values in [255, 255]. "
        "Binarise it, or pass visible / 255 as probabilities.",
    ),
    (
        torch.full((2, N_VISIBLE), -1.0),
        "visible must hold values in [0, 1], got values in [-1, -1].",
    ),
    (torch.full((2, N_VISIBLE), NAN), "visible must hold values in [0, 1], got NaN."),
    (
        torch.zeros(2, N_VISIBLE, dtype=torch.int64),
        "visible must be bool, uint8 or floating, got torch.int64. Use visible.to(torch.uint8).",
    ),
    ([[0.0] * N_VISIBLE], "visible must be a torch.Tensor, got list."),
]


@pytest.mark.parametrize("method", ["forward", "free_energy", "reconstruct", "sample_hidden"])
@pytest.mark.parametrize(("bad", "text"), BAD_STATES)
def test_bad_states(rbm: RBM, method: str, bad: Any, text: str) -> None:
    before = copy.deepcopy(rbm)
    with pytest.raises(ValueError) as error:
        getattr(rbm, method)(bad)
    assert str(error.value) == f"RBM.{method}: {text}"
    same(rbm, before)


@pytest.mark.parametrize(("bad", "text"), BAD_STATES)
def test_bad_states_change_no_parameter(rbm: RBM, bad: Any, text: str) -> None:
    before = copy.deepcopy(rbm)
    for name, options in (("contrastive_divergence", {}), ("train_step_", {"lr": 0.1})):
        with pytest.raises(ValueError) as error:
            getattr(rbm, name)(bad, **options)
        assert str(error.value) == f"RBM.{name}: {text}"
    assert all(p.grad is None for p in rbm.parameters())
    same(rbm, before)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"n_visible": 0}, "RBM: n_visible must be at least 1, got 0."),
        ({"n_hidden": 2.0}, "RBM: n_hidden must be an int, got float 2.0."),
        ({"density": 1.5}, "RBM: density must be in [0, 1], got 1.5."),
        ({"density": NAN}, "RBM: density must be finite, got nan."),
        ({"weight_scale": -1}, "RBM: weight_scale must be at least 0, got -1."),
        (
            {"weight_init": "xavier"},
            "RBM: weight_init must be one of 'uniform', 'normal', got 'xavier'.",
        ),
        ({"seed": -1}, f"RBM.manual_seed: seed must be in [0, {2**63 - 1}], got -1."),
        (
            {"n_labels": N_VISIBLE},
            f"RBM: n_labels must be in [0, {N_VISIBLE - 1}], got {N_VISIBLE}.",
        ),
        (
            {"mask": torch.ones(N_VISIBLE, N_HIDDEN, dtype=torch.bool)},
            f"RBM: mask must have shape (n_hidden, n_visible) = ({N_HIDDEN}, {N_VISIBLE}), "
            f"got ({N_VISIBLE}, {N_HIDDEN}). Did you pass mask.T?",
        ),
        (
            {"mask": torch.ones(N_HIDDEN, N_VISIBLE)},
            "RBM: mask must be bool, got torch.float32. Use mask.to(torch.bool).",
        ),
        (
            {"mask": torch.ones(N_HIDDEN, N_VISIBLE, dtype=torch.bool), "density": 0.5},
            "RBM: density must be left out where mask is given, got 0.5.",
        ),
    ],
)
def test_bad_constructor_arguments(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as error:
        RBM(**{"n_visible": N_VISIBLE, "n_hidden": N_HIDDEN, **arguments})
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda r, v: r.sample(0), "RBM.sample: n must be in [1, 4294967295], got 0."),
        (lambda r, v: r.sample(1, n_steps=0), "RBM.sample: n_steps must be at least 1, got 0."),
        (lambda r, v: r.gibbs_steps(v, -1), "RBM.gibbs_steps: n_steps must be at least 1, got -1."),
        (
            lambda r, v: r.gibbs_steps(v, 1, beta=NAN),
            "RBM.gibbs_steps: beta must be finite, got nan.",
        ),
        (
            lambda r, v: r.gibbs_steps(v, 1, beta=torch.ones(3)),
            f"RBM.gibbs_steps: beta must be a number or have shape (n,) = ({N},), got (3,).",
        ),
        (
            lambda r, v: r.sample(2, 1, clamp=torch.full((N_VISIBLE,), 0.5)),
            "RBM.gibbs_steps: clamp must hold only 0, 1 and NaN, got other values. Binarise it.",
        ),
        (
            lambda r, v: r.train_step_(v, lr=-0.1),
            "train_step_: lr must be at least 0, got -0.1.",
        ),
        (
            lambda r, v: r.train_step_(v, lr=0.1, momentum=2.0),
            "train_step_: momentum must be in [0, 1], got 2.0.",
        ),
        (
            lambda r, v: r.energy(v, torch.zeros(3, N_HIDDEN)),
            f"RBM.energy: visible and hidden must have equally many rows, "
            f"got torch.Size([{N}]) and torch.Size([3]).",
        ),
        (
            lambda r, v: r.contrastive_divergence(v[:0]),
            "RBM.contrastive_divergence: visible must have at least one row, "
            f"got (0, {N_VISIBLE}).",
        ),
    ],
)
def test_bad_arguments_of_methods(rbm: RBM, v: torch.Tensor, call: Any, text: str) -> None:
    before = copy.deepcopy(rbm)
    with pytest.raises(ValueError) as error:
        call(rbm, v)
    assert str(error.value) == text
    rbm.manual_seed(3), before.manual_seed(3)  # sample draws its start before clamp is refused
    same(rbm, before)


def test_states_on_another_device_are_refused(rbm: RBM) -> None:
    with pytest.raises((ValueError, RuntimeError), match=r"meta"):
        rbm(torch.zeros(2, N_VISIBLE, device="meta"))
