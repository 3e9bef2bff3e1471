# SPDX-License-Identifier: MIT
"""Data at the door: what fits is packed as the contract says, what does not gets a sentence with a next step."""

import errno
import gzip
import hashlib
import http.server
import struct
import sys
import threading

import numpy as np
import pytest
from bundles import wave_plan

from ttzo.device_runtime.contract import LayerKind, Loss, Number
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.data import data_set, mnist, whole_file
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.data_options import DataOptions
from ttzo.host_tools.data.prepare_rows import Preparation
from ttzo.host_tools.data.whole_file import DiskError


def make_plan(n_in=4, n_out=3, loss=Loss.cross_entropy, number=Number.uint8, scale=1.0, **metadata) -> Plan:
    layer = Layer("fc", LayerKind.dense, n_in, n_out, 0)
    theta = np.zeros(layer.n_parameters, np.float32)
    return Plan.of_layers((layer,), theta, loss, input_number=number, input_scale=scale, metadata=metadata)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path):
    """Four small IDX files, 7 + 3 images of 2x2, gzipped but one."""
    rng = np.random.default_rng(0)
    for part, n in (("train", 7), ("t10k", 3)):
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(rng.integers(0, 256, (n, 2, 2)))))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(rng.integers(0, 3, n))))
    plain = tmp_path / "t10k-labels-idx1-ubyte.gz"
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(gzip.decompress(plain.read_bytes()))
    plain.unlink()
    return tmp_path


@pytest.fixture
def npz(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "mine.npz", **arrays)
        return tmp_path / "mine.npz"

    return write


def test_rows_are_packed_as_the_contract_says():
    x, y = np.array([[1, 2], [250, 4]], "<u1"), np.array([7, 260])
    assert data_set.pack_rows(x, y).tobytes() == bytes([1, 2, 7, 0, 250, 4, 4, 1])
    x, y = np.array([[-2]], "<i2"), np.array([[0.5, -1.0]], "<f4")
    assert data_set.pack_rows(x, y).tobytes() == struct.pack("<hff", -2, 0.5, -1.0)


@pytest.mark.parametrize("loss", [Loss.cross_entropy, Loss.mse])
@pytest.mark.parametrize("number", Number)
def test_a_packed_row_has_the_plans_row_bytes(npz, loss, number):
    plan = make_plan(loss=loss, number=number)
    y = np.zeros(10, int) if loss == Loss.cross_entropy else np.zeros((10, 3))
    made = data_set.load(npz(x_train=np.ones((10, 2, 2)), y_train=y), plan)
    assert [len(rows) for rows in (made.train_rows, made.validation_rows, made.test_rows)] == [7, 1, 2]
    assert {rows.shape[1] for rows in (made.train_rows, made.validation_rows, made.test_rows)} == {plan.row_bytes}


def test_digits_are_split_1437_to_360_with_every_class_in_proportion():
    pytest.importorskip("sklearn")
    made = data_set.load("digits", make_plan(64, 10))
    assert made.x_train.shape == (1437, 64) and made.x_test.shape == (360, 64)
    assert made.x_train.dtype == np.uint8 and made.x_train.max() == 16
    share = np.bincount(made.y_test) / np.bincount(np.concatenate([made.y_train, made.y_test]))
    assert (
        np.abs(share - 0.2).max() < 0.01
    )  # a class of 174 to 183 rows gives 34.8 to 36.6, rounded: off by at most 1/174


def test_without_scikit_learn_digits_name_the_package_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match="scikit-learn") as caught:
        data_set.load("digits", make_plan(64, 10))
    assert "pip install" in caught.value.hint


def test_the_plan_names_its_own_data_set():
    pytest.importorskip("sklearn")
    assert data_set.load(None, make_plan(64, 10, data="digits")).name == "digits"
    with pytest.raises(DataError, match="does not name a data set"):
        data_set.load(None, make_plan())


# ---- IDX -------------------------------------------------------------------------------------------------------------


def test_idx_files_are_read_plain_and_gzipped(folder):
    made = data_set.load(folder, make_plan())
    raw = gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes())[16:]
    assert made.x_train.tobytes() == raw and made.x_test.shape == (3, 4) and made.y_test.shape == (3,)


def damage_truncated_gzip(content: bytes) -> bytes:
    return content[:-9]


def damage_flipped_bit(content: bytes) -> bytes:
    return content[:-6] + bytes([content[-6] ^ 1]) + content[-5:]


def damage_no_gzip(content: bytes) -> bytes:
    return b"<html>not found</html>"


def damage_short(content: bytes) -> bytes:
    return gzip.compress(gzip.decompress(content)[:-1])


def damage_long(content: bytes) -> bytes:
    return gzip.compress(gzip.decompress(content) + b"\0")


def damage_magic(content: bytes) -> bytes:
    return gzip.compress(b"\0\0\x0d\3" + gzip.decompress(content)[4:])


def damage_huge_dimensions(content: bytes) -> bytes:
    return gzip.compress(b"\0\0\x08\3" + b"\xff" * 12 + bytes(28))


def damage_header(content: bytes) -> bytes:
    return gzip.compress(b"\0\0\x08\3\0\0")


def damage_empty(content: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [f for name, f in sorted(globals().items()) if name.startswith("damage_")])
def test_a_damaged_idx_file_is_named_and_refused(folder, damage):
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="train-images-idx3-ubyte.gz") as caught:
        data_set.load(folder, make_plan())
    assert caught.value.hint


def test_images_and_labels_of_different_sets_are_refused(folder):
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(6))))
    with pytest.raises(DataError, match="7 train images, but 6 labels"):
        data_set.load(folder, make_plan())


def test_a_missing_idx_file_is_named(folder):
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte"):
        data_set.load(folder, make_plan())


# ---- download --------------------------------------------------------------------------------------------------------


@pytest.fixture
def published(folder, tmp_path_factory):
    """A mirror as file:// URL, its checksums, and an empty cache."""
    labels = folder / "t10k-labels-idx1-ubyte"
    (folder / f"{labels.name}.gz").write_bytes(gzip.compress(labels.read_bytes()))
    sums = {name: hashlib.sha256((folder / f"{name}.gz").read_bytes()).hexdigest() for name in mnist.SHA256}
    return folder, sums, tmp_path_factory.mktemp("cache") / "mnist"


def test_a_download_over_http_is_checked_and_then_kept(published):
    folder, sums, cache = published

    class Mirror(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert mnist.download(cache, (f"{url}/nowhere", url), sums) == cache
        server.shutdown()
    assert len(mnist.read_folder(cache)[0]) == 7
    assert mnist.download(cache, (), sums) == cache  # nothing is fetched again


def test_a_file_with_another_checksum_is_not_kept(published):
    folder, sums, cache = published
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(DataError, match="SHA-256") as caught:
        mnist.download(cache, (folder.as_uri(),), sums)
    assert "--data DIR" in caught.value.hint and not list(cache.iterdir())


def test_a_damaged_file_in_the_cache_is_fetched_again(published):
    folder, sums, cache = published
    mnist.download(cache, (folder.as_uri(),), sums)
    (cache / "train-images-idx3-ubyte.gz").write_bytes(b"half a fi")
    mnist.download(cache, (folder.as_uri(),), sums)
    assert mnist.read_folder(cache)[0].shape == (7, 4)


def test_a_full_disk_is_told_and_half_a_download_does_not_stay(published, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    folder, sums, cache = published
    monkeypatch.setattr(whole_file.os, "fsync", full)
    with pytest.raises(DiskError, match="No space left"):
        mnist.download(cache, (folder.as_uri(),), sums)
    assert not list(cache.iterdir())


def test_an_unreachable_mirror_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match="could not be downloaded"):
        mnist.download(tmp_path / "cache", ((tmp_path / "nowhere").as_uri(),))


# ---- a person's own arrays -------------------------------------------------------------------------------------------


def test_rows_of_one_set_are_divided_into_three_parts_that_share_nothing(npz):
    x = np.arange(400).reshape(100, 4) % 256
    x[:, 0] = np.arange(100)  # tells the rows apart
    made = data_set.load(npz(x_train=x, y_train=np.arange(100) % 2), make_plan())
    parts = [set(part[:, 0].tolist()) for part in (made.x_train, made.x_validation, made.x_test)]
    assert [len(part) for part in parts] == [70, 10, 20] and set.union(*parts) == set(range(100))


def test_test_rows_of_the_person_are_kept_as_they_are_and_validation_comes_out_of_training(npz):
    x = np.arange(80).reshape(20, 4)
    path = npz(x_train=x, y_train=np.arange(20) % 2, x_test=x[:1], y_test=[1])
    made = data_set.load(path, make_plan())
    assert made.x_test.tolist() == x[:1].tolist() and made.y_test.tolist() == [1]
    assert (len(made.x_train), len(made.x_validation)) == (18, 2)
    whole = data_set.load(path, make_plan(), DataOptions(validation=0.0))
    assert whole.x_train.tolist() == x.tolist() and whole.n_validation == 0


def test_validation_rows_of_the_person_are_kept_as_they_are(npz):
    x, y = np.arange(80).reshape(20, 4), np.arange(20) % 2
    path = npz(x_train=x, y_train=y, x_validation=x[3:5], y_validation=y[3:5], x_test=x[:1], y_test=y[:1])
    made = data_set.load(path, make_plan())
    assert made.x_validation.tolist() == x[3:5].tolist() and len(made.x_train) == 20


X, Y = np.ones((6, 4)), np.arange(6) % 3


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (np.ones((6, 5)), Y, "has 5 numbers a row, the model needs 4"),
        (np.where(np.eye(6, 4) > 0, np.nan, 1), Y, r"4 numbers are missing .* first in x_train\[0\], number 0"),
        (np.full((6, 4), np.inf), Y, r"infinity in x_train\[0\]"),
        (X * 256, Y, "not all whole numbers 0 to 255"),
        (-X, Y, "not all whole numbers 0 to 255"),
        (X / 2, Y, "not all whole numbers 0 to 255"),
        (X.astype(complex), Y, "complex128 instead of numbers"),
        (X.astype(str), Y, "instead of numbers"),
        (np.empty((0, 4)), Y[:0], "x_train is empty"),
        (X, np.arange(6), r"x_train\[3\] has the class 3, the model knows 0 to 2"),
        (X, Y + 0.5, r"x_train\[0\] has the target 0.5, which is no class"),
        (X, Y * np.nan, r"missing .* first in x_train\[0\], the target"),
        (X, Y[:5], "y_train has 5 rows, its inputs have 6"),
        (np.vstack([X[:3], np.full((1, 4), np.nan), X[4:]]), Y, r"first in x_train\[3\]"),
        (X, np.eye(6, 3), "3 numbers a row, the model needs 1"),
        (np.float64(1), Y, "single number"),
        (X[:1], Y[:1], "there is no row to test on"),
    ],
)
def test_data_that_do_not_fit_get_a_sentence_and_a_next_step(npz, x, y, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        data_set.load(npz(x_train=x, y_train=y), make_plan())
    assert caught.value.hint and caught.value.exit_code == 3


def test_float32_inputs_beyond_float32_are_refused(npz):
    with pytest.raises(DataError, match="infinity"):
        data_set.load(npz(x_train=X * 1e39, y_train=Y), make_plan(number=Number.float32, scale=2.0))


def test_mse_targets_keep_their_values_where_nothing_is_normalised_and_must_have_the_outputs_shape(npz):
    plan = make_plan(loss=Loss.mse)
    y = np.linspace(-1, 1, 18).reshape(6, 3)
    made = data_set.load(npz(x_train=X, y_train=y), plan)
    together = np.vstack([made.y_train, made.y_validation, made.y_test])
    assert np.array_equal(np.sort(together, axis=0), y.astype(np.float32))
    with pytest.raises(DataError, match="1 numbers a row, the model needs 3"):
        data_set.load(npz(x_train=X, y_train=Y), plan)


def test_words_as_classes_of_an_array_are_numbered(npz):
    y = np.array(["walk", "run", "sit"] * 4)
    made = data_set.load(npz(x_train=np.ones((12, 4)), y_train=y), make_plan(), DataOptions(validation=0.0))
    assert made.labels == ("run", "sit", "walk")
    assert sorted(np.concatenate([made.y_train, made.y_test])) == [0] * 4 + [1] * 4 + [2] * 4


def test_an_npz_file_with_pickled_objects_or_damage_is_refused(npz):
    path = npz(x_train=np.array([{}], object), y_train=Y)
    with pytest.raises(DataError, match="not a readable"):
        data_set.load(path, make_plan())
    whole = npz(x_train=X, y_train=Y).read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"x" * 100, whole[:100] + bytes([whole[100] ^ 255]) + whole[101:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError):
            data_set.load(path, make_plan())


@pytest.mark.parametrize("source", ["nothing", "no/such/file.npz"])
def test_an_unknown_data_set_tells_what_can_be_named(source):
    with pytest.raises(DataError, match="no data set") as caught:
        data_set.load(source, make_plan())
    assert "--data" in caught.value.hint


# ---- validation rows of a known data set -----------------------------------------------------------------------------


def test_digits_give_validation_rows_only_when_somebody_asks_and_keep_their_test_rows():
    pytest.importorskip("sklearn")
    plain = data_set.load("digits", make_plan(64, 10))
    asked = data_set.load("digits", make_plan(64, 10), DataOptions(validation=0.1))
    assert plain.n_validation == 0 and np.array_equal(plain.x_test, asked.x_test)
    assert len(asked.x_train) + asked.n_validation == 1437 and abs(asked.n_validation - 144) <= 5  # 10 classes round
    assert set(np.unique(asked.y_validation)) == set(range(10))


# ---- options that nothing would read ---------------------------------------------------------------------------------

UNREAD = [{"test": 0.3}, {"target": "3"}, {"window": 5}, {"normalise": "robust"}, {"missing": "drop"}, {"good": "0"}]


@pytest.mark.parametrize("options", [*UNREAD, {"validation": "mine.csv"}, {"test": "mine.csv"}, {"split_seed": 1}])
def test_a_known_data_set_refuses_options_of_tables(options):
    with pytest.raises(
        DataError, match=f"parts of its own: --{next(iter(options)).replace('_', '-')} is not read"
    ) as caught:
        data_set.load("digits", make_plan(64, 10), DataOptions(**options))
    assert "--data FILE" in caught.value.hint


@pytest.mark.parametrize("options", [*UNREAD, {"validation": 0.1}, {"split_seed": 1}])
def test_an_equation_refuses_options_of_tables(options):
    with pytest.raises(DataError, match=f"draws its own points: --{next(iter(options)).replace('_', '-')} is not read"):
        data_set.load(None, wave_plan(), DataOptions(**options))


def test_an_equation_refuses_a_known_data_set_and_does_not_offer_it():
    with pytest.raises(DataError, match="`digits` holds none") as caught:
        data_set.load("digits", wave_plan())
    assert "digits" not in caught.value.hint


@pytest.mark.parametrize("source", [None, "digits"])
@pytest.mark.parametrize("known", [None, Preparation("digits", labels=tuple("zyxwvutsrq"))])
def test_rows_of_ones_own_are_measured_instead_of_the_known_sets(tmp_path, source, known):
    """Of a model that names a known data set too: its own test rows were measured, without a word."""
    classes = known.labels if known else range(10)
    rows = np.random.default_rng(0).integers(0, 17, (30, 64))
    lines = [",".join(map(str, (*row, classes[k % 10]))) for k, row in enumerate(rows)]
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    options = DataOptions(test=str(tmp_path / "mine.csv"))
    made = data_set.load(source, make_plan(64, 10, data="digits"), options, known, only_test=True)
    assert made.name == str(tmp_path / "mine.csv") and np.array_equal(made.x_test, rows)
    with pytest.raises(DataError, match="--normalise robust is not read"):
        robust = DataOptions(test=options.test, normalise="robust")
        data_set.load(source, make_plan(64, 10, data="digits"), robust, known, only_test=True)
    assert np.array_equal(made.y_test, np.arange(30) % 10)


def test_names_of_classes_that_the_bundle_keeps_go_before_a_known_sets_numbers(tmp_path):
    """Of a model that was exported from a run on a known data set with names for its classes."""
    names = tuple("zyxwvutsrq")
    plan = make_plan(64, 10, data="digits", preparation=Preparation("digits", labels=names).as_json())
    lines = [",".join(["1"] * 64 + [name]) for name in names]
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    made = data_set.load(None, plan, DataOptions(test=str(tmp_path / "mine.csv")), None, only_test=True)
    assert made.y_test.tolist() == list(range(10))


def test_columns_that_are_normalised_already_are_not_normalised_otherwise(npz):
    path = npz(x_train=np.random.default_rng(0).normal(5, 2, (40, 4)), y_train=np.arange(40) % 3)
    plan = make_plan(number=Number.float32)
    known = data_set.load(path, plan).preparation
    for method in (None, "auto", "standard"):
        assert data_set.load(path, plan, DataOptions(normalise=method), known).preparation.normalisation is not None
    for method in ("none", "robust"):
        with pytest.raises(DataError, match=f"normalised already .--normalise standard.: --normalise {method} is not"):
            data_set.load(path, plan, DataOptions(normalise=method), known)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"target": "1"}, "arrays instead of columns: --target is not read"),
        ({"heading": "yes"}, "arrays instead of columns: --heading is not read"),
        ({"test": 0.5}, "test rows of its own: --test is not read"),
        ({"good": "0"}, "--good is for models that find anomalies"),
    ],
)
def test_options_that_a_file_of_ones_own_leaves_without_a_reader(npz, options, what):
    x, y = np.ones((20, 4)), np.arange(20) % 3
    path = npz(x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(DataError, match=what):
        data_set.load(path, make_plan(), DataOptions(**options))


def test_a_label_of_windows_needs_a_window():
    with pytest.raises(DataError, match="needs a window"):
        DataOptions(window_label="last")
