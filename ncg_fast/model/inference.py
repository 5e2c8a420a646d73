"""What a machine computes of its units: the methods of ``RBM`` that infer and sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ncg_fast import checks, ops
from ncg_fast.backends.numerics import to_levels
from ncg_fast.model import units as states
from ncg_fast.model.digits import EVALUATION_DIGITS, TRAINING_DIGITS

if TYPE_CHECKING:
    from ncg_fast.model.rbm import RBM


def forward(rbm: RBM, visible: Tensor) -> Tensor:
    """P(h_i = 1 | v) = sigmoid(c_i + sum_j A_ij W_ij v_j).

    Args:
        visible: (n, n_visible) or (n_visible,); bool, uint8 or floating of 16 bits or more; 0/1, or
            probabilities in [0, 1].

    Returns:
        float32 (n, n_hidden) or (n_hidden,). Not differentiable: gradients come from contrastive
        divergence.

    Raises:
        ValueError: wrong shape, dtype or device, NaN, values outside [0, 1], NaN or inf in the
            parameters.

    Note:
        Deterministic, the same bits everywhere; weights rounded to 24 bits, visible probabilities
        to 16.

    Example:
        >>> rbm = RBM(6, 4, weight_scale=0.0)
        >>> rbm(torch.zeros(6))
        tensor([0.5000, 0.5000, 0.5000, 0.5000])
    """
    rows, n = states.encode("RBM.forward", "visible", visible, rbm.n_visible, rbm.weight)
    mean = ops.hidden_mean(rows, *rbm._to_hidden(EVALUATION_DIGITS), n)
    return mean if visible.dim() == 2 else mean[0]


def reconstruct(rbm: RBM, visible: Tensor) -> Tensor:
    """Mean-field reconstruction P(v | h = P(h | v)), with hidden means rounded to 16 bits.

    Args:
        visible: as in ``forward``.

    Returns:
        float32 of the shape of ``visible``.

    Raises:
        ValueError: as in ``forward``.

    Note:
        Deterministic, the same bits everywhere. No sample: the mean of the layer below the mean.

    Example:
        >>> rbm = RBM(3, 4, weight_scale=0.0)
        >>> rbm.reconstruct(torch.ones(3))
        tensor([0.5000, 0.5000, 0.5000])
    """
    rows, n = states.encode("RBM.reconstruct", "visible", visible, rbm.n_visible, rbm.weight)
    hidden = to_levels(ops.hidden_mean(rows, *rbm._to_hidden(EVALUATION_DIGITS), n))
    return ops.visible_mean(hidden, *rbm._to_visible(EVALUATION_DIGITS), n).view(visible.shape)


def free_energy(rbm: RBM, visible: Tensor) -> Tensor:
    """F(v) = -b.v - sum_i log(1 + exp(c_i + sum_j A_ij W_ij v_j)), so p(v) = exp(-F(v)) / Z.

    Args:
        visible: as in ``forward``.

    Returns:
        float64 (n,), or a scalar for one row, in nats.

    Raises:
        ValueError: as in ``forward``.

    Note:
        float64 sums: instruction sets agree to 1e-10 relative. Weights are rounded to 24 bits.

    Example:
        >>> rbm = RBM(6, 4, weight_scale=0.0)
        >>> rbm.free_energy(torch.zeros(6))  # -4 log 2
        tensor(-2.7726, dtype=torch.float64)
    """
    rows, n = states.encode("RBM.free_energy", "visible", visible, rbm.n_visible, rbm.weight)
    to_hidden, _, visible_bias, hidden_bias, exponent = rbm._model(EVALUATION_DIGITS)
    energy = ops.free_energy(rows, to_hidden, visible_bias, hidden_bias, exponent, n)
    return energy if visible.dim() == 2 else energy[0]


def energy(rbm: RBM, visible: Tensor, hidden: Tensor) -> Tensor:
    """E(v, h) = -h^T (W∘A) v - b^T v - c^T h.

    Args:
        visible: as in ``forward``.
        hidden: (n, n_hidden) or (n_hidden,), as ``visible``.

    Returns:
        float64 (n,), or a scalar for one row, in nats.

    Raises:
        ValueError: as in ``forward``, or unequal numbers of rows.

    Note:
        Deterministic by torch; of the float32 weights, not rounded further. Memory: a float64 copy
        of the weights.

    Example:
        >>> rbm = RBM(6, 4, weight_scale=0.0)
        >>> rbm.energy(torch.zeros(2, 6), torch.zeros(2, 4)).abs()
        tensor([0., 0.], dtype=torch.float64)
    """
    op = "RBM.energy"
    states.encode(op, "visible", visible, rbm.n_visible, rbm.weight)
    states.encode(op, "hidden", hidden, rbm.n_hidden, rbm.weight)
    rows = tuple(visible.shape[:-1]), tuple(hidden.shape[:-1])
    rule, remedy = "visible and hidden must have equally many rows", "Pass them in pairs."
    checks.require(rows[0] == rows[1], op, rule, f"{rows[0]} and {rows[1]}", remedy)
    weight = rbm.weight.detach()
    b, c = rbm.visible_bias.detach(), rbm.hidden_bias.detach()
    checks.finite(op, weight=weight, visible_bias=b, hidden_bias=c)
    v, h = visible.detach().double(), hidden.detach().double()
    pairs = ((h @ (weight.double() * rbm.mask)) * v).sum(-1)
    return -pairs - v @ b.double() - h @ c.double()


def sample_hidden(rbm: RBM, visible: Tensor) -> Tensor:
    """h ~ P(h | v), one half step; each call draws anew.

    Args:
        visible: as in ``forward``.

    Returns:
        0/1 states (n, n_hidden) or (n_hidden,), of the dtype of ``visible``.

    Raises:
        ValueError: as in ``forward``.

    Note:
        Deterministic by the machine's seed and the calls before, the same bits everywhere.

    Example:
        >>> RBM(6, 4, seed=0).sample_hidden(torch.zeros(2, 6)).shape
        torch.Size([2, 4])
    """
    rows, n = states.encode("RBM.sample_hidden", "visible", visible, rbm.n_visible, rbm.weight)
    hidden = ops.sample_hidden(rows, *rbm._to_hidden(TRAINING_DIGITS), n, **rbm._draw())
    rbm._gibbs_step += 1
    return states.decode(hidden, n, like=visible)


def sample_visible(rbm: RBM, hidden: Tensor) -> Tensor:
    """v ~ P(v | h), one half step; each call draws anew.

    Args:
        hidden: (n, n_hidden) or (n_hidden,), as ``visible`` in ``forward``.

    Returns:
        0/1 states (n, n_visible) or (n_visible,), of the dtype of ``hidden``.

    Raises:
        ValueError: as in ``forward``.

    Note:
        As ``sample_hidden``.

    Example:
        >>> RBM(6, 4, seed=0).sample_visible(torch.zeros(2, 4)).shape
        torch.Size([2, 6])
    """
    rows, n = states.encode("RBM.sample_visible", "hidden", hidden, rbm.n_hidden, rbm.weight)
    visible = ops.sample_visible(rows, *rbm._to_visible(TRAINING_DIGITS), n, **rbm._draw())
    rbm._gibbs_step += 1
    return states.decode(visible, n, like=hidden)


def gibbs_steps(
    rbm: RBM,
    visible: Tensor,
    n_steps: int = 1,
    *,
    beta: float | Tensor | None = None,
    clamp: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Full Gibbs sweeps h ~ P(h | v), v ~ P(v | h).

    Args:
        visible: as in ``forward``; the chains' start.
        n_steps: at least 1.
        beta: inverse temperature, finite; a number, or one a chain (n,).
        clamp: (n_visible,) or (n, n_visible) floating: 0 or 1 where a unit is held, NaN where it is
            free.

    Returns:
        (visible, hidden): the last visible states and the hidden states they were drawn from, 0/1,
        of the dtype of ``visible``.

    Raises:
        ValueError: as in ``forward``, or a wrong n_steps, beta or clamp.

    Note:
        As ``sample_hidden``; n calls of one sweep and one call of n draw the same.

    Example:
        >>> visible, hidden = RBM(6, 4, seed=0).gibbs_steps(torch.zeros(2, 6), 10)
        >>> visible.shape, hidden.shape
        (torch.Size([2, 6]), torch.Size([2, 4]))
    """
    op = "RBM.gibbs_steps"
    rows, n = states.encode(op, "visible", visible, rbm.n_visible, rbm.weight)
    held = None
    if clamp is not None:
        values, held = states.encode_clamp(op, clamp, n, rbm.n_visible)
        remedy = "Binarise it where units are clamped."
        rule = "visible must hold only 0 and 1 with a clamp"
        checks.require(rows.dtype == torch.int64, op, rule, "values in between", remedy)
        checks.same_device(op, visible=visible, clamp=clamp)
        rows = rows & ~held | values
    if beta is not None:
        beta = states.encode_beta(op, beta, n, like=rows)
    checks.integer(op, "n_steps", n_steps, 1, checks.MAX_SWEEPS)
    model = rbm._model(TRAINING_DIGITS)
    last, hidden = ops.gibbs_steps(rows, *model, n, n_steps, beta=beta, clamped=held, **rbm._draw())
    rbm._gibbs_step += n_steps
    return states.decode(last, n, like=visible), states.decode(hidden, n, like=visible)


def sample(
    rbm: RBM,
    n: int,
    n_steps: int = 1000,
    *,
    clamp: Tensor | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """Draws visible states by n_steps sweeps from a start.

    Args:
        n: number of chains, in [1, 2**31].
        n_steps: sweeps, at least 1.
        clamp: as in ``gibbs_steps``: conditional samples.
        start: (n, n_visible), as in ``forward``; None: independent units, sigmoid(b_j).

    Returns:
        0/1 states, uint8 (n, n_visible).

    Raises:
        ValueError: a wrong n, n_steps, clamp or start, NaN or inf in the parameters.

    Note:
        Deterministic by the machine's seed and the calls before. Samples are exact only as n_steps
        grows, and a machine with separate modes needs very many: start from data where that
        matters.

    Example:
        >>> RBM(6, 4).sample(3, n_steps=10).shape
        torch.Size([3, 6])
    """
    op = "RBM.sample"
    n = checks.integer(op, "n", n, 1, checks.MAX_CHAINS)
    n_steps = checks.integer(op, "n_steps", n_steps, 1, checks.MAX_SWEEPS)
    if start is None:
        off = torch.zeros(n, rbm.n_hidden, dtype=torch.uint8, device=rbm.weight.device)
        start = sample_visible(rbm, off)
    _, n_rows = states.encode(op, "start", start, rbm.n_visible)
    rule, remedy = f"start must have n = {n} rows", "Pass one row a chain."
    checks.require(n_rows == n, op, rule, n_rows, remedy)
    return gibbs_steps(rbm, start, n_steps, clamp=clamp)[0].to(torch.uint8)
