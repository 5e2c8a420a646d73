"""The stubs of the compiled modules say what ``signatures.py`` says."""

from __future__ import annotations

import ast

import pytest
from checkout import ROOT

from ncg_fast.backends.signatures import SIGNATURES, arguments

STUBS = {
    node.name: node.args
    for node in ast.parse((ROOT / "ncg_fast/_cpu.pyi").read_text()).body
    if isinstance(node, ast.FunctionDef)
}


def torch_type(written: str) -> str:
    """``Tensor?`` is ``Tensor | None`` here."""
    return f"{written[:-1]} | None" if written.endswith("?") else written


@pytest.mark.parametrize("op", SIGNATURES)
def test_arguments_of_an_op(op: str) -> None:
    """In order: those of the op, results, scratch memory, and the context."""
    given = [(each.arg, ast.unparse(each.annotation)) for each in STUBS[op].posonlyargs]
    own = [(name, torch_type(kind)) for name, kind in arguments(op).items()]
    assert given[: len(own)] == own
    results = given[len(own) : -2]
    assert all(kind == "Tensor" for _, kind in results)
    n_tensors = SIGNATURES[op].partition(" -> ")[2].count("Tensor")
    written_in_place = int(op == "anneal")  # its visible states
    assert len(results) == n_tensors - written_in_place
    assert given[-2:] == [("scratch", "Tensor | None"), ("context", "int")]
