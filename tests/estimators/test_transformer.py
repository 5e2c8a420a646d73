"""``BernoulliRBM`` beside scikit-learn's own, and what it has beyond."""

import doctest
import pickle

import numpy as np
import pytest
import torch

pytest.importorskip("sklearn")
from scipy import sparse
from sklearn import neural_network
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from ncg_fast import ops
from ncg_fast.sklearn import BernoulliRBM, classifier, transformer
from ncg_fast.sklearn.corruption import flipped_units
from ncg_fast.sklearn.rows import Batches, pack_sparse
from ncg_fast.training.run import encode_batches

pytestmark = pytest.mark.usefixtures("one_thread")  # tiny jobs, beside other programs

DIGITS = load_digits().data / 16
BINARY = (DIGITS > 0.5).astype(np.float64)
SMALL = {"n_components": 17, "n_iter": 2, "random_state": 3}
LEARNED = "components_", "intercept_hidden_", "intercept_visible_", "h_samples_"


def same_machines(*estimators):
    first, *others = ([getattr(each, name) for name in LEARNED] for each in estimators)
    return all(np.array_equal(a, b) for other in others for a, b in zip(first, other, strict=True))


def test_doctests():
    for module in (transformer, classifier):
        found = doctest.testmod(module)
        assert found.attempted and not found.failed


def test_begins_with_the_weights_of_scikit_learn():
    theirs, ours = (
        kind(5, n_iter=0, random_state=7).fit(DIGITS[:9])
        for kind in (neural_network.BernoulliRBM, BernoulliRBM)
    )
    np.testing.assert_allclose(ours.components_, theirs.components_, rtol=1e-7)
    assert vars(theirs).keys() <= {*vars(ours), *LEARNED, "_n_features_out"}


@pytest.mark.parametrize("rows", [BINARY, DIGITS], ids=["binary", "real"])
def test_learns_as_much_as_scikit_learn(rows):
    """In pseudo-likelihood, as scikit-learn measures it, within what chains of a seed change."""
    options = {"n_components": 64, "n_iter": 10, "random_state": 0}
    theirs = neural_network.BernoulliRBM(**options).fit(rows)
    ours = BernoulliRBM(**options).fit(rows)
    best = theirs.score_samples(rows).mean()
    for name in LEARNED[:3]:
        setattr(theirs, name, np.array(getattr(ours, name)))
    assert theirs.score_samples(rows).mean() > best - 0.5


@pytest.mark.parametrize("rows", [BINARY, DIGITS, DIGITS - 3], ids=["binary", "real", "outside"])
@pytest.mark.filterwarnings("ignore:BernoulliRBM. X should hold")
def test_transform_is_the_formula(rows):
    rbm = BernoulliRBM(**SMALL, density=0.5).fit(rows)
    theirs = neural_network.BernoulliRBM(17)
    for name in LEARNED[:3]:
        setattr(theirs, name, getattr(rbm, name))
    theirs.n_features_in_ = 64
    np.testing.assert_allclose(rbm.transform(rows), theirs.transform(rows), atol=2e-6)
    for kind in (sparse.csr_array, sparse.csc_array, sparse.lil_matrix):
        np.testing.assert_allclose(rbm.transform(kind(rows)), theirs.transform(rows), atol=2e-6)
    np.testing.assert_allclose(rbm._free_energy(rows), theirs._free_energy(rows))


@pytest.mark.filterwarnings("ignore:BernoulliRBM. X should hold")
@pytest.mark.parametrize("rows", [BINARY, DIGITS, DIGITS - 3], ids=["binary", "real", "outside"])
def test_sparse_rows_train_the_same_machine(rows):
    kinds = np.asarray, sparse.csr_array, sparse.csc_matrix, sparse.lil_matrix
    found = [BernoulliRBM(**SMALL).fit(kind(rows[:127])) for kind in kinds]
    assert same_machines(*found)
    scores = [rbm.score_samples(kind(rows)) for rbm, kind in zip(found, kinds, strict=True)]
    for each in scores[1:]:
        np.testing.assert_allclose(each, scores[0])


def test_sparse_rows_are_dense_by_batches_alone(monkeypatch):
    shapes = []
    dense = sparse.csr_array.toarray
    monkeypatch.setattr(
        sparse.csr_array, "toarray", lambda x, *a, **k: shapes.append(x.shape) or dense(x, *a, **k)
    )
    x = sparse.csr_array(DIGITS)
    BernoulliRBM(**SMALL, batch_size=7).fit(x).transform(x)
    assert shapes and max(n for n, _ in shapes) == 7
    shapes.clear()
    BernoulliRBM(**SMALL).fit(sparse.csr_array(BINARY)).score_samples(sparse.csr_array(BINARY))
    assert not shapes


@pytest.mark.parametrize("size", [1, 10, 64, 67, 128])
def test_packed_sparse_rows(size):
    rows = (np.random.default_rng(size).random((3 * size, 61)) < 0.3).astype(np.uint8)
    expected = encode_batches(torch.from_numpy(rows), size)
    assert pack_sparse(sparse.csr_array(rows.astype(float)), size).equal(expected)


def test_duplicates_of_sparse_rows_add_up():
    twice = sparse.csr_array((np.array([0.5, 0.5]), np.array([1, 1]), np.array([0, 2])), (1, 3))
    before = twice.data.copy()
    one = BernoulliRBM(**SMALL).fit(twice)
    assert same_machines(one, BernoulliRBM(**SMALL).fit([[0.0, 1.0, 0.0]]))
    assert np.array_equal(twice.data, before)


def test_epochs_in_calls_of_partial_fit():
    """The first batches of ``fit`` are those of ``partial_fit``, bit for bit."""
    whole = BernoulliRBM(**{**SMALL, "n_iter": 1}).fit(BINARY[:45])
    parts = BernoulliRBM(**SMALL)
    for first in range(0, 45, 10):
        assert parts.partial_fit(BINARY[first : min(first + 10, 45)]) is parts
    assert same_machines(whole, parts)
    parts.partial_fit(BINARY[:333])
    assert parts.h_samples_.shape == (10, 17)


def test_h_samples_are_what_the_next_sweep_draws_from():
    rbm = BernoulliRBM(**SMALL).fit(BINARY)
    expected = rbm.h_samples_
    chains = ops.unpack_states(rbm._chains, 10)
    _, hidden = rbm._rbm.gibbs_steps(chains)
    np.testing.assert_array_equal(hidden.numpy(), expected)
    assert set(np.unique(expected)) == {0, 1}


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_options_of_ours(decay):
    plain = BernoulliRBM(**SMALL).fit(DIGITS)
    assert plain.mask_.all()
    rbm = BernoulliRBM(**SMALL, density=0.5, n_steps=3, persistent=False, lr_decay=decay)
    rbm.fit(DIGITS)
    assert 0.2 < rbm.mask_.mean() < 0.8
    assert not rbm.components_[~rbm.mask_].any()
    assert not hasattr(rbm, "h_samples_")
    still = BernoulliRBM(**SMALL, density=0.5, lr_strength=0.0).fit(DIGITS)
    start = BernoulliRBM(**{**SMALL, "n_iter": 0}, density=0.5).fit(DIGITS)
    assert np.array_equal(still.mask_, start.mask_) and not np.array_equal(rbm.mask_, start.mask_)


def test_rates_fall():
    """The last mini-batches with falling rates change little, in range and outside."""
    for rows in (BINARY[:100], DIGITS[:100]):
        batches = Batches(rows, 10, encode=True)
        rbm = BernoulliRBM(**SMALL, lr_decay="linear").fit(rows)
        schedule = rbm._schedule(len(batches), 2, "linear")
        before = rbm.components_
        last = next(iter(batches))[0][:1]
        rbm._train(last, 10, schedule, 19)
        small = abs(rbm.components_ - before).max()
        before = rbm.components_
        rbm._train(last, 10, schedule, 0)
        assert 0 < 5 * small < abs(rbm.components_ - before).max()


def test_values_outside_are_told_once_and_used_as_they_are():
    rows = 3 * DIGITS - 1
    with pytest.warns(UserWarning, match=r"X should hold values in \[0, 1\]") as told:
        rbm = BernoulliRBM(**SMALL, density=0.5)
        rbm.fit_transform(rows)
    assert len(told) == 1
    edge = np.clip(DIGITS, 0, 1) * (1 + 1e-12)
    assert same_machines(BernoulliRBM(**SMALL).fit(edge), BernoulliRBM(**SMALL).fit(DIGITS))


@pytest.mark.parametrize("density", [None, 0.5])
def test_steps_on_real_values_are_those_of_the_kernels(density):
    """On rows that both take they differ by the rounding of probabilities alone."""
    by_kernels, by_torch = (
        BernoulliRBM(**{**SMALL, "n_iter": 0}, density=density).fit(DIGITS) for _ in range(2)
    )
    for encode, rbm in ((True, by_kernels), (False, by_torch)):
        for batch, n_rows in Batches(DIGITS[:10], 10, encode=encode):
            rbm._train(batch, n_rows, rbm._schedule(1, 1, "none"), 0)
    assert np.array_equal(by_kernels.h_samples_, by_torch.h_samples_)
    for name in LEARNED[:3]:
        got, expected = getattr(by_torch, name), getattr(by_kernels, name)
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_flipped_units_are_uniform():
    rows = np.random.default_rng(0).integers(0, 2, (20_000, 20)).astype(float)
    rows[:, 10:] = np.random.default_rng(1).random((20_000, 10))
    found = flipped_units(rows, np.random.RandomState(0))
    counts = np.bincount(found, minlength=20)
    assert ((counts - 1000) ** 2 / 1000).sum() < 45  # chi-squared, 19 degrees: p = 0.0007
    eye = np.eye(4000)
    counts = np.bincount(flipped_units(eye, np.random.RandomState(0)) // 200, minlength=20)
    assert ((counts - 200) ** 2 / 200).sum() < 45


def test_copies_and_searches():
    rbm = BernoulliRBM(**SMALL, density=0.5).fit(BINARY)
    again = pickle.loads(pickle.dumps(rbm))
    assert same_machines(rbm, again) and np.array_equal(rbm.mask_, again.mask_)
    assert same_machines(rbm.partial_fit(BINARY), again.partial_fit(BINARY))
    assert clone(rbm).get_params() == rbm.get_params()
    pipe = make_pipeline(BernoulliRBM(**SMALL), LogisticRegression(max_iter=50, tol=0.1))
    grid = GridSearchCV(pipe, {"bernoullirbm__n_components": [1, 60]}, cv=2, n_jobs=2)
    grid.fit(BINARY[:200], load_digits().target[:200])
    n_best = grid.best_params_["bernoullirbm__n_components"]
    assert grid.best_estimator_[0].transform(BINARY).shape == (len(BINARY), n_best)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames(library):
    frames = pytest.importorskip(library)
    frame = frames.DataFrame({name: BINARY[:20, i] for i, name in enumerate("abc")})
    rbm = BernoulliRBM(**SMALL).set_output(transform=library).fit(frame)
    assert list(rbm.feature_names_in_) == ["a", "b", "c"]
    assert list(rbm.transform(frame).columns) == [f"bernoullirbm{i}" for i in range(17)]


def test_memory_maps_that_cannot_be_written(tmp_path):
    np.save(tmp_path / "x.npy", DIGITS)
    rows = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert same_machines(BernoulliRBM(**SMALL).fit(rows), BernoulliRBM(**SMALL).fit(DIGITS))
    BernoulliRBM(**SMALL).fit(rows).score_samples(rows)


def test_parameters_can_be_set():
    rbm = BernoulliRBM(**SMALL).fit(DIGITS)
    rbm.components_ = np.zeros((17, 64))
    rbm.intercept_hidden_ = np.zeros(17)
    assert (rbm.transform(DIGITS) == 0.5).all()
    with pytest.raises(ValueError, match="read-only"):
        rbm.components_[0] = 1


def test_wrong_parameters_are_told_as_scikit_learn_does():
    for wrong in ({"n_components": 0}, {"lr_decay": "log"}, {"density": 2}, {"persistent": 3}):
        with pytest.raises(ValueError, match=f"The '{next(iter(wrong))}' parameter of Bernoulli"):
            BernoulliRBM(**wrong).fit(DIGITS)
