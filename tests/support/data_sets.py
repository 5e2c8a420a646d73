"""Files of rows for the tests of the data sets, and the errors they give."""

import numpy as np
import pytest

from ncg_fast import data

SOUND = np.eye(4)


def save(folder, **arrays):
    path = folder / "set.npz"
    np.savez(path, **arrays)
    return path


def error_of(name_or_path, **options):
    with pytest.raises(ValueError, match=r"\Adata\.load: ") as caught:
        data.load(name_or_path, **options)
    return str(caught.value)
