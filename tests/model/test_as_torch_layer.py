"""A machine as a user of torch meets it: gradients, shapes, dtypes, autocast, compile, export."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ncg_fast import RBM

N_VISIBLE, N_HIDDEN, N = 13, 7, 5
NAMES = "weight", "connection_strength", "visible_bias", "hidden_bias"


@pytest.fixture
def rbm() -> RBM:
    """With labels, an odd mask and biases."""
    machine = RBM(N_VISIBLE, N_HIDDEN, density=0.6, seed=1, n_labels=2)
    g = torch.Generator().manual_seed(2)
    with torch.no_grad():
        machine.visible_bias.copy_(torch.randn(N_VISIBLE, generator=g))
        machine.hidden_bias.copy_(torch.randn(N_HIDDEN, generator=g))
    return machine


@pytest.fixture(params=["states", "probabilities"])
def v(request: pytest.FixtureRequest) -> Tensor:
    rows = torch.rand(N, N_VISIBLE, generator=torch.Generator().manual_seed(0))
    # Probabilities that 16 bits hold, as the kernels do.
    return (rows < 0.4).float() if request.param == "states" else (rows * 65535).round() / 65535


class Textbook:
    """The formulas in float64, by autograd; strengths straight-through."""

    def __init__(self, rbm: RBM) -> None:
        leaf = {name: getattr(rbm, name).detach().double().requires_grad_() for name in NAMES}
        self.leaf, self.mask = leaf, rbm.mask
        moved = leaf["connection_strength"] - leaf["connection_strength"].detach()
        moved = torch.cat([moved[:, : -rbm.n_labels], torch.zeros(N_HIDDEN, rbm.n_labels)], 1)
        self.masked = leaf["weight"] * self.mask + leaf["weight"].detach() * moved

    def mean(self, v: Tensor) -> Tensor:
        return torch.sigmoid(v @ self.masked.t() + self.leaf["hidden_bias"])

    def reconstruct(self, v: Tensor) -> Tensor:
        return torch.sigmoid(self.mean(v) @ self.masked + self.leaf["visible_bias"])

    def free_energy(self, v: Tensor) -> Tensor:
        x = v @ self.masked.t() + self.leaf["hidden_bias"]
        return -(v @ self.leaf["visible_bias"]) - nn.functional.softplus(x).sum(-1)

    def energy(self, v: Tensor, h: Tensor) -> Tensor:
        pairs = ((h @ self.masked) * v).sum(-1)
        return -pairs - v @ self.leaf["visible_bias"] - h @ self.leaf["hidden_bias"]


H = torch.rand(N, N_HIDDEN, generator=torch.Generator().manual_seed(5))
FUNCTIONS: dict[str, tuple[Callable[[Any, Tensor], Tensor], Callable[[Any, Tensor], Tensor]]] = {
    "forward": (lambda rbm, v: rbm(v), lambda book, v: book.mean(v)),
    "reconstruct": (lambda rbm, v: rbm.reconstruct(v), lambda book, v: book.reconstruct(v)),
    "free_energy": (lambda rbm, v: rbm.free_energy(v), lambda book, v: book.free_energy(v)),
    "energy": (
        lambda rbm, v: rbm.energy(v, H),
        lambda book, v: book.energy(v, H.double()),
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_those_of_the_formulas(rbm: RBM, v: Tensor, name: str) -> None:
    ours, theirs = FUNCTIONS[name]
    book, given, exact = Textbook(rbm), v.clone().requires_grad_(), v.double().requires_grad_()
    found, want = ours(rbm, given), theirs(book, exact)
    along = torch.randn(want.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    (found * along.to(found.dtype)).sum().backward()
    (want * along).sum().backward()
    torch.testing.assert_close(found.double(), want, rtol=0, atol=2e-5)
    pairs = [(getattr(rbm, key).grad, book.leaf[key].grad) for key in NAMES]
    for grad, right in [*pairs, (given.grad, exact.grad)]:
        if right is None:
            assert grad is None
            continue
        assert grad.dtype == torch.float32
        torch.testing.assert_close(grad.double(), right, rtol=0, atol=5e-5)
    assert (rbm.weight.grad[~rbm.mask] == 0).all()
    assert (rbm.connection_strength.grad[:, -2:] == 0).all()


def test_free_energies_of_both_phases_are_contrastive_divergence(rbm: RBM) -> None:
    v = (torch.rand(50, N_VISIBLE) < 0.4).float()
    other = copy.deepcopy(rbm)
    v_model = other.contrastive_divergence(v, n_steps=2)
    assert torch.equal(rbm.gibbs_steps(v, 2)[0], v_model)
    loss = rbm.free_energy(v).mean() - rbm.free_energy(v_model).mean()
    loss.backward()
    for name in NAMES:
        want = getattr(other, name).grad
        torch.testing.assert_close(getattr(rbm, name).grad, want, rtol=0, atol=1e-5)


def test_a_classifier_on_top_fine_tunes_the_machine(rbm: RBM, v: Tensor) -> None:
    net = nn.Sequential(rbm, nn.Linear(N_HIDDEN, 3))
    before = copy.deepcopy(rbm)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    labels, losses = torch.arange(N) % 3, []
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(v), labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    for name in ("weight", "hidden_bias", "connection_strength"):
        assert not torch.equal(getattr(rbm, name), getattr(before, name))
    off = ~rbm.mask
    assert torch.equal(rbm.weight[off], before.weight[off])


def test_frozen_parameters_get_no_gradient(rbm: RBM, v: Tensor) -> None:
    rbm.connection_strength.requires_grad_(False)
    rbm.hidden_bias.requires_grad_(False)
    rbm(v).sum().backward()
    assert rbm.connection_strength.grad is None and rbm.hidden_bias.grad is None
    assert rbm.weight.grad is not None
    for parameter in rbm.parameters():
        parameter.requires_grad_(False)
    assert not rbm(v).requires_grad and not rbm.free_energy(v).requires_grad


def test_without_grad_nothing_is_kept(rbm: RBM, v: Tensor) -> None:
    for name, (ours, _) in FUNCTIONS.items():
        with torch.no_grad():
            assert not ours(rbm, v).requires_grad, name
        with torch.inference_mode():
            assert ours(rbm, v).is_inference(), name
    for states in (rbm.sample_hidden(v), *rbm.gibbs_steps(v), rbm.sample(3, 2)):
        assert not states.requires_grad


@pytest.mark.parametrize("name", ["forward", "reconstruct", "free_energy"])
def test_double_backward_is_refused(rbm: RBM, v: Tensor, name: str) -> None:
    found = FUNCTIONS[name][0](rbm, v.requires_grad_()).sum()
    (grad,) = torch.autograd.grad(found, v, create_graph=True)
    with pytest.raises(RuntimeError, match="double backward"):
        grad.sum().backward()


def test_weights_changed_between_forward_and_backward_are_refused(rbm: RBM, v: Tensor) -> None:
    mean = rbm(v)
    rbm.train_step_(v, lr=0.1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        mean.sum().backward()


@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (2, 1, 4), (0,), (2, 0)])
def test_any_leading_axes(rbm: RBM, leading: tuple[int, ...]) -> None:
    v = (torch.rand(*leading, N_VISIBLE) < 0.4).float()
    flat = v.reshape(-1, N_VISIBLE)
    assert torch.equal(rbm(v), rbm(flat).view(*leading, N_HIDDEN))
    assert torch.equal(rbm.reconstruct(v), rbm.reconstruct(flat).view(v.shape))
    assert torch.equal(rbm.free_energy(v), rbm.free_energy(flat).view(leading))
    h = torch.zeros(*leading, N_HIDDEN)
    assert rbm.energy(v, h).shape == leading
    other = copy.deepcopy(rbm)
    assert torch.equal(rbm.sample_hidden(v), other.sample_hidden(flat).view(*leading, N_HIDDEN))
    assert torch.equal(rbm.sample_visible(h), other.sample_visible(h.view(-1, N_HIDDEN)).view_as(v))
    last, hidden = rbm.gibbs_steps(v, 2)
    want, _ = other.gibbs_steps(flat, 2)
    assert torch.equal(last, want.view(v.shape)) and hidden.shape == (*leading, N_HIDDEN)
    if flat.numel():
        rbm(v.requires_grad_()).sum().backward()
        assert v.grad.shape == v.shape


FLOATS = torch.float16, torch.bfloat16, torch.float32, torch.float64
INTEGERS = torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS])
def test_any_dtype_of_states(rbm: RBM, dtype: torch.dtype) -> None:
    v = torch.rand(N, N_VISIBLE, generator=torch.Generator().manual_seed(0)) < 0.4
    given, wide = v.to(dtype), torch.float64 if dtype == torch.float64 else torch.float32
    assert rbm(given).dtype == rbm.reconstruct(given).dtype == wide
    assert torch.equal(rbm(given).float(), rbm(v))
    assert torch.equal(rbm.free_energy(given), rbm.free_energy(v))
    assert rbm.sample_hidden(given).dtype == dtype and rbm.gibbs_steps(given)[1].dtype == dtype
    if dtype in FLOATS:
        rbm(given.requires_grad_()).sum().backward()
        assert given.grad.dtype == dtype
    elif dtype != torch.bool:
        with pytest.raises(ValueError, match="must hold only 0 and 1"):
            rbm(given * 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_changes_no_bit(rbm: RBM, v: Tensor, dtype: torch.dtype) -> None:
    want = rbm(v).detach()
    rbm.free_energy(v).sum().backward()
    grads = [getattr(rbm, name).grad.clone() for name in NAMES]
    rbm.zero_grad()
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(rbm(v), want)
        assert nn.Sequential(rbm, nn.Linear(N_HIDDEN, 3))(v).dtype == dtype
        rbm.free_energy(v).sum().backward()
    assert all(torch.equal(getattr(rbm, n).grad, g) for n, g in zip(NAMES, grads, strict=True))


def _remedy(error: pytest.ExceptionInfo[ValueError]) -> str:
    """The code that a message advises, ``Use CODE.``"""
    text = str(error.value)
    return text[text.rindex("Use ") + 4 : -1]


@pytest.mark.parametrize("kind", ["numpy", "read-only numpy", "list", "pandas"])
def test_what_is_no_tensor_is_told_the_line_that_works(rbm: RBM, kind: str) -> None:
    v = (np.random.default_rng(0).random((N, N_VISIBLE)) < 0.4).astype(np.float64)
    given: Any = v
    if kind == "read-only numpy":
        v.flags.writeable = False
    elif kind == "list":
        given = v.tolist()
    elif kind == "pandas":
        given = pytest.importorskip("pandas").DataFrame(v)
    with pytest.raises(ValueError, match=r"visible must be a torch\.Tensor") as error:
        rbm(given)
    fixed = eval(_remedy(error), {"torch": torch, "np": np, "visible": given})
    assert torch.equal(rbm(fixed), rbm(torch.tensor(v)))


def test_compiled_code_has_no_breaks_and_the_same_bits(rbm: RBM, v: Tensor) -> None:
    other = copy.deepcopy(rbm)

    def loss(machine: RBM, rows: Tensor) -> Tensor:
        start = (rows > 0.5).float()
        model, _ = machine.gibbs_steps(start, 2)
        again, _ = machine.gibbs_steps(start, 2)  # other draws: not to be merged with the first
        low = machine.free_energy(rows).mean() - machine.free_energy(model).mean()
        return low + machine(again).mean() + machine.sample_hidden(start).mean()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for _ in range(3):
        found, want = compiled(rbm, v), loss(other, v)
        torch.testing.assert_close(found, want, rtol=1e-6, atol=1e-6)
        found.backward()
        want.backward()
        assert rbm._gibbs_step == other._gibbs_step
    for name in NAMES:
        mine, theirs = getattr(rbm, name).grad, getattr(other, name).grad
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)


def test_a_compiled_training_step(rbm: RBM, v: Tensor) -> None:
    other = copy.deepcopy(rbm)

    def step(machine: RBM, rows: Tensor) -> Tensor:
        return machine.contrastive_divergence(rows, n_steps=2)

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    for _ in range(3):
        assert torch.equal(compiled(rbm, v), step(other, v))
        for name in NAMES:
            assert torch.equal(getattr(rbm, name).grad, getattr(other, name).grad)


@pytest.mark.slow
def test_inductor(rbm: RBM, v: Tensor) -> None:
    eager = nn.Sequential(rbm, nn.Linear(N_HIDDEN, 3))
    inner = copy.deepcopy(eager)
    compiled = torch.compile(inner, fullgraph=True)
    for rows in (v, v[:3]):
        found, want = compiled(rows), eager(rows)
        torch.testing.assert_close(found, want)
        found.sum().backward()
        want.sum().backward()
    torch.testing.assert_close(inner[0].weight.grad, rbm.weight.grad)


def test_export_and_load(rbm: RBM, v: Tensor) -> None:
    net = nn.Sequential(rbm, nn.Linear(N_HIDDEN, 3)).eval()
    n = torch.export.Dim("n", min=1, max=1000)
    program = torch.export.export(net, (v,), dynamic_shapes=({0: n},))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    assert torch.equal(loaded(v), net(v)) and torch.equal(loaded(v[:2]), net(v[:2]))
    with pytest.raises(ValueError, match=r"visible must hold values in \[0, 1\]"):
        loaded(v + 1)


def test_as_linear(rbm: RBM, v: Tensor) -> None:
    plain = rbm.as_linear()
    torch.testing.assert_close(plain(v), rbm(v), rtol=0, atol=2e-5)
    with torch.no_grad():
        plain[0].weight.zero_()
    assert rbm.weight.abs().sum() > 0
    assert [type(each) for each in plain] == [nn.Linear, nn.Sigmoid]
