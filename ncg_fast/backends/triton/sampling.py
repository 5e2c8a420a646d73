"""Half steps and Gibbs sweeps, a tile of 64 chains and 32 units a program."""

from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ncg_fast.backends.numerics import (
    HIDDEN_STREAM,
    LEVELS,
    PANEL,
    VISIBLE_STREAM,
    WORD,
    digit_step,
)
from ncg_fast.backends.triton.launch import launch
from ncg_fast.backends.triton.numerics import bernoulli, mean_of, pack, round_even
from ncg_fast.backends.triton.packing import new_packed
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
    levels: tl.constexpr,
    result: tl.constexpr,
):
    """P(unit = 1 | states) as "mean", float32, or "levels"; or "x"; nothing once stop is set."""
    if stop is not None and tl.load(stop) != 0:
        return
    word, panel = tl.program_id(0).to(tl.int64) % n_words, tl.program_id(0).to(tl.int64) // n_words
    given = states, digits, bias, step_size, n_in, n_out, n_chains, n_words
    value = preactivation(*given, word, panel, n_digits, levels)
    if result != "x":
        value = mean_of(value)
    if result == "levels":
        value = round_even(value * 65535.0).to(tl.int32)
    chain = (word * 64 + tl.arange(0, 64))[:, None]
    unit = (panel * 32 + tl.arange(0, 32))[None, :]
    tl.store(mean + chain * n_out + unit, value, mask=(chain < n_chains) & (unit < n_out))


@triton.jit(
    do_not_specialize=["n_chains", "n_words", "beta_stride", "seed", "chain_offset", "step"]
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
    step: tl.int64,
    n_digits: tl.constexpr,
    levels: tl.constexpr,
    stream: tl.constexpr,
):
    """unit = [u (1 + exp(-beta x)) < 1], packed; clamped units keep their start.

    With ``base`` x is that of annealing: beta x + (1 - beta) base.
    """
    if stop is not None and tl.load(stop) != 0:
        return
    word, panel = tl.program_id(0).to(tl.int64) % n_words, tl.program_id(0).to(tl.int64) // n_words
    given = states, digits, bias, step_size, n_in, n_out, n_chains, n_words
    x = preactivation(*given, word, panel, n_digits, levels)
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
    on = bernoulli(x, seed, chain_offset + chain, panel, step, stream)
    words = pack(on & (chain < n_chains)[:, None])
    place = unit * n_words + word
    if clamped is not None:
        held = tl.load(clamped + place, mask=unit < n_out, other=0)
        words = words & ~held | tl.load(start + place, mask=unit < n_out, other=0) & held
    tl.store(sampled + place, words, mask=unit < n_out)


def is_levels(states: Tensor) -> bool:
    """Whether states are levels, not packed."""
    return states.dtype == torch.int32


def step_size(states: Tensor, digits: Tensor, weight_exponent: int) -> float:
    """The value of one unit of the digits' products with the states."""
    step = digit_step(weight_exponent, digits.shape[1])
    return step / LEVELS if is_levels(states) else step


def _n_stages(states: Tensor, x: Tensor | None = None) -> int:
    """Tiles in flight: levels, and x where it is kept, leave no registers for a second."""
    return 1 if is_levels(states) or x is not None else 3


def grid(n_out: int, n_chains: int) -> tuple[int, int]:
    """Numbers of tiles and of words."""
    n_words = triton.cdiv(n_chains, WORD)
    return triton.cdiv(n_out, PANEL) * n_words, n_words


def mean_(
    states: Tensor,
    digits: Tensor,
    bias: Tensor,
    weight_exponent: int,
    n_chains: int,
    mean: Tensor,
    result: str = "mean",
    stop: Tensor | None = None,
) -> Tensor:
    """P(unit = 1 | states) into ``mean``: as "mean", "levels", or the "x" that it comes from."""
    n_in = states.shape[1 if is_levels(states) else 0]
    n_tiles, n_words = grid(len(bias), n_chains)
    layer = states, digits, bias, stop, mean, step_size(states, digits, weight_exponent)
    kind = digits.shape[1], is_levels(states), result
    sizes = n_in, len(bias), n_chains, n_words
    launch(mean_kernel, n_tiles, *layer, *sizes, *kind, num_stages=_n_stages(states))
    return mean


def sample_(
    stream: int,
    sampled: Tensor,
    states: Tensor,
    digits: Tensor,
    bias: Tensor,
    weight_exponent: int,
    n_chains: int,
    seed: int,
    chain_offset: int,
    step: int,
    beta: Tensor | None,
    stop: Tensor | None = None,
    held: tuple[Tensor | None, Tensor | None] = (None, None),
    base: Tensor | None = None,
    x: Tensor | None = None,
) -> Tensor:
    """One half step into ``sampled``.

    beta: one a chain, or one for all; held: the start, and which of its bits stay; base: of
    annealing; x: takes the preactivations.
    """
    n_in = states.shape[1 if is_levels(states) else 0]
    n_tiles, n_words = grid(len(bias), n_chains)
    layer = states, digits, bias, beta, base, *held, stop, x, sampled
    sizes = step_size(states, digits, weight_exponent), n_in, len(bias), n_chains, n_words
    draw = 0 if beta is None or beta.dim() == 0 else 1, seed, chain_offset, step
    kind = digits.shape[1], is_levels(states), stream
    given = *layer, *sizes, *draw, *kind
    launch(sample_kernel, n_tiles, *given, num_stages=_n_stages(states, x))
    return sampled


def hidden_mean(
    visible: Tensor, to_hidden: Tensor, hidden_bias: Tensor, weight_exponent: int, n_chains: int
) -> Tensor:
    mean = hidden_bias.new_empty(n_chains, len(hidden_bias))
    layer = visible.contiguous(), to_hidden.contiguous(), hidden_bias.contiguous()
    return mean_(*layer, weight_exponent, n_chains, mean)


visible_mean = hidden_mean  # the same arithmetic with the other layout and bias


def _half_step(stream: int) -> Callable[..., Tensor]:
    def sample(
        states: Tensor,
        digits: Tensor,
        bias: Tensor,
        weight_exponent: int,
        n_chains: int,
        seed: int,
        chain_offset: int,
        step: int,
        beta: Tensor | None,
    ) -> Tensor:
        sampled = new_packed(states, len(bias), n_chains)
        layer = states.contiguous(), digits.contiguous(), bias.contiguous()
        betas = None if beta is None else beta.contiguous()
        draw: Any = seed, chain_offset, step, betas
        return sample_(stream, sampled, *layer, weight_exponent, n_chains, *draw)

    return sample


sample_hidden, sample_visible = _half_step(HIDDEN_STREAM), _half_step(VISIBLE_STREAM)


def sweeps_(
    last: Tensor,
    hidden: Tensor,
    visible: Tensor,
    to_hidden: Tensor,
    to_visible: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    weight_exponent: int,
    n_chains: int,
    n_steps: int,
    seed: int,
    chain_offset: int,
    step: int,
    beta: Tensor | None,
    clamped: Tensor | None,
    stop: Tensor | None = None,
) -> None:
    """n_steps sweeps into ``last``, which may be ``visible``, and ``hidden``."""
    up = to_hidden, hidden_bias, weight_exponent, n_chains, seed, chain_offset
    down = to_visible, visible_bias, weight_exponent, n_chains, seed, chain_offset
    held = (None, None) if clamped is None else (visible, clamped)
    states = visible
    for t in range(step, step + n_steps):
        sample_(HIDDEN_STREAM, hidden, states, *up, t, beta, stop)
        states = sample_(VISIBLE_STREAM, last, hidden, *down, t, beta, stop, held)


def gibbs_steps(
    visible: Tensor,
    to_hidden: Tensor,
    to_visible: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    weight_exponent: int,
    n_chains: int,
    n_steps: int,
    seed: int,
    chain_offset: int,
    step: int,
    beta: Tensor | None,
    clamped: Tensor | None,
) -> tuple[Tensor, Tensor]:
    model = (t.contiguous() for t in (to_hidden, to_visible, visible_bias, hidden_bias))
    last, hidden = (
        new_packed(visible, len(bias), n_chains) for bias in (visible_bias, hidden_bias)
    )
    betas, held = (None if t is None else t.contiguous() for t in (beta, clamped))
    draw = n_steps, seed, chain_offset, step, betas, held
    given: Any = visible.contiguous(), *model, weight_exponent, n_chains, *draw
    sweeps_(last, hidden, *given)
    return last, hidden
