"""Times a half step and a training step against eager torch, in turn, on checked results.

    python benchmarks/speed.py            prints the table
    python benchmarks/speed.py --write    also writes benchmarks/results and README.md

Each job is first compared with reference.py bit for bit on the very shape it is timed on. Variants
then take turns, so that a slow spell of a shared machine hits all of them; the table gives medians,
quartiles and ratios of medians.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from typing import Any

import torch

from ncg_fast import RBM, cpu, ops, reference

ROOT = Path(__file__).parents[1]
N_VISIBLE, N_HIDDEN, BATCH = 784, 500, 128
BEGIN, END = "<!-- speed: begin -->\n", "<!-- speed: end -->\n"


class Eager:
    """The same step in plain torch, fp32, W*A formed at each use, as a user would write it."""

    def __init__(self, rbm: RBM, rows: torch.Tensor, draw: Callable[[torch.Tensor], torch.Tensor]):
        parameters = rbm.weight, rbm.connection_strength, rbm.visible_bias, rbm.hidden_bias
        self.w, self.s, self.b, self.c = (p.detach().clone() for p in parameters)
        self.a, self.v, self.draw = rbm.mask.float(), rows.float(), draw

    def half_step(self) -> torch.Tensor:
        return self.draw(torch.sigmoid(torch.addmm(self.c, self.v, (self.w * self.a).t())))

    def train_step(self, lr: float = 1e-4) -> None:
        masked = self.w * self.a
        p_h = torch.sigmoid(torch.addmm(self.c, self.v, masked.t()))
        v_k = self.draw(torch.sigmoid(torch.addmm(self.b, self.draw(p_h), masked)))
        p_k = torch.sigmoid(torch.addmm(self.c, v_k, masked.t()))
        g = (p_h.t() @ self.v - p_k.t() @ v_k) / BATCH
        self.s.add_(self.w * g, alpha=lr)
        self.w.add_(self.a * g, alpha=lr)
        self.a = torch.where(self.s < 0.5, 0.0, torch.where(self.s > 0.5, 1.0, self.a))
        self.s.clamp_(0, 1)
        self.b.add_((self.v - v_k).mean(0), alpha=lr)
        self.c.add_((p_h - p_k).mean(0), alpha=lr)


def check(rbm: RBM, rows: torch.Tensor) -> None:
    """Raises unless half step and training step equal the reference on this shape."""
    for n_digits in (2, 3):
        args = rows, *rbm._to_hidden(n_digits), BATCH, 1, 0, 0, None
        if not torch.equal(cpu.sample_hidden(*args), reference.sample_hidden(*args)):
            raise RuntimeError("sample_hidden differs from the reference: nothing is timed")
    to_hidden, to_visible, b, c, exponent = rbm._model(2)
    tensors = rbm.weight, rbm.connection_strength, rbm.mask, b, c, to_hidden, to_visible
    results = []
    for backend in (cpu, reference):
        written = [t.detach().clone() for t in tensors]
        batch = rows, None, BATCH, BATCH, 1, exponent, 0, 0.1, 0.5, 0.0, 0.0, 1, 0
        results.append([backend.train_step_(*written, None, None, None, *batch), *written])
    if not all(torch.equal(a, b) for a, b in zip(*results, strict=True)):
        raise RuntimeError("train_step_ differs from the reference: nothing is timed")


def in_turn(variants: dict[str, Callable[[], Any]], n_rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each variant: quartiles over rounds of three calls."""
    samples: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(n_rounds + 3):
        for name, run in variants.items():
            start = time.perf_counter()
            for _ in range(3):
                run()
            if turn >= 3:  # the first warm up
                samples[name].append((time.perf_counter() - start) / 3 * 1e3)
    return {name: [round(q, 4) for q in quantiles(times, n=4)] for name, times in samples.items()}


def measure(n_threads: int, n_rounds: int) -> dict[str, list[float]]:
    torch.set_num_threads(n_threads)
    torch.manual_seed(0)
    dense = torch.rand(BATCH, N_VISIBLE) < 0.2
    rbm = RBM(N_VISIBLE, N_HIDDEN, density=0.5, seed=0)
    rows = ops.pack_states(dense)
    check(rbm, rows)
    slow = Eager(rbm, dense, torch.bernoulli)
    fast = Eager(rbm, dense, lambda p: (torch.rand_like(p) < p).float())
    half = {n: (rows, *rbm._to_hidden(n), BATCH, 1, 0, 0, None) for n in (2, 3)}
    sample = torch.ops.ncg_fast.sample_hidden
    return in_turn(
        {
            "half step, eager, bernoulli": slow.half_step,
            "half step, eager, rand < p": fast.half_step,
            "half step, 2 digits": lambda: sample(*half[2]),
            "half step, 3 digits": lambda: sample(*half[3]),
            "training step, eager, bernoulli": slow.train_step,
            "training step, eager, rand < p": fast.train_step,
            "training step": lambda: rbm.train_step_(dense, 1, lr=1e-4, lr_strength=1e-4),
        },
        n_rounds,
    )


def table(results: dict[str, dict[str, list[float]]]) -> str:
    """A row a variant: median [quartiles] in ms, and the ratio to the faster eager variant."""
    lines = ["| job | " + " | ".join(f"{n} thread(s), ms | x" for n in results) + " |"]
    lines += ["|---|" + "---|---|" * len(results)]
    for name in next(iter(results.values())):
        cells = []
        for found in results.values():
            low, median, high = found[name]
            baseline = found[name.split(",")[0] + ", eager, rand < p"][1]
            cells += [f"{median:.2f} [{low:.2f}, {high:.2f}]", f"{baseline / median:.1f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40, help="counted turns (default: 40)")
    parser.add_argument("--write", action="store_true", help="write the results and README.md")
    options = parser.parse_args()
    results = {str(n): measure(n, options.rounds) for n in (1, 2)}
    print(table(results))
    if not options.write:
        return
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    machine = {"processor": processor(), "instruction_set": cpu.instruction_set()}
    record = {**machine, "torch": torch.__version__, "commit": commit, "threads": results}
    name = "".join(c if c.isalnum() else "-" for c in machine["processor"].lower())
    target = ROOT / "benchmarks" / "results" / f"{name}-{machine['instruction_set']}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(record, indent=1) + "\n")
    readme = ROOT / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    words = f"{machine['processor']}, {machine['instruction_set']}, torch {torch.__version__}"
    caption = f"{words}, commit {commit}: median [quartiles].\n\n"
    readme.write_text(before + BEGIN + caption + table(results) + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
