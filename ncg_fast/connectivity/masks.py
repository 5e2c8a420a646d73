"""Masks (n_hidden, n_visible), bool, True where a connection is: initial patterns and strength.

The same arguments give the same bits; one that is out of range is a ValueError.

Source of line, spiral, convolution and strength: A. C. N. de Oliveira and D. R. Figueiredo,
"Optimizing Connectivity through Network Gradients for Restricted Boltzmann Machines", 2209.06932.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ncg_fast import checks
from ncg_fast.connectivity.topology import check_mask
from ncg_fast.seeds import row_chunks

_MASK_STREAM, _STRENGTH_STREAM = 0, 1


def dense_mask(n_hidden: int, n_visible: int) -> Tensor:
    """Connects every hidden unit to every visible unit: A_ij = 1.

    Args:
        n_hidden, n_visible: at least 1.

    Example:
        >>> dense_mask(2, 3).sum().item()
        6
    """
    _check_sizes("dense_mask", n_hidden, n_visible)
    return torch.ones(n_hidden, n_visible, dtype=torch.bool)


def random_mask(n_hidden: int, n_visible: int, density: float, *, seed: int = 0) -> Tensor:
    """Switches each connection on independently: A_ij = [u_ij < density], u_ij ~ U[0, 1).

    Args:
        n_hidden, n_visible: at least 1.
        density: probability in [0, 1]; 0 gives no connection, 1 all.
        seed: 0 <= seed < 2^63.

    Note:
        Deterministic: numpy's default_rng of the seed, in a stream of its own, row by row.

    Example:
        >>> random_mask(2, 3, 1.0).all().item()
        True
    """
    _check_sizes("random_mask", n_hidden, n_visible)
    checks.number("random_mask", "density", density, 0.0, 1.0)
    generator = _generator("random_mask", seed, _MASK_STREAM)
    mask = np.empty((n_hidden, n_visible), dtype=bool)
    for part in row_chunks(mask):
        np.less(generator.random(part.shape), density, out=part)
    return torch.from_numpy(mask)


def line_mask(n_hidden: int, n_visible: int, n_connections: int) -> Tensor:
    """Connects each hidden unit to consecutive visible units, with wrap-around.

        A_ij = [(j - start_i) mod n_visible < n_connections]

    With step = ceil(n_visible / n_hidden) the starts are 0, step, 2 step, ... below n_visible, then
    1, 1 + step, ..., then 2, 2 + step, ...; hidden units beyond n_visible repeat them in order.

    Args:
        n_hidden, n_visible: at least 1.
        n_connections: per hidden unit, in [1, n_visible].

    Example:
        >>> line_mask(3, 4, 2).int().tolist()
        [[1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 1, 0]]
    """
    _check_sizes("line_mask", n_hidden, n_visible)
    step = math.ceil(n_visible / n_hidden)
    starts = np.concatenate([np.arange(offset, n_visible, step) for offset in range(step)])
    starts = starts[np.arange(n_hidden) % n_visible]
    return _runs("line_mask", starts, np.arange(n_visible), n_connections)


def spiral_mask(n_hidden: int, n_visible: int, n_connections: int) -> Tensor:
    """Connects each hidden unit to consecutive pixels of an inward spiral over a square image.

        A_ij = [(position(j) - position(i)) mod n_visible < n_connections]

    position(j) is the place of pixel j (row-major) on a spiral from the top left corner, clockwise
    and inward: top row to the right, last column down, bottom row to the left, first column up, and
    so on for what is left. After the innermost pixel comes the first again. Hidden unit i
    sees pixel i and the n_connections - 1 pixels that follow it.

    Args:
        n_hidden: equal to n_visible.
        n_visible: side^2.
        n_connections: per hidden unit, in [1, n_visible].

    Raises:
        ValueError: n_hidden is not n_visible, no square, or an argument is out of range.

    Example:
        >>> spiral_mask(4, 4, 2).int().tolist()
        [[1, 1, 0, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 0, 1, 1]]
    """
    op, remedy = "spiral_mask", "Use line_mask for other sizes."
    _check_sizes(op, n_hidden, n_visible)
    side = math.isqrt(n_visible)
    if side**2 != n_visible:
        raise checks.error(op, "n_visible must be a square", n_visible, remedy)
    if n_hidden != n_visible:
        raise checks.error(op, f"n_hidden must be n_visible = {n_visible}", n_hidden, remedy)
    rest, edges = np.arange(n_visible).reshape(side, side), []
    while rest.size:
        edges.append(rest[0])
        rest = np.rot90(rest[1:])  # turns the next edge into the top row
    spiral = np.concatenate(edges)
    return _runs(op, np.argsort(spiral), spiral, n_connections)


def convolution_mask(image_shape: tuple[int, int], n_hidden: int) -> Tensor:
    """Connects each of m^2 hidden units to one patch of the image.

        A_(r,c),(y,x) = [0 <= y - r <= rows - m] [0 <= x - c <= cols - m]

    Args:
        image_shape: (rows, cols), each at least 1.
        n_hidden: m^2 with 1 <= m <= min(rows, cols).

    Returns:
        mask (n_hidden, rows * cols), bool; hidden unit r * m + c, pixel y * cols + x.

    Example:
        >>> convolution_mask((28, 28), 484).sum(1).unique().item()
        49
    """
    op = "convolution_mask"
    if not isinstance(image_shape, tuple | list) or len(image_shape) != 2:
        raise checks.error(op, "image_shape must be (rows, cols)", image_shape, "Pass both.")
    limit = min(
        checks.integer(op, "image_shape", side, 1, checks.MAX_UNITS) for side in image_shape
    )
    m = math.isqrt(checks.integer(op, "n_hidden", n_hidden, 1, checks.MAX_UNITS))
    if m**2 != n_hidden or m > limit:
        rule = f"n_hidden must be m^2 with 1 <= m <= {limit}"
        raise checks.error(op, rule, n_hidden, "Use line_mask.")
    bands = (
        np.tri(m, side, side - m, dtype=bool) & ~np.tri(m, side, -1, dtype=bool)
        for side in image_shape
    )
    return torch.from_numpy(np.kron(*bands))


_MAKERS: dict[str, tuple[Callable[..., Tensor], tuple[str, ...]]] = {
    "dense": (dense_mask, ("n_hidden", "n_visible")),
    "random": (random_mask, ("n_hidden", "n_visible", "density", "seed")),
    "line": (line_mask, ("n_hidden", "n_visible", "n_connections")),
    "spiral": (spiral_mask, ("n_hidden", "n_visible", "n_connections")),
    "convolution": (convolution_mask, ("n_hidden", "image_shape")),
}
PATTERNS = tuple(_MAKERS)


def initial_mask(
    pattern: str,
    n_hidden: int,
    n_visible: int,
    *,
    density: float = 1.0,
    n_connections: int | None = None,
    image_shape: tuple[int, int] | None = None,
    seed: int = 0,
) -> Tensor:
    """The mask of a pattern chosen by name: that of the function ``PATTERN_mask``.

    Args:
        pattern: "dense", "random", "line", "spiral" or "convolution".
        n_hidden: at least 1.
        n_visible: at least 1; rows * cols for "convolution".
        density: for "random", in [0, 1]; the other patterns ignore it, as what follows.
        n_connections: for "line" and "spiral", in [1, n_visible].
        image_shape: (rows, cols), for "convolution".
        seed: for "random", 0 <= seed < 2^63.

    Raises:
        ValueError: unknown pattern, or an argument that is missing or out of range.

    Note:
        Deterministic, "random" by seed.

    Example:
        >>> initial_mask("line", 16, 16, n_connections=8).float().mean().item()
        0.5
    """
    op = "initial_mask"
    maker, names = _MAKERS[checks.choice(op, "pattern", pattern, PATTERNS)]
    given: dict[str, Any] = {"n_hidden": n_hidden, "n_visible": n_visible, "density": density}
    given |= {"n_connections": n_connections, "image_shape": image_shape, "seed": seed}
    for name in names:
        if given[name] is None:
            raise checks.error(op, f'{name} must be given for "{pattern}"', None, f"Pass {name}=.")
    mask = maker(**{name: given[name] for name in names})
    if mask.shape[1] != n_visible:
        rule = f"n_visible must be rows * cols = {mask.shape[1]}"
        remedy = "Append label columns to the mask of the pixels."
        raise checks.error(op, rule, n_visible, remedy)
    return mask


def initial_strength(mask: Tensor, *, seed: int = 0) -> Tensor:
    """Draws connection strengths: S_ij ~ U[0.5, 1) where A_ij = 1, U[0, 0.5) where A_ij = 0.

    Args:
        mask: (n_hidden, n_visible), bool.
        seed: 0 <= seed < 2^63.

    Returns:
        connection_strength (n_hidden, n_visible), float32 multiples of 2^-24, on the mask's device.

    Note:
        Deterministic: numpy's default_rng of the seed, in a stream of its own, row by row.

    Example:
        >>> initial_strength(dense_mask(2, 3)).min().item() >= 0.5
        True
    """
    check_mask("initial_strength", "mask", mask)
    # 23 bits below one half: all sums are exact, so that nothing rounds up to 0.5 or 1.
    generator = _generator("initial_strength", seed, _STRENGTH_STREAM)
    lower = np.empty(tuple(mask.shape), dtype=np.float32)
    for part in row_chunks(lower):
        part[...] = generator.integers(2**23, size=part.shape)
    strength = torch.from_numpy(lower).to(mask.device).mul_(2.0**-24)
    return strength.add_(mask, alpha=0.5)


def _check_sizes(op: str, n_hidden: int, n_visible: int) -> None:
    checks.integer(op, "n_hidden", n_hidden, 1, checks.MAX_UNITS)
    checks.integer(op, "n_visible", n_visible, 1, checks.MAX_UNITS)


def _generator(op: str, seed: int, stream: int) -> np.random.Generator:
    checks.integer(op, "seed", seed, 0, checks.MAX_SEED)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream,)))


def _runs(op: str, starts: Any, pixels: Any, n_connections: int) -> Tensor:
    """Connects hidden unit i to n_connections of the pixels in this order, from starts[i] on."""
    checks.integer(op, "n_connections", n_connections, 1, len(pixels))
    places = (starts[:, None] + np.arange(n_connections)) % len(pixels)
    mask = np.zeros((len(starts), len(pixels)), dtype=bool)
    np.put_along_axis(mask, pixels[places], True, axis=1)
    return torch.from_numpy(mask)
