"""``RBMClassifier``: a machine of features and labels that predicts by free energies."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import softmax
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from ncg_fast.sklearn.machine import FLOATS, MachineEstimator

_PART = 1 << 20  # values of (rows, classes, hidden units) at a time


class RBMClassifier(ClassifierMixin, MachineEstimator):
    """Classifier by a machine whose last visible units are the one-hot label.

    P(y = k | x) = exp(-F([x ; one-hot k])) / sum_l exp(-F([x ; one-hot l])), exact over
    classes. Training raises the joint likelihood of features and label.

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
        classes_: the labels, sorted.
        components_: W∘A, (n_components, n_features + n_classes); the biases, ``mask_`` and
            ``h_samples_`` as in ``BernoulliRBM``.
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.

    Raises:
        ValueError: a wrong parameter, NaN or inf in X, labels that are no classes.
        FloatingPointError: a parameter became NaN or infinite.

    Note:
        As ``BernoulliRBM``. Connections of label units are always on. A machine of binary units is
        a poor model of real values: its tags say so (``poor_score``).

    Example:
        >>> X, y = np.eye(3), ["a", "b", "a"]
        >>> RBMClassifier(4, random_state=0).fit(X, y).predict_proba(X).shape
        (3, 2)

    Source: Larochelle & Bengio (ICML 2008).
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> RBMClassifier:
        """Trains a new machine on rows and labels.

        Args:
            X: (n, n_features), dense or sparse; 0/1, or probabilities in [0, 1].
            y: (n,) labels, integers or strings.

        Returns:
            the estimator.

        Raises:
            ValueError: a wrong parameter, NaN or inf in X, labels that are no classes.

        Note:
            Deterministic by random_state. X is copied, with its labels.

        Example:
            >>> RBMClassifier(4, random_state=0).fit(np.eye(2), [7, 3]).classes_
            array([3, 7])
        """
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=FLOATS)
        check_classification_targets(y)
        self.classes_, labels = np.unique(column_or_1d(y), return_inverse=True)
        n_classes = len(self.classes_)
        one_hot = np.eye(n_classes, dtype=X.dtype)[labels]
        parts = X, one_hot
        rows = sparse.hstack(parts, format="csr") if sparse.issparse(X) else np.hstack(parts)
        rng = check_random_state(self.random_state)
        self._begin(rows.shape[1], n_classes, X.dtype, rng)
        self._learn(rows, self.n_iter)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each row; the lowest of equals.

        Args:
            X: (n, n_features), dense or sparse.

        Returns:
            (n,), of the dtype of classes_.

        Raises:
            ValueError: NaN or inf in X, or another number of features.

        Note:
            Deterministic. Cost: one product, and n_classes sums over the hidden units, a row.

        Example:
            >>> RBMClassifier(4, random_state=0).fit(np.eye(2), [7, 7]).predict(np.eye(2))
            array([7, 7])
        """
        best = self._log_joint(X).argmax(axis=1)
        found: np.ndarray = self.classes_[best]
        return found

    def predict_proba(self, X: Any) -> np.ndarray:
        """P(y = k | x) of each row and class, exact.

        Args:
            X: (n, n_features), dense or sparse.

        Returns:
            float64 (n, n_classes), in the order of classes_; rows sum to 1.

        Raises:
            ValueError: as ``predict``.

        Note:
            As ``predict``; float64 sums of the float32 weights.

        Example:
            >>> RBMClassifier(4, random_state=0).fit(np.eye(2), [7, 7]).predict_proba(np.eye(2))
            array([[1.],
                   [1.]])
        """
        found: np.ndarray = softmax(self._log_joint(X), axis=1)
        return found

    def _log_joint(self, X: Any) -> np.ndarray:
        """b_k + sum_i log(1 + exp(x_i + A_ik W_ik)), x the input from the features."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", reset=False, dtype=FLOATS)
        self._warn_outside(X)
        n_features, n_classes = self.n_features_in_, len(self.classes_)
        features, labels = np.split(self.components_.astype(np.float64), [n_features], axis=1)
        found = np.empty((X.shape[0], n_classes))
        n_rows = max(1, _PART // (self._rbm.n_hidden * n_classes))
        for first in range(0, X.shape[0], n_rows):
            part = slice(first, first + n_rows)
            inputs = X[part] @ features.T + self.intercept_hidden_
            found[part] = np.logaddexp(0, inputs[:, None] + labels.T).sum(axis=2)
        found += self.intercept_visible_[n_features:]
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags
