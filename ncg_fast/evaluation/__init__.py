"""How good a machine is: likelihoods, partition function, classification, mixing of chains.

Nothing here changes a machine: its parameters, its seed and the number of its next sweep stay, so
training ends with the same bits whether it was evaluated in between or not.
"""

from ncg_fast.evaluation import diagnostics
from ncg_fast.evaluation.annealing import LogPartition, log_partition_ais
from ncg_fast.evaluation.bounds import LogPartitionBounds, log_partition_bounds
from ncg_fast.evaluation.classification import accuracy, classify, with_labels
from ncg_fast.evaluation.ladders import authors_betas
from ncg_fast.evaluation.likelihood import LogLikelihood, log_likelihood, pseudo_log_likelihood
from ncg_fast.evaluation.partition import EXACT_UNITS, log_partition

__all__ = [
    "EXACT_UNITS",
    "LogLikelihood",
    "LogPartition",
    "LogPartitionBounds",
    "accuracy",
    "authors_betas",
    "classify",
    "diagnostics",
    "log_likelihood",
    "log_partition",
    "log_partition_ais",
    "log_partition_bounds",
    "pseudo_log_likelihood",
    "with_labels",
]
