"""What the estimators share: parameters of scikit-learn, the machine that they describe, steps."""

from __future__ import annotations

import time
import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.extmath import safe_sparse_dot
from torch import Tensor

from ncg_fast import ops
from ncg_fast.backends.numerics import HIDDEN_STREAM
from ncg_fast.backends.records import Batch
from ncg_fast.model.digits import TRAINING_DIGITS
from ncg_fast.model.rbm import RBM
from ncg_fast.ops.registration import registered
from ncg_fast.sklearn import real_values
from ncg_fast.sklearn.corruption import flipped_units
from ncg_fast.sklearn.rows import Batches, canonical, is_outside
from ncg_fast.training.schedule import DECAYS, Schedule

FLOATS = np.float64, np.float32  # dtypes of rows; others become the first
_WEIGHT_SCALE = 0.01


class MachineEstimator(BaseEstimator):
    """Parameters, learned attributes and training of the estimators."""

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 as scikit-learn has it
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "n_iter": [Interval(Integral, 0, None, closed="left")],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "density": [Interval(Real, 0, 1, closed="both"), None],
        "lr_strength": [Interval(Real, 0, None, closed="left"), None],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "persistent": ["boolean"],
        "lr_decay": [StrOptions(set(DECAYS))],
        "device": [str],
    }

    def __init__(
        self,
        n_components: int = 256,
        *,
        learning_rate: float = 0.1,
        batch_size: int = 10,
        n_iter: int = 10,
        verbose: int = 0,
        random_state: Any = None,
        density: float | None = None,
        lr_strength: float | None = None,
        n_steps: int = 1,
        persistent: bool = True,
        lr_decay: str = "none",
        device: str = "cpu",
    ) -> None:
        self.n_components = n_components
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.verbose = verbose
        self.random_state = random_state
        self.density = density
        self.lr_strength = lr_strength
        self.n_steps = n_steps
        self.persistent = persistent
        self.lr_decay = lr_decay
        self.device = device

    @property
    def components_(self) -> np.ndarray:
        """W∘A, (n_components, n_visible), of the dtype of the rows; read-only, but may be set."""
        if not self._kept:  # columns one after the other, for products with sparse rows
            weight = torch.where(self._rbm.mask, self._rbm.weight, 0.0)
            self._kept.append(np.asfortranarray(self._array(weight)))
            self._kept[0].flags.writeable = False
        return self._kept[0]

    @components_.setter
    def components_(self, values: Any) -> None:
        self._set("weight", values)

    @property
    def intercept_hidden_(self) -> np.ndarray:
        """Biases c of the hidden units, (n_components,)."""
        return self._array(self._rbm.hidden_bias)

    @intercept_hidden_.setter
    def intercept_hidden_(self, values: Any) -> None:
        self._set("hidden_bias", values)

    @property
    def intercept_visible_(self) -> np.ndarray:
        """Biases b of the visible units, (n_visible,)."""
        return self._array(self._rbm.visible_bias)

    @intercept_visible_.setter
    def intercept_visible_(self, values: Any) -> None:
        self._set("visible_bias", values)

    @property
    def mask_(self) -> np.ndarray:
        """The connections A, bool (n_components, n_visible)."""
        mask: np.ndarray = self._rbm.mask.cpu().numpy().copy()
        mask.flags.writeable = False
        return mask

    @property
    def h_samples_(self) -> np.ndarray:
        """Hidden states of the chains, (batch_size, n_components), that the next sweep starts from.

        Without persistent chains there are none.
        """
        if self._chains is None:
            raise AttributeError("h_samples_ needs persistent=True, which keeps chains.")
        layer, n = self._rbm._model(TRAINING_DIGITS).hidden_layer, self._n_chains
        drawn = registered.sample(self._chains, n, *layer, *self._rbm._draw(), HIDDEN_STREAM)
        return self._array(ops.unpack_states(drawn, n))

    def _array(self, values: Tensor) -> np.ndarray:
        found: np.ndarray = values.detach().cpu().numpy().astype(self._dtype)
        found.flags.writeable = False
        return found

    @torch.no_grad()
    def _set(self, name: str, values: Any) -> None:
        self._kept.clear()
        own = getattr(self._rbm, name)
        own.copy_(torch.from_numpy(np.asarray(values, dtype=np.float32)).expand_as(own))

    def _begin(self, n_visible: int, n_labels: int, dtype: Any, rng: Any) -> None:
        """A new machine, with the weights that scikit-learn would draw, and its chains."""
        shape = self.n_components, n_visible
        weight = rng.normal(0, _WEIGHT_SCALE, shape)
        options: dict[str, Any] = {"density": self.density}
        if self.density is None:
            options = {"mask": torch.ones(shape, dtype=torch.bool)}
        options |= {"seed": int(rng.randint(2**31 - 1)), "n_labels": n_labels}
        rbm = RBM(n_visible, self.n_components, weight_scale=0.0, **options)
        with torch.no_grad():
            rbm.weight.copy_(torch.from_numpy(weight))
        self._rbm, self._dtype = rbm.to(self.device), dtype
        self._kept: list[np.ndarray] = []  # components_, where somebody asked for them
        self._n_chains, self._outside = self.batch_size, False
        self._chains = rbm._new_chains(self._n_chains) if self.persistent else None

    def _warn_outside(self, x: Any) -> bool:
        """Whether values are outside [0, 1]; told once, where they are first learned from."""
        outside = is_outside(x)
        if outside and not self._outside:
            name = type(self).__name__
            warnings.warn(
                f"{name}: X should hold values in [0, 1], got others. They are used as they are, "
                "in float64, as scikit-learn does; scale X to probabilities to train faster.",
                UserWarning,
                stacklevel=2,
            )
        return outside

    def _learn(self, x: Any, n_iter: int) -> None:
        """n_iter passes over rows in their order."""
        batches = self._batches(x, self.batch_size)
        schedule = self._schedule(len(batches), n_iter, self.lr_decay)
        begin = time.time()
        for iteration in range(1, n_iter + 1):
            n_done = (iteration - 1) * len(batches)
            for batch, n_rows in batches:
                n_done += self._train(batch, n_rows, schedule, n_done)
            if self.verbose:
                end = time.time()
                print(
                    f"[{type(self).__name__}] Iteration {iteration}, pseudo-likelihood = "
                    f"{self._pseudo_likelihood(x).mean():.2f}, time = {end - begin:.2f}s"
                )
                begin = end

    def _learn_batch(self, x: Any) -> None:
        """One mini-batch of all rows, at the rate that does not fall."""
        batches = self._batches(x, x.shape[0])
        for batch, n_rows in batches:
            self._train(batch, n_rows, self._schedule(1, 1, "none"), 0)

    def _batches(self, x: Any, size: int) -> Batches:
        outside = self._warn_outside(x)
        self._outside |= outside
        return Batches(canonical(x), min(size, x.shape[0]), encode=not outside)

    def _schedule(self, n_batches: int, n_iter: int, decay: str) -> Schedule:
        lr, lr_strength = float(self.learning_rate), self.lr_strength
        return Schedule(lr, lr_strength, 0.0, 0.0, decay, 0.0, n_batches, n_iter)

    def _train(self, batch: Any, n_rows: int, schedule: Schedule, n_done: int) -> int:
        """The mini-batches of one call, from that with number n_done on; how many there were."""
        self._kept.clear()
        if isinstance(batch, np.ndarray):
            rates = schedule.rates_at(1, n_done)
            real_values.train_step_(
                self._rbm, batch, self._chains, self._n_chains, self.n_steps, rates
            )
            return 1
        rates, factors = schedule.rates(1), schedule.factors(n_done, len(batch))
        if factors is not None:
            factors = factors.to(self.device)
        n_chains = n_rows if self._chains is None else self._n_chains
        given = Batch(batch.to(self.device), self._chains, n_rows, n_chains, self.n_steps)
        self._rbm._train(given, rates, None, lr_factors=factors, static=False)
        return len(batch)

    def _pseudo_likelihood(self, v: Any) -> np.ndarray:
        """-n log(1 + exp(F(v) - F(v'))) of each row, where one of its n units is flipped in v'."""
        v = canonical(v)
        rows = np.arange(v.shape[0])
        where = rows, flipped_units(v, check_random_state(self.random_state))
        if sparse.issparse(v):
            change = 1 - 2 * np.asarray(v[where]).ravel()
            flipped = v + sparse.csr_array((change, where), shape=v.shape)
        else:
            flipped = v.copy()
            flipped[where] = 1 - flipped[where]
        gain = self._free_energy(flipped) - self._free_energy(v)
        found: np.ndarray = -v.shape[1] * np.logaddexp(0, -gain)
        return found

    def _free_energy(self, v: Any) -> np.ndarray:
        """F(v) = -b.v - sum_i log(1 + exp(c_i + sum_j A_ij W_ij v_j))."""
        softplus = np.logaddexp(0, self._input(v)).sum(axis=1)
        found: np.ndarray = -safe_sparse_dot(v, self.intercept_visible_) - softplus
        return found

    def _input(self, v: Any) -> np.ndarray:
        """c + (W∘A) v in the dtype of v, sparse or dense."""
        product = safe_sparse_dot(v, self.components_.T, dense_output=True)
        found: np.ndarray = product + self.intercept_hidden_
        return found

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        return state | {"_kept": []} if "_kept" in state else state

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_rbm")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
