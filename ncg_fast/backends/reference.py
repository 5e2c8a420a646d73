"""The contract of numbers in plain integer torch: the truth that every back end equals bit for bit.

Every op of ``csrc/ops.h`` stands here once more (those of formats in ``formats.py``), slowly and
plainly. Sums of products are exact integers (float64 matrix products of integers below 2**53),
random numbers are Philox4x32-10, and each float32 operation is one IEEE operation in a stated
order. Only ``free_energy`` and the log-weights of ``anneal`` are float64 sums, which other back
ends meet to 1e-10 relative.

The formats of states, levels and digits are those of ``ncg_fast.ops``; the records of arguments
stand in ``records.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ncg_fast.backends.formats import (
    StateFormat,
    described,
    encoded,
    fits,
    integers,
    state_format,
)
from ncg_fast.backends.formats import pack_states as pack_states
from ncg_fast.backends.formats import pack_weights as pack_weights
from ncg_fast.backends.formats import unpack_states as unpack_states
from ncg_fast.backends.numerics import (
    CHUNK,
    HIDDEN_STREAM,
    LEVELS,
    OFFSET_RATE,
    VISIBLE_STREAM,
    bernoulli,
    bias_terms,
    digit_step,
    draws,
    f32,
    fma,
    from_bias_terms,
    mixed32,
    mixed64,
    one_plus_exp_neg,
    split_digits,
    to_levels,
)
from ncg_fast.backends.records import (
    Batch,
    Draw,
    Gradients,
    Layer,
    Model,
    Offsets,
    Parameters,
    Phases,
    PhaseSums,
    Rates,
)

_EXACT_ROWS = 1 << 20  # sums over so many rows stay below 2**53


def _as_integers(states: Tensor, n_chains: int) -> Tensor:
    """Packed states or levels -> integers (n_chains, n_units), float64: 0/1 or 0..65535."""
    packed = state_format(states) is StateFormat.PACKED
    return (unpack_states(states, n_chains) if packed else states).double()


def scan_weights(weight: Tensor, mask: Tensor) -> Tensor:
    """max |W∘A| as int32 bits, connections that are on, and a fingerprint; int64 (4,).

    The fingerprint, of W∘A and A, is explained in ``csrc/common/fingerprint.h``.
    """
    bits, off = weight.contiguous().view(torch.int32), 0xFFFFFFFF
    largest = torch.where(mask, bits & 0x7FFFFFFF, 0).amax() if bits.numel() else torch.tensor(0)

    n_chunks = -(-bits.numel() // CHUNK)
    words = torch.full((n_chunks, CHUNK), off)
    words.view(-1)[: bits.numel()] = torch.where(mask, bits.to(torch.int64) & off, off).flatten()
    keyed = words + mixed32(torch.arange(CHUNK) + 1) & off
    products = (keyed[:, ::2] * keyed[:, 1::2]).sum(1)
    pairs = (words[:, ::2] | words[:, 1::2] << 32).sum(1)
    golden = 0x9E3779B97F4A7C15 - (1 << 64)
    first = mixed64(products + (torch.arange(n_chunks) + 1) * golden)
    second = mixed64(pairs + first)
    return torch.stack([largest.to(torch.int64), mask.sum(), first.sum(), second.sum()])


def preactivation(states: Tensor, layer: Layer, n_chains: int) -> Tensor:
    """x = bias + (W∘A) states, float32 (n_chains, n_out): exact digit sums, highest first."""
    inputs = _as_integers(states, n_chains)
    n_digits = described(layer.digits).n_digits
    q = integers(layer.digits, layer.bias.shape[0], inputs.shape[1])
    rows = [digit.double() for digit in split_digits(q, n_digits)]

    def sums(plane: Tensor) -> list[Tensor]:
        return [plane @ digit.t() for digit in rows]

    step = digit_step(layer.weight_exponent, n_digits)
    if state_format(states) is StateFormat.PACKED:
        terms = sums(inputs)
    else:  # two byte planes: the sum of place s is that of all digit d and plane s - d
        step /= LEVELS
        low, high = sums(inputs % 256), sums(torch.floor(inputs / 256))
        terms = [low[0], *(a + b for a, b in zip(low[1:], high, strict=False)), high[-1]]
    x = terms[-1].to(torch.int64).float()
    for term in reversed(terms[:-1]):
        x = fma(x, f32(256.0, x), term.to(torch.int64).float())
    return fma(x, f32(step, x), layer.bias.expand_as(x))


def mean(states: Tensor, n_chains: int, layer: Layer) -> Tensor:
    """P(unit = 1 | states of the other layer), float32 (n_chains, n_out)."""
    states = encoded("mean", "states", states, pack_states)
    return 1 / one_plus_exp_neg(preactivation(states, layer, n_chains))


def _drawn(x: Tensor, draw: Draw, stream: int) -> Tensor:
    """[u (1 + exp(-beta x)) < 1], packed."""
    if draw.beta is not None:
        x = draw.beta.view(-1, 1) * x
    n_chains, n_units = x.shape
    place = draw.seed, draw.chain_offset, draw.step, stream, draw.unit_offset
    return pack_states(bernoulli(x, *draws(n_chains, n_units, *place)))


def sample(states: Tensor, n_chains: int, layer: Layer, draw: Draw, stream: int) -> Tensor:
    """One half step, packed; the stream says which layer is drawn."""
    return _drawn(preactivation(states, layer, n_chains), draw, stream)


def gibbs_steps(
    visible: Tensor, n_chains: int, model: Model, n_steps: int, draw: Draw, clamped: Tensor | None
) -> tuple[Tensor, Tensor]:
    """n_steps sweeps h ~ P(h|v), v ~ P(v|h); units whose bit is set in ``clamped`` stay."""
    hidden = torch.zeros(model.hidden_bias.shape[0], visible.shape[1], dtype=torch.int64)
    start = visible
    for t in range(draw.step, draw.step + n_steps):
        draw = draw._replace(step=t)
        hidden = sample(visible, n_chains, model.hidden_layer, draw, HIDDEN_STREAM)
        whole = draw._replace(unit_offset=0)  # the visible units are not shared out
        visible = sample(hidden, n_chains, model.visible_layer, whole, VISIBLE_STREAM)
        if clamped is not None:
            visible = visible & ~clamped | start & clamped
    return visible.clone(), hidden


def phase_sums(hidden: Tensor, visible: Tensor, sums: PhaseSums) -> None:
    """Adds the sums of h_i v_j, v_j and h_i over the rows; hidden are levels, visible either."""
    integers = _as_integers(visible, len(hidden))
    for h, v in zip(hidden.split(_EXACT_ROWS), integers.split(_EXACT_ROWS), strict=True):
        sums.products.add_((h.t().double() @ v).to(torch.int64))
        sums.visible.add_(v.sum(0).to(torch.int64))
        sums.hidden.add_(h.sum(0))


def _sums(hidden: Tensor, visible: Tensor, n_visible: int) -> PhaseSums:
    n_hidden = hidden.shape[1]
    shapes: list[tuple[int, ...]] = [(n_hidden, n_visible), (n_visible,), (n_hidden,)]
    sums = PhaseSums(*(torch.zeros(shape, dtype=torch.int64) for shape in shapes))
    phase_sums(hidden, visible, sums)
    return sums


def _differences(
    data: PhaseSums, model: PhaseSums, n_rows: int, n_chains: int, data_levels: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """<h v>, <v>, <h> of data minus model.

    One difference and one scale where rows and chains are equally many, else two of each.
    """
    unit = LEVELS if data_levels else 1  # what a visible 1 counts in the data

    def difference(of_data: Tensor, of_model: Tensor, one: int) -> Tensor:
        scale = f32(1 / (one * n_rows), of_data)
        if n_rows == n_chains:
            return (of_data - of_model).float() * scale
        return of_data.float() * scale - of_model.float() * f32(1 / (one * n_chains), of_data)

    return (
        difference(data.products, model.products * unit, LEVELS * unit),
        difference(data.visible, model.visible * unit, unit),
        difference(data.hidden, model.hidden, LEVELS),
    )


def _phase_differences(phases: Phases) -> tuple[Tensor, Tensor, Tensor]:
    n_visible = phases.visible_model.shape[0]
    data = _sums(phases.hidden_data, phases.visible_data, n_visible)
    model = _sums(phases.hidden_model, phases.visible_model, n_visible)
    counts = len(phases.hidden_data), len(phases.hidden_model)
    return _differences(
        data, model, *counts, state_format(phases.visible_data) is StateFormat.LEVELS
    )


def connection_gradient(
    phases: Phases, weight: Tensor | None, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """(G, A∘G, W∘G, visible, hidden bias gradients); empty where mask or weight is None."""
    g, g_visible, g_hidden = _phase_differences(phases)
    empty = g.new_empty(0)
    masked = empty if mask is None else torch.where(mask, g, f32(0.0, g))
    return g, masked, empty if weight is None else weight * g, g_visible, g_hidden


def ncg_update_(
    parameters: Parameters,
    phases: Phases,
    rates: Rates,
    offsets: Offsets,
    weight_exponent: int,
    n_labels: int,
) -> Tensor:
    """One NCG step in place: returns max |W∘A|, connections switched on, and off, in float64."""
    differences = _phase_differences(phases)
    if offsets.visible is not None and offsets.hidden is not None:
        share = f32(OFFSET_RATE, offsets.hidden)
        scale = f32(1 / (LEVELS * len(phases.hidden_data)), offsets.hidden)
        mean = phases.hidden_data.sum(0).float() * scale
        offsets.hidden.copy_(fma(share, mean - offsets.hidden, offsets.hidden))
        differences = _centred(differences, offsets.visible, offsets.hidden, parameters.mask)
    ascent = _ascent(parameters, differences)
    return _update(parameters, ascent, rates, weight_exponent, n_labels)


def _centred(
    differences: tuple[Tensor, Tensor, Tensor], mu: Tensor, hidden_offset: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """G' = G - <h> mu^T - lambda <v>^T, <v> - (A∘G')^T lambda, <h> - (A∘G') mu.

    The step of these in W, b and c is that of the centred gradient in W, b + (W∘A)^T lambda and
    c + (W∘A) mu (Melchior, Fischer & Wiskott, JMLR 17(99), 2016).
    """
    g, g_visible, g_hidden = differences
    lambda_, by_row = hidden_offset.view(-1, 1), g_hidden.view(-1, 1)
    g = fma(-lambda_, g_visible, fma(-by_row, mu, g))
    masked = torch.where(mask, g, f32(0.0, g))
    return (
        g,
        g_visible - from_bias_terms(bias_terms(masked * lambda_).sum(0)),
        g_hidden - from_bias_terms(bias_terms(masked * mu).sum(1)),
    )


def update_from_sums_(
    parameters: Parameters,
    data: PhaseSums,
    model: PhaseSums,
    n_rows: int,
    n_chains: int,
    data_levels: bool,
    rates: Rates,
    weight_exponent: int,
    n_labels: int,
) -> Tensor:
    """``ncg_update_`` from the sums of both phases."""
    differences = _differences(data, model, n_rows, n_chains, data_levels)
    return _update(parameters, _ascent(parameters, differences), rates, weight_exponent, n_labels)


def gradient_update_(
    parameters: Parameters, gradients: Gradients, rates: Rates, weight_exponent: int, n_labels: int
) -> Tensor:
    """``ncg_update_`` from gradients of the loss; a tensor stays where its gradient is None."""
    ascent = Gradients(*(None if gradient is None else -gradient for gradient in gradients))
    return _update(parameters, ascent, rates, weight_exponent, n_labels)


def _ascent(parameters: Parameters, differences: tuple[Tensor, Tensor, Tensor]) -> Gradients:
    """G in the place of A∘G: the update looks at it only where A is on."""
    g, g_visible, g_hidden = differences
    return Gradients(g, parameters.weight * g, g_visible, g_hidden)


def _update(
    parameters: Parameters, ascent: Gradients, rates: Rates, weight_exponent: int, n_labels: int
) -> Tensor:
    weight, strength, mask = parameters.weight, parameters.connection_strength, parameters.mask
    lr, momentum, minus_decay = (
        f32(rate, weight) for rate in (rates.lr, rates.momentum, -rates.weight_decay)
    )
    zero, old_mask = f32(0.0, weight), mask.clone()

    def move(value: Tensor, velocity: Tensor | None, direction: Tensor, on: Tensor) -> None:
        if velocity is not None:
            direction = torch.where(on, fma(momentum, velocity, direction), zero)
            velocity.copy_(direction)
        value.copy_(torch.where(on, fma(lr, direction, value), value))

    if ascent.by_weight is not None:
        decayed = fma(minus_decay, weight, ascent.by_weight)
        direction = decayed if rates.weight_decay else ascent.by_weight
        move(weight, parameters.weight_velocity, direction, old_mask)
    for bias, velocity, by_bias in (
        (parameters.visible_bias, parameters.visible_velocity, ascent.by_visible),
        (parameters.hidden_bias, parameters.hidden_velocity, ascent.by_hidden),
    ):
        if by_bias is not None:
            move(bias, velocity, by_bias, torch.ones_like(bias, dtype=torch.bool))

    nan = weight.new_empty(0)
    if strength is not None and ascent.by_strength is not None:
        learned = slice(0, weight.shape[1] - n_labels)  # label connections have no strength
        lr_strength = f32(rates.lr_strength, weight)
        s = fma(lr_strength, ascent.by_strength[:, learned], strength[:, learned])
        nan = s[torch.isnan(s)]
        mask[:, learned] = (s > 0.5) | (mask[:, learned] & ~(s < 0.5))
        s = torch.where(s < 0, zero, s)
        strength[:, learned] = torch.where(s > 1, f32(1.0, weight), s)

    held = described(parameters.to_hidden)
    new = pack_weights(weight, mask, held.n_digits, weight_exponent, held.capacity, held.format)
    parameters.to_hidden.copy_(new[0])
    parameters.to_visible.copy_(new[1])
    masked = torch.where(mask, weight, zero)
    largest = _largest(masked, parameters.visible_bias, parameters.hidden_bias, nan).double()
    switched = (mask & ~old_mask).sum(), (old_mask & ~mask).sum()
    return torch.stack([largest, *(count.double() for count in switched)])


def _largest(masked: Tensor, *others: Tensor) -> Tensor:
    """max |W∘A|; NaN or infinite where another value is (as integers NaN > inf > finite)."""
    weight_bits, *other_bits = (
        t.view(torch.int32).flatten() & 0x7FFFFFFF for t in (masked, *others)
    )
    bad = (bits[bits >= 0x7F800000] for bits in other_bits)
    return torch.cat([weight_bits.new_zeros(1), weight_bits, *bad]).max().view(torch.float32)


def _scaled(rates: Rates, factor: Tensor) -> Rates:
    """Float32 products."""
    lr, lr_strength = (float(f32(r, factor) * factor) for r in (rates.lr, rates.lr_strength))
    return rates._replace(lr=lr, lr_strength=lr_strength)


def train_steps_(
    parameters: Parameters,
    batch: Batch,
    rates: Rates,
    lr_factors: Tensor | None,
    offsets: Offsets,
    draw: Draw,
    weight_exponent: int,
    n_labels: int,
    least: float,
    most: float,
) -> Tensor:
    """Batches one after the other until max |W∘A| leaves [least, most].

    Or until sparse digits lack the room for the connections. Each: positive phase, sweeps from data
    or chains, negative phase, update, lr and lr_strength times the batch's factor. Returns
    max |W∘A|, connections switched on and off, batches done, in float64.
    """
    model = parameters.model(weight_exponent)

    def levels(visible: Tensor, count: int) -> Tensor:
        return to_levels(mean(visible, count, model.hidden_layer))

    switched, max_abs, done = torch.zeros(2, dtype=torch.float64), 0.0, 0
    for rows in batch.visible_data:
        start = rows if batch.chains is None else batch.chains
        first = draw._replace(step=draw.step + done * batch.n_steps)
        last, _ = gibbs_steps(start, batch.n_chains, model, batch.n_steps, first, None)
        if batch.chains is not None:
            batch.chains.copy_(last)
        phases = Phases(levels(rows, batch.n_rows), rows, levels(last, batch.n_chains), last)
        now = rates if lr_factors is None else _scaled(rates, lr_factors[done])
        found = ncg_update_(parameters, phases, now, offsets, weight_exponent, n_labels)
        done += 1
        max_abs, switched = float(found[0]), switched + found[1:]
        if not (least <= max_abs <= most and fits(parameters.to_hidden)):
            break
    return torch.tensor([max_abs, *switched, done], dtype=torch.float64)


def free_energy(visible: Tensor, n_chains: int, layer: Layer, visible_bias: Tensor) -> Tensor:
    """F(v) = -b.v - sum_i softplus(x_i), float64 (n_chains,)."""
    visible = encoded("free_energy", "visible", visible, pack_states)
    x = preactivation(visible, layer, n_chains).double()
    one = 1 if state_format(visible) is StateFormat.PACKED else LEVELS
    states = _as_integers(visible, n_chains) / one
    return -(states @ visible_bias.double()) - _softplus(x).sum(1)


def _softplus(x: Tensor) -> Tensor:
    return x.clamp(min=0) + torch.log1p(torch.exp(-x.abs()))


def anneal(
    visible: Tensor, n_chains: int, model: Model, base_bias: Tensor, betas: Tensor, draw: Draw
) -> tuple[Tensor, Tensor]:
    """AIS along p_beta(v) = exp((1-beta) a.v + beta b.v + sum_i softplus(beta x_i)).

    a is the bias of the base rates. For t = 1..T-1 with betas[0] = 0, betas[T-1] = 1: add log
    p_beta_t(v) - log p_beta_(t-1)(v) to the log-weights, then one sweep at beta_t with step counter
    ``step + t``. Returns the last packed states and the log-weights, float64 (n_chains,).
    """
    log_weights = torch.zeros(n_chains, dtype=torch.float64)
    lift = model.visible_bias.double() - base_bias.double()
    for t in range(1, betas.shape[0]):
        last, beta = betas[t - 1], betas[t]
        x = preactivation(visible, model.hidden_layer, n_chains)
        states = unpack_states(visible, n_chains).double()
        gain = _softplus(beta * x.double()) - _softplus(last * x.double())
        log_weights += (beta - last) * (states @ lift) + gain.sum(1)
        b32, sweep = beta.float(), draw._replace(step=draw.step + t)
        hidden = _drawn(x, sweep._replace(beta=b32.expand(n_chains)), HIDDEN_STREAM)
        z = preactivation(hidden, model.visible_layer, n_chains)
        base = ((1 - b32) * base_bias).expand_as(z)
        v = fma(b32.expand_as(z), z, base)
        visible = _drawn(v, sweep._replace(unit_offset=0), VISIBLE_STREAM)
    return visible.clone(), log_weights
