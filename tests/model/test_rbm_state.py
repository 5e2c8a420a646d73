"""The state of the module: copies, files, edits in place, dtypes."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from small_machine import N_HIDDEN, N_VISIBLE, N, masked, same

from ncg_fast import RBM


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


def test_inference_mode(rbm: RBM, v: torch.Tensor) -> None:
    """Digits made in inference mode serve outside it; a machine made there is never stale."""
    other = copy.deepcopy(rbm)
    with torch.inference_mode():
        mean, sample = rbm(v), rbm.sample(5, n_steps=2)
        born = RBM(N_VISIBLE, N_HIDDEN, density=0.5, seed=3)
        assert torch.equal(born(v), mean)
        born.weight.mul_(0.5)
        assert not torch.equal(born(v), mean)
    assert torch.equal(other(v), mean) and torch.equal(other.sample(5, n_steps=2), sample)
    assert rbm.train_step_(v, 2, lr=0.3) == other.train_step_(v, 2, lr=0.3)
    same(rbm, other)


def test_inputs_that_require_gradients(rbm: RBM, v: torch.Tensor) -> None:
    probabilities = torch.rand(N, N_VISIBLE, requires_grad=True)
    assert torch.equal(rbm(probabilities), rbm(probabilities.detach()))
    rbm.contrastive_divergence(v.float().requires_grad_())


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (1.0000001, "values in [0, 1.0000001]. Use .clamp(0, 1), as update_mask_ does."),
        (float("nan"), "NaN. Load an earlier state."),
    ],
)
def test_strengths_outside_are_named(rbm: RBM, bad: float, text: str) -> None:
    state = {key: value.clone() for key, value in copy.deepcopy(rbm).state_dict().items()}
    state["connection_strength"].zero_()[0, 0] = bad
    with pytest.raises(ValueError) as caught:
        rbm.load_state_dict(state)
    message = "RBM.load_state_dict: connection_strength must be in [0, 1], got "
    assert str(caught.value) == message + text


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["weight", "visible_bias", "hidden_bias", "connection_strength"])
def test_a_broken_state_is_refused_and_changes_nothing(rbm: RBM, name: str, bad: float) -> None:
    state = {key: value.clone() for key, value in copy.deepcopy(rbm).state_dict().items()}
    for value in state.values():
        if value.is_floating_point():
            value.mul_(0.5)
    state[name].view(-1)[-1] = bad
    before = copy.deepcopy(rbm)
    with pytest.raises(ValueError, match=rf"^RBM\.load_state_dict: {name} must "):
        rbm.load_state_dict(state)
    for key, value in before.state_dict().items():
        assert torch.equal(value, rbm.state_dict()[key])
