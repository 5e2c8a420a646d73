"""Deep belief networks: machines trained one after the other, each on what the one below sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ncg_fast import checks
from ncg_fast.deep import stored
from ncg_fast.files import StrPath
from ncg_fast.model.rbm import RBM
from ncg_fast.seeds import derived_seed
from ncg_fast.training import arguments
from ncg_fast.training.fit import fit
from ncg_fast.training.history import History

_SEED_PURPOSE = 9
_OF_ONE = "x_held_out", "checkpoint_dir", "resume", "nll_every"  # options that a stack lacks


class DeepBeliefNetwork(nn.Module):
    """A stack of restricted Boltzmann machines, each the layer on top of the one before.

    p(v, h_1, ..., h_L) = p(v | h_1) ... p(h_{L-2} | h_{L-1}) p(h_{L-1}, h_L): the top machine is an
    RBM of both its layers; the others are used downward. Upward each gives P(h | v).

    Args:
        sizes: numbers of units, visible ones first, at least two.
        density: probability of a connection in each machine, in [0, 1].
        learn_connections: whether connections are learned; False: masks stay.
        weight_init: "normal" or "uniform", as ``RBM``.
        weight_scale: standard deviation or half width of the initial weights.
        seed: in [0, 2**63); each machine has draws of its own.

    Attributes:
        layers: the machines, from the visible units upward.

    Raises:
        ValueError: wrong sizes, or what ``RBM`` refuses.

    Note:
        Deterministic by seed, the same bits on every device.

    Example:
        >>> network = DeepBeliefNetwork([6, 5, 3], seed=0)
        >>> network(torch.zeros(2, 6)).shape
        torch.Size([2, 3])

    Source: Hinton, Osindero & Teh 2006, A fast learning algorithm for deep belief nets.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        density: float = 1.0,
        learn_connections: bool = True,
        weight_init: str = "normal",
        weight_scale: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        op = "DeepBeliefNetwork"
        if not isinstance(sizes, list | tuple) or len(sizes) < 2:
            rule = "sizes must be a list of at least two numbers of units"
            raise checks.error(op, rule, checks.typed(sizes), "Pass [784, 500, 250].")
        checks.flag(op, "learn_connections", learn_connections)
        checks.integer(op, "seed", seed, 0, checks.MAX_SEED)
        self.layers = nn.ModuleList(
            RBM(
                n_visible,
                n_hidden,
                density=density,
                learn_connections=learn_connections,
                weight_init=weight_init,
                weight_scale=weight_scale,
                seed=derived_seed(seed, _SEED_PURPOSE + index),
            )
            for index, (n_visible, n_hidden) in enumerate(pairwise(sizes))
        )

    @property
    def machines(self) -> list[RBM]:
        """The machines, as a list."""
        return [layer for layer in self.layers if isinstance(layer, RBM)]

    def fit(self, x: Tensor, **options: Any) -> list[History]:
        """Trains the machines one after the other, each on P(h | v) of the one below.

        The visible biases of a machine that was never trained start as the log-odds of its rows.

        Args:
            x: (n, n_visible), as in ``ncg_fast.fit``.
            **options: those of ``ncg_fast.fit``; a list or tuple has one value a machine. Held-out
                rows, NLL and checkpoints are those of a single machine and left out.

        Returns:
            the history of each machine.

        Raises:
            ValueError: wrong rows or options; machines below the one concerned are trained.
            FloatingPointError: as ``ncg_fast.fit``.

        Note:
            Deterministic by the seeds of the machines. Probabilities go up as 16-bit levels, of
            float32 rows of one layer at a time. Ctrl-C ends it: the histories so far, the last one
            interrupted.

        Example:
            >>> network = DeepBeliefNetwork([6, 5, 3], density=0.5, seed=0)
            >>> [len(each) for each in network.fit(torch.eye(6), epochs=(3, 2), progress=False)]
            [3, 2]
        """
        op = "DeepBeliefNetwork.fit"
        chosen = self._options(op, options)
        rows, histories = arguments.rows(op, "x", x, self.machines[0], 0), list[History]()
        for rbm, own in zip(self.machines, chosen, strict=True):
            if not bool(rbm.visible_bias.any()):
                _start_from_means(rbm, rows)
            histories.append(fit(rbm, rows, **own))
            if histories[-1].interrupted:
                break
            rows = rbm(rows).detach()
        return histories

    def _options(self, op: str, given: dict[str, Any]) -> list[dict[str, Any]]:
        """The options of each machine."""
        chosen: list[dict[str, Any]] = [{} for _ in self.layers]
        for name, value in given.items():
            if name in _OF_ONE:
                remedy = "Call ncg_fast.fit on each of network.layers for that."
                raise checks.error(op, f"{name} must be left out", value, remedy)
            several = isinstance(value, list | tuple) and not name.endswith("callbacks")
            if several and len(value) != len(chosen):
                rule = f"{name} must have one value for each of {len(chosen)} machines"
                raise checks.error(op, rule, value, "Pass one value for all, or as many.")
            for index, own in enumerate(chosen):
                own[name] = value[index] if several else value
        return chosen

    def forward(self, visible: Tensor) -> Tensor:
        """P(h_L = 1) upward through all machines.

        Args:
            visible: (..., n_visible), as in ``RBM.forward``.

        Returns:
            (..., sizes[-1]), differentiable as ``RBM.forward`` is.

        Raises:
            ValueError: as ``RBM.forward``.

        Example:
            >>> DeepBeliefNetwork([6, 5, 3], seed=0)(torch.zeros(6)).shape
            torch.Size([3])
        """
        for rbm in self.machines:
            visible = rbm(visible)
        return visible

    @torch.no_grad()
    def transform(self, x: Tensor) -> Tensor:
        """What ``forward`` gives, without gradients."""
        found: Tensor = self(x)
        return found

    @torch.no_grad()
    def sample(self, n: int, n_steps: int = 1000) -> Tensor:
        """Visible states: Gibbs sampling in the top machine, then one draw down each of the others.

        Args:
            n: samples, at least 1.
            n_steps: sweeps of the top machine, at least 1.

        Returns:
            (n, sizes[0]) uint8, 0 and 1.

        Raises:
            ValueError: n or n_steps is out of range.

        Note:
            Deterministic by the seeds of the machines and the calls before.

        Example:
            >>> DeepBeliefNetwork([6, 5, 3], seed=0).sample(2, n_steps=10).shape
            torch.Size([2, 6])
        """
        *below, top = self.machines
        states = top.sample(n, n_steps)
        for rbm in reversed(below):
            states = rbm.sample_visible(states)
        return states

    def as_sequential(self, *more: nn.Module) -> nn.Sequential:
        """The machines as layers of a feed-forward network, to be fine-tuned by backpropagation.

        Args:
            *more: layers on top, for instance ``nn.Linear(250, 10)``.

        Returns:
            the same modules, not copies: what fine-tunes it changes this network. Where connections
            are learned take ``optim.NCG``, or call ``update_mask_`` of each machine after a step.

        Raises:
            ValueError: one of them is no module.

        Example:
            >>> network = DeepBeliefNetwork([6, 5, 3], seed=0)
            >>> network.as_sequential(nn.Linear(3, 2))(torch.zeros(4, 6)).shape
            torch.Size([4, 2])
        """
        for module in more:
            if not isinstance(module, nn.Module):
                rule = "layers on top must be torch.nn.Modules"
                raise checks.error(
                    "as_sequential", rule, checks.typed(module), "Pass nn.Linear(...)."
                )
        return nn.Sequential(*self.layers, *more)

    def save(self, path: StrPath) -> None:
        """Writes all machines to one file of safetensors, whole or not at all.

        Raises:
            ValueError: a machine is broken; path is no path.
            OSError: the file cannot be written; an earlier one is unchanged.
        """
        stored.save("DeepBeliefNetwork.save", path, self.machines)

    @classmethod
    def load(cls, path: StrPath) -> DeepBeliefNetwork:
        """Reads what ``save`` wrote; the machines go on with the same draws.

        Raises:
            ValueError: the file is missing, damaged, or of something else.
        """
        return cls._of(stored.load("DeepBeliefNetwork.load", path))

    @classmethod
    def _of(cls, machines: Iterable[RBM]) -> DeepBeliefNetwork:
        network = cls.__new__(cls)
        nn.Module.__init__(network)
        network.layers = nn.ModuleList(machines)
        return network


@torch.no_grad()
def _start_from_means(rbm: RBM, rows: Tensor) -> None:
    """Visible biases logit((sum_j + 1) / (n + 2))."""
    total = rows.sum(0, dtype=torch.float64)
    rbm.visible_bias.copy_(torch.logit((total + 1) / (len(rows) + 2)))
