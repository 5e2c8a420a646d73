"""Values of ``public_calls.VALUES`` that arguments of public functions allow; most allow none."""

from __future__ import annotations

# The values; then, by function, the arguments that allow just these.
_BY_VALUES: dict[tuple[str, ...], dict[str, str]] = {
    ("2 of NumPy",): {
        "RBM": "seed n_labels",
        "RBM.manual_seed": "seed",
        "RBM.gibbs_steps": "n_steps",
        "RBM.sample": "n_steps",
        "RBM.contrastive_divergence": "n_steps",
        "RBM.connection_gradient": "n_steps",
        "RBM.train_step_": "n_steps n_chains",
        "fit": "checkpoint_every epochs n_steps nll_every",
        "log_partition_ais": "n_chains seed",
        "log_partition_bounds": "n_chains n_sweeps seed",
        "log_likelihood": "n_chains seed",
        "pseudo_log_likelihood": "seed",
        "mixing": "seed",
        "parallel_tempering": "n_temperatures n_steps seed",
        "parallel_tempering betas": "n_chains n_steps",
        "with_labels": "n_labels",
        "random_mask": "n_hidden n_visible seed",
        "dense_mask": "n_hidden n_visible",
        "line_mask": "n_hidden n_visible n_connections",
        "spiral_mask": "n_connections",
        "initial_mask": "n_hidden n_visible seed",
        "initial_strength": "seed",
        "protect_labels": "n_labels",
        "density": "n_labels",
        "topology_distance": "n_labels",
        "ops.unpack_states": "n_chains",
        "ops.pack_weights": "n_digits",
        "ops.hidden_mean": "n_chains",
        "ops.visible_mean": "n_chains",
        "ops.sample_hidden": "seed chain_offset step",
        "ops.sample_visible": "seed chain_offset step",
        "ops.gibbs_steps": "n_chains seed chain_offset step n_steps",
        "ops.update_from_sums_": "n_rows n_chains n_labels",
        "ops.gradient_update_": "n_labels",
        "ops.ncg_update_": "n_labels",
        "ops.train_step_": "n_rows n_steps n_chains n_labels seed chain_offset step",
        "ops.train_steps_": "n_rows n_steps seed chain_offset step",
        "ops.free_energy": "n_chains",
        "ops.anneal": "n_chains seed chain_offset step",
    },
    ("None",): {
        "RBM": "mask",
        "RBM.sample": "start",
        "parallel_tempering": "start",
        "parallel_tempering betas": "betas",
        "RBM.train_step_": "chains velocities",
        "fit": "x_held_out n_chains",
        "log_partition_ais": "base",
        "log_partition_bounds": "base",
        "ops.pack_weights": "mask",
        "ops.sample_hidden": "beta",
        "ops.sample_visible": "beta",
        "ops.gibbs_steps": "clamped",
        "ops.connection_gradient": "weight mask",
        "ops.gradient_update_ gradients": "by_weight by_strength by_visible by_hidden",
        "ops.ncg_update_": "offsets",
        "ops.train_step_": "chains offsets",
        "ops.train_steps_": "lr_factors offsets",
        "ops.train_step_ parameters": "connection_strength weight_velocity visible_velocity "
        "hidden_velocity",
    },
    ("2 of NumPy", "0.5 of NumPy", "0.5", "2**70"): {
        "RBM.train_step_": "lr lr_strength weight_decay",
        "fit": "lr weight_decay",
        "optim.NCG": "lr weight_decay",
        "ops.update_from_sums_": "lr lr_strength weight_decay",
        "ops.gradient_update_": "lr lr_strength weight_decay",
        "ops.ncg_update_": "lr lr_strength weight_decay",
        "ops.train_step_": "lr lr_strength weight_decay",
        "ops.train_steps_": "lr lr_strength weight_decay",
    },
    ("2 of NumPy", "-1"): {
        "ops.pack_weights": "weight_exponent",
        "ops.hidden_mean": "weight_exponent",
        "ops.visible_mean": "weight_exponent",
        "ops.sample_hidden": "weight_exponent",
        "ops.sample_visible": "weight_exponent",
        "ops.gibbs_steps": "weight_exponent",
        "ops.update_from_sums_": "weight_exponent",
        "ops.gradient_update_": "weight_exponent",
        "ops.ncg_update_": "weight_exponent",
        "ops.train_step_": "weight_exponent",
        "ops.train_steps_": "weight_exponent",
        "ops.free_energy": "weight_exponent",
        "ops.anneal": "weight_exponent",
    },
    ("no rows", "three axes"): {
        "RBM.forward": "visible",
        "RBM.reconstruct": "visible",
        "RBM.free_energy": "visible",
        "RBM.sample_hidden": "visible",
    },
    ("three axes",): {
        "RBM.contrastive_divergence": "visible",
        "RBM.connection_gradient": "visible",
        "RBM.train_step_": "visible",
    },
    ("None", "three axes"): {
        "RBM.contrastive_divergence": "chains",
        "RBM.connection_gradient": "chains",
    },
    ("no rows",): {
        "log_partition_ais": "data",
        "pseudo_log_likelihood": "x",
    },
    ("None", "2 of NumPy"): {
        "fit": "batch_size seed",
        "RBM.sample": "seed",
        "parallel_tempering": "n_burn_in",
        "log_partition_ais": "betas",
        "log_partition_bounds": "betas",
        "log_likelihood": "betas",
    },
    ("0.5 of NumPy", "0.5"): {
        "fit": "momentum",
        "optim.NCG": "momentum",
        "random_mask": "density",
        "initial_mask": "density",
    },
    ("None", "2 of NumPy", "0.5 of NumPy", "0.5", "2**70"): {
        "RBM": "weight_scale",
        "fit": "lr_strength",
        "optim.NCG": "lr_strength",
    },
    ("None", "float8", "NaN"): {
        "RBM.gibbs_steps": "clamp",
        "RBM.sample": "clamp",
    },
    ("None", "0.5 of NumPy", "0.5"): {
        "RBM density": "density",
    },
    ("None", "2 of NumPy", "0.5 of NumPy", "-1", "0.5", "2**70", "no axes"): {
        "RBM.gibbs_steps": "beta",
    },
    ("None", "text"): {
        "fit": "checkpoint_dir",
    },
    ("list",): {
        "fit": "callbacks batch_callbacks",
    },
    ("None", "2 of NumPy", "0.5 of NumPy", "-1", "0.5", "1e300", "2**70"): {
        "log_likelihood log_z": "log_z",
    },
    ("no columns", "one column more", "NaN", "255", "int64"): {
        "with_labels": "x",
    },
    ("one column more", "255", "int64"): {
        "integrated_autocorrelation_time": "series",
        "effective_sample_size": "series",
        "split_r_hat": "series",
    },
    (
        *("array", "no axes", "no rows", "no columns", "three axes", "one column more"),
        *("float8", "NaN"),
    ): {
        "data.scale": "x",
    },
    ("-1",): {
        "data.scale": "low",
    },
    ("2 of NumPy", "2**70"): {
        "data.scale": "high",
    },
    ("255",): {
        "ops.pack_states": "states",
    },
    ("True", "True of NumPy"): {
        "ops.update_from_sums_": "data_levels",
        "fit": "shuffle persistent",
        "mixing": "progress",
        "RBM.train_step_": "static",
        "log_partition": "progress",
        "log_partition_ais": "progress",
        "log_partition_bounds": "progress",
        "log_likelihood": "bounds",
    },
    ("2 of NumPy", "0.5 of NumPy", "0.5", "1e300", "2**70"): {
        "ops.train_steps_": "least",
    },
    ("0.5", "inf", "1e300", "2**70"): {
        "ops.train_steps_": "most",
    },
}
ALLOWED = {
    (function, argument): set(values)
    for values, functions in _BY_VALUES.items()
    for function, arguments in functions.items()
    for argument in arguments.split()
}
