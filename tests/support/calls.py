"""Calls of back ends by hand, and the choice of the one that serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from ncg_fast import backends
from ncg_fast.backends.launcher import Launcher
from ncg_fast.ops import registration


def call(backend: Any, op: str, *flat: Any) -> Any:
    """A registered op on a back end, its arguments one after the other, past all checks."""
    return registration.call(backend, op, flat)


@contextmanager
def serving(backend: Any) -> Iterator[None]:
    """Every op runs on this back end."""
    with mock.patch.object(backends, "select", lambda device_type: backend):
        yield


def _plain(op: Callable[..., None], *arguments: Any) -> None:
    op(*arguments)


def launcher(
    compiled: Any, own_number: Callable[[], int], run: Callable[..., None] = _plain
) -> Launcher:
    """The back end of a compiled module, whose functions take threads, or a stream, last.

    ``run`` calls each of them: a function and its arguments.
    """

    def call_op(op: Callable[..., None], like: Any, *arguments: Any) -> None:
        run(op, *arguments, own_number())

    return Launcher(compiled, call_op)


class Spy:
    """A back end that notes what its ops are given, and answers some of them itself."""

    def __init__(self, backend: Any, **answers: Callable[..., Any]):
        self._backend, self._answers = backend, answers
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, op: str) -> Callable[..., Any]:
        function = self._answers.get(op) or getattr(self._backend, op)

        def run(**given: Any) -> Any:
            self.calls.append((op, given))
            return function(**given)

        return run

    def given(self, op: str) -> list[dict[str, Any]]:
        """The arguments of each call of an op."""
        return [given for name, given in self.calls if name == op]

    def seeds(self) -> set[int]:
        """Of all draws."""
        return {given["draw"].seed for _, given in self.calls if "draw" in given}
