"""Figures of a machine and of its training."""

from ncg_fast.plotting.courses import plot_history, plot_mixing
from ncg_fast.plotting.figures import (
    FIGURES,
    plot_connectivity,
    plot_degrees,
    plot_filters,
    png,
    save_run_figures,
)
from ncg_fast.plotting.states import plot_chains, plot_samples

__all__ = [
    "FIGURES",
    "plot_chains",
    "plot_connectivity",
    "plot_degrees",
    "plot_filters",
    "plot_history",
    "plot_mixing",
    "plot_samples",
    "png",
    "save_run_figures",
]
