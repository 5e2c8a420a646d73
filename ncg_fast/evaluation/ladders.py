"""Inverse temperatures of annealed importance sampling."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ncg_fast import checks
from ncg_fast.ops import arguments

_MAX_BETAS = 1 << 24
# A ladder of any length: half of its steps even, half spread as those of the NCG authors, of which
# 500 lie below 0.5, 4000 up to 0.9 and 10000 above.
_SHARES = [0.0, *((beta + steps / 14500) / 2 for beta, steps in ((0.5, 500), (0.9, 4500))), 1.0]


def authors_betas() -> Tensor:
    """The 14 501 inverse temperatures of the NCG authors: 0:1e-3:0.5, 0.5:1e-4:0.9, 0.9:1e-5:1.

    Returns:
        float64 (14501,), from 0 to 1.

    Example:
        >>> authors_betas().shape
        torch.Size([14501])

    Source: Salakhutdinov & Murray (ICML 2008), and arXiv 2209.06932 after them.
    """
    pieces = (0.0, 0.5, 501), (0.5, 0.9, 4001), (0.9, 1.0, 10001)
    grids = [
        torch.linspace(low, high, n, dtype=torch.float64, device="cpu") for low, high, n in pieces
    ]
    return torch.cat([grids[0], grids[1][1:], grids[2][1:]])


def checked(op: str, betas: int | Tensor | None) -> Tensor:
    """The ladder that ``log_partition_ais`` takes for its ``betas``, float64 (n_betas,)."""
    if betas is None:
        return authors_betas()
    if not isinstance(betas, Tensor):
        if not isinstance(betas, int | float | np.integer):
            rule = "betas must be an int or a floating tensor"
            raise checks.error(op, rule, type(betas).__name__, "Use torch.tensor(betas).")
        n_betas = checks.integer(op, "betas", betas, 2, _MAX_BETAS)
        return torch.from_numpy(
            np.interp(np.linspace(0.0, 1.0, n_betas), _SHARES, [0.0, 0.5, 0.9, 1.0])
        )
    checks.dense(op, "betas", betas)
    if not betas.is_floating_point():
        raise checks.error(op, "betas must be floating", betas.dtype, "Use betas.double().")
    ladder = arguments.ladder(op, betas.detach().double().contiguous())
    if checks.shows_values(ladder):
        first, last = float(ladder[0]), float(ladder[-1])
        if (first, last) != (0.0, 1.0):
            ends, rule = (
                checks.apart(first, last, 0.0, 1.0),
                "betas must begin with 0 and end with 1",
            )
            remedy = "Add the ends, or turn it round."
            raise checks.error(op, rule, f"{ends[0]} and {ends[1]}", remedy)
    return ladder


def is_even(ladder: Tensor) -> bool:
    """Whether the steps of a ladder of three or more are all the same."""
    n_steps = len(ladder) - 1
    return n_steps > 1 and bool(((ladder.diff() * n_steps - 1).abs() < 1e-3).all())
