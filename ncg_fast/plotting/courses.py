"""Figures of what went on: the epochs of a training run, the sweeps of chains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ncg_fast.plotting import arguments as arguments
from ncg_fast.plotting import parts as parts
from ncg_fast.plotting.arguments import Records

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS = {
    "Negative log-likelihood": ("nats per row", {"train_nll": "train", "test_nll": "test"}),
    "Reconstruction error": ("mean squared error", {"reconstruction_error": ""}),
    "Density": ("share of connections on", {"density": ""}),
    "Switched connections": (
        parts.COUNT,
        {"switched_on": "switched on", "switched_off": "switched off"},
    ),
}


def plot_history(records: Records) -> Figure:
    """Draws the records of a training run against epochs.

    Args:
        records: one mapping per epoch, from ``History.to_dicts()`` or the lines of metrics.jsonl.

    Returns:
        The figure: reconstruction error, density and switched connections, and the NLL where it was
        estimated, with bands of one standard error.

    Note:
        What was not recorded has no panel.

    Example:
        >>> figure = plot_history([{"epoch": 1, "density": 0.5}, {"epoch": 2, "density": 0.4}])
        >>> [axes.get_title(loc="left") for axes in figure.axes]
        ['Density']
    """
    drawn = [key for _, keys in _PANELS.values() for key in keys]
    records, shown = arguments.records("plot_history", records, drawn), {}
    for title, (unit, keys) in _PANELS.items():
        recorded = {k: label for k, label in keys.items() if parts.series(records, k)[0].size}
        if recorded:
            shown[title] = recorded, unit
    n_cols = min(2, len(shown))
    n_rows = math.ceil(len(shown) / n_cols)
    figure = parts.new_figure(4.4 * n_cols, 2.7 * n_rows)
    grid = figure.subplots(n_rows, n_cols, squeeze=False).ravel()
    for axes, (title, (recorded, unit)) in zip(grid, shown.items(), strict=False):
        parts.curves(axes, records, recorded, unit)
        parts.title(axes, title)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    return figure


def plot_mixing(record: Mapping[str, Any]) -> Figure:
    """Draws the free energy of chains from data and from noise against sweeps.

    Args:
        record: ``diagnostics.mixing(...).to_dict()``, or what mixing.json holds.

    Returns:
        The figure: means, bands from the 10th to the 90th percentile of the chains, and a line
        where the two sets agree.

    Note:
        Sweeps on an axis of logarithms, which sweep 0 precedes.

    Example:
        >>> curve = {"mean": [1.0, 0.0], "low": [0.5, -0.5], "high": [1.5, 0.5]}
        >>> record = {"sweeps": [0, 1], "from_data": curve, "from_noise": curve, "n_agree": 1}
        >>> plot_mixing(record).axes[0].get_title(loc="left")
        'Chains from data and from noise agree from 1 sweep on'
    """
    record = arguments.mixing("plot_mixing", record)
    figure = parts.new_figure(6.4, 3.6)
    axes = figure.subplots()
    parts.bands(axes, record, {"from_data": "from data", "from_noise": "from noise"})
    n, last = record["n_agree"], record["sweeps"][-1]
    sets = "Chains from data and from noise"
    if n is None:
        parts.title(axes, f"{sets} do not agree within {last} sweep{'s' * (last != 1)}")
    else:
        parts.title(axes, f"{sets} agree from {n} sweep{'s' * (n != 1)} on")
        parts.mark(axes, n)
    return figure
