"""Float64 sums: free energy and annealing, a chain a program, in one order."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ncg_fast.backends.numerics import HIDDEN_STREAM, VISIBLE_STREAM
from ncg_fast.backends.triton.launch import launch
from ncg_fast.backends.triton.packing import new_packed
from ncg_fast.backends.triton.sampling import is_levels, mean_, sample_


@triton.jit
def softplus(x):
    """log(1 + exp(x)) in float64."""
    e = tl.exp(-tl.abs(x))
    one_plus = 1.0 + e  # the quotient makes up for its rounding, which matters where e is small
    exact = one_plus == 1.0
    log1p = tl.where(exact, e, tl.log(one_plus) * (e / tl.where(exact, 1.0, one_plus - 1.0)))
    return tl.where(x > 0.0, x, 0.0) + log1p


@triton.jit
def visible_term(visible, field, chain, n_visible, n_words, levels: tl.constexpr):
    """Sum of v_j times a float64 field, of one chain."""
    total = tl.zeros((256,), tl.float64)
    for first in range(0, n_visible, 256):
        unit = first + tl.arange(0, 256).to(tl.int64)
        inside = unit < n_visible
        if levels:
            v = tl.load(visible + chain * n_visible + unit, mask=inside, other=0)
            v = v.to(tl.float64) / 65535.0
        else:
            words = tl.load(visible + unit * n_words + chain // 64, mask=inside, other=0)
            v = (words >> chain % 64 & 1).to(tl.float64)
        total += v * tl.load(field + unit, mask=inside, other=0.0)
    return tl.sum(total, 0)


@triton.jit
def softplus_term(x, chain, n_hidden, beta):
    """Sum of softplus(beta x_i) of one chain."""
    total = tl.zeros((256,), tl.float64)
    for first in range(0, n_hidden, 256):
        unit = first + tl.arange(0, 256).to(tl.int64)
        inside = unit < n_hidden
        value = tl.load(x + chain * n_hidden + unit, mask=inside, other=0.0)
        total += tl.where(inside, softplus(value.to(tl.float64) * beta), 0.0)
    return tl.sum(total, 0)


@triton.jit(do_not_specialize=["n_words"])
def free_energy_kernel(
    visible,
    field,
    x,
    energy,
    n_visible: tl.int32,
    n_hidden: tl.int32,
    n_words: tl.int64,
    levels: tl.constexpr,
):
    """F(v) = -b.v - sum_i softplus(x_i) of one chain."""
    chain = tl.program_id(0).to(tl.int64)
    term = visible_term(visible, field, chain, n_visible, n_words, levels)
    tl.store(energy + chain, -term - softplus_term(x, chain, n_hidden, 1.0))


@triton.jit(do_not_specialize=["n_words", "t"])
def log_weight_kernel(
    visible,
    field,
    x,
    betas,
    log_weights,
    n_visible: tl.int32,
    n_hidden: tl.int32,
    n_words: tl.int64,
    t: tl.int64,
):
    """Adds log p_beta_t(v) - log p_beta_(t-1)(v) to one log-weight."""
    chain = tl.program_id(0).to(tl.int64)
    last, beta = tl.load(betas + t - 1), tl.load(betas + t)
    lift = visible_term(visible, field, chain, n_visible, n_words, False) * (beta - last)
    gain = softplus_term(x, chain, n_hidden, beta) - softplus_term(x, chain, n_hidden, last)
    tl.store(log_weights + chain, tl.load(log_weights + chain) + (lift + gain))


def free_energy(
    visible: Tensor,
    to_hidden: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    weight_exponent: int,
    n_chains: int,
) -> Tensor:
    n_visible, n_hidden, states = len(visible_bias), len(hidden_bias), visible.contiguous()
    x = hidden_bias.new_empty(n_chains, n_hidden)
    layer = states, to_hidden.contiguous(), hidden_bias.contiguous()
    mean_(*layer, weight_exponent, n_chains, x, "x")
    energy = x.new_empty(n_chains, dtype=torch.float64)
    sizes = n_visible, n_hidden, states.shape[1], is_levels(states)
    launch(free_energy_kernel, n_chains, states, visible_bias.double(), x, energy, *sizes)
    return energy


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
    seed: int,
    chain_offset: int,
    step: int,
) -> tuple[Tensor, Tensor]:
    visible, betas = visible.clone(memory_format=torch.contiguous_format), betas.contiguous()
    n_visible, n_hidden = len(visible_bias), len(hidden_bias)
    hidden = new_packed(visible, n_hidden, n_chains)
    x = hidden_bias.new_empty(n_chains, n_hidden)
    log_weights = betas.new_zeros(n_chains)
    field, base = visible_bias.double() - base_bias.double(), base_bias.contiguous()
    up = to_hidden.contiguous(), hidden_bias.contiguous(), weight_exponent, n_chains
    down = to_visible.contiguous(), visible_bias.contiguous(), weight_exponent, n_chains
    sizes, draw = (n_visible, n_hidden, visible.shape[1]), (seed, chain_offset)
    ladder = betas.float()
    for t in range(1, len(betas)):
        sweep = *draw, step + t, ladder[t]
        sample_(HIDDEN_STREAM, hidden, visible, *up, *sweep, x=x)
        sums = visible, field, x, betas, log_weights, *sizes
        launch(log_weight_kernel, n_chains, *sums, t)
        sample_(VISIBLE_STREAM, visible, hidden, *down, *sweep, base=base)
    return visible, log_weights
