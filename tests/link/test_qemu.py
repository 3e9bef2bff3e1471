# SPDX-License-Identifier: MIT
"""The real firmware in emulated boards, and how emulations start, fail and end."""

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from devices import Line, connect, dense_plan, error, fill, native, read_parameters, request, rows
from firmware import MAIN_BOARDS, needs_compiler, needs_qemu, plan_for_firmware, write_bundle

from ttzo.device_runtime.contract import MESSAGE, REPLY, Arithmetic, DeviceError, Estimator, Region
from ttzo.exporter.plan.training import Phase
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.device import qemu
from ttzo.host_tools.device.frames import encode
from ttzo.host_tools.firmware import boards, build
from ttzo.host_tools.firmware.firmware_image import Image

BOARD = boards.load("netduinoplus2")
PLAN = plan_for_firmware()
# A minute of work; the smaller board has room for the loss differences of no more than 15,000 queries.
LONG_STEP = dense_plan(64, 64, 2, batch=32, phases=(Phase(n_queries=10_000),))
STACK_PAINT = 0xC0DEC0DE  # serial.h


@pytest.fixture(scope="module")
def firmware(tmp_path_factory):
    """`firmware(board, plan)`: the report of a build, made once."""
    made = {}

    def get(board, plan):
        key = (board.name, to_bundle.model_hash(plan))
        if key not in made:
            made[key] = build.build(write_bundle(tmp_path_factory.mktemp("bundle"), plan), board)
        return made[key]

    return get


def train(url, plan, steps):
    """Parameters after that many steps on fresh rows each, and the last step's reply."""
    with connect(url) as link:
        link.hello()
        for step in range(steps):
            fill(link, Region.batch, rows(plan, plan.batch, seed=step))
            reply, _ = link.request("step", step=step, region=Region.batch, timeout=60)
        return read_parameters(link, plan), reply


def stack_used(emulation, board, folder):
    """Bytes of stack that were ever written: what startup.c painted and is still so was not."""
    path = folder / "stack"
    emulation.ask("pmemsave", val=board.ram_origin, size=board.stack_bytes, filename=str(path))
    return board.stack_bytes - 4 * int(np.argmax(np.frombuffer(path.read_bytes(), "<u4") != STACK_PAINT))


# ---- the firmware ---------------------------------------------------------------------------------------------------


@needs_compiler
@needs_qemu
@pytest.mark.parametrize("name", MAIN_BOARDS)
def test_firmware_tells_its_board_its_model_and_its_memory(firmware, name):
    board = boards.load(name)
    report = firmware(board, PLAN)
    with qemu.emulated(board, report.elf) as emulation, connect(emulation.url) as link:
        hello = link.hello()
    assert hello.board.rstrip(b"\0").decode() == name
    assert hello.model_hash == to_bundle.model_hash(PLAN)
    assert (hello.work_bytes, hello.work_capacity) == (report.work_needed, report.work_capacity)


@needs_compiler
@needs_qemu
@pytest.mark.parametrize("estimator", (Estimator.rge, Estimator.cge))
@pytest.mark.parametrize("arithmetic", Arithmetic)
@pytest.mark.parametrize("name", MAIN_BOARDS)
def test_board_and_native_train_to_the_same_bits(firmware, tmp_path, name, arithmetic, estimator):
    plan, board = plan_for_firmware(arithmetic, estimator=estimator), boards.load(name)
    with qemu.emulated(board, firmware(board, plan).elf) as emulation:
        on_board = train(emulation.url, plan, 5)
    with native(build.build_native(arithmetic), plan, tmp_path) as url:
        assert train(url, plan, 5) == on_board
    assert on_board[0] != plan.parameters.tobytes()


@needs_compiler
@needs_qemu
def test_stack_stays_below_its_bound(firmware, tmp_path):
    plan = plan_for_firmware(estimator=Estimator.cge)  # the deepest calls
    report = firmware(BOARD, plan)
    with qemu.emulated(BOARD, report.elf) as emulation:
        train(emulation.url, plan, 5)
        with connect(emulation.url) as link:
            fill(link, Region.dataset, rows(plan, 10))
            link.request("evaluate", region=Region.dataset, first_row=0, n_rows=10)
            with pytest.raises(DeviceError):
                link.request("step", step=99, region=Region.batch)
        used = stack_used(emulation, BOARD, tmp_path)
    # The bound holds one interrupt at the deepest place, which hardly ever comes just there.
    assert report.stack_bytes / 2 < used <= report.stack_bytes


@needs_compiler
@needs_qemu
@pytest.mark.parametrize("name", MAIN_BOARDS)
def test_no_byte_is_lost_while_the_board_computes(firmware, name):
    """2,000 bytes arrive during a step that would take a minute: every frame among them gets its answer, then it stops."""
    board = boards.load(name)
    asked = [request(2 + k % 200, "write", tail=bytes(60), region=Region.batch, offset=0) for k in range(30)]
    with qemu.emulated(board, firmware(board, LONG_STEP).elf) as emulation:
        with connect(emulation.url) as link:
            fill(link, Region.batch, rows(LONG_STEP, LONG_STEP.batch))
        with Line(emulation.url) as line:
            line.send(b"".join(map(encode, [request(1, "step", step=0, region=Region.batch), *asked])))
            answered = []
            while len(answered) < len(asked):
                frame = line.frame()
                assert frame.code == MESSAGE["progress"]
                answered += [frame.sequence] if frame.sequence > 1 else []
            assert answered == [frame.sequence for frame in asked]
            line.send(encode(request(250, "cancel")))
            while (frame := line.frame()).code == MESSAGE["progress"]:
                pass
            assert frame.sequence == 1 and error(frame)[0] == DeviceError("cancelled").code
            assert line.step_count() == 0


@needs_compiler
@needs_qemu
def test_a_stack_overflow_restarts_the_board_and_corrupts_nothing(monkeypatch, tmp_path):
    """Firmware whose stack is too small for a step, past the check that refuses it: it starts anew instead."""
    board = BOARD.model_copy(update={"stack_bytes": 1136})
    monkeypatch.setattr(Image, "worst_stack", lambda *_: (0, []))
    report = build.build(write_bundle(tmp_path, PLAN), board)
    with qemu.emulated(board, report.elf) as emulation:
        with connect(emulation.url) as link:
            fill(link, Region.batch, rows(PLAN, PLAN.batch))
        with Line(emulation.url) as line:
            line.send(encode(request(1, "step", step=0, region=Region.batch)))
            line.socket.settimeout(1)
            with pytest.raises(TimeoutError):
                line.frame()
        with connect(emulation.url) as link:
            link.hello()
            with pytest.raises(DeviceError) as refusal:
                link.request("evaluate", region=Region.batch, first_row=0, n_rows=1)
            assert refusal.value.name == "out_of_range"  # the batch went with the restart
            assert link.request("status")[0].state.step == 0
            assert read_parameters(link, PLAN) == PLAN.parameters.tobytes()


@needs_compiler
@needs_qemu
def test_the_next_client_finds_the_board_as_the_last_one_left_it(firmware):
    with qemu.emulated(BOARD, firmware(BOARD, PLAN).elf) as emulation:
        train(emulation.url, PLAN, 2)
        with connect(emulation.url) as link:
            reply, _ = link.request("status")
    assert isinstance(reply, REPLY["status"]) and reply.state.step == 2


# ---- starting and ending --------------------------------------------------------------------------------------------


def listens(url):
    host, port = url.removeprefix("socket://").split(":")
    with contextlib.suppress(ConnectionError), socket.create_connection((host, int(port)), timeout=60):
        return True
    return False


def stops_listening(url, seconds=60):
    end = time.monotonic() + seconds
    while (there := listens(url)) and time.monotonic() < end:
        time.sleep(0.02)
    return not there


@needs_compiler
@needs_qemu
def test_qemu_ends_with_its_block_also_by_an_error(firmware):
    with pytest.raises(RuntimeError), qemu.emulated(BOARD, firmware(BOARD, PLAN).elf) as emulation:
        raise RuntimeError
    assert emulation.process.poll() is not None and not listens(emulation.url)
    emulation.close()  # once more does no harm


@needs_compiler
@needs_qemu
@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv (util-linux) is not installed")
def test_qemu_ends_when_its_parent_is_killed(firmware):
    script = f"""
from pathlib import Path
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.device import qemu
emulation = qemu.emulated(boards.load("netduinoplus2"), Path({str(firmware(BOARD, PLAN).elf)!r}))
print(emulation.url, flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        url = parent.stdout.readline().strip()
        assert listens(url)
        parent.send_signal(signal.SIGKILL)
    assert stops_listening(url)


@needs_qemu
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"qemu_machine": ""}, "QEMU has no machine for netduinoplus2"),
        ({"qemu_machine": "netduinoplus9"}, "does not know the machine"),
        ({"qemu_arguments": ("-nonsense",)}, "QEMU ended: .*nonsense"),
    ],
    ids=["no machine", "unknown machine", "wrong argument"],
)
def test_what_qemu_cannot_run_is_told(tmp_path, change, said):
    (tmp_path / "ttzo.elf").write_bytes(b"")
    with pytest.raises(qemu.QemuError, match=said) as error:
        qemu.emulated(BOARD.model_copy(update=change), tmp_path / "ttzo.elf")
    assert error.value.hint


def test_without_firmware_the_build_is_named(tmp_path):
    with pytest.raises(qemu.QemuError, match="no firmware") as error:
        qemu.emulated(BOARD, tmp_path / "ttzo.elf")
    assert "ttzo build" in error.value.hint


def test_without_qemu_its_package_is_named(monkeypatch, tmp_path):
    (tmp_path / "ttzo.elf").write_bytes(b"")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(qemu.QemuError, match="qemu-system-arm is not installed") as error:
        qemu.emulated(BOARD, tmp_path / "ttzo.elf")
    assert "apt-get install qemu-system-arm" in error.value.hint


@needs_qemu
def test_whatever_keeps_qemu_from_starting_is_told(tmp_path):
    (elf := tmp_path / "ttzo.elf").write_bytes(b"")
    broken = BOARD.model_copy(update={"qemu_arguments": ("no\0word",)})  # which no program can be given
    with pytest.raises(qemu.QemuError, match="cannot be started: embedded null byte"):
        qemu.emulated(broken, elf)
