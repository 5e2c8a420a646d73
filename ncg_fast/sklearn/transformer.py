"""``BernoulliRBM``, scikit-learn's estimator of that name by the kernels of this package."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse
from scipy.special import expit
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ncg_fast.sklearn.machine import FLOATS, MachineEstimator
from ncg_fast.sklearn.rows import dense_parts, is_binary, is_outside, ones

_IN_CACHE = 1 << 20  # bytes of rows that are multiplied at a time


class BernoulliRBM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, MachineEstimator):
    """Bernoulli restricted Boltzmann machine, with interface and defaults of scikit-learn's.

    P(h_i = 1 | v) = sigmoid(c_i + sum_j A_ij W_ij v_j), trained by PCD-1 from W ~ N(0, 0.01^2) and
    biases 0. Where ``density`` is given, the mask A is learned as in ``ncg_fast.fit``.

    Args:
        n_components: hidden units, at least 1.
        learning_rate: rate of weights and biases, above 0.
        batch_size: rows of a mini-batch, and the number of chains, at least 1.
        n_iter: passes over the rows, in their order, at least 0.
        verbose: above 0: a line with the pseudo-likelihood after each pass.
        random_state: int, RandomState or None; an int gives the same machine in each ``fit``.
        density: None: all connections are on and stay. In [0, 1]: connections start on with this
            probability, and are learned (NCG).
        lr_strength: rate of the connection strengths, at least 0; None: 5 learning_rate.
        n_steps: sweeps k of the negative phase, at least 1.
        persistent: PCD-k; False: CD-k, without h_samples_.
        lr_decay: "none"; "linear" or "cosine": rates fall to 0 over the mini-batches of ``fit``.
        device: "cpu" or "cuda".

    Attributes:
        components_: W∘A, (n_components, n_features), of the dtype of the rows, as the biases.
        intercept_hidden_: (n_components,).
        intercept_visible_: (n_features,).
        mask_: the connections A, bool (n_components, n_features).
        h_samples_: hidden states of the chains, (batch_size, n_components).
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.

    Raises:
        ValueError: a wrong parameter, NaN or inf in X, or another number of features.
        FloatingPointError: a parameter became NaN or infinite.

    Note:
        The attributes are read-only copies of what the machine holds in float32; set them as a
        whole to change it. Weights start as scikit-learn's do with the same random_state; chains
        draw from a stream of their own, the same bits everywhere for rows in [0, 1]. CD and PCD are
        biased gradients. A last, shorter batch weighs its chains as the others do. Sparse rows of 0
        and 1 never become dense, others a batch at a time. Values outside [0, 1] are used as they
        are, as scikit-learn does, in float64 and with one warning.

    Example:
        >>> X = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
        >>> BernoulliRBM(n_components=2, random_state=0).fit(X).transform(X).shape
        (4, 2)
    """

    def transform(self, X: Any) -> np.ndarray:
        """P(h_i = 1 | v) of each row.

        Args:
            X: (n, n_features), dense or sparse, floating or converted to float64.

        Returns:
            (n, n_components), dense, float32 where X is, else float64.

        Raises:
            ValueError: NaN or inf in X, or another number of features.

        Note:
            Deterministic. Dense rows of 0 and 1 go by the kernels, with the same bits everywhere;
            other probabilities by float32 products, to some 1e-6.

        Example:
            >>> rbm = BernoulliRBM(2, random_state=0).fit(np.eye(3))
            >>> rbm.transform(np.eye(3, dtype=np.float32)).dtype
            dtype('float32')
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", reset=False, dtype=FLOATS)
        return self._means(X, self._warn_outside(X))

    def _mean_hiddens(self, v: Any) -> np.ndarray:
        """P(h | v), dense, of the dtype of v."""
        return self._means(v, is_outside(v))

    @torch.no_grad()
    def _means(self, v: Any, outside: bool) -> np.ndarray:
        """Rows of 0 and 1 by the kernels, other probabilities by torch's faster float32 products.

        Values outside [0, 1], and sparse rows, by products in the dtype of v.
        """
        if sparse.issparse(v) or outside:
            inputs = self._input(v).astype(v.dtype, copy=False)
            found: np.ndarray = expit(inputs, out=inputs)
            return found
        rows, rbm = np.atleast_2d(v), self._rbm
        binary = is_binary(rows)
        weight = torch.where(rbm.mask, rbm.weight, 0.0).t()
        found, done = np.empty((len(rows), rbm.n_hidden), dtype=v.dtype), 0
        for part in dense_parts(rows) if binary else dense_parts(rows, _IN_CACHE):
            if binary:
                mean = rbm(ones(part).to(weight.device))
            else:
                visible = torch.from_numpy(np.clip(part, 0, 1).astype(np.float32, copy=False))
                mean = torch.addmm(rbm.hidden_bias, visible.to(weight.device), weight).sigmoid_()
            found[done : done + len(part)] = mean.cpu().numpy()
            done += len(part)
        return found.reshape(*v.shape[:-1], -1)

    def _sample_hiddens(self, v: Any, rng: np.random.RandomState) -> np.ndarray:
        mean = self._mean_hiddens(v)
        return rng.uniform(size=mean.shape) < mean

    def _sample_visibles(self, h: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        mean = expit(h @ self.components_ + self.intercept_visible_)
        drawn: np.ndarray = rng.uniform(size=mean.shape) < mean
        return drawn

    def gibbs(self, v: Any) -> np.ndarray:
        """One sweep h ~ P(h | v), v ~ P(v | h).

        Args:
            v: (n, n_features) or (n_features,), dense or sparse.

        Returns:
            bool, of the shape of v.

        Raises:
            NotFittedError: before ``fit``.

        Note:
            Draws go on from call to call, with random_state_.

        Example:
            >>> BernoulliRBM(2, random_state=0).fit(np.eye(3)).gibbs(np.eye(3)).shape
            (3, 3)
        """
        check_is_fitted(self)
        rng = self._going_on()
        return self._sample_visibles(self._sample_hiddens(v, rng), rng)

    def _going_on(self) -> np.random.RandomState:
        """The random state that goes on from call to call."""
        if not hasattr(self, "random_state_"):
            self.random_state_: np.random.RandomState = check_random_state(self.random_state)
        return self.random_state_

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> BernoulliRBM:
        """One mini-batch of all rows of X, of any number, at the rate learning_rate.

        Args:
            X: as in ``fit``.
            y: not used.

        Returns:
            the estimator.

        Raises:
            ValueError: as ``fit``.

        Note:
            Chains and draws go on from the call before, or from ``fit``.

        Example:
            >>> rbm = BernoulliRBM(2, random_state=0)
            >>> rbm.partial_fit(np.eye(3)).partial_fit(np.eye(3)[:1]).h_samples_.shape
            (10, 2)
        """
        first = not hasattr(self, "_rbm")
        X = validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=first)
        rng = self._going_on()
        if first:
            self._begin(X.shape[1], 0, X.dtype, rng)
        self._learn_batch(X)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> BernoulliRBM:
        """Trains a new machine: n_iter passes over X, in mini-batches of batch_size rows.

        Args:
            X: (n, n_features), dense or sparse; 0/1, or probabilities in [0, 1].
            y: not used.

        Returns:
            the estimator.

        Raises:
            ValueError: a wrong parameter, NaN or inf in X.

        Note:
            Deterministic by random_state.

        Example:
            >>> BernoulliRBM(2, n_iter=0, random_state=0).fit(np.eye(3)).components_.shape
            (2, 3)
        """
        X = validate_data(self, X, accept_sparse="csr", dtype=FLOATS)
        self._begin(X.shape[1], 0, X.dtype, check_random_state(self.random_state))
        self._learn(X, self.n_iter)
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """The stochastic pseudo-likelihood, log P(v_j | rest) times the number of units.

        Each row has one unit j flipped: -n_features log(1 + exp(F(v) - F(v'))).

        Args:
            X: (n, n_features), dense or sparse, 0/1.

        Returns:
            float64 (n,), in nats.

        Raises:
            ValueError: as ``transform``.

        Note:
            Which unit is flipped is a function of random_state and the row, whatever rows are
            beside it; scikit-learn's estimator draws it by position.

        Example:
            >>> BernoulliRBM(2, random_state=0).fit(np.eye(3)).score_samples(np.eye(3)).shape
            (3,)
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", reset=False, dtype=FLOATS)
        self._warn_outside(X)
        return self._pseudo_likelihood(X)

    @property
    def _n_features_out(self) -> int:
        return self._rbm.n_hidden

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
