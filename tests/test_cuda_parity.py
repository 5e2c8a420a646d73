"""The CUDA kernels, run on the host, equal reference.py bit for bit.

Outputs are allocated over poisoned memory, shared memory starts as rubbish.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_parity import SEED, Machine, poisoned_memory, same_bits

from ncg_fast.backends import reference
from ncg_fast.backends.launcher import Launcher

__all__ = ["poisoned_memory"]  # a fixture

# n_visible, n_hidden, rows, chains
SHAPES = [(1, 1, 1, 1), (7, 5, 3, 3), (33, 65, 0, 0), (61, 67, 65, 66), (127, 131, 66, 66)]


@pytest.fixture(params=[9, 8], ids="sm_{}0".format)
def each_gpu(request: Any, monkeypatch: Any) -> None:
    """Clusters, and products of warpgroups for more than 64 chains; neither of them."""
    monkeypatch.setenv("ON_HOST_CAPABILITY", str(request.param))


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


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_half_steps(
    each_gpu: None, both: Any, shape: tuple[int, int, int, int], n_digits: int
) -> None:
    m = Machine(shape, n_digits)
    draw = SEED, 5, (3 << 32) + 1
    for visible in (m.data, m.levels):
        both("hidden_mean", visible, *m.to_hidden())
        both("sample_hidden", visible, *m.to_hidden(), *draw, None)
    both("visible_mean", m.hidden, *m.to_visible())
    both("sample_visible", m.hidden, *m.to_visible(), *draw, m.beta)


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_sweeps(each_gpu: None, both: Any, shape: tuple[int, int, int, int], n_digits: int) -> None:
    m = Machine(shape, n_digits)
    draw = SEED, 5, (3 << 32) + 1
    for visible in (m.data, m.levels):
        both("gibbs_steps", visible, *m.model(), 2, *draw, None, None)
        both("gibbs_steps", visible, *m.model(), 1, *draw, m.beta, None)
    both("gibbs_steps", m.data, *m.model(), 3, *draw, None, m.clamped)


def test_many_chains_go_two_words_a_cluster(both: Any) -> None:
    m = Machine((35, 70, 1100, 1), 2)
    both("gibbs_steps", m.data, *m.model(), 2, SEED, 5, 7, None, m.clamped)


@pytest.mark.parametrize("n_digits", [2, 3])
def test_a_warpgroup_goes_round_its_stages(both: Any, n_digits: int) -> None:
    m = Machine((645, 33, 70, 1), n_digits)
    both("sample_hidden", m.data, *m.to_hidden(), SEED, 5, 7, None)


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("n_visible", [1090, 4200])
@pytest.mark.parametrize("n_rows", [5, 70])
def test_blocks_share_inputs(both: Any, n_rows: int, n_visible: int, n_digits: int) -> None:
    """Two and eight blocks a cluster, of which warps are finished by different ones."""
    m = Machine((n_visible, 33, n_rows, 1), n_digits)
    both("sample_hidden", m.data, *m.to_hidden(), SEED, 5, 7, None)
    both("hidden_mean", m.data, *m.to_hidden())


def test_two_warpgroups_share_digits(both: Any) -> None:
    """Units for 264 blocks of eight warps."""
    m = Machine((70, 264 * 32, 193, 1), 2)
    both("sample_hidden", m.data, *m.to_hidden(), SEED, 5, 7, None)


def test_sweeps_by_tiles(both: Any) -> None:
    """A machine that no cluster holds."""
    m = Machine((1031, 997, 3, 1), 2)
    both("gibbs_steps", m.levels, *m.model(), 1, SEED, 5, 7, None, None)
    both("gibbs_steps", m.data, *m.model(), 2, SEED, 5, 7, m.beta, m.clamped)


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_float64_sums(
    cuda_on_host: Launcher, shape: tuple[int, int, int, int], n_digits: int
) -> None:
    m = Machine(shape, n_digits)
    biases = m.visible_bias, m.hidden_bias
    for visible in (m.data, m.levels):
        args = visible, m.digits[0], *biases, m.exponent, m.n_rows
        got, want = cuda_on_host.free_energy(*args), reference.free_energy(*args)
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)
    betas = torch.linspace(0, 1, 7, dtype=torch.float64)
    args = m.data, *m.digits, *biases, 0.1 * m.visible_bias, betas, m.exponent, m.n_rows, SEED, 3, 2
    (got, gains), (want, wanted_gains) = cuda_on_host.anneal(*args), reference.anneal(*args)
    same_bits(got, want, "anneal")
    torch.testing.assert_close(gains, wanted_gains, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scale", [1e-30, 1e4, 1e30])
def test_extreme_weights(both: Any, scale: float) -> None:
    m = Machine((61, 67, 70, 70), 2, scale)
    both("pack_weights", m.weight, m.mask, 2, m.exponent)
    both("hidden_mean", m.data, *m.to_hidden())
    both("hidden_mean", m.levels, *m.to_hidden())
    both("sample_hidden", m.data, *m.to_hidden(), SEED, 0, 0, None)


def test_many_inputs(both: Any) -> None:
    """More than 32 768 real-valued inputs: sums leave 32 bits."""
    m = Machine((33001, 3, 5, 5), 3)
    m.levels.fill_(65535)
    both("hidden_mean", m.levels, *m.to_hidden())
    both("hidden_mean", m.data, *m.to_hidden())


def test_further_bits_are_drawn(both: Any) -> None:
    """P = 1.01e-5 < 2**-16: only a first draw of 0 can be on, and it leaves the outcome open."""
    bias, digits = torch.full((64,), -11.5), torch.zeros(2, 2, 1, 32, 64, dtype=torch.int8)
    states = torch.zeros(1, -(-20000 // 64), dtype=torch.int64)
    both("sample_hidden", states, digits, bias, 0, 20000, SEED, 0, 0, None)


def test_strided_tensors(both: Any) -> None:
    m = Machine((61, 67, 70, 70), 2)
    spread = torch.empty(61, 4, dtype=torch.int64)
    spread[:, ::2] = m.data
    both("hidden_mean", spread[:, ::2], *m.to_hidden())


def test_tensors_elsewhere_are_refused(cuda_on_host: Launcher) -> None:
    m = Machine((61, 67, 70, 70), 2)
    digits, *others = m.to_hidden()
    with pytest.raises(ValueError, match=r"hidden_mean: to_hidden must have \.is_cpu"):
        cuda_on_host.hidden_mean(m.data, digits.to("meta"), *others)
    with pytest.raises(ValueError, match="hidden_mean: to_hidden must hold"):
        cuda_on_host.hidden_mean(m.data, digits[:-1], *others)
