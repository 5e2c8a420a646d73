"""Data sets read from files: bits as in shared/data/README.md, splits, one-hot columns."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from data_sets import SOUND, error_of, save

from ncg_fast import data
from ncg_fast.experiments import run_folder
from ncg_fast.experiments import setup as experiment


@pytest.fixture
def data_folder():
    folder = os.environ.get("NCG_FAST_DATA")
    if not folder and os.environ.get("CI") == "true":
        pytest.fail("NCG_FAST_DATA must name the folder of the data sets when CI is true")
    if not folder:
        pytest.skip("NCG_FAST_DATA is not set")
    return Path(folder)


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def grey_levels(rows):
    return np.rint(rows.numpy() * 255).astype(np.uint8)


PACKED = {
    "adult": (
        (5000, 26147, 123),
        "336b872785f2cb157e671f1d358171aa61b8ff62cb8b9aa862f7ae344c9c8ba6",
        "14ae30d1bd73bd3b9c4c92389417309f309b911f435754a138e217012f0f43e1",
    ),
    "binarized-mnist": (
        (50000, 10000, 784),
        "727146c35424b019f3e350e1e69faa05644a0abaf787e3f4e1a9632220a13906",
        "9fcd8da6f0fdf09b2ba30fe63a0bb784042a0de82563172530229b983e294ff2",
    ),
    "connect4": (
        (16000, 47557, 126),
        "c3d3eca3a8bd8f018784d2be4383325a13a988a93af4d5cf361af5f0629f53bc",
        "890ec71c36ad09e1c64268277a721bb78346c8c4b8a8800f08203cd1bc27128e",
    ),
    "debd_nltcs": (
        (16181, 3236, 16),
        "443230cccd53650e3465d88ecc71c165a03b8ea93e0d5efc8a0adee9a8c3261b",
        "2e7f41a762856c5358655546177ed76633343496f93dd9519d14c8dd7a8290af",
    ),
    "dna": (
        (1600, 1186, 180),
        "a79dc4e3cecb9b28cdaaa562146e0d1240b7a44e3a7a172cef1f7d1741b17987",
        "1cf7544018e47407cf867662bf0d55f0de17b37d23cda5a74f445a97eecad8ce",
    ),
    "mushrooms": (
        (2000, 5624, 112),
        "b9b5e3b85f7fc3a6a7b15951f2974a0bafa2b9528001bcb8740f7187f2d7ff2b",
        "de4f74441a3f07d6acc13aaa572e67e6e101551d99bee7d668c340e5ce720256",
    ),
    "nips-0_12": (
        (400, 1240, 500),
        "9f49e87ac456779f4a7f7a652f5e02101391379d0357ed62e05a8f112ed4c215",
        "82db8901acd317bae38bf70b88e95387d9c63e6ae8b0838111342f7b8c5867f0",
    ),
    "ocr_letters": (
        (32152, 10000, 128),
        "a4cf1310975f1f4209e383735dc8c83698b10ef17974508d7be781311d35c054",
        "66f46e2bcc88f9b285aea214ac91bab94c37fcc2b609f64fc62f448f35a663df",
    ),
}


@pytest.mark.parametrize("name", PACKED)
def test_packed_sets_keep_their_split_and_bits(name, data_folder):
    (n_train, n_test, n_visible), train_sha256, test_sha256 = PACKED[name]
    rows = data.load(name)
    assert rows.train.dtype == rows.test.dtype == torch.uint8
    assert rows.train.shape == (n_train, n_visible)
    assert rows.test.shape == (n_test, n_visible)
    assert sha256(np.packbits(rows.train, axis=1)) == train_sha256
    assert sha256(np.packbits(rows.test, axis=1)) == test_sha256


def test_labels_and_shapes_of_packed_sets(data_folder):
    connect4 = data.load("connect4")
    assert connect4.train_labels.bincount().tolist() == [1592, 3898, 10510]
    assert sha256(connect4.test_labels.numpy().astype(np.uint8)) == (
        "382c1836ba8881703c66888f856b75db995e43e6da14ac1fc0b04d1799cca7ea"
    )
    assert connect4.image_shape is None
    assert data.load("adult").train_labels is None
    assert data.load("binarized_mnist").image_shape == (28, 28)
    assert data.load("ocr-letters").image_shape == (16, 8)


def test_mnist_grey_levels_and_labels(data_folder):
    rows = data.load("mnist", binarize=None)
    assert rows.train.dtype == torch.float32
    assert (rows.image_shape, rows.name) == ((28, 28), "mnist")
    assert sha256(grey_levels(rows.train)) == (
        "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"
    )
    assert sha256(grey_levels(rows.test)) == (
        "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161"
    )
    assert sha256(rows.train_labels.numpy().astype(np.uint8)) == (
        "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13"
    )
    assert sha256(rows.test_labels.numpy().astype(np.uint8)) == (
        "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5"
    )


def test_mnist_stochastic_uses_the_documented_uniforms(data_folder):
    grey = np.load(data_folder / "mnist" / "mnist.npz")["x_train"][:300].reshape(300, 784) / 255
    rows = data.load("mnist", seed=11).train
    np.testing.assert_array_equal(rows[:300], np.random.default_rng(11).random((300, 784)) <= grey)


def test_fashion_mnist_joins_its_files_in_order(data_folder):
    rows = data.load("fashion_mnist", binarize=None)
    assert (rows.train.shape, rows.test.shape) == ((60_000, 784), (10_000, 784))
    levels = grey_levels(rows.train)
    assert sha256(levels[:30_000]) == (
        "25f13e954dedcdf7ff111e44bcee1a4b12ca7e42e5265b817878bdab15d82b81"
    )
    assert sha256(levels[30_000:]) == (
        "c4501d8a6bad09e891820c0bb7cbf5d18bf5c8a0d0630686a5dc2242a98265b4"
    )
    assert sha256(grey_levels(rows.test)) == (
        "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a"
    )
    assert sha256(rows.train_labels[30_000:].numpy().astype(np.uint8)) == (
        "be6f1beb6810428a7acf5cd1b171d0cb5e221553065c1c6edb70b59a5257f64a"
    )


def test_set_without_split_is_permuted_by_seed_0(data_folder):
    rows = data.load("web-w8a", seed=123)
    assert (len(rows.train), len(rows.test)) == (39_800, 9_949)
    order = np.random.default_rng(0).permutation(49_749)
    source, labels = np.empty((49_749, 300), np.uint8), np.empty(49_749, np.uint8)
    source[order] = torch.cat([rows.train, rows.test])
    labels[order] = torch.cat([rows.train_labels, rows.test_labels])
    assert sha256(np.packbits(source, axis=1)) == (
        "45bb57fedb4c8e129c79e7b24afcab4ee612a435c81530f43dc63e9044d29646"
    )
    assert sha256(labels) == "2b5daf5e848f6c3763b01906e4426821c5d9872472e340d041dc11c426193bce"


def test_categorical_sets_become_one_hot(data_folder):
    protein = data.load("pf00072")
    assert protein.train.shape == (29_716, 112 * 21)
    states = protein.train.view(-1, 112, 21)
    assert bool((states.sum(2) == 1).all())
    assert sha256(states.argmax(2).numpy().astype(np.uint8)) == (
        "91574198cf163185e591e8aee64ff666f7c4584b84ec695e602ae4585b19bf8b"
    )
    assert data.load("rf00379").train.shape == (3062, 136 * 5)


@pytest.mark.parametrize("folder", ["rcv1_valid_only", "kmnist_test", "hgd_805snp"])
def test_other_sets_load(folder, data_folder):
    rows = data.load(folder)
    n = len(rows.train) + len(rows.test)
    assert len(rows.test) == n // 5
    assert int(rows.train.max()) == 1


def test_available_lists_built_ins_and_folders(data_folder, monkeypatch, tmp_path):
    folders = {path.name.replace("_", "-") for path in data_folder.iterdir() if path.is_dir()}
    built_in = {"bars-and-stripes", "digits", "fashion-mnist", "mnist"}
    assert data.available() == sorted(folders | built_in)
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("NCG_FAST_DATA", str(tmp_path))
    assert data.available() == sorted(built_in)


def test_path_equals_name(data_folder):
    by_name = data.load("binarized-mnist")
    by_path = data.load(data_folder / "binarized_mnist" / "binarized_mnist.npz")
    assert torch.equal(by_name.train, by_path.train)
    assert (by_path.name, by_path.image_shape) == ("binarized-mnist", (28, 28))


@pytest.mark.parametrize("d", [1, 7, 8, 9, 61])
def test_packed_bits_of_any_width(d, tmp_path):
    bits = np.random.default_rng(d).integers(0, 2, (20, d), dtype=np.uint8)
    packed = np.packbits(bits, axis=1)
    rows = data.load(save(tmp_path, train=packed[:13], test=packed[13:], d=d))
    np.testing.assert_array_equal(rows.train, bits[:13])
    np.testing.assert_array_equal(rows.test, bits[13:])


@pytest.mark.parametrize("keys", [("train", "test"), ("x_train", "x_test"), ("train", "x_test")])
def test_both_spellings_of_the_split(keys, tmp_path):
    train, test = np.eye(3, dtype=bool), np.ones((2, 3), bool)
    arrays = dict(zip(keys, (train, test), strict=True))
    labels = {"y_train": np.arange(3, dtype=np.int8), "y_valid": np.arange(4)}
    path = save(tmp_path, **arrays, **labels, valid=np.zeros((4, 3), bool), notes=np.array(["a"]))
    rows = data.load(str(path))
    np.testing.assert_array_equal(rows.train, train)
    np.testing.assert_array_equal(rows.test, test)
    assert rows.train_labels.tolist() == [0, 1, 2]
    assert rows.train_labels.dtype == torch.int64
    assert rows.test_labels is None


def test_npy_is_split_and_keeps_every_row(tmp_path):
    path = tmp_path / "my_rows.npy"
    np.save(path, np.arange(11, dtype=np.uint8).reshape(11, 1))
    rows = data.load(path, binarize=None, levels=256)
    order = np.random.default_rng(0).permutation(11)
    np.testing.assert_array_equal(grey_levels(rows.train)[:, 0], order[:9])
    np.testing.assert_array_equal(grey_levels(rows.test)[:, 0], order[9:])
    assert (rows.name, rows.image_shape) == ("my-rows", None)


@pytest.mark.parametrize(
    ("keys", "used"),
    [(("valid", "x"), "x"), (("valid", "x_train"), "x_train"), (("x_test", "valid"), "x_test")],
)
def test_first_array_of_a_file_without_split_is_split(keys, used, tmp_path):
    arrays = {key: np.full((5, 2), key == used) for key in keys}
    labels = {"y": np.full(5, 1), "y_train": np.full(5, 2), "y_test": np.full(5, 3)}
    rows = data.load(save(tmp_path, **arrays, **labels))
    assert rows.train.tolist() == [[1, 1]] * 4
    assert rows.test.tolist() == [[1, 1]]
    label = {"x": 1, "x_train": 2, "x_test": 3}[used]
    assert rows.train_labels.tolist() + rows.test_labels.tolist() == [label] * 5


@pytest.mark.parametrize("alphabet", ["abc", b"abc", ["up", "down", "gap"], [7, 8, 9]])
def test_one_hot_columns_are_position_times_states_plus_state(alphabet, tmp_path):
    path = save(tmp_path, train=np.array([[2, 0]]), test=np.array([[1, 1]]), alphabet=alphabet)
    rows = data.load(path)
    assert rows.train.tolist() == [[0, 0, 1, 1, 0, 0]]
    assert rows.test.tolist() == [[0, 1, 0, 0, 1, 0]]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "my_set"
    folder.mkdir()
    monkeypatch.setenv("NCG_FAST_DATA", str(tmp_path))
    return folder


def test_folder_of_several_files(folder):
    for part, value in (("train_a", 0), ("train_b", 1), ("test", 1)):
        np.savez(folder / f"my_set_{part}.npz", x=np.full((2, 3), value), y=np.full(2, value))
    rows = data.load("my-set")
    assert rows.train.tolist() == [[0] * 3] * 2 + [[1] * 3] * 2
    assert rows.train_labels.tolist() == [0, 0, 1, 1]
    assert rows.test.tolist() == [[1] * 3] * 2


@pytest.mark.parametrize(
    ("stem", "arrays", "found"),
    [
        ("my_set_copy", {"x": SOUND}, "my_set_copy.npz with ['x']"),
        ("my_set_train", {"x": SOUND, "d": 4}, "my_set_train.npz with ['x', 'd']"),
    ],
)
def test_folder_of_files_that_do_not_join(folder, stem, arrays, found):
    np.savez(folder / "my_set_test.npz", x=SOUND)
    np.savez(folder / f"{stem}.npz", **arrays)
    assert error_of("my_set") == (
        f"data.load: {folder} must hold one .npz, or NAME_train*.npz and NAME_test*.npz with x and"
        f" y, got {found}. Keep one file."
    )


def test_folder_of_files_with_unequal_rows(folder):
    for part, n_visible in (("train_a", 3), ("train_b", 4), ("test", 3)):
        np.savez(folder / f"my_set_{part}.npz", x=np.ones((2, n_visible)))
    assert error_of("my_set").startswith(f"data.load: {folder} must hold rows of one shape, got ")


@pytest.mark.usefixtures("data_folder")
def test_letters_of_several_classes_are_left_out_with_labels():
    source = data.load("ocr-letters")
    task = experiment.load(run_folder.Config(data="ocr-letters", labels=True, hidden=3))
    assert int((source.train_labels == -1).sum()) == 934
    assert task.config.classes == tuple(range(26))
    assert len(task.train.rows) == 32152 - 934 and int(task.test.labels.max()) == 25
