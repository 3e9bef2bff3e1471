# SPDX-License-Identifier: MIT
"""A device with a key: who is let in, what is refused, and that training is as without one. Counted attacks are in
tests/support/key_attacks.py."""

import random
import re
import shutil
import stat

import devices
import pytest
from click.testing import CliRunner
from devices import SMALL, Line, connect, encode, fill, request, rows
from key_attacks import ASKED, KINDS, Host, attack, keyed

from ttzo.device_runtime.contract import MESSAGE, REPLY, Access, DeviceError, ExitCode, Region, TtzoError
from ttzo.exporter.export import export
from ttzo.exporter.writers import to_bundle, to_c
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.device.faulty_line import Faults
from ttzo.host_tools.device.link import Link
from ttzo.host_tools.device.ports import open_stream
from ttzo.host_tools.firmware import boards, build, key_file
from ttzo.host_tools.firmware.firmware_image import Image

SECRET = bytes(range(32))


@pytest.fixture(params=["native", "numpy"])
def device(request, tmp_path):
    """`device(reading_open=False)`: a context manager that gives a keyed device's URL."""
    return lambda reading_open=False: keyed(request.param, SECRET, tmp_path, reading_open)


def holder(url: str, secret: bytes | None = SECRET) -> Link:
    return Link(open_stream(url), secret=secret)


def three_steps(link: Link) -> bytes:
    link.hello()
    fill(link, Region.batch, rows(SMALL, SMALL.batch))
    for step in range(3):
        link.request("step", step=step, region=Region.batch)
    return devices.read_parameters(link, SMALL)


def test_with_the_key_training_has_the_bits_of_a_device_without_one(device, tmp_path):
    with devices.numpy(SMALL) as url, connect(url) as link:
        wanted = three_steps(link)
    with device() as url, holder(url) as link:
        assert three_steps(link) == wanted


def test_every_attack_is_refused(device):
    with device() as url:
        counts = attack(url, SECRET, rounds=3)
    assert set(counts) == {*KINDS, "the last frame again"} and sum(counts.values()) > 700


@pytest.mark.parametrize(("secret", "error"), [(None, "locked"), (bytes(32), "wrong_key")])
def test_another_key_or_none_is_refused_by_name(device, secret, error):
    with device() as url, holder(url, secret) as link, pytest.raises(DeviceError) as refused:
        link.hello()
    assert refused.value.name == error and refused.value.exit_code == ExitCode.key


def test_a_key_that_nobody_asks_for_is_told():
    """Somebody else may have answered in the device's place."""
    with devices.numpy(SMALL) as url, holder(url) as link, pytest.raises(TtzoError, match="asks for no key") as refused:
        link.hello()
    assert refused.value.exit_code == ExitCode.key


@pytest.mark.parametrize("reading_open", [False, True])
def test_reading_needs_the_key_unless_it_is_open(device, reading_open):
    with device(reading_open) as url, Line(url) as line:
        answer = line.ask(devices.HELLO)
        told = REPLY["hello"].unpack(answer.payload)
        assert told.access == (Access.reading if reading_open else Access.keyed) and any(told.challenge)
        for name in ASKED:
            fields = {"read": {"region": Region.parameters, "offset": 0, "count": 4}}.get(name)
            frame = (
                request(7, name, **fields)
                if fields
                else devices.Frame(7, MESSAGE[name], bytes(devices.REQUEST[name].SIZE))
            )
            answer = line.ask(frame)
            if reading_open and name in ("status", "read"):
                assert answer.code == MESSAGE[name]
            else:
                assert devices.error(answer) == (DeviceError("locked").code, 0)


def test_a_stranger_ends_no_session(device):
    """His HELLO is answered, his proof refused, and the holder goes on with the next number."""
    with device() as url, Line(url) as line:
        host = Host(line, SECRET)
        host.greet()
        host.train()
        before = host.state()
        line.ask(devices.HELLO)
        line.ask(devices.Frame(9, MESSAGE["authenticate"], bytes(32)))
        assert host.state() == before


def test_the_host_takes_no_answer_without_a_seal(device):
    """Answers are forged in an open session: right sequence and code, no seal, or one of another session."""
    with device() as url, holder(url) as link:
        link.hello()
        forged = devices.Frame(link._sequence, MESSAGE["read"], bytes(8))
        assert link._answered(forged) is None
        assert link._answered(forged._replace(code=forged.code | 128, payload=bytes(20))) is None
        progress = forged._replace(code=MESSAGE["progress"])
        assert link._answered(progress) == progress


def test_ctrl_c_ends_the_work_of_a_holder_and_nobody_elses(tmp_path, monkeypatch):
    monkeypatch.setattr("key_attacks.SMALL", devices.LONG_STEP)
    with keyed("native", SECRET, tmp_path) as url, Line(url) as line:
        host = Host(line, SECRET)
        host.greet()
        batch = rows(devices.LONG_STEP, devices.LONG_STEP.batch)
        for at in range(0, len(batch), 900):
            host.ask("write", batch[at : at + 900], region=Region.batch, offset=at)
        host.ask("commit", region=Region.batch, count=len(batch), crc=devices.zlib.crc32(batch))
        step = host.sealed("step", step=0, region=Region.batch)
        line.send(encode(step))
        assert line.frame().code == MESSAGE["progress"]
        line.send(encode(request(99, "cancel")))
        while (answer := line.frame()).sequence != 99:
            pass
        assert answer.code == MESSAGE["progress"]
        line.send(encode(host.sealed("cancel")))
        while (answer := line.frame()).code == MESSAGE["progress"]:
            pass
        assert devices.error(host.holder.unseal(answer)) == (devices.CODE["cancelled"], 0)


def test_a_keyed_run_over_a_bad_line_ends_in_the_same_bits(tmp_path):
    export("digits", tmp_path / "d")
    key_file.write(tmp_path / "key", SECRET)
    runs = []
    for faults in (None, Faults({"flip": 0.001, "disconnect": 0.02}, seed=3)):
        with open_device("native:", tmp_path / "d", key=tmp_path / "key", patience_s=30, faults=faults) as device:
            batch = random.Random(1).randbytes(device.plan.batch * device.plan.row_bytes)
            rows_ = devices.np.frombuffer(batch, devices.np.uint8).reshape(device.plan.batch, -1).copy()
            rows_[:, -2:] = 0
            device.write_batch(rows_)
            for _ in range(3):
                device.step(Region.batch)
            runs.append(device.parameters().tobytes())
    assert runs[0] == runs[1]


# ---- files -----------------------------------------------------------------------------------------------------------


def test_a_key_file_is_its_owners_alone_and_never_written_over(tmp_path):
    secret = key_file.make(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600 and key_file.read(tmp_path / "key") == secret
    with pytest.raises(key_file.KeyFileError, match="already"):
        key_file.make(tmp_path / "key")
    assert key_file.read(tmp_path / "key") == secret
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(key_file.KeyFileError, match="others may use"):
        key_file.read(tmp_path / "key")


@pytest.mark.parametrize("content", [b"", bytes(31), bytes(33)])
def test_what_is_no_key_is_refused(tmp_path, content):
    (tmp_path / "key").write_bytes(content)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(key_file.KeyFileError, match="not a key"):
        key_file.read(tmp_path / "key")


def test_nothing_prints_a_key():
    lock = key_file.Lock(SECRET)
    assert SECRET.hex() not in repr(lock) and str(SECRET) not in repr(lock)


# ---- the command line ------------------------------------------------------------------------------------------------


def ttzo(*words) -> tuple[int, str]:
    done = CliRunner().invoke(main, [str(word) for word in words])
    return done.exit_code, done.output


def test_the_commands_make_and_name_keys_and_print_none_unasked(tmp_path):
    code, made = ttzo("key", "make", tmp_path / "key")
    secret = key_file.read(tmp_path / "key")
    assert code == 0 and key_file.fingerprint(secret) in made and secret.hex() not in made
    assert secret.hex() not in ttzo("key", "show", tmp_path / "key")[1]
    assert secret.hex() in ttzo("key", "show", tmp_path / "key", "--secret")[1]
    assert ttzo("key", "make", tmp_path / "key")[0] == ExitCode.key


def test_a_tcp_port_wants_a_key_or_to_be_open(tmp_path):
    (tmp_path / "model.ttzo").write_bytes(to_bundle.write(SMALL))
    code, said = ttzo("emulate", tmp_path, "--device", "numpy:", "--port", "0")
    assert code == ExitCode.usage and "give --key FILE too, or --open" in said.replace("\n", " ")
    code, said = ttzo("emulate", tmp_path, "--device", "numpy:", "--open")
    assert code == ExitCode.usage and "--port" in said


@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="no cross compiler")
def test_keyed_firmware_holds_the_key_in_files_of_the_user_alone_and_other_firmware_no_part_of_it(tmp_path):
    (tmp_path / "model.ttzo").write_bytes(to_bundle.write(SMALL))
    for name, text in to_c.c_files(SMALL).items():
        (tmp_path / name).write_text(text)
    board = boards.load("netduinoplus2")
    bare = build.build(tmp_path, board)
    assert SECRET not in bare.bin.read_bytes()
    assert not [
        name for name in Image(bare.elf, board.toolchain).symbols if re.match("ttzo_(session|sha256|hmac)", name)
    ]
    keyed_one = build.build(tmp_path, board, lock=key_file.Lock(SECRET))
    assert keyed_one.rebuilt and SECRET in keyed_one.bin.read_bytes()
    assert {stat.S_IMODE(path.stat().st_mode) for path in keyed_one.elf.parent.iterdir()} == {0o600}
    assert not build.build(tmp_path, board, lock=key_file.Lock(SECRET)).rebuilt
