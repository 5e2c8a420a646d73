"""What scikit-learn asks of every estimator."""

import pytest

pytest.importorskip("sklearn")
from sklearn.utils.estimator_checks import parametrize_with_checks

from ncg_fast.sklearn import BernoulliRBM, RBMClassifier

pytestmark = pytest.mark.usefixtures("one_thread")  # tiny jobs, beside other programs

OUTSIDE = "ignore:.*X should hold values in"


@pytest.mark.filterwarnings(OUTSIDE)
@parametrize_with_checks([BernoulliRBM(), RBMClassifier()])
def test_estimator(estimator, check):
    check(estimator)
