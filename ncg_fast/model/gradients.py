"""Gradients of means and free energies, in the parameters and in the states.

d(W∘A) comes from torch's matrix products in float32; dW = A∘d(W∘A), and the strengths' gradient is
straight-through, dS = W∘d(W∘A), for every pair of units but those of labels: what
``RBM.contrastive_divergence`` has, too (arXiv 2209.06932).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ncg_fast.model import machine_ops
from ncg_fast.model.machine_ops import HIDDEN, LIBRARY, Machine

_ops: Any = torch.ops.ncg_fast


class _Final(torch.autograd.Function):
    """Gradients that have none themselves."""

    @staticmethod
    def forward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return tuple(gradient.view_as(gradient) for gradient in gradients)

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise RuntimeError(
            "RBM: gradients must be asked for once, got a derivative of a gradient (double "
            "backward). Write the second derivative in torch: sigmoid(F.linear(v, W * A, c))."
        )


def _once(gradients: list[Tensor | None]) -> list[Tensor | None]:
    """Refuses double backward, where the caller keeps a graph of the gradients."""
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return gradients
    asked = (g.detach().requires_grad_() for g in gradients if g is not None)
    found = iter(_Final.apply(*asked))  # type: ignore[no-untyped-call]
    return [None if g is None else next(found) for g in gradients]


def _of_layer(
    needed: tuple[bool, ...],
    by_x: Tensor,
    states: Tensor,
    weight: Tensor,
    mask: Tensor,
    n_labels: int,
    of: str,
) -> list[Tensor | None]:
    """Gradients by (states, weight, strength) where x = (W∘A) states + bias has gradient by_x."""
    by_states = by_weight = by_strength = None
    with torch.autocast(by_x.device.type, enabled=False):
        if needed[0]:
            masked = torch.where(mask, weight, 0.0)
            by_states = (by_x @ (masked if of == HIDDEN else masked.t())).to(states.dtype)
        if needed[1] or needed[2]:
            rows = states.float()
            pairs = by_x.t() @ rows if of == HIDDEN else rows.t() @ by_x
            if needed[1]:
                by_weight = torch.where(mask, pairs, 0.0)
            if needed[2]:
                by_strength = weight * pairs
                if n_labels:
                    by_strength[:, -n_labels:] = 0
    return [by_states, by_weight, by_strength]


def _keep_mean(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, states, weight, _, mask, _, _, ctx.n_labels, ctx.of = inputs
    ctx.save_for_backward(states, weight, mask, output)


def _of_mean(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    states, weight, mask, mean = ctx.saved_tensors
    needed = ctx.needs_input_grad
    with torch.no_grad():
        by_x = grad * mean * (1 - mean)
        given = by_x, states, weight, mask, ctx.n_labels, ctx.of
        by_states, by_weight, by_strength = _of_layer(needed[1:4], *given)
        hidden = ctx.of == HIDDEN
        by_visible = by_x.sum(0) if needed[5] and not hidden else None
        by_hidden = by_x.sum(0) if needed[6] and hidden else None
    found = _once([by_states, by_weight, by_strength, by_visible, by_hidden])
    return None, *found[:3], None, *found[3:], None, None


def _keep_energy(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, visible, weight, _, mask, b, c, ctx.n_labels = inputs
    ctx.save_for_backward(visible, weight, mask, b, c)


def _of_energy(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    visible, weight, mask, b, c = ctx.saved_tensors
    needed = ctx.needs_input_grad
    with torch.no_grad():
        op, machine = "RBM.free_energy", Machine(weight, None, mask, b, c, 0)
        each = -grad.float().unsqueeze(1)
        by_x = each * _ops.rbm_mean(op, visible, *machine, HIDDEN)
        given = by_x, visible, weight, mask, ctx.n_labels, HIDDEN
        by_states, by_weight, by_strength = _of_layer(needed[1:4], *given)
        if by_states is not None:
            by_states = by_states + (each * b).to(by_states.dtype)
        by_visible = (each * visible).sum(0).float() if needed[5] else None
        by_hidden = by_x.sum(0) if needed[6] else None
    found = _once([by_states, by_weight, by_strength, by_visible, by_hidden])
    return None, *found[:3], None, *found[3:], None


_KEPT = {"rbm_mean": (_keep_mean, _of_mean), "rbm_free_energy": (_keep_energy, _of_energy)}


def _differentiable(name: str) -> Any:
    """A function of autograd, which costs eager code half of what torch.library's does."""
    keep, gradients = _KEPT[name]
    methods: dict[str, Any] = {
        "forward": staticmethod(machine_ops.EAGER[name]),
        "setup_context": staticmethod(keep),
        "backward": staticmethod(gradients),
    }
    return type(f"_{name}", (torch.autograd.Function,), methods)


for _name, (_keep, _gradients) in _KEPT.items():
    torch.library.register_autograd(
        f"ncg_fast::{_name}", _gradients, setup_context=_keep, lib=LIBRARY
    )
_DIFFERENTIABLE = {name: _differentiable(name) for name in _KEPT}


def mean(op: str, states: Tensor, machine: Machine, of: str) -> Tensor:
    """P(unit = 1 | states of the other side), float32 (n, n_units), with gradients."""
    found: Tensor = _run("rbm_mean", op, states, *machine, of)
    return found


def free_energy(op: str, visible: Tensor, machine: Machine) -> Tensor:
    """F(v), float64 (n,), with gradients."""
    found: Tensor = _run("rbm_free_energy", op, visible, *machine)
    return found


def _run(name: str, op: str, states: Tensor, weight: Tensor, *rest: Any) -> Any:
    function, given = machine_ops.function(name, states, weight), (op, states, weight, *rest)
    if function is not machine_ops.EAGER[name] or not torch.is_grad_enabled():
        return function(*given)
    tensors = [each for each in given if isinstance(each, Tensor)]
    if any(each.is_inference() for each in tensors):  # which autograd cannot keep
        with torch.no_grad():
            return function(*given)
    if any(each.requires_grad for each in tensors):
        return _DIFFERENTIABLE[name].apply(*given)
    return function(*given)
