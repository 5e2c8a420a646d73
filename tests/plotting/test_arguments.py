"""A message for each fault of what is to be drawn."""

import pytest
import torch

from ncg_fast import plotting
from ncg_fast.model.rbm import RBM
from ncg_fast.training.history import History

ROWS, MASK, NAN = torch.zeros(2, 6), torch.ones(5, 6, dtype=torch.bool), float("nan")
SHAPE = (
    "image_shape must be (rows, cols) with rows * cols = 6, got {}. Leave label units out of it."
)
SAMPLES = "samples must be a tensor (n_samples, n_visible), got {}. Pass one row a sample."
CHAINS = "states must be a mapping from sweeps to states, got {}. Pass {{sweeps: states}}."
RANGE = "samples must hold values in [0, 1], got {}."
MASKS = (
    "mask must be a bool tensor (n_hidden, n_visible), got {}. "
    "Pass one row per hidden unit, as torch.bool."
)
RECORDS = "Pass history.to_dicts(), or the lines of metrics.jsonl."
MAPPINGS = f"records must be a sequence of mappings, got {{}}. {RECORDS}"
MIXING = (
    "record must hold sweeps, from_data, from_noise and n_agree, got {}. "
    "Pass mixing(...).to_dict(), or the contents of mixing.json."
)
CURVE = {"mean": [0.0], "low": [0.0], "high": [0.0]}
CURVES = {"sweeps": [0], "from_data": CURVE, "from_noise": CURVE, "n_agree": None}
KEYS = "train_nll, test_nll, reconstruction_error, density, switched_on, switched_off"


def broken():
    rbm = RBM(6, 5, seed=0)
    with torch.no_grad():
        rbm.weight[0, 0] = NAN
    return rbm


FAULTS = [
    ("plot_filters", (None, (2, 3)), {}, "rbm must be an ncg_fast.RBM, got NoneType. Pass a mac"),
    ("plot_filters", (broken(), (2, 3)), {}, "weight must hold finite numbers, got 1 that are NaN"),
    ("plot_filters", (RBM(6, 5), (2, 2)), {}, SHAPE.format("(2, 2)")),
    ("plot_filters", (RBM(6, 5), (2, 3)), {"n": 0}, "n must be at least 1, got 0."),
    ("plot_samples", (None, (2, 3)), {}, SAMPLES.format("NoneType")),
    ("plot_samples", (6, (2, 3)), {}, SAMPLES.format("int")),
    ("plot_samples", (ROWS[:0], (2, 3)), {}, SAMPLES.format("(0, 6)")),
    ("plot_samples", (ROWS[0], (2, 3)), {}, SAMPLES.format("(6,)")),
    ("plot_samples", (ROWS + 2, (2, 3)), {}, RANGE.format("values in [2, 2]")),
    ("plot_samples", (ROWS * NAN, (2, 3)), {}, RANGE.format("NaN")),
    ("plot_samples", (ROWS, (-2, -3)), {}, SHAPE.format("(-2, -3)")),
    ("plot_samples", (ROWS, (2.0, 3.0)), {}, SHAPE.format("(2.0, 3.0)")),
    ("plot_samples", (ROWS, "23"), {}, SHAPE.format("'23'")),
    ("plot_samples", (ROWS, 6), {}, SHAPE.format("6")),
    ("plot_samples", ({}, (2, 3)), {}, "samples must hold a set, got none. Pass one row a sample."),
    ("plot_samples", ({"a": ROWS + 2}, (2, 3)), {}, RANGE.format("values in [2, 2]")),
    ("plot_chains", (ROWS, (2, 3)), {}, CHAINS.format("Tensor")),
    ("plot_chains", ({}, (2, 3)), {}, CHAINS.format("dict")),
    ("plot_chains", ({1: ROWS + 2}, (2, 3)), {}, RANGE.format("values in [2, 2]")),
    ("plot_chains", ({1: ROWS}, (2, 3)), {"n": 0}, "n must be at least 1, got 0."),
    (
        "plot_chains",
        ({1: ROWS, 2: ROWS[:1]}, (2, 3)),
        {},
        "states must be of the same chains, got ",
    ),
    ("plot_samples", (ROWS, None), {"n_labels": 6}, "n_labels must be in [0, 5], got 6."),
    ("plot_samples", (ROWS, None), {"n_labels": -1}, "n_labels must be in [0, 5], got -1."),
    ("plot_samples", (ROWS, None), {"n": 1.5}, "n must be an int, got float 1.5."),
    ("plot_connectivity", (None, None), {}, MASKS.format("NoneType")),
    ("plot_connectivity", (MASK.float(), None), {}, MASKS.format("torch.float32 (5, 6)")),
    ("plot_connectivity", (MASK, (3, 3)), {}, SHAPE.format("(3, 3)")),
    ("plot_connectivity", (MASK, None), {"n_labels": 7}, "n_labels must be in [0, 5], got 7."),
    ("plot_degrees", (None,), {}, MASKS.format("NoneType")),
    ("plot_degrees", (MASK, (2, 2)), {}, SHAPE.format("(2, 2)")),
    ("plot_degrees", (MASK,), {"n_labels": 7}, "n_labels must be in [0, 5], got 7."),
    ("plot_mixing", (None,), {}, MIXING.format("NoneType")),
    ("plot_mixing", ({},), {}, MIXING.format("dict")),
    ("plot_mixing", ({**CURVES, "sweeps": []},), {}, MIXING.format("dict")),
    ("plot_mixing", ({**CURVES, "sweeps": [0, 1]},), {}, MIXING.format("dict")),
    ("plot_mixing", ({**CURVES, "n_agree": "x"},), {}, MIXING.format("dict")),
    ("plot_history", (None,), {}, MAPPINGS.format("NoneType")),
    ("plot_history", ([],), {}, "records must hold an epoch, got none. Train first."),
    ("plot_history", (History(),), {}, "records must hold an epoch, got none. Train first."),
    ("plot_history", ([5],), {}, MAPPINGS.format("int")),
    ("plot_history", ("epoch",), {}, MAPPINGS.format("str")),
    (
        "plot_history",
        ([{"density": 0.5}],),
        {},
        f"records must have the number of their epoch, got None. {RECORDS}",
    ),
    (
        "plot_history",
        ([{"epoch": 1, "density": "high"}],),
        {},
        f"records must hold numbers, got density = 'high'. {RECORDS}",
    ),
    (
        "plot_history",
        ([{"epoch": 1}],),
        {},
        f"records must hold one of {KEYS}, got epoch. {RECORDS}",
    ),
]


@pytest.mark.parametrize(("name", "args", "options", "message"), FAULTS)
def test_faults_are_named(name, args, options, message):
    with pytest.raises(ValueError) as caught:
        getattr(plotting, name)(*args, **options)
    assert str(caught.value).startswith(f"{name}: {message}")


def test_a_run_folder_that_is_none():
    with pytest.raises(ValueError, match=r"^save_run_figures: run_dir must be a str or os\.Path"):
        plotting.save_run_figures(None, RBM(6, 5), image_shape=None, samples=ROWS)
