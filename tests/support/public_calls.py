"""Every argument of every public function: a call that is right, and values to try in its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import ncg_fast
from ncg_fast import RBM, connectivity, data, diagnostics, ops, sampling
from ncg_fast.backends.numerics import to_levels

N_VISIBLE, N_HIDDEN, N = 7, 5, 4

# Most are wrong wherever they stand; see ALLOWED.
VALUES: dict[str, Any] = {
    "None": None,
    "object": object,
    "text": "x",
    "True": True,
    "True of NumPy": np.True_,
    "2 of NumPy": np.int64(2),
    "0.5 of NumPy": np.float32(0.5),
    "-1": -1,
    "0.5": 0.5,
    "nan": float("nan"),
    "inf": float("inf"),
    "1e300": 1e300,
    "2**70": 2**70,
    "list": [],
    "array": np.zeros((N, N_VISIBLE)),
    "no axes": torch.tensor(1.0),
    "no rows": torch.zeros(0, N_VISIBLE),
    "no columns": torch.zeros(N, 0),
    "three axes": torch.zeros(2, N, N_VISIBLE),
    "one column more": torch.zeros(N, N_VISIBLE + 1),
    "int64": torch.full((N, N_VISIBLE), 3),
    "complex": torch.zeros(N, N_VISIBLE, dtype=torch.complex64),
    "float8": torch.zeros(N, N_VISIBLE).to(torch.float8_e4m3fn),
    "NaN": torch.full((N, N_VISIBLE), torch.nan),
    "255": torch.full((N, N_VISIBLE), 255, dtype=torch.uint8),
    "sparse": torch.eye(N_VISIBLE).to_sparse(),
    "meta": torch.zeros(N, N_VISIBLE, device="meta"),
}

RBM_ = RBM(N_VISIBLE, N_HIDDEN, density=0.5, seed=0)
LABELLED = RBM(N_VISIBLE, N_HIDDEN, n_labels=2, seed=0)
V, H = torch.eye(N_VISIBLE)[:N], torch.zeros(N, N_HIDDEN)
LABELS = torch.zeros(N, dtype=torch.int64)
MASK = RBM_.mask.clone()
WEIGHT = RBM_.weight.detach().clone()
B, C = torch.zeros(N_VISIBLE), torch.zeros(N_HIDDEN)
TO_HIDDEN, TO_VISIBLE = ops.pack_weights(WEIGHT, MASK, 2, 1)
ROWS, HIDDEN = ops.pack_states(V.bool()), ops.pack_states(H.bool())
LEVELS = to_levels(H)
BETAS = torch.linspace(0, 1, 5, dtype=torch.float64)
MODEL = {"to_hidden": TO_HIDDEN, "to_visible": TO_VISIBLE, "visible_bias": B, "hidden_bias": C}
HALF = {"weight_exponent": 1, "n_chains": N}
DRAW = {"seed": 0, "chain_offset": 0, "step": 0, "unit_offset": 0}
SUMS = ops.PhaseSums(*(torch.zeros(shape, dtype=torch.int64) for shape in ((5, 7), (7,), (5,))))
GRADIENTS = ops.Gradients(WEIGHT.clone(), WEIGHT.clone(), B, C)
OFFSETS = ops.Offsets(torch.full((N_VISIBLE,), 0.5), torch.full((N_HIDDEN,), 0.5))
PHASES = {"hidden_data": LEVELS, "visible_data": ROWS, "hidden_model": LEVELS}
RATES = {"lr": 0.1, "lr_strength": 0.1, "momentum": 0.0, "weight_decay": 0.0}
TO_H = {"to_hidden": TO_HIDDEN, "hidden_bias": C}
TO_V = {"to_visible": TO_VISIBLE, "visible_bias": B}
FIT = {
    "epochs": 1,
    "batch_size": 2,
    "n_steps": 1,
    "seed": 0,
    "callbacks": (),
    "batch_callbacks": (),
    "nll_every": 0,
}


def parameters(**changed: Any) -> ops.Parameters:
    """The tensors of a small machine, one of them exchanged."""
    strength = torch.full((N_HIDDEN, N_VISIBLE), 0.5)
    own = WEIGHT.clone(), strength, MASK.clone(), B.clone(), C.clone()
    return ops.Parameters(*own, TO_HIDDEN.clone(), TO_VISIBLE.clone())._replace(**changed)


def step_with(**changed: Any) -> Any:
    batch = {"n_rows": N, "n_steps": 1, "weight_exponent": 1, "seed": 0, "step": 0, **RATES}
    return ops.train_step_(parameters(**changed), ROWS, **batch)


CALLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "RBM": (
        RBM,
        {
            "n_visible": N_VISIBLE,
            "n_hidden": N_HIDDEN,
            "mask": MASK,
            "weight_init": "normal",
            "weight_scale": 0.1,
            "seed": 0,
            "n_labels": 0,
        },
    ),
    "RBM density": (lambda density: RBM(3, 2, density=density), {"density": 0.5}),
    "RBM.manual_seed": (RBM.manual_seed, {"seed": 0}),
    "RBM.forward": (RBM.forward, {"visible": V}),
    "RBM.reconstruct": (RBM.reconstruct, {"visible": V}),
    "RBM.free_energy": (RBM.free_energy, {"visible": V}),
    "RBM.energy": (RBM.energy, {"visible": V, "hidden": H}),
    "RBM.sample_hidden": (RBM.sample_hidden, {"visible": V}),
    "RBM.sample_visible": (RBM.sample_visible, {"hidden": H}),
    "RBM.gibbs_steps": (RBM.gibbs_steps, {"visible": V, "n_steps": 1, "beta": 1.0, "clamp": V}),
    "RBM.sample": (RBM.sample, {"n": N, "n_steps": 1, "clamp": V, "start": V, "seed": 0}),
    "RBM.contrastive_divergence": (
        RBM.contrastive_divergence,
        {"visible": V, "n_steps": 1, "chains": V},
    ),
    "RBM.connection_gradient": (RBM.connection_gradient, {"visible": V, "n_steps": 1, "chains": V}),
    "RBM.train_step_": (
        RBM.train_step_,
        {
            "visible": V,
            "n_steps": 1,
            "chains": ROWS,
            "n_chains": N,
            "velocities": None,
            "static": False,
            **RATES,
        },
    ),
    "RBM.load_state_dict": (
        lambda rbm, **entry: rbm.load_state_dict({**rbm.state_dict(), **entry}),
        {"_extra_state": RBM_.get_extra_state()},
    ),
    "optim.NCG": (lambda **rates: ncg_fast.optim.NCG(RBM_.parameters(), **rates), RATES),
    "fit": (
        ncg_fast.fit,
        {
            "rbm": RBM_,
            "x": V,
            "x_held_out": V,
            "n_chains": None,
            "rule": "ncg",
            "checkpoint_dir": None,
            "checkpoint_every": 1,
            "resume": False,
            "shuffle": True,
            "persistent": False,
            **FIT,
            **RATES,
        },
    ),
    "log_partition": (ncg_fast.log_partition, {"rbm": RBM_, "progress": True}),
    "log_partition_ais": (
        ncg_fast.log_partition_ais,
        {
            "rbm": RBM_,
            "n_chains": 40,
            "betas": 40,
            "base": "data",
            "data": V,
            "seed": 0,
            "progress": True,
        },
    ),
    "log_partition_bounds": (
        ncg_fast.log_partition_bounds,
        {
            "rbm": RBM_,
            "n_chains": 40,
            "betas": 40,
            "base": "data",
            "data": V,
            "n_sweeps": 3,
            "seed": 0,
            "progress": True,
        },
    ),
    "log_likelihood": (
        ncg_fast.log_likelihood,
        {"rbm": RBM_, "x": V, "bounds": True, "n_chains": 5, "betas": BETAS, "seed": 0},
    ),
    "log_likelihood log_z": (ncg_fast.log_likelihood, {"rbm": RBM_, "x": V, "log_z": 1.0}),
    "pseudo_log_likelihood": (ncg_fast.pseudo_log_likelihood, {"rbm": RBM_, "x": V, "seed": 0}),
    "mixing": (
        diagnostics.mixing,
        {"rbm": RBM_, "data": V, "n_chains": 4, "n_sweeps": 8, "seed": 0, "progress": False},
    ),
    "parallel_tempering": (
        sampling.parallel_tempering,
        {
            "rbm": RBM_,
            "n_chains": N,
            "n_temperatures": 3,
            "n_steps": 2,
            "n_burn_in": 2,
            "start": V,
            "seed": 0,
        },
    ),
    "parallel_tempering betas": (
        sampling.parallel_tempering,
        {"rbm": RBM_, "n_chains": N, "n_steps": 2, "betas": BETAS},
    ),
    "integrated_autocorrelation_time": (
        diagnostics.integrated_autocorrelation_time,
        {"series": V},
    ),
    "effective_sample_size": (diagnostics.effective_sample_size, {"series": V}),
    "split_r_hat": (diagnostics.split_r_hat, {"series": V}),
    "classify": (ncg_fast.classify, {"rbm": LABELLED, "x": V[:, :5], "method": "free_energy"}),
    "accuracy": (ncg_fast.accuracy, {"rbm": LABELLED, "x": V[:, :5], "labels": LABELS}),
    "data.scale": (data.scale, {"x": V, "low": 0, "high": 1}),
    "with_labels": (ncg_fast.with_labels, {"x": V, "labels": LABELS, "n_labels": 2}),
    "random_mask": (
        connectivity.random_mask,
        {"n_hidden": 2, "n_visible": 3, "density": 0.5, "seed": 0},
    ),
    "dense_mask": (connectivity.dense_mask, {"n_hidden": 2, "n_visible": 3}),
    "line_mask": (connectivity.line_mask, {"n_hidden": 2, "n_visible": 3, "n_connections": 1}),
    "spiral_mask": (connectivity.spiral_mask, {"n_hidden": 4, "n_visible": 4, "n_connections": 1}),
    "convolution_mask": (connectivity.convolution_mask, {"image_shape": (3, 3), "n_hidden": 4}),
    "initial_mask": (
        connectivity.initial_mask,
        {"pattern": "random", "n_hidden": 2, "n_visible": 3, "density": 0.5, "seed": 0},
    ),
    "initial_strength": (connectivity.initial_strength, {"mask": MASK, "seed": 0}),
    "protect_labels": (connectivity.protect_labels, {"mask": MASK, "n_labels": 1}),
    "density": (connectivity.density, {"mask": MASK, "n_labels": 1}),
    "degrees": (connectivity.degrees, {"mask": MASK}),
    "topology_distance": (
        connectivity.topology_distance,
        {"mask_a": MASK, "mask_b": MASK, "n_labels": 1},
    ),
    "ops.pack_states": (ops.pack_states, {"states": V.bool()}),
    "ops.unpack_states": (ops.unpack_states, {"packed": ROWS, "n_chains": N}),
    "ops.pack_weights": (
        ops.pack_weights,
        {"weight": WEIGHT, "mask": MASK, "n_digits": 2, "weight_exponent": 1},
    ),
    "ops.hidden_mean": (ops.hidden_mean, {"visible": ROWS, **TO_H, **HALF}),
    "ops.visible_mean": (ops.visible_mean, {"hidden": HIDDEN, **TO_V, **HALF}),
    "ops.sample_hidden": (
        ops.sample_hidden,
        {"visible": ROWS, **TO_H, **HALF, **DRAW, "beta": torch.ones(N)},
    ),
    "ops.sample_visible": (
        ops.sample_visible,
        {"hidden": HIDDEN, **TO_V, **HALF, **DRAW, "beta": torch.ones(N)},
    ),
    "ops.gibbs_steps": (
        ops.gibbs_steps,
        {"visible": ROWS, **MODEL, **HALF, **DRAW, "n_steps": 1, "clamped": ROWS},
    ),
    "ops.connection_gradient": (
        ops.connection_gradient,
        {**PHASES, "visible_model": ROWS, "weight": WEIGHT, "mask": MASK},
    ),
    "ops.phase_sums": (ops.phase_sums, {"hidden": LEVELS, "visible": ROWS}),
    "ops.update_from_sums_": (
        lambda **given: ops.update_from_sums_(parameters(), **given),
        {
            "data": SUMS,
            "model": SUMS,
            "n_rows": N,
            "n_chains": N,
            "data_levels": False,
            "weight_exponent": 1,
            "n_labels": 0,
            **RATES,
        },
    ),
    "ops.gradient_update_": (
        lambda **given: ops.gradient_update_(parameters(), **given),
        {"gradients": GRADIENTS, "weight_exponent": 1, "n_labels": 0, **RATES},
    ),
    "ops.gradient_update_ gradients": (
        lambda **given: ops.gradient_update_(
            parameters(), ops.Gradients(**given), weight_exponent=1, **RATES
        ),
        GRADIENTS._asdict(),
    ),
    "ops.ncg_update_": (
        lambda **given: ops.ncg_update_(parameters(), **given),
        {
            **PHASES,
            "visible_model": ROWS,
            "weight_exponent": 1,
            "n_labels": 0,
            "offsets": OFFSETS,
            **RATES,
        },
    ),
    "ops.ncg_update_ offsets": (
        lambda **given: ops.ncg_update_(
            parameters(),
            *PHASES.values(),
            ROWS,
            weight_exponent=1,
            lr=0.1,
            offsets=ops.Offsets(**given),
        ),
        OFFSETS._asdict(),
    ),
    "ops.train_step_": (
        lambda **given: ops.train_step_(parameters(), **given),
        {
            "visible_data": ROWS,
            "n_rows": N,
            "n_steps": 1,
            "weight_exponent": 1,
            "chains": ROWS.clone(),
            "n_chains": N,
            "n_labels": 0,
            "offsets": OFFSETS,
            **DRAW,
            **RATES,
        },
    ),
    "ops.train_steps_": (
        lambda **given: ops.train_steps_(parameters(), **given),
        {
            "visible_data": ROWS.expand(3, -1, -1),
            "n_rows": N,
            "n_steps": 1,
            "weight_exponent": 1,
            "lr_factors": torch.ones(3),
            "offsets": OFFSETS,
            **DRAW,
            "least": 0.0,
            "most": 1.0,
            **RATES,
        },
    ),
    "ops.train_step_ parameters": (step_with, parameters()._asdict()),
    "ops.free_energy": (
        ops.free_energy,
        {"visible": ROWS, "to_hidden": TO_HIDDEN, "visible_bias": B, "hidden_bias": C, **HALF},
    ),
    "ops.anneal": (
        ops.anneal,
        {"visible": ROWS, **MODEL, "base_bias": B, "betas": BETAS, **HALF, **DRAW},
    ),
}
