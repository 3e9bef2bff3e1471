# SPDX-License-Identifier: MIT
"""The device side in Python: its socket's lifetime, and the same device on a terminal."""

import os
import select
import threading

import devices
import pytest
from devices import LONG_STEP, SMALL, Line, connect, encode, fill, request, rows

from ttzo.device_runtime.contract import MESSAGE, Region
from ttzo.host_tools.device.link import Link
from ttzo.host_tools.device.ports import open_stream
from ttzo.host_tools.device.python_device import DeviceSide, serve
from ttzo.host_tools.reference.train.trainer import Trainer


def test_it_serves_one_client_after_the_other_on_one_trainer():
    with devices.numpy(SMALL) as url:
        for step in range(3):
            with connect(url) as link:
                fill(link, Region.batch, rows(SMALL, SMALL.batch))
                assert link.request("step", step=step, region=Region.batch)[0].step == step + 1


def test_a_second_client_waits_for_its_turn():
    with devices.numpy(SMALL) as url, Line(url) as second_but_first:
        second_but_first.settle()
        with Line(url) as waiting:
            waiting.send(encode(devices.HELLO))
            waiting.socket.settimeout(0.2)
            with pytest.raises(TimeoutError):
                waiting.frame()
            second_but_first.socket.close()
            waiting.socket.settimeout(60)
            assert waiting.frame().code == MESSAGE["hello"]


def test_closing_ends_work_under_way_and_leaves_the_trainer_whole():
    trainer = Trainer(LONG_STEP)
    emulator = serve(trainer, "numpy")
    with Line(emulator.url) as line, connect(emulator.url) as link:
        line.socket.close()
        fill(link, Region.batch, rows(LONG_STEP, LONG_STEP.batch))
    with Line(emulator.url) as line:
        line.send(encode(request(1, "step", step=0, region=Region.batch)))
        assert line.frame().code == MESSAGE["progress"]
        emulator.close()
        with pytest.raises((ConnectionError, TimeoutError)):
            while True:
                line.frame()
    assert trainer.state.step == 0
    assert trainer.theta.tobytes() == LONG_STEP.parameters.tobytes()


def test_a_client_that_leaves_in_the_middle_of_a_step_does_not_stop_it():
    with devices.numpy(SMALL) as url:
        with connect(url) as link:
            fill(link, Region.batch, rows(SMALL, SMALL.batch))
        with Line(url) as line:
            line.send(encode(request(1, "step", step=0, region=Region.batch)))
        with Line(url) as line:
            assert line.step_count() == 1


def test_the_link_runs_over_a_terminal_too():
    """A pseudo-terminal is what a serial port looks like to pyserial: all 256 byte values pass both ways."""
    master, slave = os.openpty()
    ending = threading.Event()

    def receive():
        ready, _, _ = select.select([master], [], [], 0.02)
        return os.read(master, 4096) if ready else b""

    device = DeviceSide(Trainer(SMALL), "pty", receive, lambda data: os.write(master, data))
    thread = threading.Thread(target=lambda: [device.poll() for _ in iter(ending.is_set, True)])
    with Link(open_stream(os.ttyname(slave))) as link:
        thread.start()
        try:
            assert link.hello().board.startswith(b"pty")
            every_byte = bytes(range(256))[: 4 * SMALL.n_parameters]
            link.request("write", tail=every_byte, region=Region.parameters, offset=0)
            fill(link, Region.batch, rows(SMALL, SMALL.batch))
            assert link.request("step", step=0, region=Region.batch)[0].step == 1
        finally:
            ending.set()
            thread.join()
    os.close(master)
    os.close(slave)
