# SPDX-License-Identifier: MIT
"""Devices by URL: they start and stop by themselves, compute the same, and refuse with a sentence."""

import dataclasses
import fcntl
import os
import shutil

import numpy as np
import pytest
from bundles import small_plan, write_bundle

from ttzo.device_runtime.contract import DeviceError, Estimator, Region, TtzoError
from ttzo.exporter.plan.freeze import freeze
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import BundleError, Device, WrongModel, open_device, read_bundle, slug
from ttzo.host_tools.device.link import Link
from ttzo.host_tools.device.ports import LinkError, open_stream
from ttzo.host_tools.device.python_device import serve
from ttzo.host_tools.reference.network.network import read_inputs
from ttzo.host_tools.reference.train.numpy_network import NumpyNetwork
from ttzo.host_tools.reference.train.trainer import Trainer

URLS = [
    pytest.param("native:", marks=pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")),
    "numpy:",
    "onnx:",
]


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle", small_plan())


@pytest.fixture
def rows(bundle):
    return data_set.load(bundle / "rows.npz", small_plan())


@pytest.mark.parametrize("url", URLS)
def test_an_emulated_device_starts_answers_and_stops(bundle, rows, url):
    plan = small_plan()
    with open_device(url, bundle) as device:
        assert device.board == url.rstrip(":") and device.info.n_parameters == plan.n_parameters
        assert np.array_equal(device.parameters(), plan.parameters)
        assert device.settings() == to_bundle.read((bundle / "model.ttzo").read_bytes()).training
        line = device.line
        device.write_batch(rows.train_rows[: plan.batch])
        assert device.step(Region.batch).step == device.state().step == 1
    with pytest.raises(LinkError):
        Link(open_stream(line)).hello(timeout=0.5)


@pytest.mark.parametrize("url", URLS)
def test_a_device_that_is_refused_is_closed_with_all_that_was_started_for_it(bundle, url, monkeypatch):
    lines = []

    def refuse(device):
        lines.append(device.line)
        raise WrongModel("it holds another model")

    monkeypatch.setattr(Device, "_require_model", refuse)
    with pytest.raises(WrongModel):
        open_device(url, bundle)
    with pytest.raises(LinkError, match="nothing listens"):
        open_stream(lines[0])


@pytest.mark.parametrize("url", URLS)
def test_a_run_moved_to_another_device_is_taken_over_whole(bundle, rows, url):
    plan, rng = small_plan(), np.random.default_rng(1)
    parameters, moments = rng.normal(size=plan.n_parameters).astype("f4"), rng.random(plan.n_moments).astype("f4")
    with open_device(url, bundle) as device:
        state = device.state().__class__(5, 0, 0, 0, 0.0, float("inf"), 0, 20)
        device.load(parameters, moments, state)
        assert np.array_equal(device.parameters(), parameters) and np.array_equal(device.moments(), moments)
        assert device.state() == state and device.step_count == 5
        device.reset()
        assert np.array_equal(device.parameters(), plan.parameters) and device.step_count == 0


@pytest.mark.parametrize("url", URLS[:2])
def test_evaluation_and_prediction_are_those_of_the_reference(bundle, rows, url):
    plan = small_plan()
    network, x = NumpyNetwork(plan), read_inputs(plan, rows.x_test)
    outputs = network.outputs(plan.parameters, x)
    losses = network.losses(plan.parameters, x, rows.y_test)
    with open_device(url, bundle) as device:
        test, predicted = device.evaluate(rows.test_rows), device.predict(rows.x_test)
    assert np.array_equal(predicted, outputs)
    assert test.n_correct == (outputs.argmax(1) == rows.y_test).sum() and test.n_rows == len(rows.x_test)
    assert test.loss == pytest.approx(
        losses.astype(float).mean(), rel=1e-6
    )  # three float32 sums of four rows: 4 * 2^-24


def test_a_device_with_another_model_is_refused_with_one_sentence(bundle, tmp_path):
    other = small_plan(seed=8)
    with serve(Trainer(other), "numpy") as emulator, pytest.raises(WrongModel, match="holds another model") as caught:
        open_device(emulator.url, bundle)
    assert "ttzo flash" in caught.value.hint and caught.value.exit_code == 4
    with serve(Trainer(small_plan()), "numpy") as emulator, open_device(emulator.url, bundle) as device:
        assert device.board == "numpy"  # the same line with the right model is taken


def test_a_slow_device_may_be_silent_for_one_loss_evaluation(bundle, rows, monkeypatch):
    plan = small_plan()
    macs = plan.batch * (6 * 8 + 8 * 3)  # of one loss evaluation
    with open_device("numpy:", bundle) as device:
        waited, ask, write = {}, device._link.request, device._link.write

        def request(message, *words, timeout, **options):
            waited[message] = timeout
            return ask(message, *words, timeout=timeout, **options)

        def write_it(region, content, timeout, *words):
            waited["write"] = timeout
            return write(region, content, timeout, *words)

        monkeypatch.setattr(device._link, "request", request)
        monkeypatch.setattr(device._link, "write", write_it)
        device.write_batch(rows.train_rows[: plan.batch])
        device.step(Region.batch)
        device.predict(rows.x_test[:1])
    assert waited["write"] == 10 and waited["step"] == 10 + macs / 1e5  # seconds; a slow core does 10^5 MACs in one
    assert waited["predict"] == 10 + macs / plan.batch / 1e5


def test_a_slow_device_may_be_silent_for_all_queries_of_one_row(tmp_path, monkeypatch):
    plan = freeze(
        small_plan().with_training(Training((Phase(estimator=Estimator.cge),))), [small_plan().layers[0].name]
    )
    plan = dataclasses.replace(plan, batch=1)
    (tmp_path / "model.ttzo").write_bytes(to_bundle.write(plan))
    waited = []
    with open_device("numpy:", tmp_path) as device:
        ask = device._link.request
        monkeypatch.setattr(
            device._link, "request", lambda message, *w, timeout, **o: waited.append(timeout) or ask(message, *w, timeout=timeout, **o)
        )  # fmt: skip
        device.write_batch(np.zeros((1, plan.row_bytes), np.uint8))
        waited.clear()
        device.step(Region.batch)
    forward, last = 6 * 8 + 8 * 3, 8 * 3 + 3  # multiply-accumulates of a row, parameters that a query each moves
    assert waited[0] >= 10 + (forward + last * 8) / 1e5  # a query of a weight of the last layer takes its row of 8


def test_a_missing_port_and_a_silent_socket_are_named(bundle):
    for url in ("/dev/ttyNothing", "socket://127.0.0.1:9"):
        with pytest.raises(LinkError, match=url) as caught:
            open_device(url, bundle)
        assert caught.value.hint


def test_a_busy_port_is_named(bundle):
    master, slave = os.openpty()
    fcntl.flock(slave, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        with pytest.raises(LinkError, match="in use") as caught:
            open_device(os.ttyname(slave), bundle)
        assert "close the other program" in caught.value.hint
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    "url", ["numpy:x", "native:no/such/folder/file", "qemu:", "qemu:no-such-board", "what:ever", ""]
)
def test_a_url_that_names_no_device_is_a_sentence(bundle, url):
    with pytest.raises(TtzoError) as caught:
        open_device(url, bundle)
    assert caught.value.hint


def test_a_missing_or_damaged_bundle_is_bad_input(bundle, tmp_path):
    with pytest.raises(BundleError, match="no bundle"):
        read_bundle(tmp_path / "nothing")
    content = (bundle / "model.ttzo").read_bytes()
    for damaged in (content[:-1], b"", content[:90] + bytes([content[90] ^ 4]) + content[91:]):
        (bundle / "model.ttzo").write_bytes(damaged)
        with pytest.raises(DeviceError, match="damaged") as caught:
            open_device("native:", bundle)
        assert caught.value.exit_code == 3


def test_a_device_url_makes_a_folder_name():
    assert [slug(url) for url in ("qemu:netduinoplus2", "native:", "/dev/ttyACM0", "socket://127.0.0.1:5555")] == [
        "qemu-netduinoplus2",
        "native",
        "dev-ttyACM0",
        "socket-127.0.0.1-5555",
    ]


def test_rows_that_are_not_the_models_are_named_before_anything_is_sent(bundle, rows):
    """Inputs without targets were answered by the device: a number of bytes "lies outside the region; run `ttzo build` again"."""
    packed = rows.train_rows
    with open_device("numpy:", bundle) as device:
        x = np.zeros((3, device.plan.in_features), data_set.DTYPES[device.plan.input_number])
        device.write_batch(packed[: device.plan.batch])
        for refused in (
            lambda: device.write_batch(x),
            lambda: device.write_dataset(x),
            lambda: device.evaluate(x),
            lambda: device.write_batch(packed[:1, :-1]),
            lambda: device.predict(packed),
            lambda: device.predict(x[:, :-1]),
        ):
            with pytest.raises(data_set.DataError, match=r"^rows are .*, the model takes .* \(n, ") as error:
                refused()
            assert error.value.hint
        with pytest.raises(data_set.DataError, match="more than a batch"):
            device.write_batch(packed[np.arange(device.plan.batch + 1) % len(packed)])
        assert device.step(Region.batch).step == 1  # the batch of before still stands there
