"""Figures of what a machine draws: sets of samples, and chains over their sweeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ncg_fast import checks
from ncg_fast.plotting import arguments as arguments
from ncg_fast.plotting import parts as parts
from ncg_fast.plotting.arguments import ImageShape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_N_TILES, _N_CHAINS = 64, 10
_COLOURS = "Greys"


def plot_samples(
    samples: Tensor | Mapping[str, Tensor],
    image_shape: ImageShape,
    *,
    n_labels: int = 0,
    n: int = _N_TILES,
) -> Figure:
    """Draws visible states, or probabilities, as images.

    Args:
        samples: (n_samples, n_visible), values in [0, 1]; or several such sets, side by side, by
            the name of each.
        image_shape: (rows, cols) with rows * cols = n_visible - n_labels, or None: one row each.
        n_labels: label units, the last visible units, left out.
        n: samples of a set drawn, at most; at least 1.

    Returns:
        The figure: 0 is light, 1 is dark.

    Raises:
        ValueError: what cannot be drawn.

    Note:
        Values between 0 and 1 are shades of grey.

    Example:
        >>> import torch
        >>> figure = plot_samples(torch.eye(6), (2, 3))
        >>> figure.axes[0].get_title(loc="left")
        '6 samples'
    """
    op = "plot_samples"
    sets = samples if isinstance(samples, Mapping) else {"": samples}
    if not sets:
        raise checks.error(op, "samples must hold a set", "none", "Pass one row a sample.")
    n = checks.integer(op, "n", n, 1)
    shown = {
        name: arguments.samples(op, each, image_shape, n_labels)[:n] for name, each in sets.items()
    }
    scale = parts.colour_scale(_COLOURS, parts.TWO_SHADES)
    pictures = {name: parts.tiled(rows, image_shape, scale) for name, rows in shown.items()}
    height = 6.0
    if image_shape is not None:
        height = 5.8 * max(len(picture) / picture.shape[1] for picture in pictures.values())
    figure = parts.new_figure(6.0 * len(sets), height)
    panels = figure.subplots(1, len(sets), squeeze=False).ravel()
    for axes, (name, rows) in zip(panels, shown.items(), strict=True):
        parts.show(axes, pictures[name], image_shape)
        parts.labels(axes, "visible unit", "sample")
        kind = "" if np.isin(rows, (0, 1)).all() else ", shown as probabilities"
        count = f"{len(rows)} sample{'s' * (len(rows) > 1)}"
        parts.title(axes, f"{count}{f' {name}' * bool(name)}{kind}")
    return figure


def plot_chains(
    states: Mapping[int, Tensor],
    image_shape: ImageShape,
    *,
    n_labels: int = 0,
    n: int = _N_CHAINS,
) -> Figure:
    """Draws how chains look after some of their sweeps, a line each.

    Args:
        states: by number of sweeps, in order: (n_chains, n_visible), values in [0, 1].
        image_shape: as in ``plot_samples``; None: a panel of all chains each.
        n_labels: label units, the last visible units, left out.
        n: chains drawn, at most; at least 1.

    Returns:
        The figure.

    Raises:
        ValueError: what cannot be drawn.

    Note:
        As ``plot_samples``.

    Example:
        >>> import torch
        >>> rbm_states = {1: torch.eye(6), 10: torch.eye(6)}
        >>> plot_chains(rbm_states, (2, 3), n=4).axes[0].get_title(loc="left")
        '4 chains over time'
    """
    op = "plot_chains"
    if not isinstance(states, Mapping) or not states:
        rule = "states must be a mapping from sweeps to states"
        raise checks.error(op, rule, type(states).__name__, "Pass {sweeps: states}.")
    n = checks.integer(op, "n", n, 1)
    rows = [arguments.samples(op, each, image_shape, n_labels)[:n] for each in states.values()]
    if len({each.shape for each in rows}) > 1:
        rule, actual = "states must be of the same chains", [each.shape for each in rows]
        raise checks.error(op, rule, actual, "Pass as many rows for each.")
    if image_shape is None:
        return plot_samples({f"after {t} sweeps": each for t, each in states.items()}, None, n=n)
    table = np.stack(rows, axis=1)  # a line of the picture is a chain
    n_chains, n_times = table.shape[:2]
    scale = parts.colour_scale(_COLOURS, parts.TWO_SHADES)
    picture = parts.tiled(table.reshape(n_chains * n_times, -1), image_shape, scale, n_times)
    width = max(2.4, 0.72 * n_times)
    figure = parts.new_figure(width, width * len(picture) / picture.shape[1] + 0.6)
    axes = figure.subplots()
    parts.show(axes, picture, image_shape)
    parts.columns(axes, [f"{t}" for t in states], "sweeps")
    parts.title(axes, f"{n_chains} chain{'s' * (n_chains > 1)} over time")
    return figure
