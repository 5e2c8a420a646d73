"""How a machine learns: the methods of ``RBM`` that compute gradients and take steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ncg_fast import checks, connectivity, ops
from ncg_fast.backends.numerics import exponent_range, to_levels
from ncg_fast.model import units as states
from ncg_fast.model.digits import TRAINING_DIGITS
from ncg_fast.ops import arguments as op_checks

if TYPE_CHECKING:
    from ncg_fast.model.rbm import RBM


def _phases(
    rbm: RBM, op: str, visible: Tensor, n_steps: int, chains: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden levels and visible states of the data and of the model after n_steps sweeps."""
    data, n_rows = _encode(rbm, op, "visible", visible)
    start, n_chains = (data, n_rows) if chains is None else _encode(rbm, op, "chains", chains)
    checks.integer(op, "n_steps", n_steps, 1, checks.MAX_SWEEPS)
    model = rbm._model(TRAINING_DIGITS)
    last, _ = ops.gibbs_steps(start, *model, n_chains, n_steps, **rbm._draw())
    rbm._gibbs_step += n_steps
    to_hidden = rbm._to_hidden(TRAINING_DIGITS)
    positive = to_levels(ops.hidden_mean(data, *to_hidden, n_rows))
    negative = to_levels(ops.hidden_mean(last, *to_hidden, n_chains))
    return positive, data, negative, last


def _encode(rbm: RBM, op: str, name: str, visible: Tensor) -> tuple[Tensor, int]:
    """Visible states, at least one row, in a format of the ops, and their number."""
    rows, n = states.encode(op, name, visible, rbm.n_visible, rbm.weight)
    remedy = "Leave out empty batches."
    checks.require(n > 0, op, f"{name} must have at least one row", tuple(visible.shape), remedy)
    return rows, n


def contrastive_divergence(
    rbm: RBM, visible: Tensor, n_steps: int = 1, chains: Tensor | None = None
) -> Tensor:
    """Adds the CD-k or PCD-k gradient of -log p(v) to ``.grad`` of the parameters.

    With G = <h v>_data - <h v>_model and mean-field h: -A∘G for the weights, -W∘G for the
    strengths. Parameters with ``requires_grad_(False)`` are left out. Any optimiser of torch then
    takes a step; call ``update_mask_`` after it. Momentum or weight decay in the optimiser moves
    the weights of connections that are off, too; plain SGD leaves them bit for bit.

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

    Note:
        Deterministic by the machine's seed and the calls before. CD-k is biased for finite k, PCD-k
        as long as the chains lag behind the weights.

    Example:
        >>> from ncg_fast import RBM
        >>> rbm = RBM(6, 4, seed=0)
        >>> optimizer = torch.optim.SGD(
        ...     [
        ...         {"params": [rbm.weight, rbm.visible_bias, rbm.hidden_bias], "lr": 0.1},
        ...         {"params": [rbm.connection_strength], "lr": 0.5},
        ...     ]
        ... )
        >>> _ = rbm.contrastive_divergence(torch.eye(6), n_steps=2)
        >>> optimizer.step()
        >>> n_on, n_off = rbm.update_mask_()
    """
    phases = _phases(rbm, "RBM.contrastive_divergence", visible, n_steps, chains)
    strength = rbm.connection_strength
    learned = strength is not None and strength.requires_grad
    weight = rbm.weight.detach() if learned else None
    _, by_weight, by_strength, *by_bias = ops.connection_gradient(
        *phases, weight=weight, mask=rbm.mask
    )
    if rbm.n_labels and weight is not None:
        by_strength[:, -rbm.n_labels :] = 0
    parameters = rbm.weight, rbm.connection_strength, rbm.visible_bias, rbm.hidden_bias
    for parameter, ascent in zip(parameters, (by_weight, by_strength, *by_bias), strict=True):
        if parameter is not None and parameter.requires_grad:
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

    Note:
        As ``contrastive_divergence``: deterministic, biased for finite n_steps.

    Example:
        >>> from ncg_fast import RBM
        >>> RBM(6, 4, seed=0).connection_gradient(torch.eye(6)).shape
        torch.Size([4, 6])
    """
    phases = _phases(rbm, "RBM.connection_gradient", visible, n_steps, chains)
    return ops.connection_gradient(*phases, weight=rbm.weight.detach())[2]


@torch.no_grad()
def update_mask_(rbm: RBM) -> tuple[int, int]:
    """Switches connections off where S < 1/2 and on where S > 1/2, then clips S to [0, 1].

    Returns:
        numbers of connections switched on and off.

    Raises:
        ValueError: the mask is fixed; NaN or inf in the strengths.

    Note:
        Deterministic. S = 1/2 leaves a connection as it is. Label connections stay on.

    Example:
        >>> from ncg_fast import RBM
        >>> rbm = RBM(3, 2, density=1.0, seed=0)
        >>> with torch.no_grad():
        ...     _ = rbm.connection_strength.fill_(0.25)
        >>> rbm.update_mask_()
        (0, 6)
    """
    strength = rbm.connection_strength
    if strength is None:
        rule, remedy = "rbm must have connection strengths", "Use RBM(learn_connections=True)."
        raise ValueError(f"RBM.update_mask_: {rule}, got a fixed mask. {remedy}")
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
        ValueError: as in ``contrastive_divergence``; a wrong rate, chains or velocities; weights or
            biases with ``requires_grad_(False)``.
        FloatingPointError: a parameter is NaN or infinite after the step.

    Note:
        Deterministic by the machine's seed and the calls before, the same bits everywhere.
        Strengths with ``requires_grad_(False)`` stay, and the mask with them.

    Example:
        >>> from ncg_fast import RBM
        >>> rbm = RBM(6, 4, density=0.5, seed=0)
        >>> n_on, n_off = rbm.train_step_(torch.eye(6), lr=0.1, lr_strength=0.5)
    """
    op = "RBM.train_step_"
    rows, n_rows = _encode(rbm, op, "visible", visible)
    checks.integer(op, "n_steps", n_steps, 1, checks.MAX_SWEEPS)
    n_chains = op_checks.chain_arguments(op, chains, n_chains, rbm.n_visible, n_rows)
    rates = op_checks.rate_arguments(op, lr, lr_strength, momentum, weight_decay)
    if velocities is not None:
        sound = isinstance(velocities, tuple | list) and len(velocities) == 3
        rule, remedy = "velocities must be three tensors", "Pass zeros like the parameters."
        checks.require(sound, op, rule, type(velocities).__name__, remedy)
    op_checks.velocity_argument(op, momentum, None if velocities is None else velocities[0])
    check_trainable(op, rbm)
    names = "lr", "lr_strength", "momentum", "weight_decay"
    options: dict[str, Any] = dict(zip(names, rates, strict=True))
    return train_batches_(
        rbm,
        rows.unsqueeze(0),
        n_rows,
        n_steps,
        velocities=velocities,
        static=static,
        chains=chains,
        n_chains=n_chains,
        **options,
    )


def check_trainable(op: str, rbm: RBM) -> None:
    """Weights and biases that may be trained: one step updates all of them."""
    for name in ("weight", "visible_bias", "hidden_bias"):
        rule = f"{name} must require gradients, for a step updates weights and biases"
        remedy = "Use .requires_grad_(), or contrastive_divergence with an optimizer."
        trainable = getattr(rbm, name).requires_grad
        checks.require(trainable, op, rule, "requires_grad=False", remedy)


def train_batches_(
    rbm: RBM,
    batches: Tensor,
    n_rows: int,
    n_steps: int,
    *,
    velocities: tuple[Tensor, Tensor, Tensor] | None,
    static: bool,
    checked: bool = True,
    **options: Any,
) -> tuple[int, int]:
    """``ops.train_steps_`` for encoded batches of n_rows; options are chains, n_chains, the rates.

    checked=False is for batches that follow checked ones with the same tensors and options: the
    checks take several times as long as the step of a small machine.
    """
    strength = rbm.connection_strength
    learned = strength is not None and strength.requires_grad and not static
    n_done = n_on = n_off = 0
    while n_done < len(batches):
        digits, exponent = rbm._digits.get(rbm, TRAINING_DIGITS)
        parameters = ops.Parameters(
            rbm.weight.detach(),
            strength.detach() if learned and strength is not None else None,
            rbm.mask,
            rbm.visible_bias.detach(),
            rbm.hidden_bias.detach(),
            *digits,
            *(velocities or (None, None, None)),
        )
        least, most = exponent_range(exponent)
        given = {**options, "n_rows": n_rows, "n_steps": n_steps, "weight_exponent": exponent}
        given |= {"n_labels": rbm.n_labels, **rbm._draw(), "least": least, "most": most}
        left = batches[n_done:]
        if checked:
            result = ops.train_steps_(parameters, left, **given)
        else:
            given["n_chains"] = given["n_chains"] or n_rows
            result = torch.ops.ncg_fast.train_steps_(*parameters, left, **given)
        max_abs, on, off, done = result.tolist()
        rbm._gibbs_step += n_steps * int(done)
        rbm._digits.adopt(rbm, digits, exponent, max_abs, int(on - off))
        n_done, n_on, n_off = n_done + int(done), n_on + int(on), n_off + int(off)
    return n_on, n_off
