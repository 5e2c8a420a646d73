"""The contract of numbers in plain integer torch: the truth that every back end equals bit for bit.

Every op of ``csrc/ops.h`` stands here once more (those of formats in ``formats.py``), slowly and
without cleverness. Sums of products
are exact integers (float64 matrix products of integers below 2**53), random numbers are
Philox4x32-10, and each float32 operation is one IEEE operation in a stated order. Only
``free_energy`` and the log-weights of ``anneal`` are float64 sums, which other back ends meet to
1e-10 relative.

The formats of states, levels and digits are those of ``ops.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ncg_fast.backends.formats import dense_digits, digits_count, fits, is_sparse, sparse_capacity
from ncg_fast.backends.formats import pack_states as pack_states
from ncg_fast.backends.formats import pack_weights as pack_weights
from ncg_fast.backends.formats import unpack_states as unpack_states
from ncg_fast.backends.numerics import (
    BLOCK,
    HIDDEN_STREAM,
    LEVELS,
    PANEL,
    VISIBLE_STREAM,
    bernoulli,
    digit_step,
    draws,
    f32,
    fma,
    one_plus_exp_neg,
    to_levels,
)

# --- half steps ---


def _as_levels(states: Tensor, n_chains: int) -> Tensor:
    """Packed states or levels -> integers (n_chains, n_units), float64: 0/1 or 0..65535."""
    return (unpack_states(states, n_chains) if states.dtype == torch.int64 else states).double()


def preactivation(
    states: Tensor, digits: Tensor, bias: Tensor, weight_exponent: int, n_chains: int
) -> Tensor:
    """x = bias + (W∘A) states, float32 (n_chains, n_out): exact digit sums, highest first."""
    panels, n_digits, blocks, _, _ = (digits := dense_digits(digits)).shape
    n_out = bias.shape[0]
    inputs = _as_levels(states, n_chains)
    rows = digits.permute(1, 0, 3, 2, 4).reshape(n_digits, panels * PANEL, blocks * BLOCK)
    rows = rows[:, :n_out, : inputs.shape[1]].double()

    def sums(plane: Tensor) -> list[Tensor]:
        return [plane @ digit.t() for digit in rows]

    step = digit_step(weight_exponent, n_digits)
    if states.dtype == torch.int64:
        terms = sums(inputs)
    else:  # two byte planes: the sum of place s is that of all digit d and plane s - d
        step /= LEVELS
        low, high = sums(inputs % 256), sums(torch.floor(inputs / 256))
        terms = [low[0], *(a + b for a, b in zip(low[1:], high, strict=False)), high[-1]]
    x = terms[-1].to(torch.int64).float()
    for term in reversed(terms[:-1]):
        x = fma(x, f32(256.0, bias), term.to(torch.int64).float())
    return fma(x, f32(step, bias), bias.expand_as(x))


def _mean(x: Tensor) -> Tensor:
    return 1 / one_plus_exp_neg(x)


def _sample(
    x: Tensor, beta: Tensor | None, seed: int, chain_offset: int, step: int, stream: int
) -> Tensor:
    if beta is not None:
        x = beta.view(-1, 1) * x
    n_chains, n_units = x.shape
    return bernoulli(x, *draws(n_chains, n_units, seed, chain_offset, step, stream))


def hidden_mean(
    visible: Tensor, to_hidden: Tensor, hidden_bias: Tensor, weight_exponent: int, n_chains: int
) -> Tensor:
    """P(h = 1 | v), float32 (n_chains, n_hidden)."""
    return _mean(preactivation(visible, to_hidden, hidden_bias, weight_exponent, n_chains))


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
        x = preactivation(states, digits, bias, weight_exponent, n_chains)
        return pack_states(_sample(x, beta, seed, chain_offset, step, stream))

    return sample


# h ~ P(h | v) and v ~ P(v | h) at inverse temperature beta, packed.
sample_hidden, sample_visible = _half_step(HIDDEN_STREAM), _half_step(VISIBLE_STREAM)


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
    """n_steps sweeps h ~ P(h|v), v ~ P(v|h); units whose bit is set in ``clamped`` stay."""
    hidden = torch.zeros(hidden_bias.shape[0], visible.shape[1], dtype=torch.int64)
    start = visible
    for t in range(step, step + n_steps):
        hidden = sample_hidden(
            visible, to_hidden, hidden_bias, weight_exponent, n_chains, seed, chain_offset, t, beta
        )
        visible = sample_visible(
            hidden, to_visible, visible_bias, weight_exponent, n_chains, seed, chain_offset, t, beta
        )
        if clamped is not None:
            visible = visible & ~clamped | start & clamped
    return visible.clone(), hidden


# --- gradients and the update ---


def _phase(
    data: Tensor, model: Tensor, data_scale: float, model_scale: float, equal: bool
) -> Tensor:
    """One difference and one scale where rows and chains are equally many, else two of each."""
    scale = f32(data_scale, data)
    if equal:
        return (data - model).to(torch.int64).float() * scale
    data, model = data.to(torch.int64).float(), model.to(torch.int64).float()
    return data * scale - model * f32(model_scale, data)


def phase_differences(
    hidden_data: Tensor, visible_data: Tensor, hidden_model: Tensor, visible_model: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """<h v>, <v>, <h> of data minus model; hidden as levels, visible packed or levels."""
    n_rows, n_chains = hidden_data.shape[0], hidden_model.shape[0]
    unit = 1 if visible_data.dtype == torch.int64 else LEVELS  # what a visible 1 counts
    h_data, h_model = hidden_data.double(), hidden_model.double()
    v_data, v_model = _as_levels(visible_data, n_rows), _as_levels(visible_model, n_chains) * unit
    equal = n_rows == n_chains

    def difference(data: Tensor, model: Tensor, one: int) -> Tensor:
        return _phase(data, model, 1 / (one * n_rows), 1 / (one * n_chains), equal)

    g = difference(h_data.t() @ v_data, h_model.t() @ v_model, LEVELS * unit)
    g_visible = difference(v_data.sum(0), v_model.sum(0), unit)
    g_hidden = difference(h_data.sum(0), h_model.sum(0), LEVELS)
    return g, g_visible, g_hidden


def connection_gradient(
    hidden_data: Tensor,
    visible_data: Tensor,
    hidden_model: Tensor,
    visible_model: Tensor,
    weight: Tensor | None,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """(G, A∘G, W∘G, visible, hidden bias gradients); empty where mask or weight is None."""
    g, g_visible, g_hidden = phase_differences(
        hidden_data, visible_data, hidden_model, visible_model
    )
    empty = g.new_empty(0)
    masked = empty if mask is None else torch.where(mask, g, f32(0.0, g))
    return g, masked, empty if weight is None else weight * g, g_visible, g_hidden


def ncg_update_(
    weight: Tensor,
    connection_strength: Tensor | None,
    mask: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    to_hidden: Tensor,
    to_visible: Tensor,
    weight_velocity: Tensor | None,
    visible_velocity: Tensor | None,
    hidden_velocity: Tensor | None,
    hidden_data: Tensor,
    visible_data: Tensor,
    hidden_model: Tensor,
    visible_model: Tensor,
    weight_exponent: int,
    n_labels: int,
    lr: float,
    lr_strength: float,
    momentum: float,
    weight_decay: float,
) -> Tensor:
    """One NCG step in place: returns max |W|, connections switched on, and off, in float64."""
    g, g_visible, g_hidden = phase_differences(
        hidden_data, visible_data, hidden_model, visible_model
    )
    zero, lr_ = f32(0.0, weight), f32(lr, weight)
    old_weight, old_mask, nan = weight.clone(), mask.clone(), weight.new_empty(0)

    decay = fma(f32(-weight_decay, weight), old_weight, g) if weight_decay else g
    step = torch.where(old_mask, decay, zero)
    steps = [step, g_visible, g_hidden]
    if weight_velocity is not None and visible_velocity is not None and hidden_velocity is not None:
        velocities = [weight_velocity, visible_velocity, hidden_velocity]
        for velocity, direction in zip(velocities, steps, strict=True):
            velocity.copy_(fma(f32(momentum, weight), velocity, direction))
        weight_velocity.copy_(torch.where(old_mask, weight_velocity, zero))
        steps = velocities
    moved = torch.where(old_mask, fma(lr_, steps[0], old_weight), old_weight)
    weight.copy_(moved)
    visible_bias.copy_(fma(lr_, steps[1], visible_bias))
    hidden_bias.copy_(fma(lr_, steps[2], hidden_bias))

    if connection_strength is not None:
        learned = slice(0, weight.shape[1] - n_labels)  # label connections have no strength
        s = fma(
            f32(lr_strength, weight), (old_weight * g)[:, learned], connection_strength[:, learned]
        )
        nan = s[torch.isnan(s)]
        mask[:, learned] = (s > 0.5) | (mask[:, learned] & ~(s < 0.5))
        s = torch.where(s < 0, zero, s)
        connection_strength[:, learned] = torch.where(s > 1, f32(1.0, weight), s)

    capacity = sparse_capacity(to_hidden) if is_sparse(to_hidden) else None
    new = pack_weights(weight, mask, digits_count(to_hidden), weight_exponent, capacity)
    to_hidden.copy_(new[0])
    to_visible.copy_(new[1])
    largest = _largest(weight, visible_bias, hidden_bias, nan).double()
    switched = (mask & ~old_mask).sum(), (old_mask & ~mask).sum()
    return torch.stack([largest, *(count.double() for count in switched)])


def _largest(weight: Tensor, *others: Tensor) -> Tensor:
    """max |W|; NaN or infinite where another value is (as integers NaN > inf > finite)."""
    weight_bits, *other_bits = (
        t.view(torch.int32).flatten() & 0x7FFFFFFF for t in (weight, *others)
    )
    bad = (bits[bits >= 0x7F800000] for bits in other_bits)
    return torch.cat([weight_bits.new_zeros(1), weight_bits, *bad]).max().view(torch.float32)


def train_step_(*arguments: Any) -> Tensor:
    """One mini-batch: positive phase, sweeps from data or chains, negative phase, update.

    Arguments: the ten tensors of ``ncg_update_``, visible_data, chains, n_rows, n_chains, n_steps,
    weight_exponent, n_labels, the four rates, seed, step.
    """
    parameters, (visible_data, chains, n_rows, n_chains) = arguments[:10], arguments[10:14]
    n_steps, weight_exponent, n_labels, *rates, seed, step = arguments[14:]
    _, _, _, visible_bias, hidden_bias, to_hidden, to_visible = parameters[:7]

    def levels(visible: Tensor, count: int) -> Tensor:
        return to_levels(hidden_mean(visible, to_hidden, hidden_bias, weight_exponent, count))

    model = (to_hidden, to_visible, visible_bias, hidden_bias, weight_exponent)
    start = visible_data if chains is None else chains
    visible_model, _ = gibbs_steps(start, *model, n_chains, n_steps, seed, 0, step, None, None)
    if chains is not None:
        chains.copy_(visible_model)
    hidden_data, hidden_model = levels(visible_data, n_rows), levels(visible_model, n_chains)
    states = hidden_data, visible_data, hidden_model, visible_model
    given = *parameters, *states, weight_exponent, n_labels, *rates
    return ncg_update_(*given)


def train_steps_(*arguments: Any) -> Tensor:
    """Batches of n_rows, one ``train_step_`` each, until max |W| leaves [least, most].

    Or until sparse digits lack the room for the connections.

    Arguments as in ``train_step_``, visible_data with a first axis of batches; then least, most.
    """
    parameters, batches = arguments[:10], arguments[10]
    chains_and_counts, options = arguments[11:15], arguments[15:-3]
    (step, least, most), n_steps = arguments[-3:], arguments[14]
    switched, max_abs, done = torch.zeros(2, dtype=torch.float64), 0.0, 0
    for batch in batches:
        given = *parameters, batch, *chains_and_counts, *options, step + done * n_steps
        found = train_step_(*given)
        done += 1
        max_abs, switched = float(found[0]), switched + found[1:]
        if not (least <= max_abs <= most and fits(parameters[5])):
            break
    return torch.tensor([max_abs, *switched, done], dtype=torch.float64)


# --- float64 sums ---


def free_energy(
    visible: Tensor,
    to_hidden: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    weight_exponent: int,
    n_chains: int,
) -> Tensor:
    """F(v) = -b.v - sum_i softplus(x_i), float64 (n_chains,)."""
    x = preactivation(visible, to_hidden, hidden_bias, weight_exponent, n_chains).double()
    states = _as_levels(visible, n_chains) / (1 if visible.dtype == torch.int64 else LEVELS)
    return -(states @ visible_bias.double()) - _softplus(x).sum(1)


def _softplus(x: Tensor) -> Tensor:
    return x.clamp(min=0) + torch.log1p(torch.exp(-x.abs()))


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
    """AIS along p_beta(v) = exp((1-beta) a.v + beta b.v + sum_i softplus(beta x_i)).

    a is the bias of the base rates. For t = 1..T-1 with betas[0] = 0, betas[T-1] = 1: add log
    p_beta_t(v) - log p_beta_(t-1)(v) to the log-weights, then one sweep at beta_t with step counter
    ``step + t``. Returns the last packed states and the log-weights, float64 (n_chains,).
    """
    log_weights = torch.zeros(n_chains, dtype=torch.float64)
    lift = visible_bias.double() - base_bias.double()
    for t in range(1, betas.shape[0]):
        last, beta = betas[t - 1], betas[t]
        x = preactivation(visible, to_hidden, hidden_bias, weight_exponent, n_chains)
        states = unpack_states(visible, n_chains).double()
        gain = _softplus(beta * x.double()) - _softplus(last * x.double())
        log_weights += (beta - last) * (states @ lift) + gain.sum(1)
        b32 = beta.float()
        hidden = pack_states(
            _sample(b32.expand(n_chains)[:, None] * x, None, seed, chain_offset, step + t, 0)
        )
        z = preactivation(hidden, to_visible, visible_bias, weight_exponent, n_chains)
        base = ((1 - b32) * base_bias).expand_as(z)
        v = fma(b32.expand_as(z), z, base)
        visible = pack_states(_sample(v, None, seed, chain_offset, step + t, VISIBLE_STREAM))
    return visible.clone(), log_weights
