# SPDX-License-Identifier: MIT
"""A MicroPython board that serves on a stream and asks for a key: in real interpreters, over a socket."""

import devices
import pytest
from devices import SMALL
from interpreters import FORMS, Interpreter, served, with_key_part
from key_attacks import KINDS, attack

from ttzo.device_runtime.contract import DeviceError, ExitCode, Part, Region
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.device.link import Link
from ttzo.host_tools.device.ports import open_stream
from ttzo.host_tools.firmware import key_file

SECRET = bytes(range(32))


@pytest.fixture(scope="module", params=FORMS)
def board(request, tmp_path_factory):
    made = with_key_part(tmp_path_factory.mktemp("board"), request.param)
    (made.folder / "model.ttzo").write_bytes(to_bundle.write(SMALL))
    key_file.write(made.folder / "key", SECRET)
    return made


def three_steps(link: Link) -> bytes:
    link.hello()
    devices.fill(link, Region.batch, devices.rows(SMALL, SMALL.batch))
    for step in range(3):
        link.request("step", step=step, region=Region.batch)
    return devices.read_parameters(link, SMALL)


def test_with_the_key_training_has_the_bits_of_the_reference_and_without_it_there_is_none(board):
    with devices.numpy(SMALL) as url, devices.connect(url) as link:
        wanted = three_steps(link)
    with served(board, "key='key'") as url:
        with Link(open_stream(url), secret=SECRET) as link:
            assert three_steps(link) == wanted
        with Link(open_stream(url)) as link, pytest.raises(DeviceError) as refused:
            three_steps(link)
        assert refused.value.name == "locked" and refused.value.exit_code == ExitCode.key


def test_attacks_are_refused(board):
    with served(board, f"key={SECRET!r}") as url:
        counts = attack(url, SECRET, 2)
    assert set(counts) == {*KINDS, "the last frame again"} and all(counts.values())


def test_a_module_without_the_part_says_so(tmp_path):
    made = Interpreter(tmp_path / "board", "native")
    (made.folder / "model.ttzo").write_bytes(to_bundle.write(SMALL))
    code = f"import ttzo, sys\nttzo.load('model.ttzo').serve(sys.stdin.buffer, key={SECRET!r})"
    assert made.error(code).endswith(f"a part that the model needs (part {Part.key.value})")


@pytest.mark.parametrize("key", ["bytes(31)", "b''", "'no such file'"])
def test_what_is_no_key_is_refused_before_anything_is_served(board, key):
    told = board.error(f"import ttzo\nttzo.load('model.ttzo').serve(None, key={key})")
    assert told.startswith(("ValueError: a key has 32 bytes", "OSError"))
