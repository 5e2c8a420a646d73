"""An optimiser of torch that takes the NCG step: ``NCG(torch.optim.Optimizer)``.

Processes that share the rows (``torch.distributed``) draw apart and average their gradients; their
parameters and masks then stay equal, bit for bit:

    rbm.manual_seed(seed + rank)
    for rows in batches_of_this_rank:
        optimizer.zero_grad()
        rbm.contrastive_divergence(rows)
        for parameter in rbm.parameters():
            distributed.all_reduce(parameter.grad)
            parameter.grad /= distributed.get_world_size()
        optimizer.step()

``DistributedDataParallel`` averages only what ``backward`` computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.sgd import sgd

from ncg_fast import checks
from ncg_fast.backends.records import Gradients, Rates
from ncg_fast.model.rbm import PARAMETERS, RBM, machines_by_parameter
from ncg_fast.ops import learning_arguments

_STRENGTH = PARAMETERS[1]
_BUFFER = "momentum_buffer"


class NCG(torch.optim.Optimizer):
    """Network Connectivity Gradients (arXiv 2209.06932) from what ``.grad`` holds.

    S -= lr_strength dL/dS, A off where S < 1/2 and on where S > 1/2, S clipped to [0, 1];
    W -= lr (dL/dW + weight_decay W) where the old A is on; biases b -= lr dL/db. With momentum
    V = momentum V + gradient takes the gradient's place for weights and biases, and is 0 where A is
    off. No ``update_mask_`` is to be called.

    Args:
        params: parameters, or groups of them, of any number of ``RBM`` and of other modules. Those
            of no ``RBM`` take the step of ``torch.optim.SGD`` with the same lr, momentum and
            weight_decay.
        lr: rate of weights and biases, at least 0.
        lr_strength: rate of connection strengths, at least 0; None: 5 lr, also of an lr that a
            scheduler of ``torch.optim.lr_scheduler`` has changed.
        momentum: in [0, 1].
        weight_decay: at least 0; biases of an ``RBM`` do not decay.

    Raises:
        ValueError: a rate out of range; in ``step``, a gradient or momentum buffer of another
            shape or dtype, or sparse, or NaN or inf in the parameters.
        RuntimeError: in ``step``, no back end serves the device.
        FloatingPointError: in ``step``, a parameter of an ``RBM`` is NaN or infinite after it.

    Note:
        Deterministic, the same bits everywhere: after ``contrastive_divergence`` those of
        ``RBM.train_step_``. Parameters without ``.grad``, and those of an ``RBM`` with
        ``requires_grad_(False)``, stay; where it is the strengths, the mask, too.

    Example:
        >>> from ncg_fast import RBM
        >>> rbm = RBM(6, 4, density=0.5, seed=0)
        >>> optimizer = NCG(rbm.parameters(), lr=0.1, momentum=0.9)
        >>> for _ in range(3):
        ...     optimizer.zero_grad()
        ...     _ = rbm.contrastive_divergence(torch.eye(6), n_steps=1)
        ...     optimizer.step()
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        lr_strength: float | None = None,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        rates = {"lr": lr, "lr_strength": lr_strength}
        super().__init__(params, {**rates, "momentum": momentum, "weight_decay": weight_decay})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group, whose rates are the optimiser's where it names none.

        Raises:
            ValueError: a rate out of range, or a parameter that is in another group.
        """
        _rates("NCG", {**self.defaults, **param_group})
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Takes one step.

        Args:
            closure: computes the gradients anew and returns the loss, or None.

        Returns:
            the loss of the closure, or None.

        Raises:
            as the class says.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        owners = machines_by_parameter()
        moved: dict[RBM, dict[str, tuple[Tensor, Rates]]] = {}
        for group in self.param_groups:
            rates, others = _rates("NCG.step", group), []
            for parameter in group["params"]:
                if id(parameter) not in owners:
                    others.append(parameter)
                elif parameter.requires_grad and parameter.grad is not None:
                    machine, name = _owner(owners[id(parameter)])
                    moved.setdefault(machine, {})[name] = parameter, rates
            self._move_others(others, rates)
        for machine, own in moved.items():
            self._move(machine, own)
        return loss

    def _move(self, machine: RBM, own: dict[str, tuple[Tensor, Rates]]) -> None:
        """Weights and biases of equal rates together, and strengths last: they move the mask."""
        strength, rates = own.pop(_STRENGTH, (None, Rates(0.0)))
        passes: dict[Rates, dict[str, Tensor]] = {}
        for name, (parameter, by) in own.items():
            passes.setdefault(by._replace(lr_strength=0.0), {})[name] = parameter
        if strength is not None:
            last, parameters = passes.popitem() if passes else (rates, {})
            passes[last._replace(lr_strength=rates.lr_strength)] = {
                **parameters,
                _STRENGTH: strength,
            }
        for by, parameters in passes.items():
            gradients = [_gradient(name, parameters.get(name)) for name in PARAMETERS]
            velocities = [
                self._velocity(name, parameters.get(name), by.momentum)
                for name in PARAMETERS
                if name != _STRENGTH
            ]
            machine._apply_gradients("NCG.step", Gradients(*gradients), by, tuple(velocities))

    def _velocity(self, name: str, parameter: Tensor | None, momentum: float) -> Tensor | None:
        if parameter is None or not momentum:
            return None
        state = self.state[parameter]
        if _BUFFER not in state:
            state[_BUFFER] = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
        buffer = _like("NCG.step", f"{_BUFFER} of {name}", state[_BUFFER], parameter)
        return learning_arguments.contiguous("NCG.step", f"{_BUFFER} of {name}", buffer)

    def _move_others(self, parameters: list[Tensor], rates: Rates) -> None:
        """The step of ``torch.optim.SGD``."""
        with_gradient = [(p, p.grad) for p in parameters if p.grad is not None]
        if not with_gradient:
            return
        parameters, gradients = (list(each) for each in zip(*with_gradient, strict=True))
        momentum = rates.momentum
        buffers = [self.state[p].get(_BUFFER) if momentum else None for p in parameters]
        sgd(
            parameters,
            gradients,
            buffers,
            has_sparse_grad=any(each.is_sparse for each in gradients),
            weight_decay=rates.weight_decay,
            momentum=momentum,
            lr=rates.lr,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )
        for parameter, buffer in zip(parameters, buffers if momentum else [], strict=False):
            self.state[parameter][_BUFFER] = buffer


def _rates(op: str, group: dict[str, Any]) -> Rates:
    """Those of a group, checked."""
    lr, lr_strength = group["lr"], group["lr_strength"]
    if lr_strength is None:
        lr_strength = 5 * checks.number(op, "lr", lr, 0.0, checks.MAX_FLOAT32 / 5)
    rates = Rates(lr, lr_strength, group["momentum"], group["weight_decay"])
    return learning_arguments.rates(op, rates)


def _owner(found: list[tuple[RBM, str]]) -> tuple[RBM, str]:
    """The machine of a parameter; shallow copies of one are one, for they share the mask."""
    masks = {id(machine.mask) for machine, _ in found}
    if len(masks) > 1:
        rule, actual = "parameters must be of one RBM each", f"one of {len(masks)} machines"
        raise checks.error("NCG.step", rule, actual, "Give each machine parameters of its own.")
    return found[0]


def _gradient(name: str, parameter: Tensor | None) -> Tensor | None:
    if parameter is None:
        return None
    return _like("NCG.step", f"{name}.grad", parameter.grad, parameter)


def _like(op: str, name: str, value: Any, parameter: Tensor) -> Tensor:
    """A tensor of the parameter's shape, dtype and device."""
    shape = tuple(parameter.shape)
    like = checks.tensor(op, name, value, parameter.dtype, shape, "of the parameter")
    checks.same_device(op, **{"the parameter": parameter, name: like})
    return like
