# SPDX-License-Identifier: MIT
"""Connections that break off: one command goes on to the bits of a run that was never cut."""

import collections
import contextlib
import os
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from bundles import small_plan, write_bundle
from devices import Line, connect

from ttzo.device_runtime.contract import LIMIT, MESSAGE, REPLY, DeviceError, Region, StateRecord
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device import faulty_line, ports, round_trips
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.device.faulty_line import Faults, FaultsError
from ttzo.host_tools.device.frames import Frame, hello
from ttzo.host_tools.device.link import Link, StartedAnew
from ttzo.host_tools.device.ports import LinkError, open_stream
from ttzo.host_tools.device.python_device import serve
from ttzo.host_tools.device.round_trips import Pieces, RoundTrips
from ttzo.host_tools.reference.train.trainer import Trainer
from ttzo.host_tools.training import metrics, session


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle", small_plan())


def run(bundle, folder, faults=None, url="numpy:"):
    """Parameters, moments and what the metrics say of each step, times left out."""
    rows = data_set.load(bundle / "rows.npz", small_plan())
    with open_device(url, bundle, faults=faults, patience_s=20) as device:
        session.train(device, rows, folder, checkpoint_steps=5)
        steps = [{k: v for k, v in row.items() if k != "seconds"} for row in metrics.read(folder / "metrics.csv")]
        return device.parameters().tobytes(), device.moments().tobytes(), steps, device.line_counts


@pytest.mark.parametrize(
    "spec", ["flip=0.5%,seed=1", "lose=0.5%", "double=0.5%", "cut=0.2%", "delay=0.5%", "disconnect=3%"]
)
def test_a_run_over_a_bad_line_ends_in_the_bits_of_a_clean_one(bundle, tmp_path, spec, monkeypatch):
    monkeypatch.setattr(round_trips, "FIRST_SILENCE_S", 0.1)
    monkeypatch.setattr(faulty_line, "DELAY_S", 0.001)
    faults = Faults.parse(spec)
    clean = run(bundle, tmp_path / "clean")
    under_faults = run(bundle, tmp_path / "faulty", faults)
    assert under_faults[:3] == clean[:3]
    assert sum(faults.counts.values()) > 0


def test_the_same_faults_come_again():
    data = np.random.default_rng(0).bytes(20000)
    one, other = (Faults.parse("all=2%,seed=5") for _ in range(2))
    one._after = other._after = lambda kind, byte: b""  # without the pauses
    assert one.damage(data) == other.damage(data)
    assert 300 < sum(one.counts.values()) < 500


@pytest.mark.parametrize("spec", ["", "flop=1%", "flip=2", "flip", "seed=x", "all=60%", "rate=-1"])
def test_a_wrong_spec_says_what_a_right_one_is(spec):
    with pytest.raises(FaultsError) as caught:
        Faults.parse(spec)
    assert "KIND=SHARE" in caught.value.hint


# ---- what the device remembers


def test_the_session_before_tells_whether_all_is_as_it_was(start):
    with start() as url:
        told = []
        for session_number in (5, 5, 6, 7, 7):
            with Line(url) as line:
                answer = line.ask(Frame(1, MESSAGE["hello"], hello(session_number)))
                told.append(REPLY["hello"].unpack(answer.payload).session_before)
        assert told == [0, 0, 5, 6, 6]


def test_a_device_that_was_used_meanwhile_is_not_believed(start):
    with start() as url:
        link = Link(open_stream(url), lambda: open_stream(url), patience=5)
        link.hello()
        link._stream.close()
        with Line(url) as stranger:
            stranger.ask(Frame(1, MESSAGE["hello"], hello(9)))
        with pytest.raises(StartedAnew, match="somebody else"):
            link.request("status")
        link.hello()
        link.request("status")  # and is asked like a new one afterwards


@pytest.mark.parametrize("name", ["reset", "set_state", "commit"])
def test_a_step_is_not_answered_again_once_what_it_left_is_replaced(url, name):
    fields = {
        "reset": {},
        "set_state": {"state": StateRecord(1, 0, 0, 0, 0.0, float("inf"), 0, 4)},
        "commit": {"region": Region.parameters, "count": 0, "crc": 0},
    }
    with connect(url) as link:
        link.request("step", step=0, region=Region.batch)
        with contextlib.suppress(DeviceError):  # an empty region is refused, and may have been touched
            link.request(name, **fields[name])
        if name == "reset":
            assert link.request("status")[0].state.step == 0
            return
        with pytest.raises(DeviceError) as caught:
            link.request("step", step=0, region=Region.batch)
        assert (caught.value.name, caught.value.detail) == ("wrong_step", 1)


# ---- a device that starts anew


class Restarting:
    """A numpy device behind one address that is another process, without memory, after each `n` requests."""

    def __init__(self, plan, n):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        self._plan, self._n, self.starts = plan, n, 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                host, _ = self._listener.accept()
                self.starts += 1
                with host, serve(Trainer(self._plan, None, 1 << 20), "numpy") as emulator:
                    port = int(emulator.url.rpartition(":")[2])
                    with socket.create_connection(("127.0.0.1", port)) as device:
                        threading.Thread(target=self._answers, args=(device, host), daemon=True).start()
                        left = self._n
                        while left and (data := host.recv(1 << 16)):
                            device.sendall(data)
                            left -= 1

    def _answers(self, device, host):
        with contextlib.suppress(OSError):
            while data := device.recv(1 << 16):
                host.sendall(data)

    def close(self):
        self._listener.close()


def test_a_device_that_restarts_in_mid_training_is_brought_back_by_the_same_command(bundle, tmp_path):
    clean = run(bundle, tmp_path / "clean")
    device = Restarting(small_plan(), 90)
    with contextlib.closing(device):
        again = run(bundle, tmp_path / "restarted", url=device.url)
    assert again[:3] == clean[:3]
    assert device.starts > 1 and again[3]["reconnections"] == device.starts - 1


# ---- ports that change their names


Port = collections.namedtuple("Port", "device vid pid serial_number description")


def test_a_board_is_found_under_the_name_that_it_comes_back_with(monkeypatch):
    plugged = [Port("/dev/ttyACM0", 0x2E8A, 5, "E660", "board"), Port("/dev/ttyUSB0", 0x0403, 0x6001, None, "other")]
    monkeypatch.setattr(ports.system, "comports", lambda: plugged)
    opened = []
    monkeypatch.setattr(ports, "open_stream", lambda url, baud: opened.append(url))
    line = ports.Line("/dev/ttyACM0")
    line.open()
    plugged[0] = plugged[0]._replace(device="/dev/ttyACM1")
    line.open()
    plugged[:] = [Port("/dev/ttyACM0", 0x1111, 5, "X", "another board")]
    with pytest.raises(LinkError, match="another board"):
        line.open()
    assert opened == ["/dev/ttyACM0", "/dev/ttyACM1"]


def test_usb_urls_name_a_board_by_its_numbers(monkeypatch):
    plugged = [Port("/dev/ttyACM0", 0x2E8A, 5, "E660", ""), Port("/dev/ttyACM1", 0x2E8A, 5, "E661", "")]
    monkeypatch.setattr(ports.system, "comports", lambda: plugged)
    assert ports._port_of("usb:E661") == "/dev/ttyACM1"
    with pytest.raises(LinkError, match="2 boards") as caught:
        ports._port_of("usb:2e8a:0005")
    assert "usb:E660" in caught.value.hint
    with pytest.raises(LinkError, match="no board usb:E999") as caught:
        ports._port_of("usb:E999")
    assert "usb:2e8a:0005 at /dev/ttyACM0" in caught.value.hint


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system does not show who holds a port")
def test_a_busy_port_names_who_holds_it():
    master, slave = os.openpty()
    try:
        assert ports._holder(os.ttyname(slave)).endswith(f"(process {os.getpid()})")
    finally:
        os.close(master)
        os.close(slave)


# ---- pieces and times


def test_an_answer_shows_that_the_pieces_sent_before_are_lost():
    pieces = Pieces(100, 2048)
    for sequence in (1, 2, 3):
        assert pieces.next(30) == (30 * sequence - 30, 100)
        pieces.sent(sequence, 30 * sequence, "write", 35)
    assert pieces.came(3)[1] == 2 and pieces.left == 70
    for place in ((0, 30), (30, 60), (90, 100)):
        assert pieces.next(50) == place
        pieces.sent(place[1], place[1], "write", 35)


def test_frames_shrink_with_losses_and_grow_again():
    trips = RoundTrips()
    for _ in range(9):
        trips.lost()
    assert trips.piece_bytes == round_trips.LEAST_BYTES
    for _ in range(20):
        trips.came("write", 0.01, 1)
    assert trips.piece_bytes == LIMIT["max_payload"]


def test_an_echo_is_named(tmp_path):
    server = socket.create_server(("127.0.0.1", 0))

    def echo():
        client, _ = server.accept()
        with client:
            while data := client.recv(4096):
                client.sendall(data)

    threading.Thread(target=echo, daemon=True).start()
    url = f"socket://127.0.0.1:{server.getsockname()[1]}"
    with server, connect(url) as link, pytest.raises(LinkError, match="sends back what it is sent"):
        link.hello(timeout=2)
