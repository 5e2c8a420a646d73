"""How good a machine is: likelihoods, partition function, classification, mixing of chains.

Nothing here changes a machine: its parameters, its seed and the number of its next sweep stay, so
training ends with the same bits whether it was evaluated in between or not.
"""

from ncg_fast.evaluation import diagnostics
from ncg_fast.evaluation.classification import accuracy, classify, with_labels
from ncg_fast.evaluation.likelihood import LogLikelihood, log_likelihood, pseudo_log_likelihood
from ncg_fast.evaluation.partition import (
    EXACT_UNITS,
    LogPartition,
    authors_betas,
    log_partition,
    log_partition_ais,
)

__all__ = [
    "EXACT_UNITS",
    "LogLikelihood",
    "LogPartition",
    "accuracy",
    "authors_betas",
    "classify",
    "diagnostics",
    "log_likelihood",
    "log_partition",
    "log_partition_ais",
    "pseudo_log_likelihood",
    "with_labels",
]
