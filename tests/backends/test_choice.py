"""The choice of a back end and its messages."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch

from ncg_fast import backends
from ncg_fast.backends import cpu, reference
from ncg_fast.ops import registration as _library


@pytest.fixture(autouse=True)
def fresh_choice(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("NCG_FAST_GPU", raising=False)
    backends._gpu.cache_clear()
    yield
    backends._gpu.cache_clear()


def stand_in(
    monkeypatch: pytest.MonkeyPatch, *, cuda: str | None, triton: bool
) -> dict[str, ModuleType]:
    """Back ends as on other computers: cuda without its modules (None), or with a reason."""
    modules = {name: ModuleType(name) for name in ("cuda", "triton")}
    modules["cuda"].missing = lambda: cuda  # type: ignore[attr-defined]
    modules["cuda"].launcher = object()  # type: ignore[attr-defined]
    there = {"ncg_fast.backends.cuda": cuda is not None, "ncg_fast.backends.triton": triton}
    for name, module in zip(there, modules.values(), strict=True):
        monkeypatch.setitem(sys.modules, name, module if there[name] else None)
    return modules


def test_compiled_kernels_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = stand_in(monkeypatch, cuda="", triton=True)
    assert backends.select("cuda") is modules["cuda"].launcher


@pytest.mark.parametrize("cuda", [None, "no driver"])
def test_triton_serves_where_they_are_missing(
    monkeypatch: pytest.MonkeyPatch, cuda: str | None
) -> None:
    modules = stand_in(monkeypatch, cuda=cuda, triton=True)
    assert backends.select("cuda") is modules["triton"]


def test_environment_forces_one(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = stand_in(monkeypatch, cuda="", triton=True)
    monkeypatch.setenv("NCG_FAST_GPU", "triton")
    assert backends.select("cuda") is modules["triton"]


def test_forced_back_end_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, cuda="no driver", triton=True)
    monkeypatch.setenv("NCG_FAST_GPU", "cuda")
    with pytest.raises(RuntimeError, match=r'^backend "cuda" is missing: no driver\. Reinstall'):
        backends.select("cuda")


def test_environment_names_a_back_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCG_FAST_GPU", "rocm")
    text = "backends: NCG_FAST_GPU must be cuda or triton, got 'rocm'. Choose one, or unset it."
    with pytest.raises(ValueError, match=re.escape(text)):
        backends.select("cuda")


def test_both_are_named_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, cuda="no driver", triton=False)
    with pytest.raises(RuntimeError) as error:
        backends.select("cuda")
    text = str(error.value)
    assert text.startswith('backend "cuda" is missing: no driver; backend "triton" is missing: ')
    remedy = 'run pip install "ncg_fast[gpu]" for Triton, or use rbm.to("cpu").'
    assert text.endswith(f". Reinstall ncg_fast where nvcc is, {remedy}")


def test_report_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, cuda="no driver", triton=False)
    found = backends.report()
    assert list(found) == ["cpu", "cuda", "triton"]
    assert found["cuda"] == "missing: no driver"
    assert found["triton"].startswith("missing: import of ncg_fast.backends.triton")


@pytest.mark.skipif(torch.version.cuda is not None, reason="torch is built with CUDA")
def test_report_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, cuda="", triton=True)
    reason = f"torch {torch.__version__} is built without CUDA"
    assert backends.missing_gpu() == reason
    assert backends.report()["triton"] == f"no GPU: {reason}"


def test_triton_has_every_op() -> None:
    triton = pytest.importorskip("ncg_fast.backends.triton")
    assert set(triton.__all__) == set(_library.SIGNATURES)


def test_a_launcher_takes_arguments_by_name() -> None:
    """In whatever order they are given."""
    weight = torch.eye(3)
    given = {"capacity": None, "weight_exponent": 1, "n_digits": 2, "mask": None, "weight": weight}
    found, expected = (kernels.pack_weights(**given) for kernels in (cpu.launcher, reference))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
