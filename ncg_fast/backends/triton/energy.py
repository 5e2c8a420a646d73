"""Float64 sums: free energy and annealing, a chain a program, in one order."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ncg_fast.backends.formats import encoded, new_packed
from ncg_fast.backends.numerics import HIDDEN_STREAM, VISIBLE_STREAM
from ncg_fast.backends.records import Draw, Layer, Model
from ncg_fast.backends.triton.numerics import contiguous, launch
from ncg_fast.backends.triton.packing import kind_of, pack_states
from ncg_fast.backends.triton.sampling import mean_, sample_


@triton.jit
def softplus(x):
    """log(1 + exp(x)) in float64."""
    e = tl.exp(-tl.abs(x))
    one_plus = 1.0 + e  # the quotient makes up for its rounding, which matters where e is small
    exact = one_plus == 1.0
    log1p = tl.where(exact, e, tl.log(one_plus) * (e / tl.where(exact, 1.0, one_plus - 1.0)))
    return tl.where(x > 0.0, x, 0.0) + log1p


@triton.jit
def visible_term(visible, field, chain, n_visible, n_words, kind: tl.constexpr):
    """Sum of v_j times a float64 field, of one chain."""
    total = tl.zeros((256,), tl.float64)
    for first in range(0, n_visible, 256):
        unit = first + tl.arange(0, 256).to(tl.int64)
        inside = unit < n_visible
        if kind == "levels":
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
    kind: tl.constexpr,
):
    """F(v) = -b.v - sum_i softplus(x_i) of one chain."""
    chain = tl.program_id(0).to(tl.int64)
    term = visible_term(visible, field, chain, n_visible, n_words, kind)
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
    lift = visible_term(visible, field, chain, n_visible, n_words, "packed") * (beta - last)
    gain = softplus_term(x, chain, n_hidden, beta) - softplus_term(x, chain, n_hidden, last)
    tl.store(log_weights + chain, tl.load(log_weights + chain) + (lift + gain))


def free_energy(visible: Tensor, n_chains: int, layer: Layer, visible_bias: Tensor) -> Tensor:
    visible = encoded("free_energy", "visible", visible, pack_states).contiguous()
    n_hidden = len(layer.bias)
    x = layer.bias.new_empty(n_chains, n_hidden)
    mean_(x, visible, n_chains, contiguous(layer), "x")
    energy = x.new_empty(n_chains, dtype=torch.float64)
    launch(
        free_energy_kernel,
        n_chains,
        visible=visible,
        field=visible_bias.double(),
        x=x,
        energy=energy,
        n_visible=len(visible_bias),
        n_hidden=n_hidden,
        n_words=visible.shape[1],
        kind=kind_of(visible),
    )
    return energy


def anneal(
    visible: Tensor, n_chains: int, model: Model, base_bias: Tensor, betas: Tensor, draw: Draw
) -> tuple[Tensor, Tensor]:
    model, betas, base_bias = contiguous(model), betas.contiguous(), base_bias.contiguous()
    visible = visible.clone(memory_format=torch.contiguous_format)
    n_visible, n_hidden = len(model.visible_bias), len(model.hidden_bias)
    hidden = new_packed(visible, n_hidden, n_chains)
    x = model.hidden_bias.new_empty(n_chains, n_hidden)
    log_weights = betas.new_zeros(n_chains)
    field, ladder = model.visible_bias.double() - base_bias.double(), betas.float()
    for t in range(1, len(betas)):
        up = draw._replace(step=draw.step + t, beta=ladder[t])
        down = up._replace(unit_offset=0)
        layer = model.hidden_layer
        sample_(hidden, visible, n_chains, layer, up, HIDDEN_STREAM, preactivations=x)
        launch(
            log_weight_kernel,
            n_chains,
            visible=visible,
            field=field,
            x=x,
            betas=betas,
            log_weights=log_weights,
            n_visible=n_visible,
            n_hidden=n_hidden,
            n_words=visible.shape[1],
            t=t,
        )
        layer = model.visible_layer
        sample_(visible, hidden, n_chains, layer, down, VISIBLE_STREAM, base=base_bias)
    return visible, log_weights
