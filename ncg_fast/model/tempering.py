"""Parallel tempering: chains at several temperatures that exchange their states.

Replica r of chain c is chain r n_chains + c of the kernels; it stays where it is, and what replicas
exchange are their temperatures. Whether they do is decided by exact integers and by the draws of
the contract of numbers, so that every back end decides alike.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ncg_fast import checks
from ncg_fast.backends.numerics import (
    SWAP_STREAM,
    VISIBLE_STREAM,
    draws,
    one_plus_exp_neg,
)
from ncg_fast.backends.records import Draw
from ncg_fast.model import ladder, units
from ncg_fast.model.digits import TRAINING_DIGITS
from ncg_fast.model.integer_energy import IntegerEnergy
from ncg_fast.model.rbm import RBM, check_machine
from ncg_fast.ops.registration import registered
from ncg_fast.seeds import derived_seed

_PURPOSE = 6  # not the draws that trained a machine of the same seed


class Tempered(NamedTuple):
    """What ``parallel_tempering`` returns; as ``start`` of another call it is gone on from."""

    states: Tensor  # uint8 (n_chains, n_visible), visible states at beta = 1
    betas: Tensor  # float32 (n_temperatures,), ascending to 1
    swap_rates: Tensor  # float64 (n_temperatures - 1,), of neighbours; NaN: not tried
    round_trips: Tensor  # int64 (n_chains,), of all replicas from beta = 1 to the lowest and back
    replicas: Tensor  # packed visible states of all replicas
    rung: Tensor  # int64 (n_temperatures, n_chains), the temperature of each replica
    heading: Tensor  # int8, the same: 1 after beta = 1, -1 after the lowest on the way back, else 0
    n_rounds: int  # since the first call, the burn-in included


@torch.no_grad()
def parallel_tempering(
    rbm: RBM,
    n_chains: int,
    *,
    n_temperatures: int = 10,
    betas: Tensor | None = None,
    n_steps: int = 1000,
    n_burn_in: int | None = None,
    start: Tensor | Tempered | None = None,
    data: Tensor | None = None,
    seed: int = 0,
) -> Tempered:
    """Samples at beta = 1 by n_steps rounds: a sweep at every temperature, swaps of neighbours.

    p_beta(v, h) = exp(-beta E(v, h) + (1 - beta) a.v) / Z_beta: at beta = 0 independent units of
    biases a. With E' = E + a.v neighbours i, j exchange their states with probability
    min(1, exp((beta_i - beta_j) (E'_i - E'_j))), pairs (0, 1), (2, 3) ... in even rounds and
    (1, 2), (3, 4) ... in odd ones. In the burn-in the ladder is adapted until all swap equally
    often.

    Args:
        rbm: of any size.
        n_chains: independent chains, each of n_temperatures replicas.
        n_temperatures: of the ladder, at least 2; at first evenly spaced from 0 to 1.
        betas: the ladder instead, floating (n_temperatures,), ascending, at least 0, the last 1; it
            is not adapted.
        n_steps: rounds after the burn-in, at least 1.
        n_burn_in: rounds before, which adapt the ladder; None: n_steps // 2, at least 50, and 0
            with betas or with an earlier result. Rates and round trips do not count them.
        start: (n_chains, n_visible), as in ``RBM.forward``, for all replicas; or an earlier result,
            whose ladder is kept; None: independent units, sigmoid(b_j).
        data: (n, n_visible), as in ``RBM.forward``: a_j = logit((sum of column j + 1) / (n + 2));
            None: a = 0, where beta = 0 is uniform. The same in calls that go on.
        seed: in [0, 2**63).

    Returns:
        states at beta = 1, the ladder, rates of swaps and round trips of these n_steps rounds, and
        what another call needs to go on.

    Raises:
        ValueError: wrong shape, dtype or range, NaN or inf in the parameters.

    Note:
        Deterministic by seed, the same bits everywhere; a call of n rounds and several that go on
        from one another draw the same. The machine's own draws stay. Weights are rounded to 16
        bits, as in ``gibbs_steps``. Without round trips modes have not been exchanged: take more
        temperatures or steps. Cost of a round: a sweep of n_temperatures n_chains chains, and a
        float64 product of their states with the weights.

    Example:
        >>> found = parallel_tempering(RBM(6, 4, seed=0), 8, n_temperatures=3, n_steps=20)
        >>> found.states.shape, found.swap_rates.shape
        (torch.Size([8, 6]), torch.Size([2]))

    Source: Desjardins et al., Parallel tempering for training of restricted Boltzmann machines,
    AISTATS 2010; Syed et al., Non-reversible parallel tempering, JRSS B 2022, for order and ladder.
    """
    op = "parallel_tempering"
    check_machine(op, rbm)
    checks.integer(op, "n_chains", n_chains, 1, checks.MAX_CHAINS)
    checks.integer(op, "n_temperatures", n_temperatures, 2, ladder.MAX_TEMPERATURES)
    checks.integer(op, "n_steps", n_steps, 1, checks.MAX_SWEEPS)
    if n_burn_in is not None:
        checks.integer(op, "n_burn_in", n_burn_in, 0, checks.MAX_SWEEPS)
    key = derived_seed(checks.integer(op, "seed", seed, 0, checks.MAX_SEED), _PURPOSE)
    rungs, adapted = ladder.first(op, betas, n_temperatures), betas is None
    if isinstance(start, Tempered):
        _check_earlier(op, start, rbm, n_chains)
        if betas is None:
            rungs, adapted = start.betas, False
        elif len(betas) != len(start.betas):
            rule = f"betas must have the {len(start.betas)} entries of start"
            raise checks.error(op, rule, len(betas), "Leave betas out to keep its ladder.")
    checks.integer(op, "n_chains * n_temperatures", n_chains * len(rungs), 1, checks.MAX_CHAINS)
    if n_burn_in is None:
        n_burn_in = max(50, n_steps // 2) if adapted else 0
    base = None if data is None else ladder.base_bias(op, rbm, data)
    run = _Replicas(op, rbm, rungs, n_chains, start, base, key)
    ends = {n_burn_in >> k for k in range(4)}
    for t in range(1, n_burn_in + 1):
        run.round()
        if t in ends:
            if adapted:
                run.adapt()
            run.begin_counts()
    run.begin_counts()
    for _ in range(n_steps):
        run.round()
    return run.result()


class _Replicas:
    """All replicas of all chains, and what was counted of their swaps."""

    def __init__(
        self,
        op: str,
        rbm: RBM,
        betas: Tensor,
        n_chains: int,
        start: Any,
        base: Tensor | None,
        key: int,
    ) -> None:
        self.model, self.key, self.n_chains = rbm._model(TRAINING_DIGITS), key, n_chains
        self.energy = IntegerEnergy(rbm, self.model.weight_exponent, base)
        self.betas, self.base, self.device = betas, base, rbm.weight.device
        n_rungs = len(betas)
        self.n = n_rungs * n_chains
        if isinstance(start, Tempered):
            self.visible, self.t = start.replicas, start.n_rounds
            self.rung, self.heading = start.rung.clone(), start.heading.clone()
        else:
            self.visible, self.t = self._first(op, rbm, start), 0
            self.rung = torch.arange(n_rungs).view(-1, 1).repeat(1, n_chains)
            self.heading = torch.zeros(n_rungs, n_chains, dtype=torch.int8)
        self.begin_counts()

    def _first(self, op: str, rbm: RBM, start: Tensor | None) -> Tensor:
        """The same states at all temperatures."""
        if start is None:
            off = torch.zeros(self.n_chains, rbm.n_hidden, dtype=torch.bool, device=self.device)
            layer = self.model.visible_layer
            given = registered.pack_states(off), self.n_chains, *layer, *Draw(self.key)
            rows = registered.unpack_states(
                registered.sample(*given, VISIBLE_STREAM), self.n_chains
            )
        else:
            rows = units.checked(op, "start", start, rbm.n_visible, rbm.weight)
            if len(rows) != self.n_chains:
                rule = f"start must have n_chains = {self.n_chains} rows"
                raise checks.error(op, rule, len(rows), "Pass one row a chain.")
        return units.encoded(rows.repeat(len(self.betas), 1))

    def begin_counts(self) -> None:
        """Forgets what was counted."""
        self.tried, self.swapped = (torch.zeros(len(self.betas) - 1).long() for _ in range(2))
        self.trips = torch.zeros(self.n_chains, dtype=torch.int64)

    def round(self) -> None:
        """A sweep of all replicas, then swaps of neighbours."""
        self.t += 1
        beta = self.betas[self.rung].flatten().to(self.device)
        draw = Draw(self.key, step=self.t, beta=beta)
        self.visible, hidden = registered.gibbs_steps(
            self.visible, self.n, *self.model, 1, *draw, None, self.base
        )
        shape = self.rung.shape
        interaction, bias = (
            sums.view(shape).cpu() for sums in self.energy(self.visible, hidden, self.n)
        )
        self._swap(interaction, bias)
        top = self.rung == len(self.betas) - 1
        self.trips += (top & (self.heading == -1)).sum(0)
        self.heading[top] = 1
        self.heading[(self.rung == 0) & (self.heading == 1)] = -1

    def _swap(self, interaction: Tensor, bias: Tensor) -> None:
        """Exchanges the temperatures of replicas by the integers of their energies."""
        replica = torch.empty_like(self.rung)
        everyone = torch.arange(len(self.rung)).view(-1, 1).expand_as(self.rung)
        replica.scatter_(0, self.rung, everyone.contiguous())  # at each rung
        low = torch.arange(self.t % 2, len(self.betas) - 1, 2)
        if not len(low):
            return
        a, b = replica[low], replica[low + 1]
        minus_energy = self.energy.scaled(
            interaction.gather(0, a) - interaction.gather(0, b),
            bias.gather(0, a) - bias.gather(0, b),
        )
        betas = self.betas.double()
        gap = (betas[low + 1] - betas[low]).view(-1, 1)
        accepted = accepts(gap * minus_energy, self._uniforms(low))
        self.rung.scatter_(0, a, low.view(-1, 1) + accepted.long())
        self.rung.scatter_(0, b, low.view(-1, 1) + (~accepted).long())
        self.tried[low] += self.n_chains
        self.swapped[low] += accepted.sum(1)

    def _uniforms(self, low: Tensor) -> Tensor:
        """Of 40 bits, float64, for each lower neighbour and chain."""
        n_pairs = len(self.betas) - 1
        first, more = draws(self.n_chains, n_pairs, self.key, 0, self.t, SWAP_STREAM)
        return ((first << 24 | more).double() * 2.0**-40).t()[low]

    def adapt(self) -> None:
        """Moves the inner rungs to where neighbours should reject equally often.

        The sum of the rejection rates up to a rung is read as a function of beta, linear between.
        """
        old = self.betas.tolist()
        counts = zip(self.tried.tolist(), self.swapped.tolist(), strict=True)
        reached = [0.0]
        for tried, swapped in counts:
            reached.append(reached[-1] + (tried - swapped + 0.5) / (tried + 1))
        new, k = [old[0]], 0
        for i in range(1, len(old) - 1):
            wanted = reached[-1] * i / (len(old) - 1)
            while reached[k + 1] < wanted:
                k += 1
            share = (wanted - reached[k]) / (reached[k + 1] - reached[k])
            new.append(old[k] + (old[k + 1] - old[k]) * share)
        self.betas = torch.tensor([*new, old[-1]], dtype=torch.float32)

    def result(self) -> Tempered:
        """The replicas at beta = 1, and the rest."""
        states: Tensor = registered.unpack_states(self.visible, self.n)
        at_top = (self.rung == len(self.betas) - 1).to(torch.int8).argmax(0)
        chosen = at_top * self.n_chains + torch.arange(self.n_chains)
        return Tempered(
            states[chosen.to(self.device)],
            self.betas,
            self.swapped / self.tried,
            self.trips,
            self.visible,
            self.rung,
            self.heading,
            self.t,
        )


def accepts(log_ratio: Tensor, uniform: Tensor) -> Tensor:
    """[u < exp(log_ratio)], by the exponential of the contract of numbers."""
    return uniform < one_plus_exp_neg(-log_ratio.float()).double() - 1


def _check_earlier(op: str, start: Tempered, rbm: RBM, n_chains: int) -> None:
    n_rungs = len(start.betas)
    if start.states.shape != (n_chains, rbm.n_visible):
        rule = f"start must be of n_chains = {n_chains} and n_visible = {rbm.n_visible}"
        raise checks.error(op, rule, tuple(start.states.shape), "Pass the result of such a call.")
    words = -(-n_chains * n_rungs // 64)
    shape, axes = (rbm.n_visible, words), "(n_visible, n_words)"
    checks.tensor(op, "start.replicas", start.replicas, torch.int64, shape, axes)
    checks.same_device(op, weight=rbm.weight, **{"start.replicas": start.replicas})
