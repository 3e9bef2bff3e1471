# SPDX-License-Identifier: MIT
"""The native port as a process: what it accepts, how it ends, and that no byte on its line breaks it."""

import os
import random
import signal
import subprocess
import time

import devices
import pytest
from c_library import compile_native
from devices import SMALL, WORK_BYTES, Line, connect, encode, fill, rows

from ttzo.device_runtime.contract import MESSAGE, REQUEST, DeviceError, Region
from ttzo.exporter.costs import memory
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.device.frames import Frame


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "model.ttzo"
    path.write_bytes(to_bundle.write(SMALL))
    return path


def start(*command):
    """A running `ttzo-native` and its URL."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    word, address = process.stdout.readline().decode().split()
    assert word == "listening" and address.startswith("127.0.0.1:")
    return process, f"socket://{address}"


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda data: data[:-1], "bad_bundle (detail 3)"),
        (lambda data: b"", "bad_bundle (detail 1)"),
        (lambda data: b"x" + data[1:], "bad_bundle (detail 2)"),
        (lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:], "bad_bundle (detail 4)"),
        (lambda data: data[:4] + b"\x09\0\0\0" + data[8:], "bad_bundle_format (detail 9)"),
    ],
    ids=["cut", "empty", "magic", "bit", "format"],
)
def test_a_bad_bundle_is_refused_by_its_name(native_executable, bundle, damage, error):
    bundle.write_bytes(damage(bundle.read_bytes()))
    done = subprocess.run(
        [native_executable, bundle], capture_output=True, text=True, timeout=60, stdin=subprocess.PIPE
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert error in done.stderr and str(bundle) in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["MISSING"], 3),
        (["BUNDLE", "--port"], 2),
        (["BUNDLE", "--port", "70000"], 2),
        (["BUNDLE", "--ports", "1"], 2),
        (["BUNDLE", "--work-bytes", "-1"], 2),
    ],
)
def test_wrong_usage_is_told_by_exit_code(native_executable, bundle, arguments, code):
    command = [native_executable, *(str(bundle) if word == "BUNDLE" else word for word in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.PIPE)
    assert done.returncode == code and done.stderr.startswith(("usage", "ttzo-native: "))


def test_a_port_in_use_is_told_by_exit_code(native_executable, bundle):
    with devices.native(native_executable, SMALL, bundle.parent) as url:
        done = subprocess.run(
            [native_executable, bundle, "--port", url.rpartition(":")[2]],
            capture_output=True,
            timeout=60,
            stdin=subprocess.PIPE,
        )
    assert done.returncode == 1 and b"cannot listen" in done.stderr


def test_it_ends_when_its_input_closes_even_while_a_client_is_there(native_executable, bundle):
    process, url = start(native_executable, bundle)
    with process, Line(url) as line:
        line.settle()
        process.stdin.close()
        assert process.wait(60) == 0


def test_it_ends_on_sigterm(native_executable, bundle):
    process, _ = start(native_executable, bundle)
    with process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM


@pytest.mark.parametrize("seconds_without_a_client", [0, 0.3])
def test_it_ends_in_the_middle_of_a_step_when_its_input_closes(native_executable, tmp_path, seconds_without_a_client):
    plan = devices.LONG_STEP
    with devices.native(native_executable, plan, tmp_path) as url:
        with connect(url) as link:
            fill(link, Region.batch, rows(plan, plan.batch))
        with Line(url) as line:
            line.send(encode(devices.request(1, "step", step=0, region=Region.batch)))
            assert line.frame().code == MESSAGE["progress"]
        time.sleep(seconds_without_a_client)
    # leaving `native` closed the input and saw exit code 0 within 60 s; the step alone would take minutes


def test_idle_it_does_not_burn_the_processor(native_executable, bundle):
    process, _ = start(native_executable, bundle)
    with process:
        time.sleep(0.5)
        process.stdin.close()
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    assert usage.ru_utime + usage.ru_stime < 0.1, "0.5 s of busy waiting would be 0.5 s"


def test_too_small_a_work_buffer_is_told_over_the_link(native_executable, tmp_path):
    needed = memory.work_bytes(SMALL)
    with devices.native(native_executable, SMALL, tmp_path, "--work-bytes", str(needed - 1)) as url:
        with Line(url) as line:
            hello = line.ask(devices.HELLO)
            assert (
                hello.code == MESSAGE["hello"] and hello.payload[28:34] == b"native" and not any(hello.payload[52:92])
            )  # nothing of a model
            for name in set(REQUEST) - {"hello", "leave", "progress", "error"}:
                answer = line.ask(Frame(5, MESSAGE[name], bytes(REQUEST[name].SIZE)))
                assert devices.error(answer) == (DeviceError("out_of_memory").code, needed)
        with connect(url) as link, pytest.raises(DeviceError, match=str(needed)):
            link.hello()


def test_the_next_client_finds_the_trainer_as_the_last_one_left_it(native_executable, tmp_path):
    with devices.native(native_executable, SMALL, tmp_path) as url:
        for step in range(3):
            with connect(url) as link:
                fill(link, Region.batch, rows(SMALL, SMALL.batch))
                assert link.request("step", step=step, region=Region.batch)[0].step == step + 1


@pytest.fixture(scope="module")
def sanitized():
    flags = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -static-libasan"
    return compile_native(*flags.split())


def test_under_the_sanitizers_no_bytes_break_it(sanitized, tmp_path):
    """Random bytes, damaged frames, and well-framed requests with random fields."""
    rng = random.Random(2)
    codes = [*MESSAGE.values(), 0, 99]

    def piece():
        kind = rng.randrange(4)
        if kind == 0:
            return rng.randbytes(rng.randrange(1, 1500))
        name = rng.choice(list(REQUEST))
        size = REQUEST[name].SIZE
        if kind == 1:  # right length, any fields
            frame = Frame(rng.randrange(256), MESSAGE[name], rng.randbytes(size))
        elif kind == 2:  # small numbers: what comes past the first check
            frame = Frame(
                rng.randrange(256), MESSAGE[name], bytes(rng.choice([0, 0, 0, 1, 2, 4, 255]) for _ in range(size))
            )
        else:
            frame = Frame(rng.randrange(256), rng.choice(codes), rng.randbytes(rng.choice([0, 1, size, 300, 1024])))
        line = bytearray(encode(frame))
        if rng.random() < 0.2:
            line[rng.randrange(len(line))] = rng.randrange(256)
        return bytes(line)

    with devices.native(sanitized, SMALL, tmp_path, "--work-bytes", str(WORK_BYTES)) as url, Line(url) as line:
        for _ in range(60):
            line.send(b"".join(piece() for _ in range(50)))
            line.settle()


def test_under_the_sanitizers_a_session_runs_clean(sanitized, tmp_path):
    with devices.native(sanitized, SMALL, tmp_path, "--work-bytes", str(WORK_BYTES)) as url, connect(url) as link:
        link.hello()
        fill(link, Region.batch, rows(SMALL, SMALL.batch))
        fill(link, Region.dataset, rows(SMALL, 16))
        fill(link, Region.parameters, SMALL.parameters.tobytes())
        for step in range(4):
            link.request("step", step=step, region=Region.batch if step % 2 else Region.dataset)
        link.request("evaluate", region=Region.dataset, first_row=3, n_rows=13)
        assert len(link.request("predict", row=3, first=0)[1]) == 4 * SMALL.out_features
        link.request("reset")
