"""``RBMClassifier``: exact probabilities of labels of any kind."""

import pickle

import numpy as np
import pytest
import torch

pytest.importorskip("sklearn")
from scipy import sparse
from sklearn.datasets import load_digits

from ncg_fast import classify, with_labels
from ncg_fast.sklearn import RBMClassifier

pytestmark = pytest.mark.usefixtures("one_thread")  # tiny jobs, beside other programs

IMAGES, LABELS = load_digits(return_X_y=True)
IMAGES = (IMAGES > 8).astype(np.float64)
WORDS = np.array([f"digit {k}" for k in range(10)])


@pytest.fixture(scope="module")
def trained():
    machine = RBMClassifier(100, n_iter=20, random_state=0)
    return machine.fit(IMAGES[:1300], WORDS[LABELS[:1300]])


def test_probabilities_are_those_of_free_energies(trained):
    rows = torch.from_numpy(IMAGES[1300:1400])
    rivals = [with_labels(rows, torch.full((100,), k), 10) for k in range(10)]
    energies = torch.stack([trained._rbm.free_energy(rival) for rival in rivals], dim=1)
    expected = torch.softmax(-energies, dim=1).detach()
    found = trained.predict_proba(rows.numpy())
    np.testing.assert_allclose(found, expected, atol=1e-6)
    best = classify(trained._rbm, rows, method="free_energy")
    assert (trained.predict(rows.numpy()) == WORDS[best]).all()
    np.testing.assert_allclose(trained.predict_proba(sparse.csr_array(rows.numpy())), found)


def test_predicts_digits(trained):
    assert trained.score(IMAGES[1300:], WORDS[LABELS[1300:]]) > 0.8
    assert (trained.classes_ == WORDS).all()
    again = pickle.loads(pickle.dumps(trained))
    assert (again.predict(IMAGES) == trained.predict(IMAGES)).all()


def test_whole_numbers_and_sparse_rows_give_the_same_machine():
    options = {"n_components": 20, "n_iter": 1, "random_state": 0, "density": 0.5}
    words = RBMClassifier(**options).fit(IMAGES, WORDS[LABELS])
    numbers = RBMClassifier(**options).fit(sparse.csr_array(IMAGES), LABELS - 3)
    assert (numbers.classes_ == np.arange(-3, 7)).all()
    assert (words.components_ == numbers.components_).all()
    assert numbers.mask_[:, 64:].all() and not numbers.mask_[:, :64].all()
    assert numbers.predict(IMAGES).dtype == LABELS.dtype
