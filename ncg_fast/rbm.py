"""The restricted Boltzmann machine whose connections are learned: ``RBM(torch.nn.Module)``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ncg_fast import checks, connectivity, learning, ops, states
from ncg_fast.digits import EVALUATION_DIGITS, TRAINING_DIGITS, DigitCache
from ncg_fast.numerics import to_levels


def derived_seed(seed: int, purpose: int) -> int:
    """An independent seed for each purpose, in [0, 2**63)."""
    return int(
        np.random.SeedSequence([seed, purpose]).generate_state(1, np.uint64)[0] >> np.uint64(1)
    )


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
        weight_scale: at least 0; None: 1 for "uniform" (the paper's), 0.01 for "normal".
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
        self.n_visible = checks.integer(op, "n_visible", n_visible, 1)
        self.n_hidden = checks.integer(op, "n_hidden", n_hidden, 1)
        self.n_labels = checks.integer(op, "n_labels", n_labels, 0, n_visible - 1)
        self.manual_seed(seed)
        checks.choice(op, "weight_init", weight_init, ("uniform", "normal"))
        if weight_scale is None:
            weight_scale = 1.0 if weight_init == "uniform" else 0.01
        scale = checks.number(op, "weight_scale", weight_scale, 0.0)

        if mask is None:
            density = checks.number(op, "density", 1.0 if density is None else density, 0.0, 1.0)
            mask = connectivity.random_mask(
                n_hidden, n_visible, density, seed=derived_seed(seed, 0)
            )
        else:
            checks.require(
                density is None, op, "density must be left out where mask is given", density
            )
            checks.tensor(
                op, "mask", mask, torch.bool, (n_hidden, n_visible), "(n_hidden, n_visible)"
            )
            learn_connections = bool(learn_connections)
        if n_labels:
            mask = connectivity.protect_labels(mask, n_labels)
        self.register_buffer("mask", mask.clone())

        generator = np.random.default_rng([seed, 1])
        shape = n_hidden, n_visible
        if weight_init == "uniform":
            weight = generator.uniform(-scale, scale, shape).astype(np.float32)
        else:
            weight = (scale * generator.standard_normal(shape)).astype(np.float32)
        self.weight = nn.Parameter(torch.from_numpy(weight))
        self.visible_bias = nn.Parameter(torch.zeros(n_visible, dtype=torch.float32, device="cpu"))
        self.hidden_bias = nn.Parameter(torch.zeros(n_hidden, dtype=torch.float32, device="cpu"))
        if learn_connections is False:
            self.register_parameter("connection_strength", None)
        else:
            strength = connectivity.initial_strength(mask, seed=derived_seed(seed, 2))
            self.connection_strength = nn.Parameter(strength)
        self._digits = DigitCache()

    # --- state ---

    def manual_seed(self, seed: int) -> RBM:
        """Starts the draws anew: the next are those of a new machine with this seed."""
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
        exponent = self._digits.exponent(self)
        return torch.tensor([self._seed, self._gibbs_step, exponent is not None, exponent or 0])

    def set_extra_state(self, state: Tensor) -> None:
        """Takes what ``get_extra_state`` gave."""
        fits = isinstance(state, Tensor) and state.dtype == torch.int64 and state.shape == (4,)
        actual = tuple(state.shape) if isinstance(state, Tensor) else type(state).__name__
        rule = "extra state must be int64 of shape (4,)"
        checks.require(fits, "RBM.load_state_dict", rule, actual)
        self._seed, self._gibbs_step, known, exponent = (int(value) for value in state)
        self._digits.restore(self, exponent if known else None)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_digits": self._digits.exponent(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        exponent, self._digits = state["_digits"], DigitCache()
        self._digits.restore(self, exponent)

    def _apply(self, fn: Any, recurse: bool = True) -> RBM:
        probe = fn(torch.empty(0, dtype=torch.float32))
        remedy = "Convert the outputs instead: rbm(v).to(dtype)."
        rule = "RBM parameters must stay float32, on which the exact arithmetic rests"
        checks.require(probe.dtype == torch.float32, "RBM.to", rule, str(probe.dtype), remedy)
        exponent = self._digits.exponent(self)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._digits.restore(self, exponent)
        return self

    def _to_hidden(self, n_digits: int) -> tuple[Tensor, Tensor, int]:
        digits, exponent = self._digits.get(self, n_digits)
        return digits.to_hidden, self.hidden_bias.detach(), exponent

    def _to_visible(self, n_digits: int) -> tuple[Tensor, Tensor, int]:
        digits, exponent = self._digits.get(self, n_digits)
        return digits.to_visible, self.visible_bias.detach(), exponent

    def _model(self, n_digits: int) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
        digits, exponent = self._digits.get(self, n_digits)
        return *digits, self.visible_bias.detach(), self.hidden_bias.detach(), exponent

    def _draw(self) -> dict[str, Any]:
        """Seed and number of the next sweep; an op that went through moves ``_gibbs_step`` on."""
        return {"seed": self._seed, "step": self._gibbs_step}

    # --- inference ---

    def forward(self, visible: Tensor) -> Tensor:
        """P(h_i = 1 | v) = sigmoid(c_i + sum_j A_ij W_ij v_j).

        Args:
            visible: (n, n_visible) or (n_visible,); bool, uint8 or floating; 0/1, or probabilities
                in [0, 1].

        Returns:
            float32 (n, n_hidden) or (n_hidden,). Not differentiable: gradients come from
            contrastive divergence.

        Raises:
            ValueError: wrong shape or dtype, NaN, values outside [0, 1], NaN or inf in the
                parameters.
        """
        rows, n = states.encode("RBM.forward", "visible", visible, self.n_visible)
        mean = ops.hidden_mean(rows, *self._to_hidden(EVALUATION_DIGITS), n)
        return mean if visible.dim() == 2 else mean[0]

    def reconstruct(self, visible: Tensor) -> Tensor:
        """Mean-field reconstruction P(v | h = P(h | v)), with hidden means rounded to 16 bits.

        Args:
            visible: as in ``forward``.

        Returns:
            float32 of the shape of ``visible``.

        Raises:
            ValueError: as in ``forward``.
        """
        rows, n = states.encode("RBM.reconstruct", "visible", visible, self.n_visible)
        hidden = to_levels(ops.hidden_mean(rows, *self._to_hidden(EVALUATION_DIGITS), n))
        return ops.visible_mean(hidden, *self._to_visible(EVALUATION_DIGITS), n).view(visible.shape)

    def free_energy(self, visible: Tensor) -> Tensor:
        """F(v) = -b.v - sum_i log(1 + exp(c_i + sum_j A_ij W_ij v_j)), so p(v) = exp(-F(v)) / Z.

        Args:
            visible: as in ``forward``.

        Returns:
            float64 (n,), or a scalar for one row, in nats.

        Raises:
            ValueError: as in ``forward``.
        """
        rows, n = states.encode("RBM.free_energy", "visible", visible, self.n_visible)
        to_hidden, _, visible_bias, hidden_bias, exponent = self._model(EVALUATION_DIGITS)
        energy = ops.free_energy(rows, to_hidden, visible_bias, hidden_bias, exponent, n)
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
        """
        states.encode("RBM.energy", "visible", visible, self.n_visible)
        states.encode("RBM.energy", "hidden", hidden, self.n_hidden)
        checks.finite("RBM.energy", weight=self.weight.detach())
        v, h = visible.detach().double(), hidden.detach().double()
        rule = "visible and hidden must have equally many rows"
        checks.require(
            v.shape[:-1] == h.shape[:-1], "RBM.energy", rule, f"{v.shape[:-1]} and {h.shape[:-1]}"
        )
        masked = self.weight.detach().double() * self.mask
        pairs = ((h @ masked) * v).sum(-1)
        return (
            -pairs
            - v @ self.visible_bias.detach().double()
            - h @ self.hidden_bias.detach().double()
        )

    # --- sampling ---

    def sample_hidden(self, visible: Tensor) -> Tensor:
        """h ~ P(h | v), one half step; each call draws anew.

        Args:
            visible: as in ``forward``.

        Returns:
            0/1 states (n, n_hidden) or (n_hidden,), of the dtype of ``visible``.

        Raises:
            ValueError: as in ``forward``.
        """
        rows, n = states.encode("RBM.sample_hidden", "visible", visible, self.n_visible)
        hidden = ops.sample_hidden(rows, *self._to_hidden(TRAINING_DIGITS), n, **self._draw())
        self._gibbs_step += 1
        return states.decode(hidden, n, like=visible)

    def sample_visible(self, hidden: Tensor) -> Tensor:
        """v ~ P(v | h), one half step; as ``sample_hidden`` with the layers exchanged."""
        rows, n = states.encode("RBM.sample_visible", "hidden", hidden, self.n_hidden)
        visible = ops.sample_visible(rows, *self._to_visible(TRAINING_DIGITS), n, **self._draw())
        self._gibbs_step += 1
        return states.decode(visible, n, like=hidden)

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
        """
        op = "RBM.gibbs_steps"
        rows, n = states.encode(op, "visible", visible, self.n_visible)
        held = None
        if clamp is not None:
            values, held = states.encode_clamp(op, clamp, n, self.n_visible)
            remedy = "Binarise it where units are clamped."
            rule = "visible must hold only 0 and 1"
            checks.require(rows.dtype == torch.int64, op, rule, "values in between", remedy)
            rows = rows & ~held | values
        if beta is not None:
            beta = states.encode_beta(op, beta, n)
        checks.integer(op, "n_steps", n_steps, 1)
        model = self._model(TRAINING_DIGITS)
        last, hidden = ops.gibbs_steps(
            rows, *model, n, n_steps, beta=beta, clamped=held, **self._draw()
        )
        self._gibbs_step += n_steps
        return states.decode(last, n, like=visible), states.decode(hidden, n, like=visible)

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
            n: number of chains, at least 1.
            n_steps: sweeps, at least 1; samples are exact only as n_steps grows, and a machine with
                separate modes needs very many: start from data where that matters.
            clamp: as in ``gibbs_steps``: conditional samples.
            start: (n, n_visible), as in ``forward``; None: independent units, sigmoid(b_j).

        Returns:
            0/1 states, uint8 (n, n_visible).

        Raises:
            ValueError: a wrong n, n_steps, clamp or start, NaN or inf in the parameters.

        Example:
            >>> RBM(6, 4).sample(3, n_steps=10).shape
            torch.Size([3, 6])
        """
        op = "RBM.sample"
        checks.integer(op, "n", n, 1, 2**32 - 1)
        checks.integer(op, "n_steps", n_steps, 1)
        if start is None:
            start = self.sample_visible(torch.zeros(n, self.n_hidden, dtype=torch.uint8))
        _, n_rows = states.encode(op, "start", start, self.n_visible)
        checks.require(n_rows == n, op, f"start must have n = {n} rows", n_rows)
        return self.gibbs_steps(start, n_steps, clamp=clamp)[0].to(torch.uint8)

    # --- learning: learning.py ---

    contrastive_divergence = learning.contrastive_divergence
    connection_gradient = learning.connection_gradient
    update_mask_ = learning.update_mask_
    train_step_ = learning.train_step_
