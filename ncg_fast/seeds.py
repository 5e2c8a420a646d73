"""Seeds for each purpose, and draws of matrices that are too large to be drawn at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

_CHUNK = 1 << 22  # values drawn at a time


def derived_seed(seed: int, purpose: int) -> int:
    """An independent seed for each purpose, in [0, 2**63)."""
    return int(
        np.random.SeedSequence([seed, purpose]).generate_state(1, np.uint64)[0] >> np.uint64(1)
    )


def row_chunks(matrix: Any) -> Iterator[Any]:
    """Views of whole rows, in order: drawn one by one they are what one draw would be.

    NumPy draws 8 bytes a value; this way not all of them at once.
    """
    n_rows = max(1, _CHUNK // matrix.shape[1])
    return (matrix[first : first + n_rows] for first in range(0, len(matrix), n_rows))
