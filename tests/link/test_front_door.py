# SPDX-License-Identifier: MIT
"""Who reaches an emulated device: sockets of the user's own, one client at a time."""

import os
import socket
import stat
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import devices
import pytest
from devices import SMALL, connect, fill, rows

from ttzo.device_runtime.contract import Region
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.device import emulated_device, front_door, unix_socket
from ttzo.host_tools.device.ports import LinkError


@pytest.fixture(params=["unix", "tcp"])
def door(request, tmp_path):
    """A door before a device that holds SMALL."""
    with devices.numpy(SMALL) as inner:
        where = {"path": tmp_path / "device"} if request.param == "unix" else {"port": 0}
        with front_door.opened(inner, **where) as made:
            yield made


def test_training_goes_through_the_door(door):
    with connect(door.url) as link:
        link.hello()
        fill(link, Region.batch, rows(SMALL, SMALL.batch))
        assert link.request("step", step=0, region=Region.batch)[0].step == 1


def test_a_second_client_hears_who_the_first_is_and_comes_in_when_he_has_gone(door):
    with connect(door.url) as first:
        first.hello()
        with connect(door.url) as second, pytest.raises(LinkError, match="is in use by") as told:
            second.hello()
        if door.url.startswith("unix:"):
            assert f"(process {os.getpid()})" in str(told.value)
        assert first.request("status")[0].state.step == 0
    with connect(door.url) as third:
        assert third.hello().board.startswith(b"numpy")


def test_a_silent_connection_is_closed_without_a_newcomer(door, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(front_door, "IDLE_S", 0.05)
    monkeypatch.setattr(front_door, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    with connect(door.url) as first:
        first.hello()
        clock[0] += 0.06
        end = time.monotonic() + 60
        while door._client and time.monotonic() < end:
            time.sleep(0.01)
        with pytest.raises(LinkError, match="broke off"):
            first.request("status")
    with connect(door.url) as second:
        second.hello()


def test_a_client_whose_device_is_at_work_is_not_silent(tmp_path, monkeypatch):
    clock, inner = [0.0], tmp_path / "inner"
    monkeypatch.setattr(front_door, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    with (
        unix_socket.listen(inner) as listener,
        front_door.opened(f"unix:{inner}", path=tmp_path / "outer") as made,
        unix_socket.connect(made.url) as client,
        listener.accept()[0] as device,
    ):
        for _ in range(3):
            clock[0] += front_door.IDLE_S - 1
            device.sendall(b"progress")
            assert client.recv(8) == b"progress"
        clock[0] += front_door.IDLE_S + 1
        with unix_socket.connect(made.url), listener.accept()[0]:
            assert client.recv(8) == b""


def test_a_client_that_says_nothing_at_the_door_does_not_stop_the_first(door):
    with connect(door.url) as first:
        first.hello()
        waiting = [unix_socket.connect(door.url) for _ in range(20)]
        assert first.request("status")[0].state.step == 0
        for client in waiting:
            client.close()


def test_a_closed_door_leaves_nothing(tmp_path):
    with devices.numpy(SMALL) as inner:
        with front_door.opened(inner, path=tmp_path / "device") as made:
            assert stat.S_IMODE((tmp_path / "device").stat().st_mode) == 0o600
        assert not (tmp_path / "device").exists()
        with pytest.raises(LinkError, match="nothing listens"):
            connect(made.url)


@pytest.mark.parametrize("url", ["native:", "numpy:"])
def test_an_emulated_device_listens_on_a_socket_of_mode_0600_in_a_folder_of_its_own(tmp_path, url):
    bundle = tmp_path / "model.ttzo"
    bundle.write_bytes(to_bundle.write(SMALL))
    with ExitStack() as owned:
        line = emulated_device.start(url, bundle, SMALL, owned, lambda text: None)
        path = Path(line.removeprefix("unix:"))
        assert stat.S_ISSOCK(path.stat().st_mode) and stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        with connect(line) as link:
            assert link.hello().n_parameters == SMALL.n_parameters
    assert not path.parent.exists()


def test_what_cannot_be_listened_at_is_told(tmp_path):
    with pytest.raises(unix_socket.SocketError, match="no socket can be opened"):
        unix_socket.listen(tmp_path / ("long" * 40))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(unix_socket.SocketError, match=f"port {port} cannot be opened: Address already in use"):
            front_door.opened("unix:/nowhere", port=port)
