"""A correct call of every registered op, arguments one after the other."""

from __future__ import annotations

from typing import Any

import torch

from ncg_fast import ops
from ncg_fast.backends.numerics import VISIBLE_STREAM, next_exponent, to_levels


def raw_calls(
    n_visible: int, n_hidden: int, n: int, capacity: int | None = None
) -> dict[str, tuple[Any, ...]]:
    """One correct call of each registered op, with every tensor given, the same each time."""
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(n_hidden, n_visible, generator=g)
    mask = torch.rand(n_hidden, n_visible, generator=g) < 0.5
    exponent = next_exponent(None, float(weight.abs().max()))
    digits = to_hidden, to_visible = ops.pack_weights(weight, mask, 2, exponent, capacity=capacity)
    b, c = torch.randn(n_visible, generator=g), torch.randn(n_hidden, generator=g)
    rows = torch.rand(n, n_visible, generator=g) < 0.5
    visible = ops.pack_states(rows)
    mean = torch.rand(n, n_hidden, generator=g)
    hidden, levels = ops.pack_states(mean < 0.5), to_levels(mean)
    strength = torch.rand(n_hidden, n_visible, generator=g)
    draw, beta = (1, 0, 0), torch.rand(n, generator=g)
    velocities = 0.1 * weight, 0.1 * b, 0.1 * c
    written = weight, strength, mask, b, c, *digits, *velocities
    phases = levels, visible, levels.flip(0), visible.flip(0)
    rates = 0.1, 0.5, 0.9, 0.01
    betas = torch.linspace(0, 1, 4, dtype=torch.float64)
    batch = torch.stack([visible, visible.flip(0)]), visible.flip(0), n, n, 2
    offsets = rows.float().mean(0), torch.rand(n_hidden, generator=g)
    several = *rates, torch.tensor([0.5, 2.0]), *offsets, *draw
    sums = tuple(
        torch.ones(shape, dtype=torch.int64)
        for shape in ((n_hidden, n_visible), (n_visible,), (n_hidden,))
    )
    gradients = 0.2 * weight, 0.3 * strength, 0.2 * b, 0.2 * c
    return {
        "pack_states": (rows,),
        "unpack_states": (visible, n),
        "pack_weights": (weight, mask, 2, exponent, capacity),
        "scan_weights": (weight, mask),
        "mean": (visible, n, to_hidden, c, exponent),
        "sample": (hidden, n, to_visible, b, exponent, *draw, beta, 32, VISIBLE_STREAM),
        "gibbs_steps": (visible, n, *digits, b, c, exponent, 2, *draw, beta, 32, visible.flip(0)),
        "connection_gradient": (*phases, weight, mask),
        "phase_sums": (levels, visible, *sums),
        "ncg_update_": (*written, *phases, *rates, *offsets, exponent, 3),
        "update_from_sums_": (*written, *sums, *sums, n, n, False, *rates, exponent, 3),
        "gradient_update_": (*written, *gradients, *rates, exponent, 3),
        "train_steps_": (*written, *batch, *several, None, 32, exponent, 3, 0.0, 1e30),
        "free_energy": (visible, n, to_hidden, c, exponent, b),
        "anneal": (visible, n, *digits, b, c, exponent, 0.1 * b, betas, *draw, None, 32),
    }


def bad_integers(n_visible: int, n: int) -> dict[str, tuple[int, ...]]:
    """Values that no op may take, by argument, beside tensors of ``raw_calls``."""
    return {
        "n_chains": (-1, n - 1, n + 64, 2**31 + 1),
        "n_rows": (-1, 0, n - 1, n + 64, 2**31 + 1),
        "n_digits": (-1, 1, 4),
        "capacity": (-1, 2**31),
        "n_steps": (-1, 0),
        "n_labels": (-1, n_visible + 1),
        "weight_exponent": (-61, 130, 2**40),
        "seed": (-1,),
        "chain_offset": (-1, 2**32),
        "unit_offset": (-32, 1, 2**23),
        "stream": (-1, 1, 3),
        "step": (-1, 2**56),
    }
