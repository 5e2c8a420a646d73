"""``ncg-fast bench``: what is timed is checked first; no time is asserted."""

import itertools
import json
import re

import pytest
import torch

from ncg_fast.backends import reference
from ncg_fast.backends.numerics import HIDDEN_STREAM, VISIBLE_STREAM
from ncg_fast.benchmark import jobs
from ncg_fast.benchmark.jobs import Case, Eager
from ncg_fast.benchmark.timing import in_turn, speedup
from ncg_fast.cli import bench, main

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(bench, "_SIZES", {"n_visible": 13, "n_hidden": 7, "n_rows": 5})
    monkeypatch.setattr(bench, "_SECONDS", 0.01)


@pytest.fixture(params=["whole", "a block of each layer"])
def case(request, monkeypatch):
    if request.param != "whole":
        monkeypatch.setattr(jobs, "_WHOLE", 0)
    return Case(67, 131, 9)


@pytest.mark.usefixtures("tiny")
def test_bench_prints_both_jobs(capsys):
    assert main(["bench", "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    head = "13 x 7 units, 5 rows, half of the connections on\ndense digits, half steps by "
    assert f"{head}rows of 16-bit weights\nmedian [quartiles]\n\n" in shown
    spread = r" +\S+( \[\S+, \S+\])?"
    for job in ("half step", "training step"):
        assert re.search(rf"^{job}{3 * spread}$", shown, re.MULTILINE)


@pytest.mark.usefixtures("tiny")
def test_bench_as_json(capsys):
    assert main(["bench", "--json", "--threads", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["threads"], found["n_hidden"]) == (1, 7)
    assert set(found["jobs"]) == {"half step", "training step"}
    assert found["jobs"]["half step"]["paths"] == ["rows"]
    assert found["jobs"]["training step"]["paths"] == 3 * ["rows"]
    for job in found["jobs"].values():
        for low, median, high in (*job["ms"].values(), job["speedup"]):
            assert 0 < low <= median <= high


@pytest.mark.usefixtures("tiny")
def test_bench_needs_the_kernels(monkeypatch, capsys):
    monkeypatch.setattr("ncg_fast.backends.select", lambda device: reference)
    assert main(["bench"]) == 1
    assert re.fullmatch(
        r'ncg-fast bench: benchmark: backend "cpu" must be built, got .*\. Reinstall ncg_fast .*\n',
        capsys.readouterr().err,
    )


def test_sound_kernels_pass(case):
    case.check_sweep(case.visible, 3)
    for n_steps in (1, 3):
        case.check_train_step(n_steps)


@pytest.mark.parametrize("op", ["sample_hidden", "sample_visible", "train_step_"])
def test_a_kernel_that_differs_in_one_unit_is_refused(case, op, monkeypatch):
    if op == "train_step_":
        right = Case.train_step

        def wrong(case, n_steps):
            right(case, n_steps)
            with torch.no_grad():
                case.rbm.weight[7, 5] += 1e-6
    else:
        right = case.kernels.sample
        stream = HIDDEN_STREAM if op == "sample_hidden" else VISIBLE_STREAM

        def wrong(*arguments, **named):
            packed = right(*arguments, **named)
            if named.get("stream", arguments[-1:]) in (stream, (stream,)):
                packed[7] ^= 1
            return packed

    owner, name = (Case, "train_step") if op == "train_step_" else (case.kernels, "sample")
    monkeypatch.setattr(owner, name, wrong)
    message = rf"\Abenchmark: {op} must equal the reference bit for bit, got 1 of \d that differ\. "
    with pytest.raises(RuntimeError, match=message):
        case.check_train_step()


def test_the_eager_machine_learns_as_ours_does():
    """The same gradient and update, from the same phases."""
    case = Case(13, 7, 5)
    eager = Eager(case, "bernoulli")
    h_data, _, h_model, visible = case.phases()
    v_k = reference.unpack_states(visible, 5).float()
    eager.update(h_data / 65535, h_model / 65535, v_k)
    case.train_step()
    rbm = case.rbm
    ours = rbm.weight, rbm.connection_strength, rbm.mask.float(), rbm.visible_bias, rbm.hidden_bias
    for mine, its in zip(ours, (eager.w, eager.s, eager.a, eager.b, eager.c), strict=True):
        torch.testing.assert_close(mine.detach(), its, rtol=1e-5, atol=1e-6)


def test_variants_run_in_turn():
    order = []
    runs = {name: lambda name=name: order.append(name) for name in "ab"}
    samples = in_turn(runs, seconds=0.01)
    turns = [name for name, _ in itertools.groupby(order[4:])]
    assert turns == list("ab") * (len(turns) // 2)
    assert set(samples["a"]) == set(samples["b"]) and len(samples["a"]) >= 3


def test_a_ratio_is_that_of_the_rounds_in_which_both_ran():
    samples = {"ours": {0: 1.0, 1: 1.0, 2: 9.0, 3: 9.0}, "other": {0: 2.0, 2: 27.0}}
    assert speedup(samples, "ours", "other") == [2.25, 2.5, 2.75]
