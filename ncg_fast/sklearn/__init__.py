"""Estimators of scikit-learn: ``BernoulliRBM``, in the place of its own, and ``RBMClassifier``."""

from ncg_fast.sklearn.classifier import RBMClassifier
from ncg_fast.sklearn.transformer import BernoulliRBM

__all__ = ["BernoulliRBM", "RBMClassifier"]
