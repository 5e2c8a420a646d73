"""The restricted Boltzmann machine whose connections are learned: ``RBM(torch.nn.Module)``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ncg_fast import backends, checks, connectivity
from ncg_fast.backends.formats import StateFormat, new_packed, state_format
from ncg_fast.backends.numerics import (
    HIDDEN_STREAM,
    MAX_EXPONENT,
    MIN_EXPONENT,
    VISIBLE_STREAM,
    exponent_range,
    to_levels,
)
from ncg_fast.backends.records import Batch, Draw, Model, Parameters, Phases, Rates
from ncg_fast.model import units
from ncg_fast.model.digits import (
    EVALUATION_DIGITS,
    TRAINING_DIGITS,
    DigitCache,
    Digits,
    Watched,
)
from ncg_fast.ops import arguments, learning_arguments
from ncg_fast.ops.registration import registered
from ncg_fast.seeds import derived_seed, row_chunks

Velocities = tuple[Tensor, Tensor, Tensor]
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
            kept.
        visible_bias, hidden_bias: Parameters, float32.
        connection_strength: Parameter (n_hidden, n_visible), float32, or None where the mask is
            fixed.
        mask: buffer (n_hidden, n_visible), bool.

    Raises:
        ValueError: wrong shape, dtype or range.

    Note:
        The same seed and calls give the same bits on every instruction set and thread count. The
        machine computes with digits of W∘A, made anew when a tensor's version counter moved: edit
        with ``torch.no_grad()``, not through ``.data`` or NumPy, which torch does not see. Memory:
        13 bytes a connection with strengths.

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
        self._seed = checks.integer("RBM.manual_seed", "seed", seed, 0, checks.MAX_SEED)
        self._gibbs_step = 0
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
        exponent = self._digits.exponent(self._watched())
        values = self._seed, self._gibbs_step, exponent is not None, exponent or 0
        return torch.tensor(values, dtype=torch.int64, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Takes what ``get_extra_state`` gave."""
        self._seed, self._gibbs_step, known, exponent = _extra_state("RBM.load_state_dict", state)
        self._digits.restore(self._watched(), exponent if known else None)

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
                rule, remedy = "connection_strength must be in [0, 1]", "Use .clamp(0, 1)."
                raise checks.error(op, rule, "values outside, or NaN", remedy)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_digits": self._digits.exponent(self._watched())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        exponent, self._digits = state["_digits"], DigitCache()
        self._digits.restore(self._watched(), exponent)

    def _apply(self, fn: Any, recurse: bool = True) -> RBM:
        probe = fn(torch.empty(0, dtype=torch.float32, device="cpu"))
        if probe.dtype != torch.float32:
            rule = "RBM parameters must stay float32, on which the exact arithmetic rests"
            remedy = "Convert the outputs instead: rbm(v).to(dtype)."
            raise checks.error("RBM.to", rule, str(probe.dtype), remedy)
        backends.select(probe.device.type)
        exponent = self._digits.exponent(self._watched())
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._digits.restore(self._watched(), exponent)
        return self

    def _watched(self) -> Watched:
        return Watched(self.weight, self.mask, self.visible_bias, self.hidden_bias)

    def _learns_mask(self) -> bool:
        strength = self.connection_strength
        return strength is not None and strength.requires_grad

    def _digits_of(self, n_digits: int) -> Digits:
        learned = self.connection_strength is not None
        return self._digits.get(self._watched(), n_digits, learned=learned)

    def _model(self, n_digits: int) -> Model:
        to_hidden, to_visible, exponent = self._digits_of(n_digits)
        b, c = self.visible_bias.detach(), self.hidden_bias.detach()
        return Model(to_hidden, to_visible, b, c, exponent)

    def _draw(self) -> Draw:
        """What comes next; an op that went through moves ``_gibbs_step`` on."""
        return Draw(self._seed, step=self._gibbs_step)

    def _encoded(self, op: str, side: str, states: Tensor) -> tuple[Tensor, int]:
        """A user's states of one side in a format of the ops, and the number of rows."""
        n_units = self.n_visible if side == "visible" else self.n_hidden
        return units.encode(op, side, states, n_units, self.weight)

    def _hidden_mean(self, op: str, visible: Tensor) -> tuple[Tensor, int]:
        """P(h | v) of a user's rows, and their number."""
        rows, n = units.unread(op, "visible", visible, self.n_visible, self.weight)
        given = rows, n, *self._model(EVALUATION_DIGITS).hidden_layer
        return arguments.of_states(op, "visible", registered.mean, *given), n

    def _data(self, op: str, name: str, visible: Tensor) -> tuple[Tensor, int]:
        """Visible states to learn from, at least one row, and their number."""
        rows, n = units.encode(op, name, visible, self.n_visible, self.weight)
        if not n:
            rule = f"{name} must have at least one row"
            raise checks.error(op, rule, tuple(visible.shape), "Leave out empty batches.")
        return rows, n

    def _independent(self, n: int) -> Tensor:
        """Packed visible states of n chains, P(v_j = 1) = sigmoid(b_j)."""
        off = new_packed(self.weight, self.n_hidden, n).zero_()
        layer = self._model(TRAINING_DIGITS).visible_layer
        states: Tensor = registered.sample(off, n, *layer, *self._draw(), VISIBLE_STREAM)
        self._gibbs_step += 1
        return states

    def _clamped(
        self, op: str, name: str, rows: Tensor, n: int, clamp: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Rows with the clamped units set, and which units those are."""
        if clamp is None:
            return rows, None
        values, held = units.encode_clamp(op, clamp, n, self.n_visible)
        if state_format(rows) is not StateFormat.PACKED:
            rule, remedy = f"{name} must hold only 0 and 1 with a clamp", "Binarise it there."
            raise checks.error(op, rule, "values in between", remedy)
        checks.same_device(op, **{name: rows, "clamp": clamp})
        return rows & ~held | values, held

    def _sweeps(
        self, rows: Tensor, n_chains: int, n_steps: int, draw: Draw, held: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        model = self._model(TRAINING_DIGITS)
        states: tuple[Tensor, Tensor] = registered.gibbs_steps(
            rows, n_chains, *model, n_steps, *draw, held
        )
        self._gibbs_step += n_steps
        return states

    def _phases(self, op: str, visible: Tensor, n_steps: int, chains: Tensor | None) -> Phases:
        """Hidden levels and visible states of the data, and of the model after n_steps sweeps."""
        data, n_rows = self._data(op, "visible", visible)
        start, n_chains = (data, n_rows) if chains is None else self._data(op, "chains", chains)
        checks.integer(op, "n_steps", n_steps, 1, checks.MAX_SWEEPS)
        last, _ = self._sweeps(start, n_chains, n_steps, self._draw())
        layer = self._model(TRAINING_DIGITS).hidden_layer
        positive = to_levels(registered.mean(data, n_rows, *layer))
        negative = to_levels(registered.mean(last, n_chains, *layer))
        return Phases(positive, data, negative, last)

    def forward(self, visible: Tensor) -> Tensor:
        """P(h_i = 1 | v) = sigmoid(c_i + sum_j A_ij W_ij v_j).

        Args:
            visible: (n, n_visible) or (n_visible,); bool, uint8 or floating of 16 bits or more;
                0/1, or probabilities in [0, 1].

        Returns:
            float32 (n, n_hidden) or (n_hidden,). Not differentiable: gradients come from
            contrastive divergence.

        Raises:
            ValueError: wrong shape, dtype or device, NaN, values outside [0, 1], NaN or inf in the
                parameters.

        Note:
            Deterministic, the same bits everywhere; weights rounded to 24 bits, visible
            probabilities to 16.

        Example:
            >>> rbm = RBM(6, 4, weight_scale=0.0)
            >>> rbm(torch.zeros(6))
            tensor([0.5000, 0.5000, 0.5000, 0.5000])
        """
        mean, _ = self._hidden_mean("RBM.forward", visible)
        return mean if visible.dim() == 2 else mean[0]

    def reconstruct(self, visible: Tensor) -> Tensor:
        """Mean-field reconstruction P(v | h = P(h | v)), with hidden means rounded to 16 bits.

        Args:
            visible: as in ``forward``.

        Returns:
            float32 of the shape of ``visible``.

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
        hidden, n = self._hidden_mean("RBM.reconstruct", visible)
        layer = self._model(EVALUATION_DIGITS).visible_layer
        mean: Tensor = registered.mean(to_levels(hidden), n, *layer)
        return mean.view(visible.shape)

    def free_energy(self, visible: Tensor) -> Tensor:
        """F(v) = -b.v - sum_i log(1 + exp(c_i + sum_j A_ij W_ij v_j)), so p(v) = exp(-F(v)) / Z.

        Args:
            visible: as in ``forward``.

        Returns:
            float64 (n,), or a scalar for one row, in nats.

        Raises:
            ValueError: as in ``forward``.

        Note:
            float64 sums: instruction sets agree to 1e-10 relative. Weights are rounded to 24 bits.

        Example:
            >>> rbm = RBM(6, 4, weight_scale=0.0)
            >>> rbm.free_energy(torch.zeros(6))  # -4 log 2
            tensor(-2.7726, dtype=torch.float64)
        """
        op, model = "RBM.free_energy", self._model(EVALUATION_DIGITS)
        rows, n = units.unread(op, "visible", visible, self.n_visible, self.weight)
        given = rows, n, *model.hidden_layer, model.visible_bias
        energy = arguments.of_states(op, "visible", registered.free_energy, *given)
        return energy if visible.dim() == 2 else energy[0]

    def energy(self, visible: Tensor, hidden: Tensor) -> Tensor:
        """E(v, h) = -h^T (W∘A) v - b^T v - c^T h.

        Args:
            visible: as in ``forward``.
            hidden: (n, n_hidden) or (n_hidden,), as ``visible``.

        Returns:
            float64 (n,), or a scalar for one row, in nats.

        Raises:
            ValueError: as in ``forward``, or unequal numbers of rows.

        Note:
            Deterministic by torch; of the float32 weights, not rounded further. Memory: a float64
            copy of the weights.

        Example:
            >>> rbm = RBM(6, 4, weight_scale=0.0)
            >>> rbm.energy(torch.zeros(2, 6), torch.zeros(2, 4)).abs()
            tensor([0., 0.], dtype=torch.float64)
        """
        op = "RBM.energy"
        units.checked(op, "visible", visible, self.n_visible, self.weight)
        units.checked(op, "hidden", hidden, self.n_hidden, self.weight)
        if visible.shape[:-1] != hidden.shape[:-1]:
            rule = "visible and hidden must have equally many rows"
            actual = f"{tuple(visible.shape[:-1])} and {tuple(hidden.shape[:-1])}"
            raise checks.error(op, rule, actual, "Pass them in pairs.")
        weight, b, c = (p.detach() for p in (self.weight, self.visible_bias, self.hidden_bias))
        checks.finite(op, weight=weight, visible_bias=b, hidden_bias=c)
        v, h = visible.detach().double(), hidden.detach().double()
        pairs = ((h @ (weight.double() * self.mask)) * v).sum(-1)
        return -pairs - v @ b.double() - h @ c.double()

    def sample_hidden(self, visible: Tensor) -> Tensor:
        """h ~ P(h | v), one half step; each call draws anew.

        Args:
            visible: as in ``forward``.

        Returns:
            0/1 states (n, n_hidden) or (n_hidden,), of the dtype of ``visible``.

        Raises:
            ValueError: as in ``forward``.

        Note:
            Deterministic by the machine's seed and the calls before, the same bits everywhere.

        Example:
            >>> RBM(6, 4, seed=0).sample_hidden(torch.zeros(2, 6)).shape
            torch.Size([2, 4])
        """
        rows, n = self._encoded("RBM.sample_hidden", "visible", visible)
        layer = self._model(TRAINING_DIGITS).hidden_layer
        hidden = registered.sample(rows, n, *layer, *self._draw(), HIDDEN_STREAM)
        self._gibbs_step += 1
        return units.decode(hidden, n, like=visible)

    def sample_visible(self, hidden: Tensor) -> Tensor:
        """v ~ P(v | h), one half step, as ``sample_hidden``.

        Args:
            hidden: (n, n_hidden) or (n_hidden,), as ``visible`` in ``forward``.

        Returns:
            0/1 states (n, n_visible) or (n_visible,), of the dtype of ``hidden``.

        Example:
            >>> RBM(6, 4, seed=0).sample_visible(torch.zeros(2, 4)).shape
            torch.Size([2, 6])
        """
        rows, n = self._encoded("RBM.sample_visible", "hidden", hidden)
        layer = self._model(TRAINING_DIGITS).visible_layer
        visible = registered.sample(rows, n, *layer, *self._draw(), VISIBLE_STREAM)
        self._gibbs_step += 1
        return units.decode(visible, n, like=hidden)

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
            clamp: (n_visible,) or (n, n_visible) floating: 0 or 1 where a unit is held, NaN where
                it is free.

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
        rows, n = self._encoded(op, "visible", visible)
        rows, held = self._clamped(op, "visible", rows, n, clamp)
        draw = self._draw()
        if beta is not None:
            draw = draw._replace(beta=units.encode_beta(op, beta, n, like=rows))
        checks.integer(op, "n_steps", n_steps, 1, checks.MAX_SWEEPS)
        last, hidden = self._sweeps(rows, n, n_steps, draw, held)
        return units.decode(last, n, like=visible), units.decode(hidden, n, like=visible)

    def sample(
        self,
        n: int,
        n_steps: int = 1000,
        *,
        clamp: Tensor | None = None,
        start: Tensor | None = None,
    ) -> Tensor:
        """Draws visible states by n_steps sweeps from a start.

        Args:
            n: number of chains, in [1, 2**31].
            n_steps: sweeps, at least 1.
            clamp: as in ``gibbs_steps``: conditional samples.
            start: (n, n_visible), as in ``forward``; None: independent units, sigmoid(b_j).

        Returns:
            0/1 states, uint8 (n, n_visible).

        Raises:
            ValueError: a wrong n, n_steps, clamp or start, NaN or inf in the parameters.

        Note:
            Deterministic by the machine's seed and the calls before. Samples are exact only as
            n_steps grows, and a machine with separate modes needs very many: start from data where
            that matters.

        Example:
            >>> RBM(6, 4).sample(3, n_steps=10).shape
            torch.Size([3, 6])
        """
        op = "RBM.sample"
        n = checks.integer(op, "n", n, 1, checks.MAX_CHAINS)
        n_steps = checks.integer(op, "n_steps", n_steps, 1, checks.MAX_SWEEPS)
        if start is None:
            rows = self._independent(n)
        else:
            rows, n_rows = units.encode(op, "start", start, self.n_visible, self.weight)
            if n_rows != n:
                rule, remedy = f"start must have n = {n} rows", "Pass one row a chain."
                raise checks.error(op, rule, n_rows, remedy)
        rows, held = self._clamped(op, "start", rows, n, clamp)
        last, _ = self._sweeps(rows, n, n_steps, self._draw(), held)
        states: Tensor = registered.unpack_states(last, n)
        return states

    def contrastive_divergence(
        self, visible: Tensor, n_steps: int = 1, chains: Tensor | None = None
    ) -> Tensor:
        """Adds the CD-k or PCD-k gradient of -log p(v) to ``.grad`` of the parameters.

        With G = <h v>_data - <h v>_model and mean-field h: -A∘G for the weights, -W∘G for the
        strengths. Parameters with ``requires_grad_(False)`` are left out. Any optimiser of torch
        then takes a step; call ``update_mask_`` after it. Momentum or weight decay in the optimiser
        moves the weights of connections that are off, too; plain SGD leaves them bit for bit.

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
        phases = self._phases("RBM.contrastive_divergence", visible, n_steps, chains)
        weight = self.weight.detach() if self._learns_mask() else None
        _, by_weight, by_strength, *by_bias = registered.connection_gradient(
            *phases, weight, self.mask
        )
        if self.n_labels and weight is not None:
            by_strength[:, -self.n_labels :] = 0
        named = self.weight, self.connection_strength, self.visible_bias, self.hidden_bias
        for parameter, ascent in zip(named, (by_weight, by_strength, *by_bias), strict=True):
            if parameter is not None and parameter.requires_grad:
                grad = parameter.grad
                parameter.grad = ascent.neg_() if grad is None else grad.sub_(ascent)
        n_chains = len(phases.hidden_model)
        return units.decode(phases.visible_model, n_chains, like=visible.view(-1, self.n_visible))

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
        phases = self._phases("RBM.connection_gradient", visible, n_steps, chains)
        _, _, gradient, _, _ = registered.connection_gradient(*phases, self.weight.detach(), None)
        by_strength: Tensor = gradient
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
        rows, n_rows = self._data(op, "visible", visible)
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
        for name, tensor in zip(Watched._fields, self._watched(), strict=True):
            if not tensor.requires_grad and name != "mask":
                rule = f"{name} must require gradients, for a step updates weights and biases"
                remedy = "Use .requires_grad_(), or contrastive_divergence with an optimizer."
                raise checks.error(op, rule, "requires_grad=False", remedy)
            learning_arguments.contiguous(op, name, tensor)
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
        self, batch: Batch, rates: Rates, velocities: Velocities | None, *, static: bool
    ) -> tuple[int, int]:
        """Checked batches, one after the other; connections switched on and off.

        A call of the op ends where the weights ask for other digits, and the next goes on.
        """
        strength = self.connection_strength
        learned = strength is not None and strength.requires_grad and not static
        moved = strength.detach() if strength is not None and learned else None
        watched = self._watched()
        weight, mask, visible_bias, hidden_bias = (tensor.detach() for tensor in watched)
        n_on = n_off = 0
        while True:
            digits = self._digits.get(watched, TRAINING_DIGITS, learned=strength is not None)
            held, biases = (digits.to_hidden, digits.to_visible), (visible_bias, hidden_bias)
            parameters = Parameters(weight, moved, mask, *biases, *held, *(velocities or ()))
            given = *parameters, *batch, *rates, *self._draw(), digits.exponent, self.n_labels
            found = registered.train_steps_(*given, *exponent_range(digits.exponent))
            max_abs, on, off, done = found.tolist()
            self._gibbs_step += batch.n_steps * int(done)
            self._digits.adopt(watched, digits, max_abs, int(on - off))
            n_on, n_off = n_on + int(on), n_off + int(off)
            if done == len(batch.visible_data):
                return n_on, n_off
            batch = batch._replace(visible_data=batch.visible_data[int(done) :])


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
