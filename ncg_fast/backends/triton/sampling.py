"""Half steps and Gibbs sweeps, a tile of 64 chains and 32 units a program."""

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from ncg_fast.backends.formats import described, encoded, n_words, new_packed
from ncg_fast.backends.numerics import HIDDEN_STREAM, LEVELS, PANEL, VISIBLE_STREAM, digit_step
from ncg_fast.backends.records import Draw, Layer, Model
from ncg_fast.backends.triton.numerics import bernoulli, contiguous, launch, mean_of, round_even
from ncg_fast.backends.triton.packing import kind_of, pack, pack_states
from ncg_fast.backends.triton.preactivation import preactivation


@triton.jit(do_not_specialize=["n_chains", "n_words"])
def mean_kernel(
    states,
    digits,
    bias,
    stop,
    mean,
    step_size,
    n_in: tl.int32,
    n_out: tl.int32,
    n_chains: tl.int64,
    n_words: tl.int64,
    n_digits: tl.constexpr,
    kind: tl.constexpr,
    result: tl.constexpr,
):
    """P(unit = 1 | states) as "mean", float32, or "levels"; or "x"; nothing once stop is set."""
    if stop is not None and tl.load(stop) != 0:
        return
    word, panel = tl.program_id(0).to(tl.int64) % n_words, tl.program_id(0).to(tl.int64) // n_words
    given = states, digits, bias, step_size, n_in, n_out, n_chains, n_words
    value = preactivation(*given, word, panel, n_digits, kind)
    if result != "x":
        value = mean_of(value)
    if result == "levels":
        value = round_even(value * 65535.0).to(tl.int32)
    chain = (word * 64 + tl.arange(0, 64))[:, None]
    unit = (panel * 32 + tl.arange(0, 32))[None, :]
    tl.store(mean + chain * n_out + unit, value, mask=(chain < n_chains) & (unit < n_out))


@triton.jit(
    do_not_specialize=[
        "n_out",
        "n_chains",
        "n_words",
        "beta_stride",
        "seed",
        "chain_offset",
        "panel_offset",
        "step",
        "layer_stream",
    ],
    do_not_specialize_on_alignment=["beta"],
)
def sample_kernel(
    states,
    digits,
    bias,
    beta,
    base,
    start,
    clamped,
    stop,
    preactivations,
    sampled,
    step_size,
    n_in: tl.int32,
    n_out: tl.int32,
    n_chains: tl.int64,
    n_words: tl.int64,
    beta_stride: tl.int64,
    seed: tl.int64,
    chain_offset: tl.int64,
    panel_offset: tl.int64,
    step: tl.int64,
    layer_stream: tl.int32,
    n_digits: tl.constexpr,
    kind: tl.constexpr,
):
    """unit = [u (1 + exp(-beta x)) < 1], packed; clamped units keep their start.

    With ``base`` x is that of annealing: beta x + (1 - beta) base.
    """
    if stop is not None and tl.load(stop) != 0:
        return
    word, panel = tl.program_id(0).to(tl.int64) % n_words, tl.program_id(0).to(tl.int64) // n_words
    given = states, digits, bias, step_size, n_in, n_out, n_chains, n_words
    x = preactivation(*given, word, panel, n_digits, kind)
    chain, unit = word * 64 + tl.arange(0, 64), panel * 32 + tl.arange(0, 32)
    if preactivations is not None:
        inside = (chain[:, None] < n_chains) & (unit[None, :] < n_out)
        tl.store(preactivations + chain[:, None] * n_out + unit[None, :], x, mask=inside)
    if beta is not None:
        b = tl.load(beta + chain * beta_stride, mask=chain < n_chains, other=1.0)[:, None]
        if base is not None:
            rest = (1.0 - b) * tl.load(base + unit, mask=unit < n_out, other=0.0)[None, :]
            x = tl.fma(tl.broadcast_to(b, (64, 32)), x, rest)
        else:
            x = b * x
    on = bernoulli(x, seed, chain_offset + chain, panel_offset + panel, step, layer_stream)
    words = pack(on & (chain < n_chains)[:, None])
    place = unit * n_words + word
    if clamped is not None:
        held = tl.load(clamped + place, mask=unit < n_out, other=0)
        words = words & ~held | tl.load(start + place, mask=unit < n_out, other=0) & held
    tl.store(sampled + place, words, mask=unit < n_out)


def _launch_tiles(
    kernel: Any, states: Tensor, n_chains: int, layer: Layer, num_stages: int = 3, **others: Any
) -> None:
    """A program for each word of chains and panel of the layer's units."""
    kind, n_digits = kind_of(states), described(layer.digits).n_digits
    step, n_out, words = (
        digit_step(layer.weight_exponent, n_digits),
        len(layer.bias),
        n_words(n_chains),
    )
    launch(
        kernel,
        triton.cdiv(n_out, PANEL) * words,
        states=states,
        digits=layer.digits,
        bias=layer.bias,
        step_size=step / LEVELS if kind == "levels" else step,
        n_in=states.shape[1 if kind == "levels" else 0],
        n_out=n_out,
        n_chains=n_chains,
        n_words=words,
        n_digits=n_digits,
        kind=kind,
        num_stages=1 if kind == "levels" else num_stages,  # levels leave no registers for more
        **others,
    )


def mean_(
    out: Tensor,
    states: Tensor,
    n_chains: int,
    layer: Layer,
    result: str = "mean",
    stop: Tensor | None = None,
) -> None:
    """P(unit = 1 | states) into ``out``: as "mean", "levels", or the "x" that it comes from."""
    _launch_tiles(mean_kernel, states, n_chains, layer, mean=out, result=result, stop=stop)


def sample_(
    out: Tensor,
    states: Tensor,
    n_chains: int,
    layer: Layer,
    draw: Draw,
    stream: int,
    *,
    start: Tensor | None = None,
    clamped: Tensor | None = None,
    base: Tensor | None = None,
    preactivations: Tensor | None = None,
    stop: Tensor | None = None,
) -> None:
    """One half step into ``out``.

    Args:
        out: packed states of the layer.
        draw: beta holds one number a chain, or one for all.
        start, clamped: packed states of the layer, and which of their bits stay.
        base: the biases that annealing begins with.
        preactivations: takes x, (n_chains, n_out) float32.
        stop: where it is not 0, nothing is done.
    """
    _launch_tiles(
        sample_kernel,
        states,
        n_chains,
        layer,
        num_stages=3 if preactivations is None else 1,
        beta=draw.beta,
        base=base,
        start=start,
        clamped=clamped,
        stop=stop,
        preactivations=preactivations,
        sampled=out,
        beta_stride=0 if draw.beta is None or draw.beta.dim() == 0 else 1,
        seed=draw.seed,
        chain_offset=draw.chain_offset,
        panel_offset=draw.unit_offset // PANEL,
        step=draw.step,
        layer_stream=stream,
    )


def sweeps_(
    last: Tensor,
    hidden: Tensor,
    visible: Tensor,
    n_chains: int,
    model: Model,
    n_steps: int,
    draw: Draw,
    clamped: Tensor | None = None,
    stop: Tensor | None = None,
) -> None:
    """n_steps sweeps into ``last``, which may be ``visible``, and ``hidden``."""
    states, start = visible, None if clamped is None else visible
    for t in range(draw.step, draw.step + n_steps):
        up = draw._replace(step=t)
        down = up._replace(unit_offset=0)
        sample_(hidden, states, n_chains, model.hidden_layer, up, HIDDEN_STREAM, stop=stop)
        held: dict[str, Any] = {"start": start, "clamped": clamped, "stop": stop}
        sample_(last, hidden, n_chains, model.visible_layer, down, VISIBLE_STREAM, **held)
        states = last


def mean(states: Tensor, n_chains: int, layer: Layer) -> Tensor:
    states = encoded("mean", "states", states, pack_states)
    result = layer.bias.new_empty(n_chains, len(layer.bias))
    mean_(result, states.contiguous(), n_chains, contiguous(layer))
    return result


def sample(states: Tensor, n_chains: int, layer: Layer, draw: Draw, stream: int) -> Tensor:
    sampled = new_packed(states, len(layer.bias), n_chains)
    given = states.contiguous(), n_chains, contiguous(layer), contiguous(draw)
    sample_(sampled, *given, stream)
    return sampled


def gibbs_steps(
    visible: Tensor, n_chains: int, model: Model, n_steps: int, draw: Draw, clamped: Tensor | None
) -> tuple[Tensor, Tensor]:
    last = new_packed(visible, len(model.visible_bias), n_chains)
    hidden = new_packed(visible, len(model.hidden_bias), n_chains)
    held = None if clamped is None else clamped.contiguous()
    states, given = visible.contiguous(), (contiguous(model), n_steps, contiguous(draw))
    sweeps_(last, hidden, states, n_chains, *given, held)
    return last, hidden
