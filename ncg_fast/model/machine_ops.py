"""A machine's work as ops on its tensors: what torch.compile and torch.export see of it.

Each op checks values, takes the digits of the weights (``digits.cache_of``) and runs the kernels.
Means and free energies have gradients (``gradients.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ncg_fast import backends, checks
from ncg_fast.backends.formats import StateFormat, state_format
from ncg_fast.backends.numerics import HIDDEN_STREAM, VISIBLE_STREAM, to_levels
from ncg_fast.backends.records import Draw, Layer, Model, Phases
from ncg_fast.model import units
from ncg_fast.model.digits import (
    EVALUATION_DIGITS,
    TRAINING_DIGITS,
    Digits,
    cache_of,
    check_biases,
)
from ncg_fast.model.draws import reserved
from ncg_fast.ops.arguments import of_states

HIDDEN, VISIBLE = "hidden", "visible"


class Machine(NamedTuple):
    """The tensors of a machine, which ops take one after the other."""

    weight: Tensor
    connection_strength: Tensor | None
    mask: Tensor
    visible_bias: Tensor
    hidden_bias: Tensor
    n_labels: int

    def detached(self) -> Machine:
        """Without gradients."""
        weight, strength, mask, b, c, n_labels = self
        kept = None if strength is None else strength.detach()
        return Machine(weight.detach(), kept, mask, b.detach(), c.detach(), n_labels)

    def digits(self, n_digits: int) -> Digits:
        """Digits of the weights.

        Raises:
            ValueError: wrong shapes or dtypes, NaN or inf in weights or biases.
        """
        check_biases(self.visible_bias, self.hidden_bias, tuple(self.weight.shape))
        learned = self.connection_strength is not None
        return cache_of(self.weight).get(self.weight, self.mask, n_digits, learned=learned)

    def model(self, n_digits: int) -> Model:
        """Both directions, for the kernels."""
        to_hidden, to_visible, exponent = self.digits(n_digits)
        biases = self.visible_bias.detach(), self.hidden_bias.detach()
        return Model(to_hidden, to_visible, *biases, exponent)

    def layer(self, of: str, n_digits: int) -> Layer:
        """The direction to the units of that side."""
        model = self.model(n_digits)
        return model.hidden_layer if of == HIDDEN else model.visible_layer


def _from(of: str) -> str:
    return VISIBLE if of == HIDDEN else HIDDEN


def _mean(op: str, states: Tensor, machine: Machine, of: str) -> Tensor:
    rows = units.unread(op, _from(of), states)
    layer = machine.layer(of, EVALUATION_DIGITS)
    backend = backends.select(states.device.type)
    return of_states(
        op, _from(of), lambda read: backend.mean(states=read, n_chains=len(rows), layer=layer), rows
    )


def _free_energy(op: str, visible: Tensor, machine: Machine) -> Tensor:
    rows = units.unread(op, VISIBLE, visible)
    model, backend = machine.model(EVALUATION_DIGITS), backends.select(visible.device.type)
    given = {"n_chains": len(rows), "layer": model.hidden_layer}
    given["visible_bias"] = model.visible_bias
    return of_states(op, VISIBLE, lambda read: backend.free_energy(visible=read, **given), rows)


def _sample(op: str, states: Tensor, machine: Machine, draws: Tensor, of: str) -> Tensor:
    rows = units.valued(op, _from(of), states)
    given = {"states": units.encoded(rows), "n_chains": len(rows)}
    given["layer"] = machine.layer(of, TRAINING_DIGITS)
    given["stream"] = HIDDEN_STREAM if of == HIDDEN else VISIBLE_STREAM
    with reserved(draws, 1) as mine:
        drawn = backends.select(states.device.type).sample(**given, draw=mine.draw)
        return units.decode(drawn, len(rows), like=states)


def sweeps(
    machine: Machine,
    start: Tensor,
    n_chains: int,
    n_steps: int,
    draw: Draw,
    clamped: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """n_steps sweeps from encoded states; the last visible and hidden states, packed."""
    states: tuple[Tensor, Tensor] = backends.select(start.device.type).gibbs_steps(
        visible=start,
        n_chains=n_chains,
        model=machine.model(TRAINING_DIGITS),
        n_steps=n_steps,
        draw=draw,
        clamped=clamped,
    )
    return states


def clamped(op: str, name: str, rows: Tensor, clamp: Tensor) -> tuple[Tensor, Tensor]:
    """Encoded rows with the clamped units set, and which units those are, packed."""
    values, held = units.encode_clamp(op, clamp)
    if state_format(rows) is not StateFormat.PACKED:
        rule, remedy = f"{name} must hold only 0 and 1 with a clamp", "Binarise it there."
        raise checks.error(op, rule, "values in between", remedy)
    checks.same_device(op, **{name: rows, "clamp": clamp})
    return rows & ~held | values, held


def _gibbs_steps(
    op: str,
    visible: Tensor,
    machine: Machine,
    draws: Tensor,
    n_steps: int,
    beta: Tensor | None,
    clamp: Tensor | None,
) -> tuple[Tensor, Tensor]:
    n, held = len(visible), None
    rows = units.encoded(units.valued(op, VISIBLE, visible))
    if clamp is not None:
        rows, held = clamped(op, VISIBLE, rows, clamp)
    if beta is not None:
        units.check_beta(op, beta)
    with reserved(draws, n_steps) as mine:
        draw = mine.draw._replace(beta=beta)
        last, hidden = sweeps(machine, rows, n, n_steps, draw, held)
        return units.decode(last, n, like=visible), units.decode(hidden, n, like=visible)


def phases(
    op: str, visible: Tensor, chains: Tensor | None, machine: Machine, draw: Draw, n_steps: int
) -> Phases:
    """Hidden levels and visible states of the data, and of the model after n_steps sweeps."""
    data = units.encoded(units.valued(op, VISIBLE, visible))
    start, n_chains = data, len(visible)
    if chains is not None:
        start, n_chains = units.encoded(units.valued(op, "chains", chains)), len(chains)
    last, _ = sweeps(machine, start, n_chains, n_steps, draw)
    layer, backend = machine.layer(HIDDEN, TRAINING_DIGITS), backends.select(visible.device.type)
    positive = to_levels(backend.mean(states=data, n_chains=len(visible), layer=layer))
    negative = to_levels(backend.mean(states=last, n_chains=n_chains, layer=layer))
    return Phases(positive, data, negative, last)


def _contrast(
    op: str, visible: Tensor, machine: Machine, draws: Tensor, chains: Tensor | None, n_steps: int
) -> tuple[Tensor, ...]:
    """Ascent of the log-likelihood by weight, strength, visible and hidden bias; the chains."""
    weight, mask = machine.weight.detach().contiguous(), machine.mask.contiguous()
    learned = machine.connection_strength is not None
    backend = backends.select(visible.device.type)
    with reserved(draws, n_steps) as mine:
        found = phases(op, visible, chains, machine, mine.draw, n_steps)
        _, by_weight, by_strength, *by_bias = backend.connection_gradient(
            phases=found, weight=weight if learned else None, mask=mask
        )
    if machine.n_labels and learned:
        by_strength[:, -machine.n_labels :] = 0
    n_chains = len(visible if chains is None else chains)
    last = units.decode(found.visible_model, n_chains, like=visible.new_empty(n_chains, 0))
    return by_weight, by_strength, *by_bias, last


_MACHINE = (
    "Tensor weight, Tensor? connection_strength, Tensor mask, Tensor visible_bias, "
    "Tensor hidden_bias, int n_labels"
)
_DRAWN = f"{_MACHINE}, Tensor(a!) draws"


def _like(of: str, states: Tensor, machine: Machine) -> Tensor:
    bias = machine.hidden_bias if of == HIDDEN else machine.visible_bias
    return states.new_empty(states.shape[0], bias.shape[0])


# Schema, implementation, and memory for its results, of which torch.compile takes the shapes.
_OPS: dict[str, tuple[str, Callable[..., Any], Callable[..., Any]]] = {
    "rbm_mean": (
        f"(str op, Tensor states, {_MACHINE}, str of) -> Tensor",
        _mean,
        lambda op, states, machine, of: _like(of, states, machine).float(),
    ),
    "rbm_free_energy": (
        f"(str op, Tensor visible, {_MACHINE}) -> Tensor",
        _free_energy,
        lambda op, visible, machine: visible.new_empty(visible.shape[0], dtype=torch.float64),
    ),
    "rbm_sample": (
        f"(str op, Tensor states, {_DRAWN}, str of) -> Tensor",
        _sample,
        lambda op, states, machine, draws, of: _like(of, states, machine),
    ),
    "rbm_gibbs_steps": (
        f"(str op, Tensor visible, {_DRAWN}, int n_steps, Tensor? beta, Tensor? clamp) "
        "-> (Tensor, Tensor)",
        _gibbs_steps,
        lambda op, visible, machine, *_: (
            _like(VISIBLE, visible, machine),
            _like(HIDDEN, visible, machine),
        ),
    ),
    "rbm_contrast": (
        f"(str op, Tensor visible, {_DRAWN}, Tensor? chains, int n_steps) "
        "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
        _contrast,
        lambda op, visible, machine, draws, chains, n_steps: (
            torch.empty_like(machine.weight),
            torch.empty_like(machine.weight)
            if machine.connection_strength is not None
            else machine.weight.new_empty(0),
            torch.empty_like(machine.visible_bias),
            torch.empty_like(machine.hidden_bias),
            _like(
                VISIBLE,
                visible if chains is None else visible.new_empty(chains.shape[0], 0),
                machine,
            ),
        ),
    ),
}
_N = len(Machine._fields)


def _on_records(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of (op, states, machine, ...) that takes the fields of the machine."""
    return lambda op, states, *rest: function(op, states, Machine(*rest[:_N]), *rest[_N:])


LIBRARY = torch.library.Library("ncg_fast", "FRAGMENT")
EAGER = {name: _on_records(implementation) for name, (_, implementation, _) in _OPS.items()}
for _name, (_schema, _, _fake) in _OPS.items():
    LIBRARY.define(_name + _schema)
    for _device_type in backends.DEVICE_TYPES:
        LIBRARY.impl(_name, EAGER[_name], _device_type.upper())
    torch.library.register_fake(f"ncg_fast::{_name}", _on_records(_fake), lib=LIBRARY)
_TRACED = {name: getattr(torch.ops.ncg_fast, name) for name in _OPS}
_PLAIN = {Tensor, torch.nn.Parameter}


def function(name: str, states: Tensor, weight: Tensor) -> Callable[..., Any]:
    """What an op does; where tensors have no values, the op itself, which torch can trace."""
    traced = torch.compiler.is_compiling() or not {type(states), type(weight)} <= _PLAIN
    return (_TRACED if traced else EAGER)[name]


def run(name: str, op: str, states: Tensor, machine: Machine, *rest: Any) -> Any:
    """An op that has no gradients."""
    found = function(name, states, machine.weight)
    return found(op, states.detach(), *machine.detached(), *rest)
