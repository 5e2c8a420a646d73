import doctest
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest
import torch

from ncg_fast import plotting
from ncg_fast.model.rbm import RBM

RECORD = {
    "reconstruction_error": 0.1,
    "density": 0.5,
    "switched_on": 3,
    "switched_off": 4,
    "train_nll": None,
    "train_nll_error": None,
    "test_nll": None,
    "test_nll_error": None,
}


MIXING = {
    "sweeps": [0, 1, 3, 9],
    "from_data": {"mean": [0.0] * 4, "low": [-1.0, -2, -1, -1], "high": [1.0, 1, 1, 2]},
    "from_noise": {"mean": [8.0, 2, 0, 0], "low": [7.0, 1, -1, -1], "high": [9.0, 3, 1, 1]},
    "n_agree": 3,
}


def test_doctest():
    results = [doctest.testmod(module) for module in (plotting.figures, plotting.courses)]
    assert sum(each.attempted for each in results) > 10
    assert not any(each.failed for each in results)


def records(n, nll_every=0):
    made = [{**RECORD, "epoch": epoch} for epoch in range(1, n + 1)]
    for each in made[nll_every - 1 :: nll_every] if nll_every else []:
        each |= {"train_nll": 20.0 - each["epoch"], "train_nll_error": 0.5}
        each |= {"test_nll": 21.0 - each["epoch"], "test_nll_error": 0.5}
    return made


def machine(n_labels=0):
    return RBM(6 + n_labels, 5, density=0.5, seed=1, n_labels=n_labels)


def picture(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def pixels_of_tile(figure, index, n_cols, image_shape, gap):
    """The colours of one tile, one per pixel of the image."""
    rows, cols = image_shape
    shown = picture(figure)
    n_wide = n_cols * (cols + gap) - gap
    zoom = shown.shape[1] // n_wide
    top, left = (rows + gap) * (index // n_cols), (cols + gap) * (index % n_cols)
    return shown[::zoom, ::zoom][top : top + rows, left : left + cols]


def darkness(colours):
    return 3 - colours[..., :3].sum(-1)


def test_samples_lie_in_their_tiles_and_label_units_are_left_out():
    samples = torch.eye(8, dtype=torch.uint8)[:4]  # one pixel each, then two label units
    figure = plotting.plot_samples(samples, (2, 3), n_labels=2)
    for index in range(4):
        tile = darkness(pixels_of_tile(figure, index, 2, (2, 3), 1))
        assert tile.argmax() == index
        assert (tile > tile.min() + 1).sum() == 1
    assert figure.axes[0].get_title(loc="left") == "4 samples"
    figure = plotting.plot_samples(samples / 2, (2, 3), n_labels=2)
    assert figure.axes[0].get_title(loc="left") == "4 samples, shown as probabilities"


def test_sets_of_samples_stand_side_by_side_under_their_names():
    sets = {"from noise": torch.eye(6)[:3], "from rows": torch.eye(6) / 2}
    figure = plotting.plot_samples(sets, (2, 3), n=4)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        "3 samples from noise",
        "4 samples from rows, shown as probabilities",
    ]


def test_a_line_of_the_figure_is_a_chain_and_a_column_a_number_of_sweeps():
    states = {1: torch.eye(6)[:2], 10: torch.eye(6)[2:4], 200: torch.eye(6)[4:]}
    figure = plotting.plot_chains(states, (2, 3))
    for chain in range(2):
        for column in range(3):
            tile = darkness(pixels_of_tile(figure, 3 * chain + column, 3, (2, 3), 1))
            assert tile.argmax() == 2 * column + chain
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "10", "200"]
    assert axes.get_title(loc="left") == "2 chains over time"
    assert len(plotting.plot_chains(states, None).axes) == 3


def test_filters_diverge_from_zero_in_order_of_norm_with_grey_where_off():
    rbm = machine()
    with torch.no_grad():
        rbm.mask.copy_(torch.ones(5, 6, dtype=torch.bool))
        rbm.mask[3, 5] = False
        rbm.weight.zero_()
        rbm.weight[3, 0], rbm.weight[3, 1], rbm.weight[3, 5] = 2.0, -2.0, 9.0
        rbm.weight[0, 2] = 1.0
    figure = plotting.plot_filters(rbm, (2, 3), n=2)
    first = pixels_of_tile(figure, 0, 2, (2, 3), 1)[..., :3].reshape(6, 3)
    red, blue, zero, off = first[0], first[1], first[2], first[5]
    assert red[0] > red[2] and blue[2] > blue[0]
    assert np.ptp(zero) < 0.01 and zero.min() > 0.95  # white
    assert np.ptp(off) == 0 and off[0] < 0.9  # grey
    low, high = figure.axes[1].get_ylim()  # of the colour bar
    assert low == -high
    assert figure.axes[0].get_title(loc="left").startswith("Filters of 2 of 5 hidden units")


def test_filters_of_a_machine_without_connections():
    rbm = RBM(6, 5, density=0.0)
    assert plotting.plot_filters(rbm, (2, 3)).axes


def test_connectivity_goes_from_most_to_least_connected():
    mask = torch.tensor([[1, 0, 0, 0], [1, 1, 1, 1], [1, 1, 0, 0]]).bool()
    figure = plotting.plot_connectivity(mask, (2, 2))
    on = [(darkness(pixels_of_tile(figure, k, 2, (2, 2), 1)) > 1).sum() for k in range(3)]
    assert on == [4, 2, 1]
    assert (
        figure.axes[0].get_title(loc="left") == "Connections of all 3 hidden units, density 0.583"
    )


@pytest.mark.parametrize("image_shape", [None, (2, 3)])
def test_degrees(image_shape):
    rbm = machine(n_labels=2)
    figure = plotting.plot_degrees(rbm.mask, image_shape, n_labels=2)
    counts = rbm.mask[:, :6].sum(1)
    title = f"Hidden degrees: mean {counts.double().mean():.1f}, {counts.min()} to {counts.max()}"
    assert figure.axes[0].get_title(loc="left") == title
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 5
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == 6
    if image_shape:
        np.testing.assert_array_equal(picture_of(figure.axes[2]), rbm.mask[:, :6].sum(0).view(2, 3))


def picture_of(axes):
    return np.asarray(axes.images[0].get_array())


def test_history_shows_only_what_was_recorded():
    titles = {axes.get_title(loc="left") for axes in plotting.plot_history(records(3)).axes}
    assert titles == {"Reconstruction error", "Density", "Switched connections", ""}
    figure = plotting.plot_history(records(6, nll_every=2))
    nll = figure.axes[0]
    assert nll.get_title(loc="left") == "Negative log-likelihood"
    assert [line.get_xdata().tolist() for line in nll.lines] == [[2, 4, 6]] * 2
    assert nll.lines[0].get_ydata().tolist() == [18, 16, 14]
    assert [text.get_text() for text in nll.get_legend().get_texts()] == ["train", "test"]
    assert (nll.get_xlabel(), nll.get_ylabel()) == ("epoch", "nats per row")


def test_history_of_one_epoch_and_of_many():
    for n in (1, 100):
        assert plotting.plot_history(records(n, nll_every=1)).axes


def ticks(axis, limits):
    return [tick for tick in axis.get_majorticklocs() if min(limits) <= tick <= max(limits)]


def test_history_of_one_epoch_has_one_tick_and_error_bars():
    for axes in plotting.plot_history(records(1, nll_every=1)).axes:
        assert ticks(axes.xaxis, axes.get_xlim()) == [1]
    nll = plotting.plot_history(records(1, nll_every=1)).axes[0]
    assert [len(bars.get_segments()) for bars in nll.collections] == [1, 1]


def test_switched_connections_are_whole():
    switched = plotting.plot_history(records(3)).axes[2]
    assert all(tick % 1 == 0 for tick in ticks(switched.yaxis, switched.get_ylim()))


def test_one_unit_and_one_sample():
    rbm = RBM(6, 1, seed=0)
    for image_shape in (None, (2, 3)):
        filters = plotting.plot_filters(rbm, image_shape).axes[0]
        assert filters.get_title(loc="left") == "Filter of the only hidden unit"
        connections = plotting.plot_connectivity(rbm.mask, image_shape).axes[0]
        title = "Connections of the only hidden unit, density 1.000"
        assert connections.get_title(loc="left") == title
        samples = plotting.plot_samples(torch.zeros(1, 6), image_shape).axes[0]
        assert samples.get_title(loc="left") == "1 sample"
        if image_shape is None:
            for axes in (filters, connections, samples):
                assert ticks(axes.yaxis, axes.get_ylim()) == [0]
    degrees = plotting.plot_degrees(rbm.mask, (2, 3))
    assert degrees.axes[0].get_title(loc="left") == "Hidden degrees: all 6"
    assert ticks(degrees.axes[0].xaxis, degrees.axes[0].get_xlim()) == [6]
    assert ticks(degrees.axes[3].yaxis, degrees.axes[3].get_ylim()) == [1]


def test_mixing_shows_both_starts_and_where_they_agree():
    for n, words in ((3, "agree from 3 sweeps on"), (None, "do not agree within 9 sweeps")):
        axes = plotting.plot_mixing({**MIXING, "n_agree": n}).axes[0]
        assert axes.get_title(loc="left") == f"Chains from data and from noise {words}"
        data, noise, *line = axes.lines
        assert data.get_xdata().tolist() == MIXING["sweeps"] == noise.get_xdata().tolist()
        assert data.get_ydata().tolist() == MIXING["from_data"]["mean"]
        assert noise.get_ydata().tolist() == MIXING["from_noise"]["mean"]
        assert [each.get_xdata()[0] for each in line] == [n] * (n is not None)
        shown = [text.get_text() for text in axes.get_legend().get_texts()]
        assert shown == ["from data", "from noise"]
        assert [tick for tick in axes.get_xticks()] == [0, 1]
        bands = [axes.collections[i].get_datalim(axes.transData).intervaly for i in (0, 1)]
        assert [each.tolist() for each in bands] == [[-2, 2], [-1, 9]]


def test_all_figures_are_written(tmp_path):
    rbm = machine(n_labels=2)
    samples = rbm.sample(3, n_steps=2)
    paths = plotting.save_run_figures(
        tmp_path,
        rbm,
        image_shape=(2, 3),
        samples={"from noise": samples},
        chains={1: samples, 2: samples},
        records=records(4, 2),
        mixing=MIXING,
    )
    assert [path.name for path in paths] == [f"{name}.png" for name in plotting.FIGURES]
    for path in paths:
        shown = matplotlib.image.imread(path)
        assert min(shown.shape[:2]) > 300 and np.ptp(shown) > 0.5
    paths = plotting.save_run_figures(
        tmp_path / "no images", rbm, image_shape=None, samples=samples
    )
    assert "curves.png" not in {path.name for path in paths}


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(
        RuntimeError, match=r"^plotting: needs matplotlib, .*ncg_fast\[experiments\]"
    ):
        plotting.plot_history(records(1))


def test_pyplot_stays_out_and_matplotlib_comes_with_the_first_figure():
    program = """
import sys, torch, ncg_fast.plotting as plotting
assert "matplotlib" not in sys.modules
plotting.plot_samples(torch.zeros(2, 6), (2, 3))
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_connectivity_of_some_units_reaches_the_least_connected():
    mask = torch.ones(5, 4, dtype=torch.bool).tril()  # degrees 1, 2, 3, 4, 4
    figure = plotting.plot_connectivity(mask, None, n=3)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    on = (3 - shown[..., :3].sum(-1) > 1).sum(1)
    assert on.tolist() == [4, 3, 1]  # places 0, 2 and 4 of the order


def test_each_curve_has_the_band_of_its_own_error():
    nll = {"train_nll": 10.0, "train_nll_error": 1.0, "test_nll": 20.0, "test_nll_error": 3.0}
    figure = plotting.plot_history([{"epoch": n, **nll} for n in (1, 2)])
    bands = [band.get_paths()[0].vertices[:, 1] for band in figure.axes[0].collections]
    assert [(band.min(), band.max()) for band in bands] == [(9, 11), (17, 23)]
