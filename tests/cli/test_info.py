"""``ncg-fast info`` of a machine: which path its half steps take."""

import json
import re

import pytest
from command_line import fails_untouched

from ncg_fast import backends
from ncg_fast.backends import cpu
from ncg_fast.benchmark import paths
from ncg_fast.benchmark.paths import Paths
from ncg_fast.cli import main
from ncg_fast.model.digits import forced_path

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


def test_the_line_of_a_half_step_holds_where_the_kernels_change_over(isa, capsys):
    head, lines = machine_lines(capsys, [*MACHINE, "--batch-size", "512"])
    sizes = "784 visible and 500 hidden units, density 1, batch size 512"
    assert head == f"Half steps with {sizes}, on the CPU:"
    assert lines["digits"] == "dense"
    for name, n_out, n_in in (("v → h", 500, 784), ("h → v", 784, 500)):
        for n_digits, label in ((2, name), (3, f"{name}, 3 digits")):
            line = lines.get(label, lines[name])
            words = r"lists of the inputs that are on, while at most (\S+) % are, then (.*)"
            percent, then = re.fullmatch(words, line).groups()
            for factor, expected in ((0.9, "lists of the inputs that are on"), (1.1, then)):
                n_on = int(factor * float(percent) / 100 * 512 * n_in)
                path = cpu.half_step_path(n_out, n_in, n_digits, 512, n_on)
                assert paths.WORDS[path] == expected


def test_three_digits_have_a_line_where_they_differ(monkeypatch, capsys):
    two, three = Paths(0.2, "tables"), Paths(0.26, "products")
    found = {"to_hidden": {2: two, 3: three}, "to_visible": {2: two, 3: two}}
    monkeypatch.setattr(paths, "of_machine", lambda *sizes: found)
    _, lines = machine_lines(capsys, MACHINE)
    lists = "lists of the inputs that are on, while at most"
    assert lines == {
        "digits": "dense",
        "v → h": f"{lists} 20 % are, then tables of sums",
        "v → h, 3 digits": f"{lists} 26 % are, then products of bytes",
        "h → v": f"{lists} 20 % are, then tables of sums",
    }


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Paths(None, "products"), "products of bytes"),
        (Paths(1.0, "lists"), "lists of the inputs that are on"),
        (Paths(0.999, "tables"), "LISTS, while at most 100 % are, then tables of sums"),
        (Paths(0.00412, "products"), "LISTS, while at most 0.41 % are, then products of bytes"),
    ],
)
def test_the_words_of_a_path(found, words, monkeypatch, capsys):
    of_layer = {2: found, 3: found}
    machine = {"to_hidden": of_layer, "to_visible": of_layer}
    monkeypatch.setattr(paths, "of_machine", lambda *sizes: machine)
    words = words.replace("LISTS", "lists of the inputs that are on")
    lines = {"digits": "dense", "v → h": words, "h → v": words}
    assert machine_lines(capsys, MACHINE)[1] == lines


def test_sparse_digits_take_their_own_path(isa, capsys):
    head, lines = machine_lines(capsys, [*MACHINE, "--density", "0.02", "--batch-size", "5"])
    assert head.endswith("density 0.02, batch size 5, on the CPU:")
    words = "lists of the connections that are on"
    assert lines == {"digits": "sparse", "v → h": words, "h → v": words}


def test_as_json(isa, capsys):
    assert main([*MACHINE, "--json", "--batch-size", "70"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["info", "--json"]) == 0
    machine = found.pop("paths")
    assert found == json.loads(capsys.readouterr().out)
    layers = {"to_hidden": (500, 784), "to_visible": (784, 500)}
    assert machine == {
        "n_visible": 784,
        "n_hidden": 500,
        "density": 1.0,
        "batch_size": 70,
        "digits": "dense",
        "half_steps": {
            name: {str(n): paths.of_layer(*sizes, n, 70)._asdict() for n in (2, 3)}
            for name, sizes in layers.items()
        },
    }
    with forced_path("sparse"):
        assert main([*MACHINE, "--json"]) == 0
    machine = json.loads(capsys.readouterr().out)["paths"]
    assert machine["digits"] == "sparse"
    sparse = {"lists_up_to": None, "otherwise": "sparse"}
    assert machine["half_steps"]["to_visible"] == {"2": sparse, "3": sparse}


def test_without_compiled_kernels_there_is_no_path(monkeypatch, capsys):
    monkeypatch.setattr(backends, "instruction_set", lambda: None)
    _, lines = machine_lines(capsys, MACHINE)
    text = "by the slow reference: the CPU kernels were not built"
    assert lines == {"digits": "dense", "half steps": text}
    assert main([*MACHINE, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["paths"]["half_steps"] is None


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
    assert lines["v → h"].endswith("products of bytes")
