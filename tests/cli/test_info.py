"""``ncg-fast info`` of a machine: how its half steps sum weights."""

import json

import pytest
from command_line import fails_untouched

from ncg_fast import backends
from ncg_fast.benchmark import half_steps
from ncg_fast.cli import main
from ncg_fast.model.digits import forced_form

pytestmark = pytest.mark.usefixtures("own_folder")

MACHINE = ["info", "--visible", "784", "--hidden", "500"]


def machine_lines(capsys, args):
    """What is printed below the usual lines, by name."""
    assert main(args) == 0
    usual, _, rest = capsys.readouterr().out.partition("\n\n")
    assert main(["info"]) == 0
    assert capsys.readouterr().out == usual + "\n"
    head, *lines = rest.splitlines()
    assert all(line[15] == " " != line[16] for line in lines)
    return head, {line[:16].rstrip(): line[16:] for line in lines}


def test_lines_say_how_half_steps_sum_weights(isa, capsys):
    head, lines = machine_lines(capsys, [*MACHINE, "--batch-size", "512"])
    sizes = "784 visible and 500 hidden units, density 1, batch size 512"
    assert head == f"Half steps with {sizes}, on the CPU:"
    words = "products in tiles" if isa == "amx" else "rows of 16-bit weights"
    assert lines == {"digits": "dense", "v → h": words, "h → v": words}


def test_few_chains_take_rows(isa, capsys):
    _, lines = machine_lines(capsys, [*MACHINE, "--batch-size", "5"])
    assert lines["v → h"] == "rows of 16-bit weights"


def test_sparse_digits_are_lists_of_connections(isa, capsys):
    head, lines = machine_lines(capsys, [*MACHINE, "--density", "0.02", "--batch-size", "5"])
    assert head.endswith("density 0.02, batch size 5, on the CPU:")
    words = "lists of the connections that are on"
    assert lines == {"digits": "sparse", "v → h": words, "h → v": words}


def test_as_json(isa, capsys):
    assert main([*MACHINE, "--json", "--batch-size", "70"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["info", "--json"]) == 0
    machine = found.pop("machine")
    assert found == json.loads(capsys.readouterr().out)
    assert machine == {
        "n_visible": 784,
        "n_hidden": 500,
        "density": 1.0,
        "batch_size": 70,
        "digits": "dense",
        "half_steps": half_steps.of_machine(784, 500, 1.0, 70),
    }
    with forced_form("sparse"):
        assert main([*MACHINE, "--json"]) == 0
    machine = json.loads(capsys.readouterr().out)["machine"]
    assert machine["digits"] == "sparse"
    assert machine["half_steps"] == {"to_hidden": "sparse", "to_visible": "sparse"}


def test_without_compiled_kernels_the_reference_serves(monkeypatch, capsys):
    monkeypatch.setattr(backends, "instruction_set", lambda: None)
    _, lines = machine_lines(capsys, MACHINE)
    text = "by the slow reference: the CPU kernels were not built"
    assert lines == {"digits": "dense", "half steps": text}
    assert main([*MACHINE, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["machine"]["half_steps"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--visible", "784"],
            r"--visible must be given with --hidden, got --visible 784 alone\. Add --hidden N\.",
        ),
        (
            ["--hidden", "500", "--density", "0.5"],
            r"--hidden must be given with --visible, got --hidden 500 alone\. Add --visible N\.",
        ),
        (
            ["--density", "0.5"],
            r"--density must be left out without --visible and --hidden, got 0\.5\. Leave it .*",
        ),
        (
            ["--batch-size", "5", "--json"],
            r"--batch-size must be left out without --visible and --hidden, got 5\. Leave it .*",
        ),
        (["--visible", "0", "--hidden", "3"], r"--visible must be at least 1, got 0\. See .*"),
        (
            ["--visible", "3", "--hidden", "8388609"],
            r"--hidden must be at most 8388608, got 8388609\. See ncg-fast info --help\.",
        ),
        ([*MACHINE[1:], "--density", "1.5"], r"--density must be in \[0, 1\], got 1\.5\. See .*"),
        ([*MACHINE[1:], "--density", "nan"], r"--density must be finite and in \[0, 1\], .*"),
        ([*MACHINE[1:], "--batch-size", "0"], r"--batch-size must be at least 1, got 0\. See .*"),
        (["--visible", "many"], r"argument --visible: invalid int value: 'many'\. See .*"),
    ],
)
def test_wrong_sizes_are_refused_before_anything_is_printed(options, message, capsys):
    fails_untouched(capsys, ["info", *options], f"ncg-fast info: {message}")


def test_the_largest_machine_has_an_answer(isa, capsys):
    sizes = ["--visible", str(1 << 23), "--hidden", str(1 << 23), "--batch-size", str(2**31 - 1)]
    _, lines = machine_lines(capsys, ["info", *sizes])
    assert lines["v → h"] in half_steps.WORDS.values()
