"""How a machine learns: the methods of ``RBM`` that compute gradients and take steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ncg_fast import checks, connectivity, ops, states
from ncg_fast.digits import TRAINING_DIGITS
from ncg_fast.numerics import to_levels

if TYPE_CHECKING:
    from ncg_fast.rbm import RBM


def _phases(
    rbm: RBM, op: str, visible: Tensor, n_steps: int, chains: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden levels and visible states of the data and of the model after n_steps sweeps."""
    data, n_rows = states.encode(op, "visible", visible, rbm.n_visible)
    checks.require(n_rows > 0, op, "visible must have at least one row", tuple(visible.shape))
    start, n_chains = data, n_rows
    if chains is not None:
        start, n_chains = states.encode(op, "chains", chains, rbm.n_visible)
        checks.require(n_chains > 0, op, "chains must have at least one row", tuple(chains.shape))
    checks.integer(op, "n_steps", n_steps, 1)
    model = rbm._model(TRAINING_DIGITS)
    last, _ = ops.gibbs_steps(start, *model, n_chains, n_steps, **rbm._draw())
    rbm._gibbs_step += n_steps
    to_hidden = rbm._to_hidden(TRAINING_DIGITS)
    positive = to_levels(ops.hidden_mean(data, *to_hidden, n_rows))
    negative = to_levels(ops.hidden_mean(last, *to_hidden, n_chains))
    return positive, data, negative, last


def contrastive_divergence(
    rbm: RBM, visible: Tensor, n_steps: int = 1, chains: Tensor | None = None
) -> Tensor:
    """Adds the CD-k or PCD-k gradient of -log p(v) to ``.grad`` of every parameter.

    With G = <h v>_data - <h v>_model and mean-field h: -A∘G for the weights, -W∘G for the
    strengths. Any optimiser of torch then takes a step; call ``update_mask_`` after it. Momentum or
    weight decay in the optimiser moves the weights of connections that are off, too; plain SGD
    leaves them bit for bit.

    Args:
        visible: data, as in ``forward``, at least one row.
        n_steps: sweeps k of the negative phase, at least 1. The estimate is biased for finite k.
        chains: persistent chains (n_chains, n_visible) to continue from (PCD), or None: from the
            data (CD).

    Returns:
        the chains' last visible states, 0/1, of the dtype of ``visible``: pass them on as
        ``chains`` for PCD.

    Raises:
        ValueError: as in ``forward``, no rows, or a wrong n_steps.
    """
    phases = _phases(rbm, "RBM.contrastive_divergence", visible, n_steps, chains)
    weight = None if rbm.connection_strength is None else rbm.weight.detach()
    _, by_weight, by_strength, *by_bias = ops.connection_gradient(
        *phases, weight=weight, mask=rbm.mask
    )
    if rbm.n_labels and weight is not None:
        by_strength[:, -rbm.n_labels :] = 0
    parameters = rbm.weight, rbm.connection_strength, rbm.visible_bias, rbm.hidden_bias
    for parameter, ascent in zip(parameters, (by_weight, by_strength, *by_bias), strict=True):
        if parameter is not None:
            parameter.grad = -ascent if parameter.grad is None else parameter.grad.sub_(ascent)
    return states.decode(phases[3], phases[2].shape[0], like=visible.view(-1, rbm.n_visible))


def connection_gradient(
    rbm: RBM, visible: Tensor, n_steps: int = 1, chains: Tensor | None = None
) -> Tensor:
    """dL/dA = W∘G for every pair of units, connected or not; sets no ``.grad``.

    L is the log-likelihood.

    Args:
        visible: as in ``contrastive_divergence``, as for n_steps and chains.
        n_steps: sweeps of the negative phase.
        chains: persistent chains, or None.

    Returns:
        float32 (n_hidden, n_visible).

    Raises:
        ValueError: as in ``contrastive_divergence``.
    """
    phases = _phases(rbm, "RBM.connection_gradient", visible, n_steps, chains)
    return ops.connection_gradient(*phases, weight=rbm.weight.detach())[2]


@torch.no_grad()
def update_mask_(rbm: RBM) -> tuple[int, int]:
    """Switches connections off where S < 1/2 and on where S > 1/2, then clips S to [0, 1].

    Returns:
        numbers of connections switched on and off.

    Raises:
        RuntimeError: the mask is fixed.
        ValueError: NaN or inf in the strengths.
    """
    strength = rbm.connection_strength
    if strength is None:
        raise RuntimeError(
            "RBM.update_mask_: needs connection strengths. Use RBM(learn_connections=True)."
        )
    checks.finite("RBM.update_mask_", connection_strength=strength)
    new = (strength > 0.5) | (rbm.mask & ~(strength < 0.5))
    if rbm.n_labels:
        new = connectivity.protect_labels(new, rbm.n_labels)
    on, off = int((new & ~rbm.mask).sum()), int((rbm.mask & ~new).sum())
    rbm.mask.copy_(new)
    strength.clamp_(0, 1)
    return on, off


def train_step_(
    rbm: RBM,
    visible: Tensor,
    n_steps: int = 1,
    *,
    lr: float,
    lr_strength: float = 0.0,
    chains: Tensor | None = None,
    n_chains: int | None = None,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    velocities: tuple[Tensor, Tensor, Tensor] | None = None,
    static: bool = False,
) -> tuple[int, int]:
    """One mini-batch of CD-k or PCD-k with the NCG update, in one call (``ops.train_step_``).

    Args:
        visible: data, as in ``forward``, at least one row.
        n_steps: sweeps of the negative phase.
        lr: rate of weights and biases.
        lr_strength: rate of the strengths.
        chains: packed states of n_chains persistent chains (``ops.pack_states``), written, or None
            for CD.
        n_chains: the number of persistent chains.
        momentum: in [0, 1].
        weight_decay: at least 0.
        velocities: momentum buffers like (weight, visible_bias, hidden_bias), written.
        static: leave mask and strengths as they are.

    Returns:
        numbers of connections switched on and off.

    Raises:
        ValueError: as in ``contrastive_divergence``, or a wrong rate.
        FloatingPointError: a weight became NaN or infinite.
    """
    rows, n_rows = states.encode("RBM.train_step_", "visible", visible, rbm.n_visible)
    return train_rows_(
        rbm,
        rows,
        n_rows,
        n_steps,
        velocities=velocities,
        static=static,
        lr=lr,
        lr_strength=lr_strength,
        chains=chains,
        n_chains=n_chains,
        momentum=momentum,
        weight_decay=weight_decay,
    )


def train_rows_(
    rbm: RBM,
    rows: Tensor,
    n_rows: int,
    n_steps: int,
    *,
    velocities: tuple[Tensor, Tensor, Tensor] | None,
    static: bool,
    checked: bool = True,
    **options: Any,
) -> tuple[int, int]:
    """``train_step_`` for rows already encoded; options are chains, n_chains and the rates.

    checked=False is for steps that follow a checked one with the same tensors and options: the
    checks take several times as long as the step of a small machine.
    """
    digits, exponent = rbm._digits.get(rbm, TRAINING_DIGITS)
    learned = None if static else rbm.connection_strength
    parameters = ops.Parameters(
        rbm.weight.detach(),
        None if learned is None else learned.detach(),
        rbm.mask,
        rbm.visible_bias.detach(),
        rbm.hidden_bias.detach(),
        *digits,
        *(velocities or (None, None, None)),
    )
    options |= {"n_rows": n_rows, "n_steps": n_steps, "weight_exponent": exponent}
    options |= {"n_labels": rbm.n_labels, **rbm._draw()}
    if checked:
        result = ops.train_step_(parameters, rows, **options)
    else:
        options["n_chains"] = options["n_chains"] or n_rows
        result = torch.ops.ncg_fast.train_step_(*parameters, rows, **options)
    rbm._gibbs_step += n_steps
    max_abs, on, off = result.tolist()
    rbm._digits.adopt(rbm, digits, exponent, max_abs)
    return int(on), int(off)
