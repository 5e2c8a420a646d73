"""Which units are connected: initial patterns, and measures of a mask."""

from ncg_fast.connectivity.masks import (
    convolution_mask,
    dense_mask,
    initial_mask,
    initial_strength,
    line_mask,
    random_mask,
    spiral_mask,
)
from ncg_fast.connectivity.topology import (
    Degrees,
    degrees,
    density,
    protect_labels,
    topology_distance,
)

__all__ = [
    "Degrees",
    "convolution_mask",
    "degrees",
    "dense_mask",
    "density",
    "initial_mask",
    "initial_strength",
    "line_mask",
    "protect_labels",
    "random_mask",
    "spiral_mask",
    "topology_distance",
]
