"""The CUDA kernels, run on the host, equal reference.py bit for bit.

Outputs are allocated over poisoned memory, shared memory starts as rubbish.
"""

from __future__ import annotations

from typing import Any

import pytest
from test_parity import Machine, poisoned_memory, same_bits

from ncg_fast import reference
from ncg_fast.launcher import Launcher

__all__ = ["poisoned_memory"]  # a fixture

# n_visible, n_hidden, rows, chains
SHAPES = [(1, 1, 1, 1), (7, 5, 3, 3), (33, 65, 0, 0), (61, 67, 65, 66), (127, 131, 66, 66)]


@pytest.fixture
def both(cuda_on_host: Launcher) -> Any:
    def both(op: str, *args: Any) -> None:
        same_bits(getattr(cuda_on_host, op)(*args), getattr(reference, op)(*args), op)

    return both


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_packing(both: Any, shape: tuple[int, int, int, int], n_digits: int) -> None:
    m = Machine(shape, n_digits)
    both("pack_states", m.rows)
    both("unpack_states", m.data, m.n_rows)
    both("pack_weights", m.weight, m.mask, n_digits, m.exponent)
    both("pack_weights", m.weight, None, n_digits, m.exponent)


@pytest.mark.parametrize("scale", [1e-30, 1e4, 1e30])
def test_extreme_weights(both: Any, scale: float) -> None:
    m = Machine((61, 67, 70, 70), 2, scale)
    both("pack_weights", m.weight, m.mask, 2, m.exponent)
