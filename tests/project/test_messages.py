"""Every argument of every public function, made wrong: one message of one form, and no damage."""

from __future__ import annotations

import copy
import re
import warnings
from typing import Any

import pytest
from allowed_values import ALLOWED
from public_calls import CALLS, RBM_, VALUES
from small_machine import same

from ncg_fast import RBM

FORM = re.compile(r"^[\w.]+: [^\n]+, got [^\n]+\. [^\n]+[.?]$")
NO_BACK_END = re.compile(r'^backend "meta" does not exist\. Use tensors on "cpu" or "cuda"\.$')


def call(name: str, arguments: dict[str, Any], rbm: RBM) -> Any:
    function = CALLS[name][0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of what it cannot sum over complex numbers
        if name.startswith("RBM."):
            return function(rbm, **arguments)
        if "rbm" in arguments and arguments["rbm"] is RBM_:
            arguments = {**arguments, "rbm": rbm}
        if name == "fit":
            arguments = {**arguments, "progress": False}
        return function(**arguments)


@pytest.mark.usefixtures("own_folder")
@pytest.mark.parametrize("name", CALLS)
def test_the_right_call_goes_through(name: str) -> None:
    call(name, CALLS[name][1], copy.deepcopy(RBM_))


@pytest.mark.parametrize(
    ("name", "argument"), [(name, argument) for name in CALLS for argument in CALLS[name][1]]
)
@pytest.mark.usefixtures("own_folder")
def test_wrong_arguments_give_one_message_and_change_nothing(name: str, argument: str) -> None:
    """Each value is refused, or is one that the argument is said to allow."""
    rbm = copy.deepcopy(RBM_)
    right = CALLS[name][1]
    allowed = set()
    for label, value in VALUES.items():
        before = copy.deepcopy(rbm)
        try:
            call(name, {**right, argument: value}, rbm)
        except (ValueError, RuntimeError) as error:
            text = str(error)
            good = FORM.match(text) or (label == "meta" and NO_BACK_END.match(text))
            assert good, f"{name}({argument}={label}): {type(error).__name__}: {text}"
            same(rbm.manual_seed(0), before.manual_seed(0))
        except FloatingPointError as error:  # a rate that is allowed, and too high
            assert FORM.match(str(error))
            allowed.add(label)
            rbm = copy.deepcopy(RBM_)
        else:
            allowed.add(label)
            rbm = copy.deepcopy(RBM_)
    assert allowed == ALLOWED.get((name, argument), set())


def test_what_is_allowed_is_of_arguments_that_are_tried() -> None:
    assert ALLOWED.keys() <= {(name, each) for name in CALLS for each in CALLS[name][1]}
    assert set().union(*ALLOWED.values()) <= VALUES.keys()
