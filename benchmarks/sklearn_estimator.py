"""Time and quality of ``ncg_fast.sklearn.BernoulliRBM`` beside scikit-learn's, in turn.

    python benchmarks/sklearn_estimator.py [rounds]

The digits are those of scikit-learn's own example (five images of each by shifts, values in
[0, 1]); MNIST comes from NCG_FAST_DATA. Results of the two are compared by scikit-learn's
pseudo-likelihood of each, summed over the rows with the same units flipped.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from scipy import sparse
from sklearn import neural_network
from sklearn.datasets import load_digits
from sklearn.preprocessing import minmax_scale

from ncg_fast import data
from ncg_fast.sklearn import BernoulliRBM


def digits() -> np.ndarray:
    """As in scikit-learn's example: each image and its four shifts by a pixel."""
    images = load_digits().images
    moved = [np.roll(images, by, axis) for axis in (1, 2) for by in (1, -1)]
    return minmax_scale(np.concatenate([images, *moved]).reshape(-1, 64))


def mnist(n: int) -> np.ndarray:
    return data.load("mnist").train[:n].double().numpy()


def wide() -> sparse.csr_array:
    generator = np.random.default_rng(0)
    on = sparse.random_array((2000, 20_000), density=0.001, rng=generator, format="csr")
    on.data[:] = 1
    return on


JOBS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "digits": (digits, {"n_components": 100, "learning_rate": 0.06, "n_iter": 10}),
    "MNIST, 10 000 rows": (
        lambda: mnist(10_000),
        {"n_components": 500, "batch_size": 128, "learning_rate": 0.1, "n_iter": 1},
    ),
    "sparse, 2000 x 20 000": (wide, {"n_components": 100, "n_iter": 1}),
}


def seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(name: str, n_rounds: int) -> str:
    make, options = JOBS[name]
    rows = make()
    ours, theirs = (
        kind(random_state=0, **options) for kind in (BernoulliRBM, neural_network.BernoulliRBM)
    )
    found = []
    for method in ("fit", "transform"):
        runs = [partial(getattr(each, method), rows) for each in (theirs, ours)]
        pairs = [[seconds(run) for run in runs] for _ in range(n_rounds)]
        ratio = median(before / after for before, after in pairs)
        found.append(f"{method} {median(after for _, after in pairs) * 1e3:.4g} ms, x {ratio:.2f}")
    quality = [kind.score_samples(rows).mean() for kind in (ours, theirs)]
    found.append(f"pseudo-likelihood {quality[0]:.2f} (scikit-learn's {quality[1]:.2f})")
    return f"{name}: {'; '.join(found)}"


def main() -> None:
    n_rounds = int(sys.argv[1]) if sys.argv[1:] else 3
    for name in JOBS:
        if not name.startswith("MNIST") or "NCG_FAST_DATA" in os.environ:
            print(compare(name, n_rounds), flush=True)


if __name__ == "__main__":
    main()
