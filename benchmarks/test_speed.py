"""A short look at the speed, by pytest-benchmark: ``python -m pytest benchmarks``.

Groups compare; figures for README come from speed.py.
"""

import jobs
import layer
import pytest

from ncg_fast.benchmark.jobs import Case, Eager


@pytest.mark.parametrize("program", ["ncg_fast", "eager"])
@pytest.mark.parametrize(
    "make", [jobs.half_step, jobs.training_step, layer.forward, layer.optimizer_step]
)
def test_784_x_500(benchmark, make, program):
    case = Case(784, 500, 128)
    job = make(case)
    job.check()
    (ours, _), *_ = job.own.values()
    benchmark.group = job.name
    benchmark(ours if program == "ncg_fast" else job.eager(Eager(case, "rand < p")))
