"""Machines whose results are checked before they are timed, and the same in plain torch.

What ``ncg-fast bench`` and the folder ``benchmarks`` share: nothing is timed whose result differs
from ``reference.py`` on that very shape. ``timing.py`` takes the time.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ncg_fast import backends, ops
from ncg_fast.backends import reference
from ncg_fast.backends.formats import described, integers, is_sparse, pack_rows
from ncg_fast.backends.numerics import BLOCK, HIDDEN_STREAM, PANEL, VISIBLE_STREAM, to_levels
from ncg_fast.backends.records import Layer, Offsets, Parameters, Phases, Rates
from ncg_fast.benchmark.timing import Clock, host_clock, in_turn, quartiles
from ncg_fast.model.digits import TRAINING_DIGITS
from ncg_fast.model.rbm import RBM
from ncg_fast.ops.registration import call, registered

_ACTIVE = 0.2  # of the visible units are on in a row
_RATES: dict[str, Any] = {"lr": 1e-4, "lr_strength": 1e-4}
_WHOLE = 1 << 31  # multiply-adds of a half step up to which the reference computes every unit


class Case:
    """A machine, rows for it, half step and training step, and their comparison with the reference.

    Args:
        n_visible: visible units.
        n_hidden: hidden units.
        n_rows: rows, a fifth of their units on.
        density: share of the connections that is on.
        device: of the machine and the rows.

    Raises:
        RuntimeError: the kernels were not built; from the checks, a result that differs.
    """

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        n_rows: int,
        density: float = 0.5,
        device: str = "cpu",
    ) -> None:
        self.kernels = backends.select(device)
        if self.kernels is reference:
            line = backends.report()["cpu"]
            rule = f'benchmark: backend "cpu" must be built, got {line}'
            raise RuntimeError(f"{rule}. Reinstall ncg_fast with a C++17 compiler.")
        draws = torch.Generator().manual_seed(0)
        rows = torch.rand(n_rows, n_visible, generator=draws) < _ACTIVE
        self.n_rows, self.rows = n_rows, rows.to(device)
        self.visible = ops.pack_states(self.rows)
        self.rbm = RBM(n_visible, n_hidden, density=density, seed=0).to(device)
        # Of a larger machine the reference computes a whole block of each layer.
        whole = n_rows * n_visible * n_hidden <= _WHOLE
        self.n_checked_visible = n_visible if whole else min(n_visible, PANEL)
        self.n_checked_hidden = n_hidden if whole else min(n_hidden, BLOCK)

    def digits_form(self) -> str:
        """How the digits are held: dense or sparse."""
        return "sparse" if is_sparse(self.rbm._model(TRAINING_DIGITS).to_hidden) else "dense"

    def half_step_ways(self) -> list[str]:
        """Of ``half_steps.WORDS``, those of v → h from the rows, h → v and v → h; none on a GPU."""
        if self.rows.device.type != "cpu":
            return []
        from ncg_fast.backends.cpu import half_step_way

        up, rest = (
            (self.rbm.n_hidden, self.rbm.n_visible),
            (self.n_rows, self.digits_form() == "sparse"),
        )
        there, back = half_step_way(*up, *rest), half_step_way(*up[::-1], *rest)
        return [there, back, there]

    def half_step(self, n_digits: int = TRAINING_DIGITS) -> Tensor:
        """Packed h ~ P(h | v)."""
        layer, draw = self.rbm._model(n_digits).hidden_layer, self.rbm._draw()
        hidden: Tensor = registered.sample(self.visible, self.n_rows, *layer, *draw, HIDDEN_STREAM)
        return hidden

    def train_step(self, n_steps: int = 1) -> None:
        """CD-k with the NCG update."""
        self.rbm.train_step_(self.rows, n_steps, **_RATES)

    def check_sweep(self, visible: Tensor, n_digits: int = TRAINING_DIGITS, t: int = 0) -> Tensor:
        """Compares both half steps of sweep t from these states; the states after it, packed."""
        model = self.rbm._model(n_digits)
        hidden = self._check(visible, model.hidden_layer, self.n_checked_hidden, t, HIDDEN_STREAM)
        return self._check(hidden, model.visible_layer, self.n_checked_visible, t, VISIBLE_STREAM)

    def _check(self, states: Tensor, layer: Layer, n: int, t: int, stream: int) -> Tensor:
        """Compares the first n units of a half step; its states."""
        draw = self.rbm._draw()
        flat = *draw._replace(step=draw.step + t), stream
        expected = by_reference("sample", states, self.n_rows, *self.first_units(layer, n), *flat)
        found: Tensor = registered.sample(states, self.n_rows, *layer, *flat)
        op = "sample_hidden" if stream == HIDDEN_STREAM else "sample_visible"
        same(op, [found[:n]], [expected])
        return found

    def phases(self, n_steps: int = 1) -> Phases:
        """Compares n_steps sweeps; hidden levels of the checked units and visible states.

        Of the data, then of the model.
        """
        last = self.visible
        for t in range(n_steps):
            last = self.check_sweep(last, t=t)
        layer = self.first_units(
            self.rbm._model(TRAINING_DIGITS).hidden_layer, self.n_checked_hidden
        )
        visible = self.visible.cpu(), last.cpu()
        data, model = (to_levels(reference.mean(v, self.n_rows, layer)) for v in visible)
        return Phases(data, visible[0], model, visible[1])

    def check_train_step(self, n_steps: int = 1) -> None:
        """Takes one training step and compares what it wrote."""
        phases = self.phases(n_steps)
        exponent = self.rbm._model(TRAINING_DIGITS).weight_exponent
        expected = [written.to("cpu", copy=True) for written in self.checked_parameters()]
        rates = Rates(**_RATES)
        reference.ncg_update_(Parameters(*expected), phases, rates, Offsets(), exponent, 0)
        self.train_step(n_steps)
        same("train_step_", self.checked_parameters(), expected)

    def checked_parameters(self) -> list[Tensor]:
        """What a training step writes, of the checked hidden units; digits as rows."""
        rbm, n = self.rbm, self.n_checked_hidden
        model = rbm._model(TRAINING_DIGITS)
        pairs = rbm.weight, rbm.connection_strength, rbm.mask
        parts = [pair.detach()[:n] for pair in pairs if pair is not None]
        sizes = (rbm.n_hidden, rbm.n_visible), (rbm.n_visible, rbm.n_hidden)
        to_hidden, to_visible = (
            integers(digits.cpu(), *size) for digits, size in zip(model[:2], sizes, strict=True)
        )
        digits = [pack_rows(q, TRAINING_DIGITS) for q in (to_hidden[:n], to_visible[:, :n])]
        return [*parts, model.visible_bias, model.hidden_bias[:n], *digits]

    def first_units(self, layer: Layer, n: int) -> Layer:
        """The layer's first n outputs, on the CPU, for the reference."""
        n_out = layer.bias.numel()
        n_in = self.rbm.n_visible + self.rbm.n_hidden - n_out
        q = integers(layer.digits.cpu(), n_out, n_in)[:n]
        digits = pack_rows(q, described(layer.digits).n_digits)
        return layer._replace(digits=digits, bias=layer.bias[:n].cpu())


def by_reference(op: str, *flat: Any) -> Any:
    """What the reference computes of copies on the CPU; tensors there are taken as they are."""
    return call(reference, op, tuple(a.cpu() if isinstance(a, Tensor) else a for a in flat))


def same(op: str, found: list[Tensor], expected: list[Tensor]) -> None:
    """Refuses results that are not those of the reference, bit for bit; on any device.

    Raises:
        RuntimeError: they differ.
    """
    n = sum(not torch.equal(a.cpu(), b.cpu()) for a, b in zip(found, expected, strict=True))
    if n:
        rule = f"benchmark: {op} must equal the reference bit for bit"
        raise RuntimeError(f"{rule}, got {n} of {len(found)} that differ. Run the tests.")


def _less_than(p: Tensor) -> Tensor:
    return (torch.rand_like(p) < p).to(p.dtype)


DRAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "rand < p": _less_than,
    "bernoulli": torch.bernoulli,
}


class Eager:
    """The same machine in plain torch, W∘A formed at each use, as a user would write it.

    Args:
        case: copied from it, parameters and rows.
        draw: a name of ``DRAWS``.
        dtype: of every tensor.
    """

    def __init__(self, case: Case, draw: str, dtype: torch.dtype = torch.float32) -> None:
        rbm = case.rbm
        parameters = rbm.weight, rbm.connection_strength, rbm.visible_bias, rbm.hidden_bias
        self.w, self.s, self.b, self.c = (
            p.detach().to(dtype, copy=True) for p in parameters if p is not None
        )
        self.a, self.v, self.draw = rbm.mask.to(dtype), case.rows.to(dtype), DRAWS[draw]

    def hidden(self, v: Tensor) -> Tensor:
        """P(h | v)."""
        return torch.sigmoid(torch.addmm(self.c, v, (self.w * self.a).t()))

    def visible(self, h: Tensor) -> Tensor:
        """P(v | h)."""
        return torch.sigmoid(torch.addmm(self.b, h, self.w * self.a))

    def half_step(self) -> Tensor:
        """h ~ P(h | v)."""
        return self.draw(self.hidden(self.v))

    def train_step(self, n_steps: int = 1) -> None:
        """CD-k with the NCG update."""
        p_h = p_k = self.hidden(self.v)
        for _ in range(n_steps):
            v_k = self.draw(self.visible(self.draw(p_k)))
            p_k = self.hidden(v_k)
        self.update(p_h, p_k, v_k)

    def update(self, p_h: Tensor, p_k: Tensor, v_k: Tensor) -> None:
        """The NCG update of weights, strengths, mask and biases."""
        lr, lr_strength = _RATES.values()
        g = (p_h.t() @ self.v - p_k.t() @ v_k) / len(self.v)
        self.s.add_(self.w * g, alpha=lr_strength)
        self.w.add_(self.a * g, alpha=lr)
        self.a.copy_(torch.where(self.s < 0.5, 0.0, torch.where(self.s > 0.5, 1.0, self.a)))
        self.s.clamp_(0, 1)
        self.b.add_((self.v - v_k).mean(0), alpha=lr)
        self.c.add_((p_h - p_k).mean(0), alpha=lr)


def faster_draw(case: Case, clock: Clock = host_clock) -> str:
    """The name of ``DRAWS`` with which the eager half step is the faster."""
    samples = in_turn({name: Eager(case, name).half_step for name in DRAWS}, 0.2, clock=clock)
    return min(DRAWS, key=lambda name: quartiles(samples[name].values())[1])


def computer() -> dict[str, object]:
    """What the figures of a CPU depend on."""
    return {
        "processor": _processor(),
        "instruction_set": backends.instruction_set(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
