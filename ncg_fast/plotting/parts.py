"""Parts of the figures: mosaics of images, histograms, curves, their look."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ncg_fast.plotting.arguments import Array, ImageShape, Records

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

TWO_SHADES = (-0.1, 1.1)  # colour limits that tell a 0 from the white page
COUNT = "connections per epoch"  # the unit of whole numbers
_MAX_DOTS = 40  # on a curve; more would hide it
_BLUE, _ORANGE = "#1f5fa8", "#d9722e"
_INK, _MUTED, _GRID, _NAN = "#222222", "#6b6b6b", "#ebebeb", "#d9d9d9"


def _matplotlib(module: str) -> Any:
    try:
        return importlib.import_module(f"matplotlib{module}")
    except ImportError as error:
        remedy = 'Run pip install "ncg_fast[experiments]".'
        raise RuntimeError(f"plotting: needs matplotlib, got {error}. {remedy}") from error


def new_figure(width: float, height: float) -> Figure:
    """A figure of this size in inches that pyplot does not know."""
    layout = _matplotlib(".layout_engine").ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure: Figure = _matplotlib(".figure").Figure(figsize=(width, height), layout=layout)
    return figure


def colour_map(name: str) -> Any:
    """Matplotlib's map of this name, with grey for NaN."""
    return _matplotlib("").colormaps[name].with_extremes(bad=_NAN)


def title(axes: Axes, text: str) -> None:
    """A small title at the left."""
    axes.set_title(text, loc="left", fontsize=10, color=_INK)


def labels(axes: Axes, x: str, y: str) -> None:
    """Names of both axes."""
    axes.set_xlabel(x, fontsize=9, color=_INK)
    axes.set_ylabel(y, fontsize=9, color=_INK)


def colour_bar(
    figure: Figure, axes: Axes, scale: ScalarMappable, label: str, extend: str = "neither"
) -> Any:
    """A thin colour bar at the right of the axes."""
    bar = figure.colorbar(scale, ax=axes, shrink=0.8, aspect=30, extend=extend)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, colors=_MUTED, length=2)
    bar.set_label(label, fontsize=9, color=_INK)
    return bar


def whole_numbers(*sides: Axis) -> None:
    """Ticks at whole numbers only."""
    for side in sides:
        side.set_major_locator(
            _matplotlib(".ticker").MaxNLocator(8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
        )


def _plain(axes: Axes) -> None:
    """Left and bottom spine, small muted ticks, a light grid under the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_MUTED)
    axes.tick_params(labelsize=8, colors=_MUTED, length=3)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def share(n_shown: int, n: int, noun: str) -> str:
    """How many of n are shown, in words."""
    if n == 1:
        return f"the only {noun}"
    return f"all {n} {noun}s" if n_shown == n else f"{n_shown} of {n} {noun}s"


def series(records: Records, key: str) -> tuple[Array, Array]:
    """Epochs and values of the records that have the key."""
    pairs = [(record["epoch"], record[key]) for record in records if record.get(key) is not None]
    table = np.array(pairs, dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def mosaic(
    rows: Array, image_shape: ImageShape, colours: str, limits: tuple[float, float]
) -> tuple[Figure, Axes, Any]:
    """A figure of one mosaic, and its colour scale."""
    scale = colour_scale(colours, limits)
    picture = tiled(rows, image_shape, scale)
    figure = new_figure(6.0, 6.0 if image_shape is None else 5.8 * len(picture) / picture.shape[1])
    axes = figure.subplots()
    show(axes, picture, image_shape)
    return figure, axes, scale


def colour_scale(colours: str, limits: tuple[float, float]) -> Any:
    """What gives values their colours."""
    scale = _matplotlib(".cm").ScalarMappable(cmap=colour_map(colours))
    scale.set_clim(*limits)
    return scale


def tiled(rows: Array, image_shape: ImageShape, scale: Any, n_cols: int | None = None) -> Array:
    """A picture with a tile per row and white gaps between, near a square, or n_cols wide.

    Without image_shape the rows are one picture, a line each.
    """
    tiles = rows[:, None] if image_shape is None else rows.reshape(-1, *image_shape)
    n_tiles, height, width = tiles.shape
    near_square = min(n_tiles, math.ceil(math.sqrt(n_tiles * height / width)))
    n_cols = 1 if image_shape is None else n_cols or near_square
    n_rows = math.ceil(n_tiles / n_cols)
    gap = 0 if image_shape is None else max(1, round(max(height, width) / 14))
    picture = np.ones((n_rows * (height + gap) - gap, n_cols * (width + gap) - gap, 4))
    for index, tile in enumerate(tiles):
        top, left = (height + gap) * (index // n_cols), (width + gap) * (index % n_cols)
        picture[top : top + height, left : left + width] = scale.to_rgba(tile)
    return picture


def show(axes: Axes, picture: Array, image_shape: ImageShape) -> None:
    """Shows a picture of ``tiled``."""
    if image_shape is None:
        axes.imshow(picture, aspect="auto", interpolation="nearest")
        _plain(axes)
        axes.grid(visible=False)
        whole_numbers(axes.xaxis, axes.yaxis)
    else:
        # Whole multiples of the pixels, which the figure then scales down smoothly.
        zoom = math.ceil(1200 / max(picture.shape))
        axes.imshow(picture.repeat(zoom, 0).repeat(zoom, 1))
        axes.set_axis_off()


def columns(axes: Axes, names: Sequence[str], label: str) -> None:
    """Names of equally wide columns, above them, and what they count."""
    width = axes.get_xlim()[1] / len(names)
    axes.set_axis_on()
    axes.set_frame_on(False)
    axes.set_yticks([])
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks([(i + 0.5) * width for i in range(len(names))], names)
    axes.tick_params(labelsize=8, colors=_MUTED, length=0)
    axes.set_xlabel(label, fontsize=9, color=_INK)


def degree_histogram(axes: Axes, layer: str, counts: Array) -> None:
    """How many units have how many connections, and the mean."""
    low, high = int(counts.min()), int(counts.max())
    width = max(1, math.ceil((high - low + 1) / 30))
    edges = np.arange(low, high + width + 1, width) - 0.5
    axes.hist(counts, bins=edges.tolist(), color=_BLUE, edgecolor="white", linewidth=0.5)
    mean = float(counts.mean())
    axes.axvline(mean, color=_ORANGE, linewidth=1.5)
    _plain(axes)
    whole_numbers(axes.xaxis, axes.yaxis)
    labels(axes, f"connections of a {layer} unit", f"number of {layer} units")
    spread = f"all {low}" if low == high else f"mean {mean:.1f}, {low} to {high}"
    title(axes, f"{layer.capitalize()} degrees: {spread}")


def curves(axes: Axes, records: Records, keys: Mapping[str, str], unit: str) -> None:
    """Each key against epochs, with a band of one standard error where KEY_error is recorded."""
    for (key, label), colour in zip(keys.items(), (_BLUE, _ORANGE), strict=False):
        epochs, values = series(records, key)
        style = ".-" if len(epochs) <= _MAX_DOTS else "-"
        axes.plot(epochs, values, style, label=label, color=colour, linewidth=1.6, markersize=5)
        _, errors = series(records, f"{key}_error")
        if errors.size == values.size == 1:
            axes.errorbar(epochs, values, errors, color=colour, capsize=4)
        elif errors.size == values.size:
            axes.fill_between(epochs, values - errors, values + errors, color=colour, alpha=0.25)
    _plain(axes)
    labels(axes, "epoch", unit)
    whole_numbers(axes.xaxis, *([axes.yaxis] if unit == COUNT else []))
    first, last = axes.dataLim.intervalx
    if first == last:
        axes.set_xlim(first - 0.5, last + 0.5)
    if len(keys) > 1:
        axes.legend(frameon=False, fontsize=8)


def bands(axes: Axes, record: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Free energies of chains against sweeps: means, and bands where most chains are."""
    sweeps = record["sweeps"]
    for (name, label), colour in zip(names.items(), (_BLUE, _ORANGE), strict=True):
        curve = record[name]
        axes.fill_between(
            sweeps, curve["low"], curve["high"], color=colour, alpha=0.18, linewidth=0
        )
        axes.plot(sweeps, curve["mean"], ".-", label=label, color=colour, linewidth=1.6)
    _plain(axes)
    axes.set_xscale("symlog", linthresh=1, linscale=0.4)
    axes.set_xlim(-0.12, max(sweeps[-1], 1) * 1.15)
    powers = [10**k for k in range(math.ceil(math.log10(sweeps[-1] + 1)))]
    axes.set_xticks([0, *powers], ["0", *(f"{power:,}".replace(",", " ") for power in powers)])
    axes.minorticks_off()
    labels(axes, "sweeps", "free energy, nats")
    shown = "mean, and 10 to 90 % of the chains"
    axes.legend(frameon=False, fontsize=8, title=shown, title_fontsize=8, alignment="left")


def mark(axes: Axes, at: float) -> None:
    """A thin line across the axes."""
    axes.axvline(at, color=_INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
