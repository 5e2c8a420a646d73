"""Options, each declared once for keyword arguments, the command line and config.json.

A dataclass of options has a field for each, made by ``option``; ``declared`` lists them. A command
that needs no dataclass lists ``Option`` itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ncg_fast import checks

_SAME = object()


@dataclass(frozen=True)
class Option:
    """What there is to know of an option.

    Attributes:
        name: of the keyword argument, the field and the attribute of parsed arguments.
        kind: bool, int, float, str, or what makes a value of the text on the command line.
        default: on the command line; None: there is none, and ``otherwise`` says what happens.
        help: its line of --help, without the default.
        metavar: what stands for its value in --help.
        within: the range of a number, ends included.
        choices: the words allowed; empty: any.
        otherwise: what happens where it is not given and default is None.
        group: its heading in --help; empty: the command line does not have it.
        flag: its name on the command line; empty: that of ``name``.
        in_fit: the default of ``fit``, where that is another.
        may_change: whether a run that goes on may have another value.
    """

    name: str
    kind: Callable[[str], Any]
    default: Any
    help: str
    metavar: str | None = None
    within: tuple[float, float] = (-math.inf, math.inf)
    choices: tuple[str, ...] = ()
    otherwise: str = ""
    group: str = ""
    flag: str = ""
    in_fit: Any = _SAME
    may_change: bool = False

    @property
    def on_command_line(self) -> str:
        """As in --batch-size."""
        return self.flag or f"--{self.name.replace('_', '-')}"

    @property
    def key(self) -> str:
        """The key in config.json: the words of the command line."""
        return self.on_command_line[2:].replace("-", "_")

    @property
    def fit_default(self) -> Any:
        """The default of ``fit``."""
        return self.default if self.in_fit is _SAME else self.in_fit

    @property
    def full_help(self) -> str:
        """The line of --help, with what holds where the option is not given."""
        words = "no" if self.default is False else self.default
        words = self.otherwise if words is None else words
        return f"{self.help} (default: {words})" if words != "" else self.help

    def checked(self, op: str, value: Any) -> Any:
        """The value of a keyword argument; None where that is the default of ``fit``.

        Raises:
            ValueError: of another type, or out of range.
        """
        if value is None and self.fit_default is None:
            return None
        low, high = self.within
        if self.kind is int:
            return checks.integer(op, self.name, value, int(low), int(high))
        if self.kind is float:
            return checks.number(op, self.name, value, low, high)
        if self.choices:
            return checks.choice(op, self.name, value, self.choices)
        return checks.flag(op, self.name, value)

    def check_range(self, value: Any, see: str) -> None:
        """Refuses a number of the command line that is out of range; None was not given.

        Raises:
            ValueError: not finite, or out of range.
        """
        if self.kind not in (int, float) or value is None:
            return
        low, high = self.within
        finite = not isinstance(value, float) or math.isfinite(value)
        if not (finite and low <= value <= high):
            limits, _ = checks.limits(value, low, high)
            limits = limits if finite else f"finite and {limits}"
            raise ValueError(f"{self.on_command_line} must be {limits}, got {value}. {see}")

    def fits(self, value: Any) -> bool:
        """Whether a value of config.json has the option's type."""
        if value is None:
            return self.default is None
        return type(value) is self.kind or (self.kind is float and type(value) is int)


def option(default: Any, help: str, metavar: str | None = None, **settings: Any) -> Any:
    """A field of a dataclass of options; settings are attributes of ``Option``."""
    return field(default=default, metadata={"help": help, "metavar": metavar, **settings})


def declared(options: type) -> dict[str, Option]:
    """The options of a dataclass by name, in order; fields without a declaration are left out."""
    hints = get_type_hints(options)
    return {
        each.name: Option(each.name, _kind(hints[each.name]), each.default, **each.metadata)
        for each in fields(options)
        if each.metadata
    }


def _kind(hint: Any) -> type:
    """The type that is not None; str for words."""
    if get_origin(hint) is Literal:
        return str
    (kind,) = {*(get_args(hint) or (hint,))} - {NoneType}
    found: type = kind
    return found
