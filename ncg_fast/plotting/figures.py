"""Figures of a machine, filters, degrees, connections, and all figures of a run.

Each function returns a ``matplotlib.figure.Figure`` of its own, without pyplot and its global
state: ``figure.savefig("name.png")`` writes it, a notebook shows it. Matplotlib is imported when
the first figure is made (RuntimeError where it is missing). The same arguments give the same
figure; what cannot be drawn is a ValueError. Label units, the last visible ones, are left out of
images.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ncg_fast import checks, files
from ncg_fast.model.rbm import RBM
from ncg_fast.plotting import arguments as arguments
from ncg_fast.plotting import parts as parts
from ncg_fast.plotting.arguments import ImageShape, Records
from ncg_fast.plotting.courses import plot_history, plot_mixing
from ncg_fast.plotting.states import plot_chains, plot_samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = (
    "filters",
    "samples",
    "chains",
    "curves",
    "degrees",
    "connectivity",
    "mixing",
)
_N_TILES = 64
_DPI = 150


def plot_filters(rbm: RBM, image_shape: ImageShape, *, n: int = _N_TILES) -> Figure:
    """Draws the rows of W∘A of the hidden units with the largest norm as images.

    Args:
        rbm: the machine.
        image_shape: (rows, cols) with rows * cols = n_visible - n_labels, or None: one row a unit.
        n: hidden units drawn, at most; at least 1.

    Returns:
        The figure. Colours diverge from 0; connections that are off are grey.

    Note:
        Cost: a norm of every hidden unit.

    Example:
        >>> figure = plot_filters(RBM(6, 4, seed=0), (2, 3), n=2)
        >>> figure.axes[0].get_title(loc="left")
        'Filters of 2 of 4 hidden units, largest norm first'
    """
    op = "plot_filters"
    weight, mask = arguments.machine(op, rbm, image_shape)
    by_norm = np.argsort(-np.linalg.norm(weight * mask, axis=1), kind="stable")
    chosen = by_norm[: checks.integer(op, "n", n, 1)]
    filters = np.where(mask, weight, np.nan)[chosen]
    on = np.abs(filters[mask[chosen]])
    # One extreme weight would leave everything else white.
    limit = (float(np.quantile(on, 0.995)) if on.size else 0.0) or 1.0
    figure, axes, scale = parts.mosaic(filters, image_shape, "RdBu_r", (-limit, limit))
    figure.set_figwidth(7.1)
    parts.colour_bar(figure, axes, scale, "weight (grey: no connection)", extend="both")
    parts.labels(axes, "visible unit", "hidden unit, by norm")
    shown = parts.share(len(chosen), rbm.n_hidden, "hidden unit")
    several = f"Filters of {shown}, largest norm first"
    parts.title(axes, several if rbm.n_hidden > 1 else f"Filter of {shown}")
    return figure


def plot_connectivity(
    mask: Tensor, image_shape: ImageShape, *, n_labels: int = 0, n: int = _N_TILES
) -> Figure:
    """Draws which visible units each hidden unit is connected to, most connected units first.

    Args:
        mask: (n_hidden, n_visible), bool.
        image_shape: (rows, cols) with rows * cols = n_visible - n_labels, or None: one row a unit.
        n_labels: label units, the last visible units, left out.
        n: hidden units drawn, at most, evenly spaced in the order of degrees; at least 1.

    Returns:
        The figure: a connection that is on is dark.

    Note:
        Units of one degree stay in their order.

    Example:
        >>> from ncg_fast.connectivity import line_mask
        >>> plot_connectivity(line_mask(3, 6, 2), (2, 3)).axes[0].get_title(loc="left")
        'Connections of all 3 hidden units, density 0.333'
    """
    op = "plot_connectivity"
    pixels = arguments.mask(op, mask, image_shape, n_labels).astype(float)
    by_degree = np.argsort(-pixels.sum(1), kind="stable")
    n_shown = min(checks.integer(op, "n", n, 1), len(pixels))
    chosen = by_degree[np.linspace(0, len(pixels) - 1, n_shown).round().astype(int)]
    figure, axes, _ = parts.mosaic(pixels[chosen], image_shape, "Blues", parts.TWO_SHADES)
    parts.labels(axes, "visible unit", "hidden unit, by degree")
    shown = parts.share(n_shown, len(pixels), "hidden unit")
    parts.title(axes, f"Connections of {shown}, density {pixels.mean():.3f}")
    return figure


def plot_degrees(mask: Tensor, image_shape: ImageShape = None, *, n_labels: int = 0) -> Figure:
    """Draws how many connections hidden and visible units have.

    Args:
        mask: (n_hidden, n_visible), bool.
        image_shape: (rows, cols): visible degrees as an image as well; or None.
        n_labels: label units, the last visible units, left out.

    Returns:
        The figure: two histograms, and the map of visible degrees.

    Note:
        At most about 30 bars: degrees far apart share one.

    Example:
        >>> from ncg_fast.connectivity import line_mask
        >>> figure = plot_degrees(line_mask(3, 6, 2))
        >>> [axes.get_title(loc="left") for axes in figure.axes]
        ['Hidden degrees: all 2', 'Visible degrees: all 1']
    """
    pixels = arguments.mask("plot_degrees", mask, image_shape, n_labels)
    hidden, visible = pixels.sum(1), pixels.sum(0)
    n_panels = 2 if image_shape is None else 3
    figure = parts.new_figure(3.6 * n_panels, 3.0)
    panels = figure.subplots(1, n_panels)
    parts.degree_histogram(panels[0], "hidden", hidden)
    parts.degree_histogram(panels[1], "visible", visible)
    if image_shape is not None:
        axes = panels[2]
        counts = visible.reshape(image_shape)
        image = axes.imshow(counts, cmap=parts.colour_map("viridis"), interpolation="nearest")
        axes.set_axis_off()
        bar = parts.colour_bar(figure, axes, image, "connections")
        parts.whole_numbers(bar.ax.yaxis)
        parts.title(axes, "Degree of each visible unit")
    return figure


def save_run_figures(
    run_dir: files.StrPath,
    rbm: RBM,
    *,
    image_shape: ImageShape,
    samples: Tensor | Mapping[str, Tensor],
    chains: Mapping[int, Tensor] | None = None,
    records: Records = (),
    mixing: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Writes the figures of a run as ``run_dir/figures/NAME.png``, NAME one of ``FIGURES``.

    Args:
        run_dir: the run folder; ``figures`` is made where it is missing.
        rbm: the machine.
        image_shape: (rows, cols) with rows * cols = n_visible - n_labels, or None.
        samples: (n_samples, n_visible), values in [0, 1], or several sets by name.
        chains: as in ``plot_chains``, or None: that figure is left out.
        records: one mapping per epoch; without any there are no curves.
        mixing: as in ``plot_mixing``, or None: that figure is left out.

    Returns:
        The paths written.

    Raises:
        ValueError: what cannot be drawn.
        OSError: a file could not be written.

    Note:
        Each file is replaced whole or not at all.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rbm = RBM(6, 4, seed=0)
        ...     paths = save_run_figures(folder, rbm, image_shape=(2, 3), samples=rbm.sample(9, 5))
        >>> [path.name for path in paths]
        ['filters.png', 'samples.png', 'degrees.png', 'connectivity.png']
    """
    figures = {
        "filters": plot_filters(rbm, image_shape),
        "samples": plot_samples(samples, image_shape, n_labels=rbm.n_labels),
        "degrees": plot_degrees(rbm.mask, image_shape, n_labels=rbm.n_labels),
        "connectivity": plot_connectivity(rbm.mask, image_shape, n_labels=rbm.n_labels),
    }
    if chains is not None:
        figures["chains"] = plot_chains(chains, image_shape, n_labels=rbm.n_labels)
    if records:
        figures["curves"] = plot_history(records)
    if mixing is not None:
        figures["mixing"] = plot_mixing(mixing)
    return write_figures("save_run_figures", run_dir, figures)


def write_figures(op: str, run_dir: files.StrPath, figures: Mapping[str, Figure]) -> list[Path]:
    """Writes each as ``run_dir/figures/NAME.png``; op is the name for messages."""
    folder = files.checked_path(op, "run_dir", run_dir) / "figures"
    images = {folder / f"{name}.png": png(figures[name]) for name in FIGURES if name in figures}
    files.make_folder(op, "run_dir", folder)
    files.sweep(folder, [path.name for path in images])
    for path, image in images.items():
        files.write(op, path, image)
    return list(images)


def png(figure: Figure) -> bytes:
    """The figure as the contents of a PNG file."""
    contents = io.BytesIO()
    figure.savefig(contents, format="png", dpi=_DPI)
    return contents.getvalue()
