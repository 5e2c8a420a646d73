"""Rows of scikit-learn's users, dense or CSR, as mini-batches in the formats of the kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ncg_fast.backends.numerics import WORD
from ncg_fast.training.run import encode_batches

TOLERANCE = 1e-6  # outside [0, 1], as MinMaxScaler leaves it: clipped
_CALL = 1 << 22  # bytes of rows that are encoded at a time
_KEPT = 1 << 28  # bytes of encoded batches up to which an epoch leaves them to the next


def is_binary(x: Any) -> bool:
    """Whether all values are 0 or 1, of a dense or sparse array; most rows tell at once."""
    first = x.data[: _CALL >> 12] if sparse.issparse(x) else x[:1]
    return bool(((first == 0) | (first == 1)).all()) and all(
        ((part == 0) | (part == 1)).all() for part in _values(x)
    )


def is_outside(x: Any) -> bool:
    """Whether a value is outside [0, 1] by more than ``TOLERANCE``."""
    return any(
        part.size and (part.min() < -TOLERANCE or part.max() > 1 + TOLERANCE) for part in _values(x)
    )


def _values(x: Any) -> Iterator[np.ndarray]:
    """The values in parts; of sparse arrays those that are stored."""
    if sparse.issparse(x):
        yield x.data
    else:
        yield from dense_parts(np.atleast_2d(x))


def dense_parts(x: np.ndarray, n_bytes: int = _CALL) -> Iterator[np.ndarray]:
    """Views of whole rows, in order, of some n_bytes each in float64."""
    n_rows = max(1, n_bytes // (8 * x.shape[1]))
    return (x[first : first + n_rows] for first in range(0, len(x), n_rows))


def canonical(x: Any) -> Any:
    """Without duplicates where it is sparse; what was given is not written."""
    if sparse.issparse(x) and not x.has_canonical_format:
        x = x.copy()
        x.sum_duplicates()
    return x


class Batches:
    """Mini-batches of rows in their order, of which no more than one at a time becomes dense.

    Args:
        x: (n, n_visible) ndarray or canonical CSR, floating and finite; not written.
        size: rows of a batch; the last may be shorter.
        encode: False: batches as they are, dense, for values that no format of the kernels holds.
    """

    def __init__(self, x: Any, size: int, *, encode: bool) -> None:
        self.x, self.size, self.encode = x, size, encode
        shape: tuple[int, int] = x.shape
        self.n, self.n_visible = shape
        self.binary = encode and is_binary(x)
        self._kept: list[tuple[Any, int]] | None = None

    def __len__(self) -> int:
        return -(-self.n // self.size)

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        """Those of a call together, and the rows of each."""
        if self._kept is not None:
            yield from self._kept
            return
        kept = []
        keep = self.encode and not sparse.issparse(self.x) and 4 * self.x.size <= _KEPT
        for first, end in self._calls():
            size = min(self.size, end - first)
            batches = self._batches(self.x[first:end], size)
            if keep:
                kept.append((batches, size))
            yield batches, size
        self._kept = kept if keep else None

    def _calls(self) -> Iterator[tuple[int, int]]:
        n_together, size = 1, self.size
        if self.encode and (self.binary or not sparse.issparse(self.x)):
            words = -(-size // WORD) if sparse.issparse(self.x) else size
            n_together = max(1, _CALL // (8 * self.n_visible * words))
        n_whole, n_call = self.n // self.size * self.size, self.size * n_together
        starts = [*range(0, n_whole, n_call), *range(n_whole, self.n, self.size)]
        return zip(starts, [*starts[1:], self.n], strict=True)

    def _batches(self, part: Any, size: int) -> Any:
        if sparse.issparse(part):
            if self.binary:
                return pack_sparse(part, size)
            part = part.toarray()
        if not self.encode:
            return part
        if self.binary:
            return encode_batches(ones(part), size)
        in_range = np.clip(part, 0, 1).astype(np.float32, copy=False)
        return encode_batches(torch.from_numpy(in_range), size)


def ones(x: np.ndarray) -> Tensor:
    """Rows of 0 and 1 as uint8."""
    return torch.from_numpy((x == 1).view(np.uint8))


def pack_sparse(x: Any, size: int) -> Tensor:
    """Packed states (n_batches, n_visible, ceil(size / 64)) of rows of 0 and 1, never dense.

    Args:
        x: canonical CSR (n_batches size, n_visible).
        size: rows of a batch.
    """
    n, n_visible = x.shape
    n_words = -(-size // WORD)
    on = x.data != 0
    batch, row = np.divmod(np.repeat(np.arange(n), np.diff(x.indptr))[on], size)
    word, bit = np.divmod(row, WORD)
    places = (batch * n_visible + x.indices[on]) * n_words + word
    words = np.zeros(n // size * n_visible * n_words, dtype=np.uint64)
    np.add.at(words, places, np.left_shift(np.uint64(1), bit.astype(np.uint64)))
    return torch.from_numpy(words.view(np.int64)).view(-1, n_visible, n_words)
