"""The functions that every back end has: names, arguments in order, results.

``reference.py`` says what each computes.
"""

from __future__ import annotations

from typing import Any

from ncg_fast.backends import records

RECORDS: dict[str, Any] = {
    record.__name__: record
    for record in (
        records.Layer,
        records.Model,
        records.Draw,
        records.Phases,
        records.PhaseSums,
        records.Gradients,
        records.Batch,
        records.Rates,
        records.Offsets,
        records.Parameters,
    )
}

# In the order of a compiled module; as torch has them, but for the records.
SIGNATURES = {
    "pack_states": "Tensor states -> Tensor",
    "unpack_states": "Tensor packed, int n_chains -> Tensor",
    "pack_weights": "Tensor weight, Tensor? mask, int n_digits, int weight_exponent, int? capacity "
    "-> (Tensor, Tensor)",
    "scan_weights": "Tensor weight, Tensor mask -> Tensor",
    "mean": "Tensor states, int n_chains, Layer layer -> Tensor",
    "sample": "Tensor states, int n_chains, Layer layer, Draw draw, int stream -> Tensor",
    "gibbs_steps": "Tensor visible, int n_chains, Model model, int n_steps, Draw draw, "
    "Tensor? clamped -> (Tensor, Tensor)",
    "connection_gradient": "Phases phases, Tensor? weight, Tensor? mask "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    "phase_sums": "Tensor hidden, Tensor visible, PhaseSums sums -> ()",
    "ncg_update_": "Parameters parameters, Phases phases, Rates rates, Offsets offsets, "
    "int weight_exponent, int n_labels -> Tensor",
    "update_from_sums_": "Parameters parameters, PhaseSums data, PhaseSums model, int n_rows, "
    "int n_chains, bool data_levels, Rates rates, int weight_exponent, int n_labels -> Tensor",
    "gradient_update_": "Parameters parameters, Gradients gradients, Rates rates, "
    "int weight_exponent, int n_labels -> Tensor",
    "train_steps_": "Parameters parameters, Batch batch, Rates rates, Tensor? lr_factors, "
    "Offsets offsets, Draw draw, int weight_exponent, int n_labels, float least, float most "
    "-> Tensor",
    "free_energy": "Tensor visible, int n_chains, Layer layer, Tensor visible_bias -> Tensor",
    "anneal": "Tensor visible, int n_chains, Model model, Tensor base_bias, Tensor betas, "
    "Draw draw -> (Tensor, Tensor)",
}


def arguments(op: str) -> dict[str, str]:
    """The types of an op's arguments by name, in order."""
    given = SIGNATURES[op].partition(" -> ")[0]
    return {name: kind for kind, _, name in (each.partition(" ") for each in given.split(", "))}
