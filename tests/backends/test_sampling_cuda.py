"""Half steps and sweeps of the CUDA kernels at sizes where these divide their work otherwise."""

from __future__ import annotations

import pytest
from backend_choice import BackEnd
from calls import call
from parity import Machine, agree

from ncg_fast.backends import formats
from ncg_fast.backends.formats import DigitFormat

DRAW = {"seed": 0x123456789ABCDEF, "chain_offset": 5, "step": 7}


def test_many_chains_go_two_words_a_cluster(cuda_backend: BackEnd) -> None:
    m = Machine((35, 70, 1100, 1), 2)
    agree(cuda_backend, "gibbs_steps", m.data, *m.model(), 2, **DRAW, clamped=m.clamped)


@pytest.mark.parametrize("n_digits", [2, 3])
def test_a_warpgroup_goes_round_its_stages(cuda_backend: BackEnd, n_digits: int) -> None:
    m = Machine((645, 33, 70, 1), n_digits)
    agree(cuda_backend, "sample_hidden", m.data, *m.to_hidden(), **DRAW)


@pytest.mark.parametrize("n_digits", [2, 3])
@pytest.mark.parametrize("n_visible", [1090, pytest.param(4200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("n_rows", [5, 70])
def test_blocks_share_inputs(
    cuda_backend: BackEnd, n_rows: int, n_visible: int, n_digits: int
) -> None:
    """Two and eight blocks a cluster, of which warps are finished by different ones."""
    m = Machine((n_visible, 33, n_rows, 1), n_digits)
    agree(cuda_backend, "sample_hidden", m.data, *m.to_hidden(), **DRAW)
    agree(cuda_backend, "hidden_mean", m.data, *m.to_hidden())


@pytest.mark.slow
def test_two_warpgroups_share_digits(cuda_backend: BackEnd) -> None:
    """Units for 264 blocks of eight warps."""
    m = Machine((70, 264 * 32, 193, 1), 2)
    agree(cuda_backend, "sample_hidden", m.data, *m.to_hidden(), **DRAW)


@pytest.mark.slow
def test_sweeps_by_tiles(cuda_backend: BackEnd) -> None:
    """A machine that no cluster holds."""
    m = Machine((1031, 997, 3, 1), 2)
    agree(cuda_backend, "gibbs_steps", m.levels, *m.model(), 1, **DRAW)
    given = m.data, *m.model(), 2
    agree(cuda_backend, "gibbs_steps", *given, **DRAW, beta=m.beta, clamped=m.clamped)
    agree(cuda_backend, "gibbs_steps", *given, **DRAW, beta=m.beta, base_bias=m.visible_bias)


def test_tensors_elsewhere_are_refused(cuda_backend: BackEnd) -> None:
    if cuda_backend.device != "cpu":
        pytest.skip("the message is that of the kernels on the host")
    m = Machine((61, 67, 70, 70), 2)
    _, *others, n = m.to_hidden()
    given = m.weight, m.mask, 2, m.exponent
    digits, _ = formats.pack_weights(*given, dense=DigitFormat.PANELS)
    with pytest.raises(ValueError, match=r"\w+: \w+ must have \.is_cpu"):
        call(cuda_backend.kernels, "mean", m.data, n, digits.to("meta"), *others)
    with pytest.raises(ValueError, match=r"\w+: \w+ must hold"):
        call(cuda_backend.kernels, "mean", m.data, n, digits[:-1], *others)
