"""Data sets as rows of 0 and 1: by name, or from a file."""

from ncg_fast.data.levels import scale
from ncg_fast.data.sets import Binarize, Dataset, available, load

__all__ = ["Binarize", "Dataset", "available", "load", "scale"]
