"""benchmarks/: every job on a tiny machine, its check and its tables; no time is asserted."""

import json
import re
from contextlib import suppress
from functools import partial

import baselines
import gpu
import jobs
import limits
import pytest
import speed
import tables
import torch
from checkout import ROOT

from ncg_fast.backends import cpu, reference
from ncg_fast.benchmark.jobs import Case

pytestmark = pytest.mark.usefixtures("one_thread")

EVERY = (
    jobs.half_step,
    jobs.half_step_back,
    partial(jobs.gibbs_steps, n_steps=3),
    jobs.connection_gradient,
    jobs.ncg_update,
    partial(jobs.training_step, lower=("base",)),
    partial(jobs.epoch_of_batches, n_batches=3),
    jobs.free_energy,
    partial(jobs.anneal, n_betas=4),
)
RESULTS = json.loads((ROOT / "benchmarks/results/amd-epyc-avx512.json").read_text())
RATES = {
    "products": {cpu.instruction_set(): 1e12},
    "read": {"cache": 2e11, "far": 1e10},
    "update": {"cache": 4e11, "far": 2e10},
}

HALVED = {kind: {name: rate / 2 for name, rate in rates.items()} for kind, rates in RATES.items()}


@pytest.fixture
def found(monkeypatch):
    """The results of every job on one tiny machine, beside one that no memory holds."""
    measured = iter([HALVED, RATES])
    for slow in ("compiled", "scikit_learn", "rbms"):
        monkeypatch.setattr(baselines, slow, lambda *_: {})
    monkeypatch.setattr(speed, "_REST", 0.0)
    shapes = [
        speed.Shape(1, 13, 7, 5, 0.5, EVERY, 0.01, all_baselines=True),
        speed.Shape(1, 1 << 30, 1 << 10, 5, 0.5, EVERY),
    ]
    target = speed.target("cpu")._replace(limits=lambda n_threads: next(measured))
    return json.loads(json.dumps(speed.run(shapes, target)))


def test_every_job_is_timed_and_every_row_shown(found):
    text = tables.render(found, "machine.json")
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    names = [cells[0] for cells in lines if len(cells) == len(tables._JOBS)][2:]
    assert names == [
        "half step v → h, 2 digits, rows",
        "half step v → h, 3 digits, rows",
        "half step h → v, 2 digits, rows",
        "3 Gibbs steps, 2 digits",
        "connection gradient",
        "update",
        "CD-1 step, rows",
        "CD-1 step, base, rows",
        "epoch of 3 batches, CD-1",
        "free energy, 3 digits",
        "AIS, 3 sweeps, 3 digits",
    ]
    programs = [cells[3] for cells in lines if len(cells) == len(tables._PROGRAMS)]
    assert {"eager fp32", "eager bf16", "eager fp16"} < set(programs)
    assert "from `benchmarks/results/machine.json`" in text
    assert found["limits"] == {"1": RATES}  # the better of start and end
    assert "\n- Limits, 1 thread(s): " in text
    assert "\n- 5 x 1073741824 x 1024: left out, memory does not hold it." in text


def test_sparse_digits_are_timed_beside_dense_ones():
    target = speed.target("cpu")._replace(limits=lambda n_threads: RATES)
    shape = speed.Shape(1, 301, 97, 5, 0.02, (jobs.half_step, jobs.training_step), 0.01)
    found = json.loads(json.dumps(speed.run([shape], target)))
    assert [record["digits"] for record in found["records"]] == ["sparse", "sparse"]
    for job in ("half step v → h", "CD-1 step"):
        assert f"| {job}, 2 digits, dense, " in tables.render(found, "machine.json")
    assert "| CD-1 step, sparse |" in tables.render(found, "machine.json")
    half, whole = ({name: own["paths"] for name, own in r["own"].items()} for r in found["records"])
    assert half["2 digits"] == half["3 digits"] == ["sparse"] == whole[jobs.OURS][:1]
    assert half[jobs.DENSE] == whole[jobs.DENSE][:1] != ["sparse"] and len(whole[jobs.DENSE]) == 3


def test_ways_are_those_of_each_instruction_set():
    case, before = Case(784, 500, 128), cpu.instruction_set()
    found = jobs.training_step(case, lower=tuple(cpu.instruction_sets())).paths
    assert found[jobs.OURS] == found[before]
    assert jobs.half_step(case).paths["2 digits"] == found[before][:1]
    assert jobs.half_step_back(case).paths["2 digits"] == found[before][1:2]
    try:
        for name in cpu.instruction_sets():
            cpu.use_instruction_set(name)
            assert found[name] == case.half_step_ways()
    finally:
        cpu.use_instruction_set(before)


def test_a_way_that_several_half_steps_take_is_named_once():
    target = speed.target("cpu")._replace(limits=lambda n_threads: RATES)
    found = speed.run([speed.Shape(1, 13, 7, 5, 0.5, (jobs.training_step,), 0.01)], target)
    found["records"][0]["own"][jobs.OURS]["paths"] = ["rows", "tiles", "rows"]
    assert "| CD-1 step, rows, tiles |" in tables.render(found, "machine.json")


def test_shares_and_rates_follow_from_work_and_time():
    target = speed.target("cpu")._replace(cache_bytes=100)
    work = jobs.Work(multiply_adds=1e9, products=2e9, read=1e9, updated=4e9, resident=101)
    found = speed.rates(work, 0.5, jobs.OURS, target, RATES)
    assert found["multiply_adds_per_s"] == 2e9 and found["bytes_per_s"] == 1e10
    assert found["share"] == 0.6  # 1e9 / 1e10 + 4e9 / 2e10 seconds of memory, far
    unknown = RATES | {"products": {}}
    assert speed.rates(work, 0.5, jobs.OURS, target, unknown)["share"] is None


@pytest.mark.parametrize("make", EVERY)
def test_a_job_whose_result_differs_is_not_timed(make, monkeypatch):
    case = Case(13, 7, 5)
    job = make(case)
    job.check()
    fields, differences = reference.preactivation, reference._phase_differences
    monkeypatch.setattr(reference, "preactivation", lambda *layer: fields(*layer) + 9)
    monkeypatch.setattr(
        reference, "_phase_differences", lambda *states: [g + 1 for g in differences(*states)]
    )
    with pytest.raises(RuntimeError, match="must equal the reference bit for bit"):
        job.check()


def test_what_takes_too_long_is_stopped():
    """In a baseline that takes every exception for its own."""

    def endless(_, seconds=1e-3):
        with speed.time_limit(seconds):
            while True:
                with suppress(Exception):
                    while True:
                        pass

    shapes = [speed.Shape(1, 13, 7, 5, 0.5, (endless,))]
    target = speed.target("cpu")._replace(limits=lambda _: RATES)
    found = speed.run(shapes, target)
    assert found["notes"] == ["5 x 13 x 7: stopped, the time is up."] and not found["failed"]


@pytest.mark.parametrize("wrong", [False, True])
def test_a_training_step_is_compared_as_it_is_replayed(wrong, monkeypatch):
    """The graph is stood in for by the calls that it holds."""

    def graphed(run):
        return (lambda: None) if wrong else run

    monkeypatch.setattr(gpu, "graphed", graphed)
    job = gpu.training_step(Case(13, 7, 5))
    if not wrong:
        return job.check()
    with pytest.raises(RuntimeError, match="as a CUDA graph must equal the reference"):
        job.check()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_tables_replace_those_of_the_readme(device, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    (tmp_path / "benchmarks").mkdir()
    begin, end = tables.MARKS[device]
    for file in tables.WRITTEN:
        (tmp_path / file).write_text(f"before\n{begin}old\n{end}after\n")
    tables.write(RESULTS, "file.json", device)
    for file, table in tables.WRITTEN.items():
        new = table(RESULTS, "file.json")
        assert (tmp_path / file).read_text() == f"before\n{begin}{new}{end}after\n"


def test_the_short_table_is_short_and_keeps_what_loses():
    lines = tables.render_short(RESULTS, "file.json").splitlines()[4:]
    assert len(tables.SHORT) < len(lines) <= 12
    assert [line for line in lines if "CD-1 step, base" in line and " 0.52 |" in line]


def test_limits_are_compiled_and_measured(monkeypatch):
    monkeypatch.setattr(limits, "SIZES", {"cache": 1 << 12, "far": 1 << 13})
    monkeypatch.setattr(limits, "_ROUND", 1e-5)
    rates = limits.measure(2)
    assert set(rates["products"]) <= set(limits.PRODUCTS)
    assert all(rate > 0 for kind in rates.values() for rate in kind.values())
    assert limits.cache_bytes() > 0


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_readme_shows_what_a_file_of_results_holds(device):
    begin, end = tables.MARKS[device]
    for file, table in tables.WRITTEN.items():
        text = (ROOT / file).read_text().split(begin)[1].split(end)[0]
        for name in re.findall(r"`benchmarks/results/(.*?)`", text):
            results = json.loads((ROOT / "benchmarks" / "results" / name).read_text())
            assert text == table(results, name)


def test_eager_annealing_estimates_what_ours_does():
    """On a machine without weights the log-weights are the same whatever is drawn."""
    case = Case(13, 7, 5)
    with torch.no_grad():
        case.rbm.weight.zero_()
    machine = baselines.Eager(case, "rand < p")
    torch.testing.assert_close(
        baselines.anneal(machine, torch.linspace(0, 1, 4, dtype=torch.float64)),
        jobs.anneal(case, 4).own["3 digits"][0]()[1],
    )
