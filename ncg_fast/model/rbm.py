"""The restricted Boltzmann machine whose connections are learned: ``RBM(torch.nn.Module)``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ncg_fast import backends, checks, connectivity
from ncg_fast.backends.numerics import MAX_EXPONENT, MIN_EXPONENT
from ncg_fast.model import inference, learning
from ncg_fast.model.digits import DigitCache
from ncg_fast.seeds import derived_seed, row_chunks

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
            rule, remedy = "density must be left out where mask is given", "Pass one of the two."
            checks.require(density is None, op, rule, density, remedy)
            checks.tensor(op, "mask", mask, torch.bool, shape, "(n_hidden, n_visible)")
            learn_connections = bool(learn_connections)
        if n_labels:
            mask = connectivity.protect_labels(mask, n_labels)
        self.register_buffer("mask", mask.to("cpu", copy=True))

        generator = np.random.default_rng([seed, 1])
        weight = np.empty(shape, dtype=np.float32)
        for part in row_chunks(weight):
            if weight_init == "uniform":
                part[...] = generator.uniform(-scale, scale, part.shape)
            else:
                part[...] = scale * generator.standard_normal(part.shape)
        self.weight = nn.Parameter(torch.from_numpy(weight))
        self.visible_bias = nn.Parameter(torch.zeros(n_visible, dtype=torch.float32, device="cpu"))
        self.hidden_bias = nn.Parameter(torch.zeros(n_hidden, dtype=torch.float32, device="cpu"))
        if learn_connections is False:
            self.register_parameter("connection_strength", None)
        else:
            strength = connectivity.initial_strength(self.mask, seed=derived_seed(seed, 2))
            self.connection_strength = nn.Parameter(strength)
        self._digits = DigitCache()

    # --- state ---

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
        exponent = self._digits.exponent(self)
        values = self._seed, self._gibbs_step, exponent is not None, exponent or 0
        return torch.tensor(values, dtype=torch.int64, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Takes what ``get_extra_state`` gave."""
        self._seed, self._gibbs_step, known, exponent = _extra_state("RBM.load_state_dict", state)
        self._digits.restore(self, exponent if known else None)

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
                rule, remedy = f"{name} must be float32 with assign=True", "Use .float()."
                fits = value.dtype == torch.float32 or not assigned
                checks.require(fits, op, rule, value.dtype, remedy)
        if f"{prefix}connection_strength" in state_dict:
            strength = state_dict[f"{prefix}connection_strength"]
            checks.dense(op, "connection_strength", strength)
            rule, remedy = "connection_strength must be in [0, 1]", "Use .clamp(0, 1)."
            sound = bool(((strength >= 0) & (strength <= 1)).all())
            checks.require(sound, op, rule, "values outside, or NaN", remedy)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_digits": self._digits.exponent(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        exponent, self._digits = state["_digits"], DigitCache()
        self._digits.restore(self, exponent)

    def _apply(self, fn: Any, recurse: bool = True) -> RBM:
        probe = fn(torch.empty(0, dtype=torch.float32, device="cpu"))
        remedy = "Convert the outputs instead: rbm(v).to(dtype)."
        rule = "RBM parameters must stay float32, on which the exact arithmetic rests"
        checks.require(probe.dtype == torch.float32, "RBM.to", rule, str(probe.dtype), remedy)
        backends.require(probe.device.type)
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

    # --- inference: inference.py ---

    forward = inference.forward
    reconstruct = inference.reconstruct
    free_energy = inference.free_energy
    energy = inference.energy
    sample_hidden = inference.sample_hidden
    sample_visible = inference.sample_visible
    gibbs_steps = inference.gibbs_steps
    sample = inference.sample

    # --- learning: learning.py ---

    contrastive_divergence = learning.contrastive_divergence
    connection_gradient = learning.connection_gradient
    update_mask_ = learning.update_mask_
    train_step_ = learning.train_step_


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
    kind, remedy = type(rbm).__name__, "Make one: ncg_fast.RBM(n_visible, n_hidden)."
    checks.require(isinstance(rbm, RBM), op, "rbm must be an ncg_fast.RBM", kind, remedy)
    machine: RBM = rbm
    return machine
