"""Figures of a machine and of its training."""

from ncg_fast.plotting.courses import plot_history, plot_mixing
from ncg_fast.plotting.figures import (
    FIGURES,
    plot_connectivity,
    plot_degrees,
    plot_filters,
    plot_samples,
    png,
    save_run_figures,
)

__all__ = [
    "FIGURES",
    "plot_connectivity",
    "plot_degrees",
    "plot_filters",
    "plot_history",
    "plot_mixing",
    "plot_samples",
    "png",
    "save_run_figures",
]
