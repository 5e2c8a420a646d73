"""The stand-in for a GPU: instructions as the PTX manual has them, and mistakes that it reports."""

from __future__ import annotations

from types import ModuleType

import pytest
from cuda_on_host import build


@pytest.fixture(scope="module")
def selftest() -> ModuleType:
    return build.load("_selftest", [build.HERE / "selftest.cpp"])


@pytest.mark.parametrize("is_signed", [True, False])
def test_matrix_products(selftest: ModuleType, is_signed: bool) -> None:
    assert selftest.wrong_products(is_signed) == 0


def test_products_of_a_warpgroup(selftest: ModuleType) -> None:
    assert selftest.wrong_group_products(True, True, True, True, 4, 128) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((False, True, True, True, 4, 128), "products read copies that were not shown to them"),
        ((True, False, True, True, 4, 128), "products were added before they were begun"),
        ((True, True, False, True, 4, 128), "waited for before they were committed"),
        ((True, True, True, False, 4, 128), "products were not waited for"),
        ((True, True, True, True, 3, 128), "warps of a group began different products"),
        ((True, True, True, True, 2, 64), "products need four warps"),
    ],
)
def test_mistakes_of_a_warpgroup_are_reported(
    selftest: ModuleType, arguments: tuple[bool | int, ...], message: str
) -> None:
    with pytest.raises(RuntimeError, match=message):
        selftest.wrong_group_products(*arguments)


def test_matrices_from_shared_memory(selftest: ModuleType) -> None:
    assert selftest.wrong_matrices() == 0


def test_copies_arrive_when_waited_for(selftest: ModuleType) -> None:
    assert selftest.copies_arrive() == (0, 1, 3)


def test_clusters_share_memory_and_meet(selftest: ModuleType) -> None:
    assert selftest.wrong_cluster_sums() == 0


def test_mistakes_are_reported(selftest: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="divergent: a barrier was met by some threads"):
        selftest.divergent_barrier()
    with pytest.raises(RuntimeError, match="divergent: lanes of a warp meet at different"):
        selftest.divergent_warp()
    with pytest.raises(RuntimeError, match="overrun: a block wrote past its shared memory"):
        selftest.shared_overrun()
    selftest.remote_overrun(1, 15)
    with pytest.raises(RuntimeError, match="remote: a store went past a block's shared memory"):
        selftest.remote_overrun(1, 16)
    with pytest.raises(RuntimeError, match="remote: a store went to a block that the cluster"):
        selftest.remote_overrun(2, 0)
