"""The ops of float64 sums: free energy and annealing; formats as in ``ncg_fast.ops``."""

from __future__ import annotations

import torch
from torch import Tensor

from ncg_fast import checks
from ncg_fast.backends.records import Draw, Layer, Model
from ncg_fast.ops import arguments
from ncg_fast.ops.registration import registered


def free_energy(
    visible: Tensor,
    to_hidden: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    weight_exponent: int,
    n_chains: int,
) -> Tensor:
    """F(v) = -b.v - sum_i log(1 + exp(c_i + sum_j A_ij W_ij v_j)).

    Args:
        visible: packed states, levels or rows of B = n_chains rows, as in ``hidden_mean``.
        to_hidden: digits from ``pack_weights``.
        visible_bias: (n_visible,) float32.
        hidden_bias: (n_hidden,) float32.
        weight_exponent: of the digits.
        n_chains: B.

    Returns:
        float64 (B,), nats.

    Raises:
        ValueError: wrong shape, dtype, device or range; rows with NaN or values outside [0, 1].
        RuntimeError: no back end serves the device.

    Note:
        Deterministic on one instruction set; instruction sets and devices agree to 1e-10 relative.

    Example:
        >>> from ncg_fast import ops
        >>> to_hidden, _ = ops.pack_weights(torch.zeros(2, 3), None, 3, 1)
        >>> visible = ops.pack_states(torch.ones(1, 3, dtype=torch.uint8))
        >>> ops.free_energy(visible, to_hidden, torch.ones(3), torch.zeros(2), 1, 1)  # -3 - 2 log 2
        tensor([-4.3863], dtype=torch.float64)
    """
    op, layer = "free_energy", Layer(to_hidden, hidden_bias, weight_exponent)
    n_visible = arguments.bias(op, "visible_bias", visible_bias).shape[0]
    arguments.states(op, "visible", visible, n_visible, n_chains, rows=True)
    layer = arguments.layer(op, "visible", visible, layer, n_chains, rows=True)
    checks.same_device(op, visible=visible, visible_bias=visible_bias)
    given = visible, n_chains, *layer, visible_bias.detach()
    return arguments.of_states(op, "visible", registered.free_energy, *given)


def anneal(
    visible: Tensor,
    to_hidden: Tensor,
    to_visible: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    base_bias: Tensor,
    betas: Tensor,
    weight_exponent: int,
    n_chains: int,
    *,
    seed: int,
    chain_offset: int = 0,
    step: int = 0,
    unit_offset: int = 0,
) -> tuple[Tensor, Tensor]:
    """Annealed importance sampling along a ladder of betas, up or down.

    p_beta(v) = exp((1 - beta) a.v + beta b.v) prod_i (1 + exp(beta x_i)); for each t the log-weight
    gains log p_beta_t(v) - log p_beta_(t-1)(v), then v makes one sweep at beta_t with the draws of
    number step + t.

    Args:
        visible: packed states of B = n_chains draws from p_beta_0; at beta_0 = 0 that is the base
            model sigmoid(a).
        to_hidden: digits from ``pack_weights``.
        to_visible: digits from ``pack_weights``.
        visible_bias: (n_visible,) float32, b.
        hidden_bias: (n_hidden,) float32.
        base_bias: (n_visible,) float32, a.
        betas: (T,) float64 in [0, 1], T at least 2, not decreasing or not increasing. The values
            are looked at on a CPU only.
        weight_exponent: of the digits.
        n_chains: B.
        seed: in [0, 2**63).
        chain_offset: global index of the first chain, in [0, 2**32).
        step: global number of the first sweep, in [0, 2**55].
        unit_offset: global index of the first hidden unit, a multiple of 32 in [0, 2**23).

    Returns:
        (packed states, log-weights float64 (B,)); mean exp(log-weights) estimates the ratio of the
        partition functions at the last and the first beta: Z / Z_base from 0 to 1.

    Raises:
        ValueError: wrong shape, dtype, device or range.
        RuntimeError: no back end serves the device.

    Note:
        The states are deterministic by seed, the same bits everywhere; the log-weights agree to
        1e-10 relative. Cost: a sweep a beta. mean exp(log-weights) is unbiased, its log is not. A
        ladder in pieces, each beginning with the last beta of the one before and its sweeps, step +
        T - 1, gives the states of one call; its log-weights add up.

    Example:
        >>> from ncg_fast import ops
        >>> digits = ops.pack_weights(torch.zeros(2, 3), None, 3, 1)
        >>> start = ops.pack_states(torch.zeros(4, 3, dtype=torch.uint8))
        >>> zeros, betas = torch.zeros(3), torch.linspace(0, 1, 5, dtype=torch.float64)
        >>> ops.anneal(start, *digits, zeros, torch.zeros(2), zeros, betas, 1, 4, seed=0)[1]
        tensor([0., 0., 0., 0.], dtype=torch.float64)

    Source: Salakhutdinov & Murray (ICML 2008); downward Burda, Grosse & Salakhutdinov (AISTATS
    2015).
    """
    op = "anneal"
    model = Model(to_hidden, to_visible, visible_bias, hidden_bias, weight_exponent)
    model = arguments.model(op, visible, model, n_chains)
    n_visible = visible_bias.shape[0]
    arguments.packed(op, "visible", visible, n_visible, n_chains)
    checks.tensor(op, "base_bias", base_bias, torch.float32, (n_visible,), "(n_visible,)")
    arguments.ladder(op, betas)
    checks.same_device(op, visible=visible, base_bias=base_bias, betas=betas)
    draw = Draw(seed, chain_offset, step, None, unit_offset)
    arguments.draw(op, draw, visible, n_chains)
    given = visible, n_chains, *model, base_bias.detach(), betas.detach()
    result: tuple[Tensor, Tensor] = registered.anneal(*given, *draw)
    return result
