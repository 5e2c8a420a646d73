"""The restricted Boltzmann machine whose connections are learned: ``RBM(torch.nn.Module)``."""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ncg_fast import backends, checks, connectivity
from ncg_fast.backends.formats import new_packed
from ncg_fast.backends.numerics import (
    MAX_EXPONENT,
    MIN_EXPONENT,
    VISIBLE_STREAM,
    exponent_range,
)
from ncg_fast.backends.records import Batch, Draw, Gradients, Model, Offsets, Parameters, Rates
from ncg_fast.model import draws, gradients, machine_ops, units
from ncg_fast.model.digits import TRAINING_DIGITS, DigitCache, Digits, publish
from ncg_fast.model.machine_ops import HIDDEN, VISIBLE, Machine
from ncg_fast.ops import learning_arguments
from ncg_fast.ops.registration import registered
from ncg_fast.seeds import derived_seed, row_chunks

Velocities = tuple[Tensor, Tensor, Tensor]
PARAMETERS = "weight", "connection_strength", "visible_bias", "hidden_bias"
_MAX_SCALE = 1e30  # draws of either distribution stay within float32


class RBM(nn.Module):
    """Binary restricted Boltzmann machine with a connection mask A that is learned with W.

    E(v, h) = -h^T (W∘A) v - b^T v - c^T h, P(h_i = 1 | v) = sigmoid(c_i + sum_j A_ij W_ij v_j).
    Where the mask is learned (Network Connectivity Gradients, arXiv 2209.06932), each connection
    has a strength S in [0, 1] and is on where S > 1/2.

    Args:
        n_visible: visible units, label units included.
        n_hidden: hidden units.
        density: each connection starts on with this probability, in [0, 1]; 1 where neither it nor
            ``mask`` is given.
        mask: (n_hidden, n_visible) bool, the connections instead of ``density``.
        learn_connections: whether connections have strengths; None: yes with ``density``, no with
            ``mask``.
        weight_init: "uniform", U(-weight_scale, weight_scale), or "normal", N(0, weight_scale**2).
        weight_scale: in [0, 1e30]; None: 1 for "uniform" (the paper's), 0.01 for "normal".
        seed: in [0, 2**63); fixes initial values and every draw.
        n_labels: the last n_labels visible units are one-hot labels: always connected, without
            strength.

    Attributes:
        weight: Parameter (n_hidden, n_visible), float32. Weights of connections that are off are
            kept; however large or infinite, they have no part in what the machine computes, except
            that W∘G moves their strengths. A weight counts from when its connection is on.
        visible_bias, hidden_bias: Parameters, float32.
        connection_strength: Parameter (n_hidden, n_visible), float32, or None where the mask is
            fixed.
        mask: buffer (n_hidden, n_visible), bool.

    Raises:
        ValueError: wrong shape, dtype or range.

    Note:
        The same seed and calls give the same bits on every instruction set and thread count. The
        machine computes with digits of W∘A; each call looks whether the weights are still those
        that its digits were made of, whoever wrote them, in one pass over weights and mask. Several
        threads may call a machine at once, and none shares a draw with another. Memory: 13 bytes a
        connection with strengths.

    Example:
        >>> rbm = RBM(6, 4, density=0.5, seed=0)
        >>> rbm(torch.zeros(2, 6)).shape
        torch.Size([2, 4])
    """

    weight: nn.Parameter
    connection_strength: nn.Parameter | None
    mask: Tensor

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        *,
        density: float | None = None,
        mask: Tensor | None = None,
        learn_connections: bool | None = None,
        weight_init: str = "uniform",
        weight_scale: float | None = None,
        seed: int = 0,
        n_labels: int = 0,
    ) -> None:
        super().__init__()
        op = "RBM"
        self.n_visible = checks.integer(op, "n_visible", n_visible, 1, checks.MAX_UNITS)
        self.n_hidden = checks.integer(op, "n_hidden", n_hidden, 1, checks.MAX_UNITS)
        shape = self.n_hidden, self.n_visible
        self.n_labels = checks.integer(op, "n_labels", n_labels, 0, n_visible - 1)
        self.manual_seed(checks.integer(op, "seed", seed, 0, checks.MAX_SEED))
        checks.choice(op, "weight_init", weight_init, ("uniform", "normal"))
        if weight_scale is None:
            weight_scale = 1.0 if weight_init == "uniform" else 0.01
        scale = checks.number(op, "weight_scale", weight_scale, 0.0, _MAX_SCALE)

        if mask is None:
            density = checks.number(op, "density", 1.0 if density is None else density, 0.0, 1.0)
            mask = connectivity.random_mask(*shape, density, seed=derived_seed(seed, 0))
        else:
            if density is not None:
                rule = "density must be left out where mask is given"
                raise checks.error(op, rule, density, "Pass one of the two.")
            checks.tensor(op, "mask", mask, torch.bool, shape, "(n_hidden, n_visible)")
            learn_connections = bool(learn_connections)
        if n_labels:
            mask = connectivity.protect_labels(mask, n_labels)
        self.register_buffer("mask", mask.to("cpu", copy=True))

        self.weight = nn.Parameter(_initial_weight(shape, weight_init, scale, seed))
        self.visible_bias = nn.Parameter(torch.zeros(n_visible, dtype=torch.float32, device="cpu"))
        self.hidden_bias = nn.Parameter(torch.zeros(n_hidden, dtype=torch.float32, device="cpu"))
        if learn_connections is False:
            self.register_parameter("connection_strength", None)
        else:
            strength = connectivity.initial_strength(self.mask, seed=derived_seed(seed, 2))
            self.connection_strength = nn.Parameter(strength)
        self._digits = DigitCache()
        _machines[id(self)] = self

    def manual_seed(self, seed: int) -> RBM:
        """Starts the draws anew: the next are those of a new machine with this seed.

        Args:
            seed: in [0, 2**63).

        Returns:
            the machine.

        Raises:
            ValueError: seed is out of range.

        Note:
            Deterministic. Parameters and mask stay.

        Example:
            >>> rbm = RBM(6, 4, seed=0)
            >>> first = rbm.sample(3, 5)
            >>> bool((rbm.manual_seed(0).sample(3, 5) == first).all())
            True
        """
        self._draws = draws.new(checks.integer("RBM.manual_seed", "seed", seed, 0, checks.MAX_SEED))
        return self

    @property
    def density(self) -> float:
        """Share of connections that are on, label connections left out."""
        return connectivity.density(self.mask, self.n_labels)

    def extra_repr(self) -> str:
        """The sizes, as torch prints a module."""
        kind = "fixed" if self.connection_strength is None else "learned"
        labels = f", n_labels={self.n_labels}" if self.n_labels else ""
        sizes = f"{self.n_visible}, {self.n_hidden}, density={self.density:.3f}"
        return f"{sizes}, connections={kind}{labels}"

    def get_extra_state(self) -> Tensor:
        """Seed, number of the next sweep, whether the exponent is set, the exponent; int64."""
        exponent = self._digits.exponent(self.weight, self.mask)
        values = *self._draws.tolist(), exponent is not None, exponent or 0
        return torch.tensor(values, dtype=torch.int64, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Takes what ``get_extra_state`` gave."""
        seed, step, known, exponent = _extra_state("RBM.load_state_dict", state)
        self._draws = draws.new(seed, step)
        self._digits.restore(self.weight, self.mask, exponent if known else None)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: Any, *args: Any
    ) -> None:
        """Refuses what no machine can hold before any parameter is overwritten."""
        op = "RBM.load_state_dict"
        if f"{prefix}_extra_state" in state_dict:
            _extra_state(op, state_dict[f"{prefix}_extra_state"])
        for name in ("weight", "visible_bias", "hidden_bias"):
            if isinstance(value := state_dict.get(prefix + name), Tensor):
                checks.finite(op, "Load an earlier state.", **{name: value})
                assigned = local_metadata.get("assign_to_params_buffers", False)
                if assigned and value.dtype != torch.float32:
                    rule = f"{name} must be float32 with assign=True"
                    raise checks.error(op, rule, str(value.dtype), "Use .float().")
        name = f"{prefix}connection_strength"
        if name in state_dict:
            strength = checks.dense(op, "connection_strength", state_dict[name])
            if not ((strength >= 0) & (strength <= 1)).all():
                found, rule = checks.seen(strength), "connection_strength must be in [0, 1]"
                remedy = "Load an earlier state."
                if not math.isnan(found.low):
                    remedy = "Use .clamp(0, 1), as update_mask_ does."
                raise checks.error(op, rule, str(found), remedy)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def __getstate__(self) -> dict[str, Any]:
        kept = self._draws.tolist(), self._digits.exponent(self.weight, self.mask)
        return {**self.__dict__, "_draws": kept[0], "_digits": kept[1]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._draws, exponent = draws.new(*state["_draws"]), state["_digits"]
        self._digits = DigitCache()
        self._digits.restore(self.weight, self.mask, exponent)
        _machines[id(self)] = self

    def _apply(self, fn: Any, recurse: bool = True) -> RBM:
        probe = fn(torch.empty(0, dtype=torch.float32, device="cpu"))
        if probe.dtype != torch.float32:
            rule = "RBM parameters must stay float32, on which the exact arithmetic rests"
            remedy = "Convert the outputs instead: rbm(v).to(dtype)."
            raise checks.error("RBM.to", rule, str(probe.dtype), remedy)
        backends.select(probe.device.type)
        exponent = self._digits.exponent(self.weight, self.mask)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._digits.restore(self.weight, self.mask, exponent)
        return self

    def _learns_mask(self) -> bool:
        strength = self.connection_strength
        return strength is not None and strength.requires_grad

    def _machine(self) -> Machine:
        """The tensors, for ops, which find the digits by the address of the weights."""
        if not torch.compiler.is_compiling():
            publish(self.weight, self._digits)
        biases = self.visible_bias, self.hidden_bias
        return Machine(self.weight, self.connection_strength, self.mask, *biases, self.n_labels)

    def _model(self, n_digits: int) -> Model:
        return self._machine().model(n_digits)

    def _draw(self) -> Draw:
        """What comes next."""
        seed, step = self._draws.tolist()
        return Draw(seed, step=step)

    @property
    def _gibbs_step(self) -> int:
        """The number of the next sweep."""
        return int(self._draws[1])

    def _rows(self, op: str, side: str, states: Tensor, name: str = "") -> Tensor:
        """A user's states of one side, one row each; their values are not looked at."""
        n_units = self.n_visible if side == VISIBLE else self.n_hidden
        return units.rows_of(op, name or side, states, n_units, self.weight)

    def _data(self, op: str, name: str, visible: Tensor) -> Tensor:
        """Rows to learn from, at least one."""
        rows = self._rows(op, VISIBLE, visible, name)
        if not rows.shape[0]:
            rule = f"{name} must have at least one row"
            raise checks.error(op, rule, tuple(visible.shape), "Leave out empty batches.")
        return rows

    def _independent(self, n: int, draw: Draw) -> Tensor:
        """Packed visible states of n chains, P(v_j = 1) = sigmoid(b_j)."""
        off = new_packed(self.weight, self.n_hidden, n).zero_()
        layer = self._model(TRAINING_DIGITS).visible_layer
        states: Tensor = registered.sample(off, n, *layer, *draw, VISIBLE_STREAM)
        return states

    def _new_chains(self, n: int) -> Tensor:
        """Packed visible states of independent units, to start n persistent chains from."""
        with draws.reserved(self._draws, 1) as mine:
            return self._independent(n, mine.draw)

    def forward(self, visible: Tensor) -> Tensor:
        """P(h_i = 1 | v) = sigmoid(c_i + sum_j A_ij W_ij v_j).

        Args:
            visible: (..., n_visible); bool or integer: 0/1; floating of 16 bits or more: 0/1, or
                probabilities in [0, 1].

        Returns:
            (..., n_hidden); float64 where ``visible`` is, else float32. Differentiable once, in
            ``visible``, weights, hidden biases and strengths (straight-through: dS = W∘d(W∘A)).

        Raises:
            ValueError: wrong shape, dtype or device, NaN, values outside [0, 1], NaN or inf in the
                parameters.
            RuntimeError: a second derivative was asked for.

        Note:
            Deterministic, the same bits everywhere; weights rounded to 24 bits, visible
            probabilities to 16. Gradients are torch's float32 matrix products.

        Example:
            >>> rbm = RBM(6, 4, weight_scale=0.0)
            >>> rbm(torch.zeros(6))
            tensor([0.5000, 0.5000, 0.5000, 0.5000])
        """
        op = "RBM.forward"
        rows = self._rows(op, VISIBLE, visible)
        mean = gradients.mean(op, rows, self._machine(), HIDDEN)
        return _as_result(mean, visible)

    def as_linear(self) -> nn.Sequential:
        """P(h | v) by torch alone, for ONNX and other tools.

        Returns:
            ``nn.Sequential(nn.Linear, nn.Sigmoid)`` with copies of W∘A and c, on the machine's
            device.

        Note:
            Float32 sums: equal to ``forward`` to some 1e-6, not in each bit.

        Example:
            >>> rbm = RBM(6, 4, seed=0)
            >>> v = torch.eye(6)
            >>> torch.allclose(rbm.as_linear()(v), rbm(v), atol=1e-5)
            True
        """
        linear = nn.utils.skip_init(
            nn.Linear, self.n_visible, self.n_hidden, device=self.weight.device
        )
        with torch.no_grad():
            linear.weight.copy_(torch.where(self.mask, self.weight, 0.0))
            linear.bias.copy_(self.hidden_bias)
        return nn.Sequential(linear, nn.Sigmoid())

    def reconstruct(self, visible: Tensor) -> Tensor:
        """Mean-field reconstruction P(v | h = P(h | v)), with hidden means rounded to 16 bits.

        Args:
            visible: as in ``forward``.

        Returns:
            of the shape of ``visible``; dtype and gradients as in ``forward``.

        Raises:
            ValueError: as in ``forward``.

        Note:
            Deterministic, the same bits everywhere. No sample: the mean of the layer below the
            mean.

        Example:
            >>> rbm = RBM(3, 4, weight_scale=0.0)
            >>> rbm.reconstruct(torch.ones(3))
            tensor([0.5000, 0.5000, 0.5000])
        """
        op, machine = "RBM.reconstruct", self._machine()
        rows = self._rows(op, VISIBLE, visible)
        hidden = gradients.mean(op, rows, machine, HIDDEN)
        return _as_result(gradients.mean(op, hidden, machine, VISIBLE), visible)

    def free_energy(self, visible: Tensor) -> Tensor:
        """F(v) = -b.v - sum_i log(1 + exp(c_i + sum_j A_ij W_ij v_j)), so p(v) = exp(-F(v)) / Z.

        Args:
            visible: as in ``forward``.

        Returns:
            float64 (...,), a scalar for one row, in nats. Gradients as in ``forward``: those of
            the mean over data less the mean over samples are ``contrastive_divergence``'s.

        Raises:
            ValueError: as in ``forward``.

        Note:
            float64 sums: instruction sets agree to 1e-10 relative. Weights are rounded to 24 bits.

        Example:
            >>> rbm = RBM(6, 4, weight_scale=0.0)
            >>> rbm.free_energy(torch.zeros(6))  # -4 log 2
            tensor(-2.7726, dtype=torch.float64)
        """
        op = "RBM.free_energy"
        rows = self._rows(op, VISIBLE, visible)
        return gradients.free_energy(op, rows, self._machine()).view(visible.shape[:-1])

    def energy(self, visible: Tensor, hidden: Tensor) -> Tensor:
        """E(v, h) = -h^T (W∘A) v - b^T v - c^T h.

        Args:
            visible: as in ``forward``.
            hidden: (..., n_hidden), as ``visible``.

        Returns:
            float64 (...,), a scalar for one row, in nats; differentiable by torch.

        Raises:
            ValueError: as in ``forward``, or unequal leading axes.

        Note:
            Deterministic by torch; of the float32 weights, not rounded further. Memory: a float64
            copy of the weights.

        Example:
            >>> rbm = RBM(6, 4, weight_scale=0.0)
            >>> rbm.energy(torch.zeros(2, 6), torch.zeros(2, 4)).abs()
            tensor([0., 0.], dtype=torch.float64)
        """
        op = "RBM.energy"
        for side, states in ((VISIBLE, visible), (HIDDEN, hidden)):
            units.valued(op, side, self._rows(op, side, states))
        if visible.shape[:-1] != hidden.shape[:-1]:
            rule = "visible and hidden must have the same leading axes"
            actual = f"{tuple(visible.shape[:-1])} and {tuple(hidden.shape[:-1])}"
            raise checks.error(op, rule, actual, "Pass them in pairs.")
        weight, b, c = self.weight, self.visible_bias, self.hidden_bias
        masked = torch.where(self.mask, weight.double(), 0.0)
        checks.finite(op, weight=masked, visible_bias=b, hidden_bias=c)
        strength = self.connection_strength
        if strength is not None and strength.requires_grad and torch.is_grad_enabled():
            # straight-through, as in ``forward``
            change = weight.detach().nan_to_num() * (strength - strength.detach())
            unlabelled = change[:, : self.n_visible - self.n_labels]
            masked = masked + nn.functional.pad(unlabelled, (0, self.n_labels))
        v, h = visible.double(), hidden.double()
        return -((h @ masked) * v).sum(-1) - v @ b.double() - h @ c.double()

    def sample_hidden(self, visible: Tensor) -> Tensor:
        """h ~ P(h | v), one half step; each call draws anew.

        Args:
            visible: as in ``forward``.

        Returns:
            0/1 states (..., n_hidden), of the dtype of ``visible``; no gradients.

        Raises:
            ValueError: as in ``forward``.

        Note:
            Deterministic by the machine's seed and the calls before, the same bits everywhere.

        Example:
            >>> RBM(6, 4, seed=0).sample_hidden(torch.zeros(2, 6)).shape
            torch.Size([2, 4])
        """
        return self._half_step("RBM.sample_hidden", visible, HIDDEN)

    def _half_step(self, op: str, states: Tensor, of: str) -> Tensor:
        rows = self._rows(op, VISIBLE if of == HIDDEN else HIDDEN, states)
        drawn: Tensor = machine_ops.run("rbm_sample", op, rows, self._machine(), self._draws, of)
        return drawn.view(*states.shape[:-1], drawn.shape[1])

    def sample_visible(self, hidden: Tensor) -> Tensor:
        """v ~ P(v | h), one half step, as ``sample_hidden``.

        Args:
            hidden: (..., n_hidden), as ``visible`` in ``forward``.

        Returns:
            0/1 states (..., n_visible), of the dtype of ``hidden``; no gradients.

        Example:
            >>> RBM(6, 4, seed=0).sample_visible(torch.zeros(2, 4)).shape
            torch.Size([2, 6])
        """
        return self._half_step("RBM.sample_visible", hidden, VISIBLE)

    def gibbs_steps(
        self,
        visible: Tensor,
        n_steps: int = 1,
        *,
        beta: float | Tensor | None = None,
        clamp: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Full Gibbs sweeps h ~ P(h | v), v ~ P(v | h).

        Args:
            visible: as in ``forward``; the chains' start.
            n_steps: at least 1.
            beta: inverse temperature, finite; a number, or one a chain (n,).
            clamp: (n_visible,) or of the shape of ``visible``, floating: 0 or 1 where a unit is
                held, NaN where it is free.

        Returns:
            (visible, hidden): the last visible states and the hidden states they were drawn from,
            0/1, of the dtype of ``visible``.

        Raises:
            ValueError: as in ``forward``, or a wrong n_steps, beta or clamp.

        Note:
            As ``sample_hidden``; n calls of one sweep and one call of n draw the same.

        Example:
            >>> visible, hidden = RBM(6, 4, seed=0).gibbs_steps(torch.zeros(2, 6), 10)
            >>> visible.shape, hidden.shape
            (torch.Size([2, 6]), torch.Size([2, 4]))
        """
        op = "RBM.gibbs_steps"
        rows = self._rows(op, VISIBLE, visible)
        checks.integer(op, "n_steps", n_steps, 1, checks.MAX_SWEEPS)
        given = None if beta is None else units.as_beta(op, beta, rows.shape[0], like=rows)
        held = (
            None
            if clamp is None
            else units.as_clamp(op, clamp, rows.shape[0], self.n_visible, tuple(visible.shape))
        )
        more = self._draws, n_steps, given, held
        states = machine_ops.run("rbm_gibbs_steps", op, rows, self._machine(), *more)
        last, hidden = (each.view(*visible.shape[:-1], each.shape[1]) for each in states)
        return last, hidden

    def sample(
        self,
        n: int,
        n_steps: int = 1000,
        *,
        clamp: Tensor | None = None,
        start: Tensor | None = None,
        seed: int | None = None,
    ) -> Tensor:
        """Draws visible states by n_steps sweeps from a start.

        Args:
            n: number of chains, in [1, 2**31].
            n_steps: sweeps, at least 1.
            clamp: as in ``gibbs_steps``: conditional samples.
            start: (n, n_visible), as in ``forward``; None: independent units, sigmoid(b_j).
            seed: in [0, 2**63): draws of this call alone, those of a machine after
                ``manual_seed``, while the machine's own stay, so that a callback of ``fit`` may
                sample and training goes on as without it; None: the machine's next draws.

        Returns:
            0/1 states, uint8 (n, n_visible).

        Raises:
            ValueError: a wrong n, n_steps, clamp, start or seed, NaN or inf in the parameters.

        Note:
            Deterministic by ``seed``, or by the machine's seed and the calls before. Samples are
            exact only as n_steps grows, and a machine with separate modes needs very many: start
            from data, or use ``sampling.parallel_tempering``.

        Example:
            >>> rbm = RBM(6, 4)
            >>> rbm.sample(3, n_steps=10).shape
            torch.Size([3, 6])
            >>> torch.equal(rbm.sample(3, 10, seed=1), rbm.sample(3, 10, seed=1))
            True
        """
        op = "RBM.sample"
        n = checks.integer(op, "n", n, 1, checks.MAX_CHAINS)
        n_steps = checks.integer(op, "n_steps", n_steps, 1, checks.MAX_SWEEPS)
        given = None
        if start is not None:
            given = self._rows(op, VISIBLE, start, "start")
            if len(given) != n:
                rule, remedy = f"start must have n = {n} rows", "Pass one row a chain."
                raise checks.error(op, rule, len(given), remedy)
        if clamp is not None:
            clamp = units.as_clamp(op, clamp, n, self.n_visible)
        own = self._draws
        if seed is not None:
            own = draws.new(checks.integer(op, "seed", seed, 0, checks.MAX_SEED))
        first, held = int(given is None), None
        with draws.reserved(own, first + n_steps) as mine:
            if given is None:
                rows = self._independent(n, mine.draw)
            else:
                rows = units.encoded(units.valued(op, "start", given))
            if clamp is not None:
                rows, held = machine_ops.clamped(op, "start", rows, clamp)
            draw = mine.draw._replace(step=mine.draw.step + first)
            last, _ = machine_ops.sweeps(self._machine(), rows, n, n_steps, draw, held)
            states: Tensor = registered.unpack_states(last, n)
        return states

    def contrastive_divergence(
        self, visible: Tensor, n_steps: int = 1, chains: Tensor | None = None
    ) -> Tensor:
        """Adds the CD-k or PCD-k gradient of -log p(v) to ``.grad`` of the parameters.

        With G = <h v>_data - <h v>_model and mean-field h: -A∘G for the weights, -W∘G for the
        strengths. Parameters with ``requires_grad_(False)`` are left out. ``optim.NCG`` then takes
        the step of ``train_step_``. So may any optimiser of torch; call ``update_mask_`` after it.
        Momentum or weight decay of theirs moves the weights of connections that are off, too; plain
        SGD leaves them bit for bit.

        Args:
            visible: data, as in ``forward``, at least one row.
            n_steps: sweeps k of the negative phase, at least 1. The estimate is biased for finite
                k.
            chains: persistent chains (n_chains, n_visible) to continue from (PCD), or None: from
                the data (CD).

        Returns:
            the chains' last visible states, 0/1, of the dtype of ``visible``: pass them on as
            ``chains`` for PCD.

        Raises:
            ValueError: as in ``forward``, no rows, or a wrong n_steps.

        Note:
            Deterministic by the machine's seed and the calls before. CD-k is biased for finite k,
            PCD-k as long as the chains lag behind the weights.

        Example:
            >>> rbm = RBM(6, 4, seed=0)
            >>> optimizer = torch.optim.SGD(
            ...     [
            ...         {"params": [rbm.weight, rbm.visible_bias, rbm.hidden_bias], "lr": 0.1},
            ...         {"params": [rbm.connection_strength], "lr": 0.5},
            ...     ]
            ... )
            >>> _ = rbm.contrastive_divergence(torch.eye(6), n_steps=2)
            >>> optimizer.step()
            >>> n_on, n_off = rbm.update_mask_()
        """
        op, machine = "RBM.contrastive_divergence", self._machine()
        rows, start = self._both(op, visible, n_steps, chains)
        if not self._learns_mask():
            machine = machine._replace(connection_strength=None)
        *ascents, last = machine_ops.run(
            "rbm_contrast", op, rows, machine, self._draws, start, n_steps
        )
        named = self.weight, self.connection_strength, self.visible_bias, self.hidden_bias
        for parameter, ascent in zip(named, ascents, strict=True):
            if parameter is not None and parameter.requires_grad:
                grad = parameter.grad
                parameter.grad = ascent.neg_() if grad is None else grad.sub_(ascent)
        found: Tensor = last
        return found

    def _both(
        self, op: str, visible: Tensor, n_steps: int, chains: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Rows of data and of chains."""
        checks.integer(op, "n_steps", n_steps, 1, checks.MAX_SWEEPS)
        rows = self._data(op, "visible", visible)
        return rows, None if chains is None else self._data(op, "chains", chains).detach()

    def connection_gradient(
        self, visible: Tensor, n_steps: int = 1, chains: Tensor | None = None
    ) -> Tensor:
        """dL/dA = W∘G for every pair of units, connected or not; sets no ``.grad``.

        L is the log-likelihood. Arguments, errors and bias as in ``contrastive_divergence``.

        Returns:
            float32 (n_hidden, n_visible).

        Example:
            >>> RBM(6, 4, seed=0).connection_gradient(torch.eye(6)).shape
            torch.Size([4, 6])
        """
        op, machine = "RBM.connection_gradient", self._machine()
        rows, start = self._both(op, visible, n_steps, chains)
        weight = self.weight.detach()
        with draws.reserved(self._draws, n_steps) as mine:
            phases = machine_ops.phases(op, rows, start, machine, mine.draw, n_steps)
            by_strength: Tensor = registered.connection_gradient(*phases, weight, None)[2]
        return by_strength

    @torch.no_grad()
    def update_mask_(self) -> tuple[int, int]:
        """Switches connections off where S < 1/2 and on where S > 1/2, then clips S to [0, 1].

        Returns:
            numbers of connections switched on and off.

        Raises:
            ValueError: the mask is fixed; NaN or inf in the strengths.

        Note:
            Deterministic. S = 1/2 leaves a connection as it is. Label connections stay on.

        Example:
            >>> rbm = RBM(3, 2, density=1.0, seed=0)
            >>> with torch.no_grad():
            ...     _ = rbm.connection_strength.fill_(0.25)
            >>> rbm.update_mask_()
            (0, 6)
        """
        strength, mask = self.connection_strength, self.mask
        if strength is None:
            op, rule = "RBM.update_mask_", "rbm must have connection strengths"
            remedy = "Use RBM(learn_connections=True)."
            raise checks.error(op, rule, "a fixed mask", remedy)
        self._check_strength("RBM.update_mask_", strength)
        checks.finite("RBM.update_mask_", connection_strength=strength)
        new = (strength > 0.5) | (mask & (strength == 0.5))
        if self.n_labels:
            new = connectivity.protect_labels(new, self.n_labels)
        strength.clamp_(0, 1)
        switched = new ^ mask
        n_switched = int(switched.count_nonzero())
        if not n_switched:
            return 0, 0
        n_on = int((switched & new).count_nonzero())
        mask.copy_(new)
        return n_on, n_switched - n_on

    def train_step_(
        self,
        visible: Tensor,
        n_steps: int = 1,
        *,
        lr: float,
        lr_strength: float = 0.0,
        chains: Tensor | None = None,
        n_chains: int | None = None,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        velocities: tuple[Tensor, Tensor, Tensor] | None = None,
        static: bool = False,
    ) -> tuple[int, int]:
        """One mini-batch of CD-k or PCD-k with the NCG update, in one call (``ops.train_step_``).

        Args:
            visible: data, as in ``forward``, at least one row.
            n_steps: sweeps of the negative phase.
            lr: rate of weights and biases.
            lr_strength: rate of the strengths.
            chains: packed states of n_chains persistent chains (``ops.pack_states``), written, or
                None for CD.
            n_chains: the number of persistent chains.
            momentum: in [0, 1].
            weight_decay: at least 0.
            velocities: momentum buffers like (weight, visible_bias, hidden_bias), written.
            static: leave mask and strengths as they are.

        Returns:
            numbers of connections switched on and off.

        Raises:
            ValueError: as in ``contrastive_divergence``; a wrong rate, chains or velocities;
                weights or biases with ``requires_grad_(False)``.
            FloatingPointError: a parameter is NaN or infinite after the step.

        Note:
            Deterministic by the machine's seed and the calls before, the same bits everywhere.
            Strengths with ``requires_grad_(False)`` stay, and the mask with them.

        Example:
            >>> rbm = RBM(6, 4, density=0.5, seed=0)
            >>> n_on, n_off = rbm.train_step_(torch.eye(6), lr=0.1, lr_strength=0.5)
        """
        op = "RBM.train_step_"
        rows, n_rows = units.encode(
            op, "visible", self._data(op, "visible", visible), self.n_visible
        )
        checks.integer(op, "n_steps", n_steps, 1, checks.MAX_SWEEPS)
        n_chains = learning_arguments.chains(op, chains, n_chains, self.n_visible, n_rows)
        if velocities is not None:
            velocities = self._velocities(op, velocities)
        rates = Rates(lr, lr_strength, momentum, weight_decay)
        rates = learning_arguments.rates(op, rates, velocities)
        static = checks.flag(op, "static", static)
        self._check_trainable(op)
        batch = Batch(rows.unsqueeze(0), chains, n_rows, n_chains, n_steps)
        return self._train(batch, rates, velocities, static=static)

    def _check_trainable(self, op: str) -> None:
        """Weights and biases that may be trained: one step updates all of them, in place."""
        for name in ("weight", "visible_bias", "hidden_bias"):
            if not getattr(self, name).requires_grad:
                rule = f"{name} must require gradients, for a step updates weights and biases"
                remedy = "Use .requires_grad_(), or contrastive_divergence with an optimizer."
                raise checks.error(op, rule, "requires_grad=False", remedy)
        self._check_written(op)

    def _check_written(self, op: str) -> None:
        """What a step writes."""
        for name in ("weight", "mask", "visible_bias", "hidden_bias"):
            learning_arguments.contiguous(op, name, getattr(self, name))
        if self.connection_strength is not None:
            self._check_strength(op, self.connection_strength)
            learning_arguments.contiguous(op, "connection_strength", self.connection_strength)

    def _check_strength(self, op: str, strength: Tensor) -> None:
        shape, words = tuple(self.mask.shape), "(n_hidden, n_visible)"
        checks.tensor(op, "connection_strength", strength, torch.float32, shape, words)

    def _velocities(self, op: str, given: Any) -> Velocities:
        """Momentum buffers, which are written."""
        if not isinstance(given, tuple | list) or len(given) != 3:
            rule, remedy = "velocities must be three tensors", "Pass zeros like the parameters."
            raise checks.error(op, rule, type(given).__name__, remedy)
        parameters = self.weight, self.visible_bias, self.hidden_bias
        names = "weight_velocity", "visible_velocity", "hidden_velocity"
        words = "(n_hidden, n_visible)", "(n_visible,)", "(n_hidden,)"
        for name, velocity, like, axes in zip(names, given, parameters, words, strict=True):
            checks.tensor(op, name, velocity, torch.float32, tuple(like.shape), axes)
            learning_arguments.contiguous(op, name, velocity)
            checks.same_device(op, weight=self.weight, **{name: velocity})
        weight, visible, hidden = given
        return weight, visible, hidden

    def _train(
        self,
        batch: Batch,
        rates: Rates,
        velocities: Velocities | None,
        *,
        static: bool,
        lr_factors: Tensor | None = None,
        offsets: Offsets | None = None,
    ) -> tuple[int, int]:
        """Checked batches, one after the other; connections switched on and off.

        A call of the op ends where the weights ask for other digits, and the next goes on.
        lr_factors: of the rates, one a batch, and offsets of centred gradients, checked, as
        ``ops.train_steps_`` takes them.
        """
        machine = self._machine().detached()
        strength = machine.connection_strength if self._learns_mask() and not static else None
        weight, _, mask, visible_bias, hidden_bias, n_labels = machine
        n_on = n_off = n_done = 0
        n_sweeps, centre = batch.n_steps * len(batch.visible_data), offsets or Offsets()
        with draws.reserved(self._draws, n_sweeps) as mine:
            while n_done < len(batch.visible_data):
                digits = machine.digits(TRAINING_DIGITS)
                held, biases = (digits.to_hidden, digits.to_visible), (visible_bias, hidden_bias)
                parameters = Parameters(weight, strength, mask, *biases, *held, *(velocities or ()))
                left = batch._replace(visible_data=batch.visible_data[n_done:])
                draw = mine.draw._replace(step=mine.draw.step + mine.n_used)
                factors = None if lr_factors is None else lr_factors[n_done:]
                given = (
                    *parameters,
                    *left,
                    *rates,
                    factors,
                    *centre,
                    *draw,
                    digits.exponent,
                    n_labels,
                )
                found = registered.train_steps_(*given, *exponent_range(digits.exponent))
                max_abs, on, off, done = found.tolist()
                n_done, n_on, n_off = n_done + int(done), n_on + int(on), n_off + int(off)
                mine.n_used = batch.n_steps * n_done
                self._adopt("RBM.train_step_", digits, max_abs)
        return n_on, n_off

    def _adopt(self, op: str, written: Digits, max_abs: float) -> None:
        """Keeps the digits that an update wrote with the weights; max |W∘A| tells what is wrong."""
        if not math.isfinite(max_abs):
            self._digits.forget()
            rule, remedy = (
                "parameters must stay finite",
                "Lower lr, and reload the last good state.",
            )
            raise FloatingPointError(f"{op}: {rule}, got {max_abs:g}. {remedy}")
        self._digits.adopt(self.weight, self.mask, written)

    def _apply_gradients(
        self, op: str, by: Gradients, rates: Rates, velocities: tuple[Tensor | None, ...]
    ) -> None:
        """A step by checked gradients of the loss; of the three velocities each may be None."""
        self._check_written(op)
        machine = self._machine().detached()
        weight, strength, mask, visible_bias, hidden_bias, n_labels = machine
        digits = machine.digits(TRAINING_DIGITS)
        held, biases = (digits.to_hidden, digits.to_visible), (visible_bias, hidden_bias)
        parameters = Parameters(weight, strength, mask, *biases, *held, *velocities)
        given = *parameters, *by, *rates, digits.exponent, n_labels
        max_abs, _, _ = registered.gradient_update_(*given).tolist()
        self._adopt(op, digits, max_abs)


def _as_result(mean: Tensor, like: Tensor) -> Tensor:
    """With the leading axes of ``like``, float64 where that is."""
    wide = mean.double() if like.dtype == torch.float64 else mean
    return wide.view(*like.shape[:-1], mean.shape[1])


# Those that live, by id, so that an optimiser finds the machine of a parameter.
_machines: weakref.WeakValueDictionary[int, RBM] = weakref.WeakValueDictionary()


def machines_by_parameter() -> dict[int, list[tuple[RBM, str]]]:
    """Whose parameter each is, and its name there, by the id of the parameter."""
    found: dict[int, list[tuple[RBM, str]]] = {}
    for reference in _machines.valuerefs():
        if (machine := reference()) is None:
            continue
        for name in PARAMETERS:
            if (parameter := machine._parameters.get(name)) is not None:
                found.setdefault(id(parameter), []).append((machine, name))
    return found


def _initial_weight(shape: tuple[int, int], init: str, scale: float, seed: int) -> Tensor:
    generator = np.random.default_rng([seed, 1])
    weight = np.empty(shape, dtype=np.float32)
    for part in row_chunks(weight):
        if init == "uniform":
            part[...] = generator.uniform(-scale, scale, part.shape)
        else:
            part[...] = scale * generator.standard_normal(part.shape)
    return torch.from_numpy(weight)


def _extra_state(op: str, state: Any) -> tuple[int, ...]:
    """Seed, number of the next sweep, whether the exponent is set, the exponent; checked."""
    checks.tensor(op, "_extra_state", state, torch.int64, (4,), "(4,)", "Pass a state_dict of RBM.")
    values = tuple(int(value) for value in state)
    limits = (0, checks.MAX_SEED), (0, checks.MAX_STEP), (0, 1), (MIN_EXPONENT, MAX_EXPONENT)
    names = "seed", "number of sweeps", "flag", "exponent"
    for name, value, (low, high) in zip(names, values, limits, strict=True):
        checks.integer(op, f"{name} in _extra_state", value, low, high)
    return values


def check_machine(op: str, rbm: Any) -> RBM:
    """An RBM, for functions that take one."""
    if not isinstance(rbm, RBM):
        rule, remedy = "rbm must be an ncg_fast.RBM", "Make one: ncg_fast.RBM(n_visible, n_hidden)."
        raise checks.error(op, rule, type(rbm).__name__, remedy)
    return rbm
