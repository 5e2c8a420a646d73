import re
import textwrap
from pathlib import Path

import pytest
import torch
from checkout import ROOT

import ncg_fast
from ncg_fast import ops
from ncg_fast.cli import build_parser

README = (ROOT / "README.md").read_text()


def section(title):
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def example():
    (found,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    return found


def test_the_first_line_spells_out_the_name():
    assert "Network Connectivity Gradients" in README.splitlines()[0]


def test_the_example_runs_and_is_short(tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    assert len([line for line in example().splitlines() if line]) <= 15
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    exec(compile(example(), "README.md", "exec"), {})
    torch.set_num_threads(threads)
    shown = capsys.readouterr().out
    assert re.search(r"^density 0\.\d{3} -> 0\.\d{3}$", shown, re.MULTILINE)
    mean, error = re.search(r"log p\(v\) = (\S+) ± (\S+) nats", shown).groups()
    assert -30 < float(mean) < -20 and 0 < float(error) < 1
    assert Path("samples.png").stat().st_size > 1000


def test_the_loop_with_an_optimizer_runs():
    lines = re.search(r"^    optimizer = .*?(?=\n\n)", README, re.DOTALL | re.MULTILINE).group()
    images = ncg_fast.data.load("bars-and-stripes-4")
    rbm = ncg_fast.RBM(16, 8, density=0.5, seed=0)
    before = rbm.mask.clone()
    names = {"ncg_fast": ncg_fast, "torch": torch, "images": images, "rbm": rbm}
    exec(compile(textwrap.dedent(lines), "README.md", "exec"), names)
    assert not torch.equal(rbm.mask, before)


def test_the_switch_from_scikit_learn_runs():
    sets = pytest.importorskip("sklearn.datasets")
    lines = re.search(r"^    from ncg_fast\.sklearn .*?(?=\n\n)", README, re.DOTALL | re.MULTILINE)
    names = {"images": sets.load_digits().data[:100] / 16}
    exec(compile(textwrap.dedent(lines.group()), "README.md", "exec"), names)
    assert names["features"].shape == (100, 100)


def test_commands_are_valid():
    commands = re.findall(r"^    ncg-fast (.*?)(?: {2,}#.*)?$", README, re.MULTILINE)
    assert {command.split()[0] for command in commands} == {
        "train",
        "evaluate",
        "sample",
        "plot",
        "info",
        "bench",
    }
    for command in commands:
        build_parser().parse_args(command.split())


def test_make_targets_exist():
    targets = re.findall(r"^    make (\w+)", README, re.MULTILINE)
    assert targets == ["demo", "test"]
    for target in targets:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_table_of_ops_is_complete():
    rows = re.findall(r"^\| (`.*?) \|", section("The ops"), re.MULTILINE)
    functions = {name for name in ops.__all__ if callable(getattr(ops, name)) and name.islower()}
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == functions


def test_files_to_add_an_op_exist():
    steps = re.findall(r"^(\d)\. ", section("How to add an op"), re.MULTILINE)
    assert [int(number) for number in steps] == list(range(1, 8))
    paths = re.findall(r"`([\w/]+[./][\w/.]+)`", section("How to add an op"))
    assert len(paths) > 9
    for path in paths:
        assert (ROOT / path).exists(), path


def test_what_the_readme_shows_and_names_is_there():
    found = re.findall(r'src="(\S+)"|\]\((?!https:)(\S+)\)', README)
    assert len(found) == 4
    for path in ("".join(each) for each in found):
        assert (ROOT / path).exists(), path


def test_no_machine_paths():
    assert not re.search(r"/(work|root|home|tmp|farm)/", README)
