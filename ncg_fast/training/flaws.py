"""What a machine and a training run must hold to be of use in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ncg_fast.backends.numerics import MAX_EXPONENT, MIN_EXPONENT, WORD
from ncg_fast.checks import MAX_STEP, apart
from ncg_fast.training import averaging

_Kinds = dict[str, tuple[torch.dtype, tuple[int, ...]]]


class Flaw(NamedTuple):
    """Name must rule, got actual. Remedy."""

    name: str
    rule: str
    actual: str
    remedy: str


def of_machine(model: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Iterator[Flaw]:
    """What is wrong with the tensors of a machine of these sizes.

    Raises:
        KeyError: a size is missing.
    """
    n_visible, n_hidden, n_labels = (model[f"n_{name}"] for name in ("visible", "hidden", "labels"))
    whole = all(type(size) is int for size in (n_visible, n_hidden, n_labels))
    if not (whole and n_hidden >= 1 and 0 <= n_labels < n_visible):
        actual, remedy = f"{n_visible}, {n_hidden}, {n_labels}", "Make the machine anew."
        yield Flaw("n_visible, n_hidden, n_labels", "be sizes of a machine", actual, remedy)
        return
    learned = model["learn_connections"]
    if not isinstance(learned, bool):
        yield Flaw("learn_connections", "be true or false", repr(learned), "Make the machine anew.")
        return
    pair = n_hidden, n_visible
    kinds: _Kinds = {"weight": (torch.float32, pair), "mask": (torch.bool, pair)}
    if learned:
        kinds["connection_strength"] = torch.float32, pair
    kinds["visible_bias"] = torch.float32, (n_visible,)
    kinds["hidden_bias"] = torch.float32, (n_hidden,)
    kinds["_extra_state"] = torch.int64, (4,)
    wrong = list(_wrong_kinds(kinds, tensors))
    yield from wrong or _wrong_values({name: tensors[name] for name in kinds}, n_labels)


def of_run(
    model: Mapping[str, Any], settings: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> Iterator[Flaw]:
    """What is wrong with the momentum, averages and chains of a run with these settings."""
    n_visible, n_hidden = model["n_visible"], model["n_hidden"]
    kinds: _Kinds = {"first_sweep": (torch.int64, ())}
    if settings.get("momentum"):
        kinds["weight_velocity"] = torch.float32, (n_hidden, n_visible)
        kinds["visible_velocity"] = torch.float32, (n_visible,)
        kinds["hidden_velocity"] = torch.float32, (n_hidden,)
    if settings.get("centered"):
        kinds["visible_offset"] = torch.float32, (n_visible,)
        kinds["hidden_offset"] = torch.float32, (n_hidden,)
    if settings.get("average"):
        kinds[averaging.COUNT] = torch.int64, ()
        sizes = (n_hidden, n_visible), (n_visible,), (n_hidden,)
        kinds |= {
            name: (torch.float64, size) for name, size in zip(averaging.SUMS, sizes, strict=True)
        }
    if settings.get("n_chains") is not None:
        kinds["chains"] = torch.int64, (n_visible, -(-settings["n_chains"] // WORD))
    wrong = list(_wrong_kinds(kinds, tensors))
    yield from wrong or _not_finite({name: tensors[name] for name in kinds})
    if not wrong and not 0 <= int(tensors["first_sweep"]) <= MAX_STEP:
        actual, remedy = str(int(tensors["first_sweep"])), "Reload the last good checkpoint."
        yield Flaw("first_sweep", "be the number of a sweep", actual, remedy)
    n_used = (settings.get("n_chains") or 0) % WORD
    if n_used and not wrong and bool((tensors["chains"][:, -1] >> n_used).any()):
        actual, remedy = "others as well", "Reload the last good checkpoint."
        yield Flaw("chains", f"hold the bits of {settings['n_chains']} chains", actual, remedy)


def _wrong_kinds(kinds: _Kinds, tensors: Mapping[str, Tensor]) -> Iterator[Flaw]:
    for name, (dtype, shape) in kinds.items():
        value = tensors.get(name)
        actual = "none" if value is None else _words(value.dtype, tuple(value.shape))
        if actual != _words(dtype, shape):
            remedy = "Convert it, or make the machine anew."
            yield Flaw(name, f"be {_words(dtype, shape)}", actual, remedy)


def _words(dtype: torch.dtype, shape: tuple[int, ...]) -> str:
    return f"{str(dtype).removeprefix('torch.')} {shape}"


def _not_finite(tensors: Mapping[str, Tensor]) -> Iterator[Flaw]:
    for name, value in tensors.items():
        n_bad = int((~torch.isfinite(value)).sum())
        if n_bad:
            actual = f"{n_bad} that are NaN or infinite"
            yield Flaw(name, "hold finite numbers", actual, "Reload the last good checkpoint.")


def _wrong_values(tensors: Mapping[str, Tensor], n_labels: int) -> Iterator[Flaw]:
    yield from _not_finite(tensors)
    strength = tensors.get("connection_strength")
    if strength is not None:
        low, high = float(strength.min()), float(strength.max())
        if low < 0 or high > 1:
            remedy = "Call update_mask_ after the step of an optimiser."
            ends = " to ".join(apart(low, high, 0.0, 1.0)[:2])
            yield Flaw("connection_strength", "lie in [0, 1]", ends, remedy)
    mask = tensors["mask"]
    n_off = int((~mask[:, mask.shape[1] - n_labels :]).sum())
    if n_off:
        remedy = "Use connectivity.protect_labels."
        yield Flaw("mask", "connect all label units", f"{n_off} connections off", remedy)
    seed, sweep, known, exponent = tensors["_extra_state"].tolist()
    in_range = exponent == 0 if known == 0 else MIN_EXPONENT <= exponent <= MAX_EXPONENT
    if not (seed >= 0 and 0 <= sweep <= MAX_STEP and known in (0, 1) and in_range):
        rule, actual = "hold seed, sweep and exponent in range", [seed, sweep, known, exponent]
        yield Flaw("_extra_state", rule, str(actual), "Call manual_seed.")
