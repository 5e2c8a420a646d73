import pytest
import torch
from training_runs import (
    N_HIDDEN,
    N_VISIBLE,
    assert_same_bits,
    binary_rows,
    bits,
    grey_rows,
    machine,
    train,
)

from ncg_fast.model.rbm import RBM


def spoilt(value):
    x = binary_rows().float()
    x[2, 3] = value
    return x


INF, NAN = float("inf"), float("nan")
REFUSED = {
    "one axis": (
        {"x": binary_rows()[0]},
        "x must have two axes and at least one row, got (7,). Pass rows of samples.",
    ),
    "no rows": (
        {"x": binary_rows()[:0]},
        "x must have two axes and at least one row, got (0, 7). Pass rows of samples.",
    ),
    "transposed": (
        {"x": binary_rows().t()},
        "x must have shape (n_rows, n_units) = (any, 7), got (7, 13). Did you pass x.T?",
    ),
    "numpy": (
        {"x": binary_rows().numpy()},
        "x must be a torch.Tensor, got ndarray. Use torch.tensor(x).",
    ),
    "complex": (
        {"x": binary_rows().to(torch.complex64)},
        "x must be bool, an integer or floating (16 bits or more), got torch.complex64. "
        "Pass real numbers.",
    ),
    "image": (
        {"x": binary_rows() * 255},
        "x must hold only 0 and 1, got values in [0, 255]. Binarise it, or pass x / 255 as "
        "probabilities.",
    ),
    "float image": (
        {"x": binary_rows().float() * 255},
        "x must hold values in [0, 1], got values in [0, 255]. Binarise it, or pass x / 255 as "
        "probabilities.",
    ),
    "nan": (
        {"x": spoilt(NAN)},
        "x must hold values in [0, 1], got NaN. "
        "Leave out the rows or the columns where values are missing or infinite.",
    ),
    "held-out nan": (
        {"x_held_out": spoilt(NAN)},
        "x_held_out must hold values in [0, 1], got NaN. "
        "Leave out the rows or the columns where values are missing or infinite.",
    ),
    "held-out width": (
        {"x_held_out": binary_rows()[:, :6]},
        "x_held_out must have shape (n_rows, n_units) = (any, 7), got (13, 6). "
        "Pass one row of 7 units a sample.",
    ),
    "epochs": ({"epochs": 0}, "epochs must be at least 1, got 0. Pass 1 or more."),
    "float epochs": ({"epochs": 2.0}, "epochs must be an int, got float 2.0. Use int(epochs)."),
    "batch_size": ({"batch_size": 0}, "batch_size must be at least 1, got 0. Pass 1 or more."),
    "large batch": (
        {"batch_size": 14},
        "batch_size must be at most the number of rows, 13, got 14. Lower batch_size.",
    ),
    "n_steps": ({"n_steps": 0}, "n_steps must be at least 1, got 0. Pass 1 or more."),
    "lr": ({"lr": -0.1}, "lr must be at least 0, got -0.1. Pass 0 or more."),
    "infinite lr": ({"lr": INF}, "lr must be finite, got inf. Pass a finite number."),
    "lr text": ({"lr": "fast"}, "lr must be a number, got str 'fast'. Pass an int or a float."),
    "lr_strength": ({"lr_strength": -1}, "lr_strength must be at least 0, got -1. Pass 0 or more."),
    "momentum": (
        {"momentum": 1.5},
        "momentum must be in [0, 1], got 1.5. Pass a value from 0 to 1.",
    ),
    "weight_decay": (
        {"weight_decay": NAN},
        "weight_decay must be finite, got nan. Pass a finite number.",
    ),
    "rule": (
        {"rule": "set"},
        "rule must be one of 'ncg', 'static', got 'set'. Choose one of these.",
    ),
    "n_chains alone": (
        {"n_chains": 5},
        "n_chains must be left out without persistent, got 5. Pass persistent=True.",
    ),
    "n_chains": (
        {"persistent": True, "n_chains": 0},
        "n_chains must be at least 1, got 0. Pass 1 or more.",
    ),
    "seed": ({"seed": -1}, "seed must be at least 0, got -1. Pass 0 or more."),
    "nll_every": ({"nll_every": -1}, "nll_every must be at least 0, got -1. Pass 0 or more."),
    "grey nll": (
        {"x": grey_rows(), "nll_every": 1},
        "x must hold only 0 and 1 where nll_every is given, got values in between. Binarise it.",
    ),
    "checkpoint_every": (
        {"checkpoint_every": 0},
        "checkpoint_every must be at least 1, got 0. Pass 1 or more.",
    ),
    "batch_callbacks": (
        {"batch_callbacks": print},
        "batch_callbacks must be a sequence of callables, got <built-in function print>. "
        "Pass [callback].",
    ),
    "callbacks": (
        {"callbacks": [3]},
        "callbacks must be a sequence of callables, got [3]. Pass [callback].",
    ),
    "resume": (
        {"resume": True, "checkpoint_dir": None},
        "checkpoint_dir must be given with resume=True, got None. Pass the run's folder.",
    ),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_arguments_are_refused_before_anything_changes(options, message, tmp_path):
    rbm, folder = machine(), tmp_path / "run"
    before = bits(rbm)
    with pytest.raises(ValueError) as caught:
        train(rbm, **{"checkpoint_dir": folder, **options})
    assert str(caught.value) == f"fit: {message}"
    assert_same_bits(before, rbm)
    assert not folder.exists()


def test_learning_rule_needs_strengths():
    rbm = RBM(N_VISIBLE, N_HIDDEN, mask=machine().mask)
    with pytest.raises(ValueError) as caught:
        train(rbm)
    assert str(caught.value) == (
        'fit: rbm must have connection strengths with rule="ncg", got a fixed mask. '
        'Use rule="static", or RBM(..., learn_connections=True).'
    )


def test_only_a_machine_is_trained():
    with pytest.raises(ValueError) as caught:
        train(torch.nn.Linear(7, 5))
    assert str(caught.value) == (
        "fit: rbm must be an ncg_fast.RBM, got Linear. Make one: ncg_fast.RBM(n_visible, n_hidden)."
    )


def test_parameters_must_be_finite_at_the_start():
    rbm = machine()
    with torch.no_grad():
        rbm.weight[1, 2] = NAN
    with pytest.raises(ValueError, match=r"^fit: weight must hold finite numbers, got 1 that are"):
        train(rbm)


def test_folder_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("a file, no folder")
    rbm = machine()
    before = bits(rbm)
    with pytest.raises(NotADirectoryError) as caught:
        train(rbm, checkpoint_dir=tmp_path / "file" / "run")
    assert str(caught.value) == (
        "fit: checkpoint_dir must be a folder that can be written, got "
        f"{tmp_path}/file/run (Not a directory). Pass another folder."
    )
    assert_same_bits(before, rbm)
