"""The ops of float64 sums: free energy and annealing; formats as in ``ops.py``."""

from __future__ import annotations

import torch
from torch import Tensor

from ncg_fast import _library as _library  # registers torch.ops.ncg_fast
from ncg_fast import checks


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
        visible: packed states, or levels, of B = n_chains rows.
        to_hidden: digits from ``pack_weights``.
        visible_bias: (n_visible,) float32.
        hidden_bias: (n_hidden,) float32.
        weight_exponent: of the digits.
        n_chains: B.

    Returns:
        float64 (B,); back ends agree to 1e-10 relative.

    Raises:
        ValueError: wrong shape, dtype, device or range.
    """
    op = "free_energy"
    n_visible = visible_bias.shape[0]
    layer = ("visible", visible), ("to_hidden", to_hidden), ("hidden_bias", hidden_bias)
    checks.layer_argument(op, *layer, n_visible, n_chains, weight_exponent)
    checks.tensor(op, "visible_bias", visible_bias, torch.float32, (n_visible,), "(n_visible,)")
    biases = visible_bias.detach(), hidden_bias.detach()
    result: Tensor = torch.ops.ncg_fast.free_energy(
        visible, to_hidden, *biases, weight_exponent, n_chains
    )
    return result


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
) -> tuple[Tensor, Tensor]:
    """Annealed importance sampling along a ladder of betas (Salakhutdinov & Murray 2008).

    p_beta(v) = exp((1 - beta) a.v + beta b.v) prod_i (1 + exp(beta x_i)); for each t the log-weight
    gains log p_beta_t(v) - log p_beta_(t-1)(v), then v makes one sweep at beta_t with the draws of
    number step + t.

    Args:
        visible: packed states of B = n_chains draws from the base model sigmoid(a).
        to_hidden: digits from ``pack_weights``.
        to_visible: digits from ``pack_weights``.
        visible_bias: (n_visible,) float32, b.
        hidden_bias: (n_hidden,) float32.
        base_bias: (n_visible,) float32, a.
        betas: (T,) float64, from 0 to 1, not decreasing.
        weight_exponent: of the digits.
        n_chains: B.
        seed: in [0, 2**63).
        chain_offset: global index of the first chain.
        step: global number of the first sweep.

    Returns:
        (packed states, log-weights float64 (B,)); log Z = log Z_base + log mean exp(log-weights).

    Raises:
        ValueError: wrong shape, dtype, device or range.
    """
    op = "anneal"
    n_visible = visible_bias.shape[0]
    checks.packed_argument(op, "visible", visible, n_visible, n_chains)
    model = to_hidden, to_visible, visible_bias, hidden_bias, weight_exponent, n_chains
    checks.model_argument(op, visible, *model)
    checks.tensor(op, "base_bias", base_bias, torch.float32, (n_visible,), "(n_visible,)")
    checks.ladder_argument(op, betas)
    checks.draw_argument(op, seed, chain_offset, step, None, n_chains)
    result: tuple[Tensor, Tensor] = torch.ops.ncg_fast.anneal(
        visible,
        to_hidden,
        to_visible,
        visible_bias.detach(),
        hidden_bias.detach(),
        base_bias,
        betas,
        weight_exponent,
        n_chains,
        seed,
        chain_offset,
        step,
    )
    return result
