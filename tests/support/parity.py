"""Random machines, and public ops compared bit for bit with those of reference.py."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

import pytest
import torch
from backend_choice import INTERPRETED, REFERENCE, BackEnd
from torch import Tensor

from ncg_fast import ops
from ncg_fast.backends import formats
from ncg_fast.backends.numerics import next_exponent, to_levels

SEED = 0x123456789ABCDEF
DRAW = {"seed": SEED, "chain_offset": 5, "step": (3 << 32) + 1}
Shape = tuple[int, int, int, int]  # n_visible, n_hidden, rows, chains
SHAPES: list[Any] = [(1, 1, 1, 1), (7, 5, 3, 3), (31, 33, 0, 0)]
if INTERPRETED:
    SHAPES.append((67, 35, 5, 6))
else:
    SHAPES += [(67, 61, 5, 66), (127, 131, 66, 66)]
    more = [(61, 67, 1, 5), (81, 50, 19, 33), (64, 32, 64, 128), (784, 31, 17, 16)]
    SHAPES += [pytest.param(shape, marks=pytest.mark.slow) for shape in more]
N_DIGITS = [2, pytest.param(3, marks=pytest.mark.slow)]  # of what learns: machines learn with 2
WITH_ROWS = [shape for shape in SHAPES if shape != (31, 33, 0, 0)]


class Machine:
    """Random parameters and states of one shape, the same for every back end."""

    def __init__(self, shape: Shape, n_digits: int, scale: float = 1.0, density: float = 0.5):
        n_visible, n_hidden, self.n_rows, self.n_chains = shape
        g = torch.Generator().manual_seed(hash((shape, n_digits)) % 2**31)
        self.weight = scale * torch.randn(n_hidden, n_visible, generator=g)
        self.mask = torch.rand(n_hidden, n_visible, generator=g) < density
        self.strength = torch.rand(n_hidden, n_visible, generator=g)
        self.visible_bias = torch.randn(n_visible, generator=g)
        self.hidden_bias = torch.randn(n_hidden, generator=g)
        self.exponent = next_exponent(None, float(self.weight.abs().max()))
        self.digits = formats.pack_weights(self.weight, self.mask, n_digits, self.exponent)
        self.rows = torch.rand(self.n_rows, n_visible, generator=g) < 0.3
        self.data = formats.pack_states(self.rows)
        self.levels = to_levels(torch.rand(self.n_rows, n_visible, generator=g))
        self.hidden = formats.pack_states(torch.rand(self.n_rows, n_hidden, generator=g) < 0.5)
        self.chains = formats.pack_states(torch.rand(self.n_chains, n_visible, generator=g) < 0.3)
        self.beta = torch.rand(self.n_rows, generator=g)
        self.clamped = formats.pack_states(torch.rand(self.n_rows, n_visible, generator=g) < 0.2)

    def to_hidden(self) -> tuple[Any, ...]:
        return self.digits[0], self.hidden_bias, self.exponent, self.n_rows

    def to_visible(self) -> tuple[Any, ...]:
        return self.digits[1], self.visible_bias, self.exponent, self.n_rows

    def model(self) -> tuple[Any, ...]:
        return *self.digits, self.visible_bias, self.hidden_bias, self.exponent, self.n_rows

    def hidden_levels(self, visible: Tensor, n: int) -> Tensor:
        layer = self.digits[0], self.hidden_bias, self.exponent
        return to_levels(wanted("hidden_mean", visible, *layer, n)[0])

    def phases(self, visible: Tensor, equal: bool = False) -> tuple[Tensor, ...]:
        """States of both phases; as many chains as rows, or ``n_chains``."""
        chains, n = (self.data, self.n_rows) if equal else (self.chains, self.n_chains)
        return (
            self.hidden_levels(visible, self.n_rows),
            visible,
            self.hidden_levels(chains, n),
            chains,
        )

    def parameters(self, *, fixed: bool = False, momentum: bool = False) -> ops.Parameters:
        velocities: tuple[Tensor | None, ...] = (None, None, None)
        if momentum:
            velocities = tuple(0.01 * t for t in (self.weight, self.visible_bias, self.hidden_bias))
        biases = self.visible_bias, self.hidden_bias
        tensors = self.weight, None if fixed else self.strength, self.mask, *biases, *self.digits
        return ops.Parameters(*(None if t is None else t.clone() for t in (*tensors, *velocities)))

    def gradients(self, without: tuple[str, ...] = ()) -> ops.Gradients:
        """Random ones, of connections that are off, too, some of them zeros of either sign."""
        g = torch.Generator().manual_seed(len(self.weight))
        like = self.weight, self.weight, self.visible_bias, self.hidden_bias
        values = (torch.randn(t.shape, generator=g) for t in like)
        zeros = (torch.rand(t.shape, generator=g) < 0.2 for t in like)
        found = (v.masked_fill(z, 0.0) * v.sign() for v, z in zip(values, zeros, strict=True))
        return ops.Gradients(*found)._replace(**dict.fromkeys(without))

    def learning(self, options: str) -> tuple[ops.Parameters, dict[str, Any]]:
        """Parameters and settings of an update: plain, momentum, fixed or labels."""
        parameters = self.parameters(fixed=options == "fixed", momentum=options == "momentum")
        settings = {"lr": 0.3, "lr_strength": 2.0, "weight_exponent": self.exponent}
        if options == "momentum":
            settings |= {"momentum": 0.9, "weight_decay": 0.001}
        if options == "labels":
            settings["n_labels"] = min(3, self.weight.shape[1])
        return parameters, settings


def same_bits(got: Any, want: Any, what: str) -> None:
    if isinstance(want, tuple):
        assert len(got) == len(want)
        for a, b in zip(got, want, strict=True):
            same_bits(a, b, what)
        return
    assert got.dtype == want.dtype and got.shape == want.shape
    kind = {torch.float32: torch.int32, torch.float64: torch.int64}.get(got.dtype)
    if kind is not None:  # NaN equals NaN, whatever its sign and payload
        assert torch.equal(got.isnan(), want.isnan()), what
        got, want = (t.nan_to_num().contiguous().view(kind) for t in (got, want))
    assert torch.equal(got, want), f"{what}: {int((got != want).sum())} of {got.numel()} differ"


def close(got: tuple[Tensor, ...], want: tuple[Tensor, ...], what: str) -> None:
    """As same_bits, but float64 sums agree to 1e-10."""
    for a, b in zip(got, want, strict=True):
        if b.dtype == torch.float64:
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10, msg=what)
        else:
            same_bits(a, b, what)


_wanted: OrderedDict[bytes, tuple[Tensor, ...]] = OrderedDict()


def _digest(value: Any) -> bytes:
    """Of all that a call is given."""
    total = hashlib.sha256()
    if isinstance(value, Tensor):
        total.update(f"{value.dtype}{tuple(value.shape)}".encode())
        total.update(value.detach().contiguous().numpy().tobytes())
    elif isinstance(value, tuple):
        for each in value:
            total.update(_digest(each))
    elif isinstance(value, dict):
        total.update(_digest(tuple(value.items())))
    else:
        total.update(repr(value).encode())
    return total.digest()


def wanted(op: str, *args: Any, **options: Any) -> tuple[Tensor, ...]:
    """What the reference finds; the next back end asks for it again."""
    key = _digest((op, args, options))
    if key not in _wanted:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # small products, which two would wait for on a busy computer
        _wanted[key] = REFERENCE.run(op, *args, **options)
        torch.set_num_threads(threads)
        if len(_wanted) > 50:
            _wanted.popitem(last=False)
    return _wanted[key]


def agree(backend: BackEnd, op: str, *args: Any, **options: Any) -> None:
    """A public op finds, and writes, the same in every variant of the back end."""
    want = wanted(op, *args, **options)
    compare = close if op in ("free_energy", "anneal") else same_bits
    for variant in backend.variants():
        compare(backend.run(op, *args, **options), want, f"{op}, {backend.name}, {variant}")
