"""Classification by a restricted Boltzmann machine whose last visible units are one-hot labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ncg_fast import checks
from ncg_fast.model import units
from ncg_fast.model.rbm import RBM, check_machine


def with_labels(x: Tensor, labels: Tensor, n_labels: int) -> Tensor:
    """Rows [x ; one-hot label], what a machine with label units is trained on.

    Args:
        x: (n, n_features), bool, uint8 or floating of 16 bits or more.
        labels: (n,), integer, in [0, n_labels).
        n_labels: number of classes, at least 1.

    Returns:
        (n, n_features + n_labels), of the dtype of x.

    Raises:
        ValueError: wrong shape, dtype or range.

    Note:
        Deterministic; x is copied.

    Example:
        >>> with_labels(torch.zeros(2, 1), torch.tensor([0, 1]), 2).tolist()
        [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    op = "with_labels"
    checks.integer(op, "n_labels", n_labels, 1, checks.MAX_UNITS)
    checks.axes(op, "x", x, ("n", "n_features"))
    units.check_dtype(op, "x", x)
    one_hot = F.one_hot(_labels(op, labels, len(x), n_labels), n_labels)
    return torch.cat([x, one_hot.to(x)], dim=1)


@torch.no_grad()
def classify(rbm: RBM, x: Tensor, *, method: str = "label_units") -> Tensor:
    """Predicts the label of each row with a machine whose last n_labels visible units are labels.

    "label_units": label units at 1/2, one mean-field pass up and down, arg max over label units.
    "free_energy": arg min_k F([x ; one-hot k]), the most probable label given x.

    Args:
        rbm: with n_labels > 0.
        x: (n, n_visible - n_labels) or (n_visible - n_labels,), as in ``RBM.forward``.
        method: "label_units" (the NCG authors') or "free_energy" (n_labels times the cost).

    Returns:
        int64 (n,), in [0, n_labels); the lowest of equals.

    Raises:
        ValueError: no label units; an unknown method; wrong shape, dtype or range.

    Note:
        Deterministic. Cost: two half steps, or n_labels free energies a row.

    Example:
        >>> classify(RBM(6, 4, n_labels=2), torch.zeros(3, 4)).shape
        torch.Size([3])

    Source: arXiv 2209.06932 for "label_units"; Larochelle & Bengio (ICML 2008) for "free_energy".
    """
    op = "classify"
    check_machine(op, rbm)
    if rbm.n_labels == 0:
        rule, remedy = "rbm must have label units", "Use RBM(..., n_labels=...)."
        raise checks.error(op, rule, "n_labels = 0", remedy)
    checks.choice(op, "method", method, ("label_units", "free_energy"))
    n_features = rbm.n_visible - rbm.n_labels
    rows = units.checked(op, "x", x, n_features)
    n = len(rows)
    if method == "label_units":
        unknown = torch.full((n, rbm.n_labels), 0.5, device=rows.device)
        mean = rbm.reconstruct(torch.cat([rows.float(), unknown], dim=1))
        return mean[:, n_features:].argmax(1)
    first = torch.zeros(n, dtype=torch.int64, device=rows.device)
    rivals = (with_labels(rows, first + k, rbm.n_labels) for k in range(rbm.n_labels))
    return torch.stack([rbm.free_energy(rival) for rival in rivals], dim=1).argmin(1)


def accuracy(rbm: RBM, x: Tensor, labels: Tensor, *, method: str = "label_units") -> float:
    """Share of rows whose label ``classify`` predicts.

    Args:
        rbm: with n_labels > 0.
        x: (n, n_visible - n_labels), as in ``classify``, n at least 1.
        labels: (n,), integer, in [0, n_labels).
        method: as in ``classify``.

    Returns:
        in [0, 1].

    Raises:
        ValueError: as in ``classify``; no rows; wrong labels.

    Note:
        As ``classify``.

    Example:
        >>> rbm = RBM(6, 4, weight_scale=0.0, n_labels=2)
        >>> accuracy(rbm, torch.zeros(4, 4), torch.tensor([0, 1, 1, 1]))
        0.25
    """
    op = "accuracy"
    predicted = classify(rbm, x, method=method)
    if len(predicted) == 0:
        rule = "x must have at least one row"
        raise checks.error(op, rule, tuple(x.shape), "Pass the rows to classify.")
    labels = _labels(op, labels, len(predicted), rbm.n_labels)
    return float((predicted == labels.to(predicted)).double().mean())


def _labels(op: str, labels: Tensor, n: int, n_labels: int) -> Tensor:
    """Labels of n rows, checked, int64."""
    checks.dense(op, "labels", labels)
    shape = tuple(labels.shape)
    if shape != (n,):
        rule = f"labels must have shape (n,) = ({n},)"
        raise checks.error(op, rule, shape, "Pass one label a row.")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        remedy = "Use labels.to(torch.int64)."
        raise checks.error(op, "labels must be integers", str(labels.dtype), remedy)
    low, high = (int(labels.min()), int(labels.max())) if n else (0, 0)
    if low < 0 or high >= n_labels:
        rule = f"labels must be in [0, {n_labels})"
        raise checks.error(op, rule, f"values in [{low}, {high}]", "Count classes from 0.")
    return labels.to(torch.int64)
