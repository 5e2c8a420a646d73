"""Tensors that public functions take, in other dtypes and shapes: refused by name, in Python."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from public_calls import CALLS, RBM_
from torch import Tensor

from ncg_fast import RBM

DTYPES = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
DTYPES += [torch.float16, torch.bfloat16, torch.float32, torch.float64]
FLOATING = [dtype for dtype in DTYPES if dtype.is_floating_point]
STATES = DTYPES
# Arguments of no fixed dtype; all others take their own alone.
ALSO: dict[str, list[torch.dtype]] = {
    "visible": STATES,
    "hidden": STATES,
    "x": STATES,
    "x_held_out": STATES,
    "data": STATES,
    "clamp": FLOATING,
    "start": STATES,
    "chains": STATES,
    "betas": FLOATING,
    "labels": [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64],
    "series": DTYPES,
    "states": [torch.bool, torch.uint8],
}
TENSORS = [
    (name, argument)
    for name, (_, arguments) in CALLS.items()
    for argument, value in arguments.items()
    if isinstance(value, Tensor)
]


def allowed(name: str, argument: str, own: torch.dtype) -> list[torch.dtype]:
    if name.startswith("ops.") and argument not in ("states",):
        return [own]
    if name == "RBM.train_step_" and argument == "chains":
        return [own]
    return ALSO.get(argument, [own])


def refusal(name: str, argument: str, value: Any) -> str:
    """What is said of the value, if it is refused."""
    function, right = CALLS[name]
    arguments = {**right, argument: value}
    rbm = RBM(RBM_.n_visible, RBM_.n_hidden, density=0.5, seed=0)
    if arguments.get("rbm") is RBM_:
        arguments["rbm"] = rbm
    if name == "fit":
        arguments["progress"] = False
    try:
        function(*((rbm,) if name.startswith("RBM.") else ()), **arguments)
    except ValueError as error:
        return str(error)
    return ""


def refused_in_python(argument: str, said: str) -> None:
    """By name; what the compiled module finds ends with the name of the op "which checks"."""
    assert re.match(rf"[\w.]+: (\w+\.)?{argument} must ", said), said
    assert "which checks" not in said


@pytest.mark.usefixtures("own_folder")
@pytest.mark.parametrize(("name", "argument"), TENSORS)
def test_other_dtypes(name: str, argument: str) -> None:
    own = CALLS[name][1][argument]
    for dtype in DTYPES:
        said = refusal(name, argument, own.to(dtype))
        if dtype in allowed(name, argument, own.dtype):
            assert said == "", dtype
        else:
            refused_in_python(argument, said)


LEADING = {"visible", "hidden", "chains"}  # of methods of RBM: any axes may lead


@pytest.mark.usefixtures("own_folder")
@pytest.mark.parametrize(("name", "argument"), TENSORS)
def test_an_axis_more(name: str, argument: str) -> None:
    own = CALLS[name][1][argument]
    said = refusal(name, argument, own[None, None].expand(2, 2, *own.shape))
    packed = name == "RBM.train_step_" and argument == "chains"
    if name == "data.scale":  # of any shape
        assert said == ""
    elif not (name.startswith("RBM.") and argument in LEADING and not packed):
        refused_in_python(argument, said)
    elif name == "RBM.energy":
        assert "visible and hidden must have the same leading axes" in said
    else:  # one clamp a row is of the rows' shape, too
        assert said == "" or "RBM.gibbs_steps: clamp must have shape" in said
