"""Sends Ctrl-C to ops that would take minutes; prints as JSON whether each left all as it was.

Arguments: the number of threads, then names of OPS.
"""

from __future__ import annotations

import faulthandler
import json
import signal
import sys
import threading
from typing import Any

import torch

from ncg_fast import RBM, log_partition_ais
from ncg_fast.backends import cpu

N_VISIBLE, N_HIDDEN, FOREVER = 211, 190, 10**8

OPS = {
    "gibbs_steps": lambda m: m.rbm.gibbs_steps(m.v, FOREVER),
    "gibbs_steps of few chains": lambda m: m.rbm.gibbs_steps(m.v[:3], FOREVER),
    "gibbs_steps from probabilities": lambda m: m.rbm.gibbs_steps(m.v / 3, FOREVER),
    "sample": lambda m: m.rbm.sample(70, FOREVER),
    "sparse": lambda m: m.sparse.sample(70, FOREVER),
    "train_step_": lambda m: m.rbm.train_step_(m.v, FOREVER, **m.rates),
    "train_step_ persistent": lambda m: m.rbm.train_step_(m.v, FOREVER, **m.rates, **m.kept),
    "log_partition_ais": lambda m: log_partition_ais(
        m.rbm, betas=8 * 10**6, n_chains=70, progress=False
    ),
}


class Machines:
    """What the ops work on."""

    def __init__(self) -> None:
        self.rbm = RBM(N_VISIBLE, N_HIDDEN, density=0.5, seed=1)
        self.sparse = RBM(N_VISIBLE, N_HIDDEN, density=0.02, seed=1)
        self.v = (
            torch.rand(70, N_VISIBLE, generator=torch.Generator().manual_seed(2)) < 0.2
        ).float()
        self.rates = {"lr": 0.1, "lr_strength": 0.5, "momentum": 0.5}
        parameters = self.rbm.weight, self.rbm.visible_bias, self.rbm.hidden_bias
        self.rates["velocities"] = [torch.zeros_like(p.detach()) for p in parameters]
        self.kept = {"chains": self.rbm._new_chains(70), "n_chains": 70}
        self.rbm.train_step_(self.v, 1, **self.rates, **self.kept)  # so that nothing is 0
        self.sparse.sample(1, 1)  # which finds the exponent of its weights

    def bits(self) -> list[torch.Tensor]:
        """All that ops change."""
        states = [*self.rbm.state_dict().values(), *self.sparse.state_dict().values()]
        tensors = [*states, *self.rates["velocities"], self.kept["chains"], self.v]
        return [tensor.clone() for tensor in tensors]

    def goes_on(self) -> list[torch.Tensor]:
        """The results of later calls."""
        self.rbm.train_step_(self.v, 2, **self.rates, **self.kept)
        return [self.rbm.sample(9, 2), self.sparse.sample(9, 2), self.rbm(self.v), *self.bits()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def main(n_threads: str, *names: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the shell ignores it
    torch.set_num_threads(int(n_threads))
    original = cpu.launcher._call
    machines, straight = Machines(), Machines()
    before = machines.bits()

    def begin(op: Any, like: torch.Tensor, *arguments: Any) -> None:
        if op.__name__ in ("gibbs_steps", "train_steps_", "anneal"):
            cpu.launcher._call = original  # one signal, though it takes several calls
            threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
        original(op, like, *arguments)

    found = {}
    for name in names:
        cpu.launcher._call = begin
        try:
            OPS[name](machines)
        except KeyboardInterrupt:
            cpu.launcher._call = original
            found[name] = same(before, machines.bits())
    print(json.dumps({"unchanged": found, "goes on": same(machines.goes_on(), straight.goes_on())}))


if __name__ == "__main__":
    faulthandler.dump_traceback_later(60, exit=True)
    main(*sys.argv[1:])
