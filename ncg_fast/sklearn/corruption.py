"""Which visible unit the stochastic pseudo-likelihood flips in each row."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from ncg_fast.sklearn.rows import dense_parts

_SHIFT = np.uint64(52)


def flipped_units(x: Any, rng: np.random.RandomState) -> np.ndarray:
    """One unit a row, uniform over the units.

    It is a hash of the row with a key from rng, so that the unit of a row depends neither on the
    rows beside it nor on whether they are sparse.

    Args:
        x: (n, n_visible) ndarray or canonical CSR.
        rng: the source of the key.

    Returns:
        int64 (n,), in [0, n_visible).
    """
    key = rng.randint(0, 2**64, x.shape[1] + 1, dtype=np.uint64)
    if sparse.issparse(x):
        terms = _words(x.data) * key[x.indices]
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])
        words = sums[x.indptr[1:]] - sums[x.indptr[:-1]]
    else:
        words = np.concatenate([_words(part) @ key[:-1] for part in dense_parts(x)])
    return (_mixed(words + key[-1]) % np.uint64(x.shape[1])).astype(np.int64)


def _words(values: np.ndarray) -> np.ndarray:
    """64 bits of each value, 0 of 0 and of -0, an odd word of 1."""
    bits = (values.astype(np.float64) + 0.0).view(np.uint64)
    return bits ^ (bits >> _SHIFT)


def _mixed(words: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64: each bit depends on all."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        words = (words ^ (words >> np.uint64(shift))) * np.uint64(factor)
    mixed: np.ndarray = words ^ (words >> np.uint64(31))
    return mixed
