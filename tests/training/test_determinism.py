"""A whole training gives the same bits on every instruction set and with 1 and 2 threads."""

from __future__ import annotations

import hashlib

import pytest
from backend_choice import ISAS, BackEnd
from calls import serving
from digests import trained_hash

import ncg_fast
from ncg_fast import RBM


@pytest.mark.parametrize(
    "options",
    [
        {"n_steps": 3},
        {"n_steps": 2, "persistent": True, "n_chains": 70},
        {"n_steps": 1, "momentum": 0.5, "weight_decay": 1e-4},
    ],
)
def test_three_epochs(cpu_backend: BackEnd, options: dict[str, object]) -> None:
    x = ncg_fast.data.load("digits").train[:470]
    with serving(cpu_backend.kernels):
        hashes = {variant: trained_hash(x, **options) for variant in cpu_backend.variants()}
    assert len(hashes) == (2 if cpu_backend.name == "amx" else 2 * len(ISAS))
    assert set(hashes.values()) == {trained_hash(x, **options)}, hashes


def test_probabilities_as_data(cpu_backend: BackEnd) -> None:
    x = ncg_fast.data.load("digits", binarize=None).train[:200]
    with serving(cpu_backend.kernels):
        hashes = {trained_hash(x, epochs=1, n_steps=1) for _ in cpu_backend.variants()}
    assert hashes == {trained_hash(x, epochs=1, n_steps=1)}


def test_the_bits_are_those_of_every_other_computer() -> None:
    """reference.py made the digest; who disagrees breaks the contract of numbers."""
    x = ncg_fast.data.load("bars-and-stripes").train
    rbm = RBM(16, 16, density=0.5, seed=1)
    ncg_fast.fit(rbm, x, epochs=20, batch_size=5, n_steps=3, lr=0.05, progress=False)
    digest = hashlib.sha256()
    for value in rbm.state_dict().values():
        digest.update(value.contiguous().numpy().tobytes())
    assert digest.hexdigest()[:16] == "930739bf0cf78558"
