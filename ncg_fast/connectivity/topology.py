"""Topology of masks (n_hidden, n_visible): label columns, density, degrees, distance.

Counts and their ratios are exact; an argument that is out of range is a ValueError.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ncg_fast import checks


class Degrees(NamedTuple):
    """Connections per unit: ``hidden`` (n_hidden,) and ``visible`` (n_visible,), int64."""

    hidden: Tensor
    visible: Tensor


def protect_labels(mask: Tensor, n_labels: int) -> Tensor:
    """Switches the label units, the last n_labels visible units, on for every hidden unit.

    Args:
        mask: (n_hidden, n_visible), bool.
        n_labels: in [0, n_visible].

    Returns:
        mask (n_hidden, n_visible), bool, a new tensor.

    Note:
        Deterministic; the mask given is not changed.

    Example:
        >>> protect_labels(torch.zeros(2, 3) > 0, 1).int().tolist()
        [[0, 0, 1], [0, 0, 1]]
    """
    pixels = _without_labels("protect_labels", "mask", mask, n_labels, 0)
    return torch.cat([pixels, mask.new_ones(len(mask), n_labels)], dim=1)


def density(mask: Tensor, n_labels: int = 0) -> float:
    """The share of connections that are on, label units left out: mean_ij A_ij.

    Args:
        mask: (n_hidden, n_visible), bool.
        n_labels: number of label units, the last visible units, in [0, n_visible).

    Returns:
        A number in [0, 1].

    Example:
        >>> density(torch.eye(4) > 0)
        0.25
    """
    pixels = _without_labels("density", "mask", mask, n_labels, 1)
    return int(pixels.sum()) / pixels.numel()


def degrees(mask: Tensor) -> Degrees:
    """Counts the connections of each unit: k_i = sum_j A_ij and k_j = sum_i A_ij.

    Args:
        mask: (n_hidden, n_visible), bool.

    Returns:
        Degrees of the hidden and the visible units, on the mask's device.

    Example:
        >>> degrees(torch.ones(2, 3) > 0).visible.tolist()
        [2, 2, 2]
    """
    check_mask("degrees", "mask", mask)
    return Degrees(hidden=mask.sum(1), visible=mask.sum(0))


def topology_distance(mask_a: Tensor, mask_b: Tensor, *, n_labels: int = 0) -> float:
    """NNSTD of two masks: the mean distance of optimally matched hidden units.

        min over permutations p of mean_i d(a_i, b_p(i)),  d(a, b) = |a xor b| / |a or b|

    a_i is the set of visible units that hidden unit i sees; two empty sets have distance 0.

    Args:
        mask_a: (n_hidden, n_visible), bool.
        mask_b: (n_hidden, n_visible), bool.
        n_labels: number of label units, the last visible units, in [0, n_visible); left out.

    Returns:
        A number in [0, 1].
        RuntimeError: SciPy is missing.

    Note:
        Deterministic; symmetric up to rounding. Cost O(n_hidden^2 (n_hidden + n_visible)).

    Example:
        >>> mask = torch.eye(3) > 0
        >>> topology_distance(mask, mask.flip(0))
        0.0

    Source: S. Liu et al., "Topological Insights into Sparse Neural Networks" (ECML PKDD 2020).
    """
    op = "topology_distance"
    a = _without_labels(op, "mask_a", mask_a, n_labels, 1).cpu().double()
    b = _without_labels(op, "mask_b", mask_b, n_labels, 1).cpu().double()
    if a.shape != b.shape:
        rule = f"mask_b must have the shape of mask_a, {tuple(mask_a.shape)}"
        raise checks.error(op, rule, tuple(mask_b.shape), "Compare masks of one size.")
    try:
        optimize = importlib.import_module("scipy.optimize")
    except ImportError as error:
        remedy = 'Run pip install "ncg_fast[experiments]".'
        raise RuntimeError(f"{op}: needs SciPy, got {error}. {remedy}") from error
    n_shared = a @ b.T
    n_union = a.sum(1)[:, None] + b.sum(1) - n_shared
    distance = ((n_union - n_shared) / n_union.clamp(min=1)).numpy()
    return float(distance[optimize.linear_sum_assignment(distance)].mean())


def check_mask(op: str, argument: str, mask: Any) -> Tensor:
    """A bool tensor with two axes, not empty."""
    actual = type(mask).__name__
    if isinstance(mask, Tensor):
        if mask.dtype == torch.bool and mask.dim() == 2 and mask.numel() > 0:
            return mask
        actual = f"{mask.dtype} {tuple(mask.shape)}"
    rule = f"{argument} must be a bool tensor (n_hidden, n_visible)"
    raise checks.error(op, rule, actual, "Pass one row per hidden unit, as torch.bool.")


def _without_labels(op: str, argument: str, mask: Tensor, n_labels: int, n_min: int) -> Tensor:
    """The columns before the last n_labels, at least n_min of them, checked."""
    check_mask(op, argument, mask)
    checks.integer(op, "n_labels", n_labels, 0, mask.shape[1] - n_min)
    return mask[:, : mask.shape[1] - n_labels]
