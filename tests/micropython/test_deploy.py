# SPDX-License-Identifier: MIT
"""`ttzo deploy` against a real interpreter's prompt: whole or not at all."""

import dataclasses
import json
import os
import zlib

import numpy as np
import pytest
from bundles import small_plan, wave_plan, write_bundle
from click.testing import CliRunner
from interpreters import Interpreter, built_module

from ttzo.device_runtime.contract import Part, Region
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.device import micropython_board
from ttzo.host_tools.device.device import Device, open_device
from ttzo.host_tools.device.micropython_board import MicroPythonBoard, MicroPythonError
from ttzo.host_tools.device.ports import LinkError
from ttzo.host_tools.micropython import deploy as deploying
from ttzo.host_tools.micropython import native_module
from ttzo.host_tools.micropython.deploy import bundle_name, deploy
from ttzo.host_tools.micropython.native_module import ModuleError, write_package

PLAN = small_plan()
DIR = "small.ttzo"
PYTHON = tuple(f"{name}.mpy" for name in native_module.PYTHON)


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "small", PLAN)


@pytest.fixture
def board(tmp_path):
    """A prompt whose _ttzo comes through ffi, as a firmware's own would."""
    made = Interpreter(tmp_path / "board", "ffi")
    for name in native_module.PYTHON:
        (made.folder / f"{name}.py").unlink()
    return made


@pytest.fixture
def bare(tmp_path):
    """A prompt without _ttzo: deploy has to bring it."""
    made = Interpreter(tmp_path / "bare", "ffi")
    for name in (*(f"{name}.py" for name in native_module.PYTHON), "_ttzo.py", "libttzo.so"):
        (made.folder / name).unlink()
    return made


def files(board) -> dict[str, int]:
    """Checksums of what lies on the board."""
    ours = ("micropython_prompt.py", "_ttzo.py", "libttzo.so")
    return {p.name: zlib.crc32(p.read_bytes()) for p in board.folder.iterdir() if p.is_file() and p.name not in ours}


# ---- what it does ----------------------------------------------------------------------------------------------------


def test_the_board_gets_module_and_bundle_and_proves_its_bits(board, bundle):
    with board.prompt() as url:
        done = deploy(bundle, url, extra={"train.rows": b"rows"})
    assert done.bundle == DIR and done.tested_steps == 1 and done.architecture == "x64"
    assert set(files(board)) == {*PYTHON, DIR, "train.rows"}
    assert (board.folder / DIR).read_bytes() == (bundle / "model.ttzo").read_bytes()


def test_the_native_module_is_built_for_the_board_that_is_there(bare, bundle):
    built_module("x64")  # skipped without a source tree
    with bare.prompt() as url:
        done = deploy(bundle, url, mpy_dir=os.environ["MPY_DIR"])
        assert set(done.copied) == {"_ttzo.mpy", *PYTHON, DIR} and done.tested_steps == 1
        with open_device(f"mpy:{url}", bundle) as device:
            assert device.step_count == 0


def test_an_equation_proves_its_bits_at_its_own_points(board, tmp_path):
    (tmp_path / "wave.ttzo").write_bytes(to_bundle.write(wave_plan()))
    with board.prompt() as url:
        assert deploy(tmp_path / "wave.ttzo", url).tested_steps == 1


def test_a_module_keeps_the_parts_that_another_model_on_the_board_needs(bare, bundle, tmp_path):
    built_module("x64")  # skipped without a source tree
    (tmp_path / "wave.ttzo").write_bytes(to_bundle.write(wave_plan()))
    with bare.prompt() as url:
        told = deploy(tmp_path / "wave.ttzo", url, mpy_dir=os.environ["MPY_DIR"]).module
        assert "parts equations, evaluations, link: " in told
        told = deploy(bundle, url, mpy_dir=os.environ["MPY_DIR"]).module
        assert "parts equations, evaluations, link, curves, rules: " in told
        with open_device(f"mpy:{url}", tmp_path / "wave.ttzo") as device:
            assert device.step(Region.collocation).step == 1


def test_a_board_whose_heap_is_small_gets_no_link_and_proves_its_bits_at_the_prompt(bare, bundle, monkeypatch):
    built_module("x64")  # skipped without a source tree
    facts, heap = MicroPythonBoard.facts, 30_000  # bytes; the module takes 20,000 of them
    monkeypatch.setattr(MicroPythonBoard, "facts", lambda self: dataclasses.replace(facts(self), heap_bytes=heap))
    with bare.prompt() as url:
        done = deploy(bundle, url, mpy_dir=os.environ["MPY_DIR"])
        assert done.module.startswith("built against") and "parts evaluations, curves, rules: " in done.module
        assert done.tested_steps == 1 and deploying.TEST_ROWS not in files(bare)
        with pytest.raises(MicroPythonError, match="built without the link") as error:
            open_device(f"mpy:{url}", bundle)
        assert "train at the prompt" in error.value.hint
    said = bare.error(f"import ttzo; ttzo.load({DIR!r}).serve()")
    assert said == "ImportError: _ttzo was built without the link"


def test_a_board_that_computes_otherwise_at_its_prompt_is_told(bare, bundle, monkeypatch):
    built_module("x64")  # skipped without a source tree
    step = deploying._step_at_prompt
    monkeypatch.setattr(deploying, "_step_at_prompt", lambda *arguments: step(*arguments) + np.float32(1e-3))
    monkeypatch.setattr(deploying, "_has_room", lambda *arguments: False)
    with bare.prompt() as url, pytest.raises(MicroPythonError, match="does not compute the same as the reference"):
        deploy(bundle, url, mpy_dir=os.environ["MPY_DIR"])


def test_a_board_that_refuses_the_self_test_keeps_no_rows_of_it(bare, bundle, monkeypatch):
    built_module("x64")  # skipped without a source tree
    run = MicroPythonBoard.run

    def refuse(self, code, *arguments):
        return run(self, "raise MemoryError" if "m.train(" in code else code, *arguments)

    monkeypatch.setattr(MicroPythonBoard, "run", refuse)
    monkeypatch.setattr(deploying, "_has_room", lambda *arguments: False)
    with bare.prompt() as url, pytest.raises(MicroPythonError, match="MemoryError"):
        deploy(bundle, url, mpy_dir=os.environ["MPY_DIR"])
    assert deploying.TEST_ROWS not in files(bare)


def test_a_module_without_a_part_that_the_model_needs_is_refused(bare, tmp_path):
    built_module("x64")  # skipped without a source tree
    (tmp_path / "wave.ttzo").write_bytes(to_bundle.write(wave_plan()))
    write_package("x64", tmp_path / "module", os.environ["MPY_DIR"], parts=frozenset({Part.split}))
    with (
        bare.prompt() as url,
        pytest.raises(ModuleError, match="without a part that the model needs .part equations, evaluations."),
    ):
        deploy(tmp_path / "wave.ttzo", url, module=tmp_path / "module")
    assert files(bare) == {}


def test_what_is_there_already_is_not_sent_again(board, bundle):
    with board.prompt() as url:
        deploy(bundle, url)
        again = deploy(bundle, url)
    assert again.copied == () and set(again.unchanged) == {*PYTHON, DIR} and again.bytes_sent == 0


def test_a_module_that_is_built_into_the_firmware_is_not_copied(tmp_path, bundle):
    frozen = Interpreter(tmp_path / "frozen", "frozen")
    with frozen.prompt() as url:
        done = deploy(bundle, url)
        assert done.copied == (DIR,) and done.tested_steps == 1
        assert done.module == "built into the firmware with its Python part: not copied"
        put_python(frozen.folder)
        assert set(deploy(bundle, url).unchanged) == {*PYTHON, DIR}, "files go before what is frozen, and are kept up"


def put_python(folder) -> None:
    for name, content in native_module.python_files().items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(("frozen", "copied"), [(True, set()), (False, set(PYTHON))])
def test_only_what_is_not_frozen_is_copied(frozen, copied):
    facts = micropython_board.Facts(6 | 3 << 8, (1, 29, 0), "a board", 1 << 20, 1 << 16, True, "", 15, frozen)
    assert set(deploying._module_files(facts, PLAN, None, None, print)[0]) == copied


def test_the_command_says_what_it_did_to_people_and_to_programs(board, bundle):
    with board.prompt() as url:
        told = CliRunner().invoke(main, ["deploy", str(bundle), "--device", url])
        assert told.exit_code == 0 and "the reference's bits" in told.output and DIR in told.output
        made = CliRunner().invoke(main, ["deploy", str(bundle), "--device", url, "--no-test", "--json"])
    said = json.loads(made.stdout)["deployment"]
    assert said["tested_steps"] == 0 and said["bundle"] == DIR


def test_train_and_eval_take_the_board_for_a_device(board, bundle):
    with board.prompt() as url:
        deploy(bundle, url)
        for command in (["train", "--steps", "6"], ["eval"], ["compare", "--against", "numpy:", "--steps", "3"]):
            words = [
                command[0],
                str(bundle),
                "--device",
                f"mpy:{url}",
                "--data",
                str(bundle / "rows.npz"),
                *command[1:],
            ]
            done = CliRunner().invoke(main, words)
            assert done.exit_code == 0, done.output


# ---- whole or not at all ---------------------------------------------------------------------------------------------


class Pulled(Exception):
    pass


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_plug_pulled_in_the_midst_leaves_what_was_there(board, bundle, share):
    old = {"ttzo.mpy": b"old module", DIR: b"old bundle"}
    for name, content in old.items():
        (board.folder / name).write_bytes(content)
    with board.prompt() as url:

        def pull(done: int, total: int) -> None:
            if done >= share * total:
                board.running.pull_the_plug()

        with pytest.raises((MicroPythonError, LinkError)):
            deploy(bundle, url, on_progress=pull)
    for name, content in old.items():
        assert (board.folder / name).read_bytes() == content
    with board.prompt() as url:
        assert deploy(bundle, url).tested_steps == 1
    assert not [name for name in files(board) if name.endswith(".new")]


def test_what_an_interrupted_conversation_left_on_the_line_is_no_answer(board):
    """As a board whose port was closed in the midst of a command: its answer comes when somebody connects again."""
    with board.prompt() as url:
        cut = MicroPythonBoard(url)
        cut._stream.write(b"import time; time.sleep(0.3); print('stale')\x04")
        cut._stream.close()
        with MicroPythonBoard(url) as prompt:
            assert [prompt.run(f"print({n})").strip() for n in range(3)] == ["0", "1", "2"]


def test_control_c_leaves_nothing_of_the_new_files(board, bundle):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with board.prompt() as url, pytest.raises(KeyboardInterrupt):
        deploy(bundle, url, on_progress=stop)
    assert files(board) == {}


def say_free(monkeypatch, free_bytes: int | None) -> None:
    """What the board says of its file system."""
    facts = MicroPythonBoard.facts
    monkeypatch.setattr(MicroPythonBoard, "facts", lambda self: dataclasses.replace(facts(self), free_bytes=free_bytes))


def test_a_full_file_system_is_told_before_anything_is_written(board, bundle, monkeypatch):
    say_free(monkeypatch, 5000)
    with board.prompt() as url, pytest.raises(MicroPythonError, match="5,000 bytes free"):
        deploy(bundle, url)
    assert files(board) == {}


def test_a_file_system_that_fills_up_meanwhile_keeps_what_was_there(board, bundle, monkeypatch):
    say_free(monkeypatch, None)
    with board.prompt() as url:
        with MicroPythonBoard(url) as prompt:  # FAT of 30 KiB in the board's memory, where the files go
            prompt.run(RAM_DISK + f"f = open({DIR!r}, 'wb'); f.write(b'old'); f.close()")
        with pytest.raises(MicroPythonError, match="OSError: .*28"):
            deploy(bundle, url, extra={"big": bytes(30_000)})
        with MicroPythonBoard(url) as prompt:
            assert prompt.run(f"print(os.listdir(), open({DIR!r}).read())").strip() == f"[{DIR!r}] old"


RAM_DISK = """
import os, vfs
class Ram:
    def __init__(self, n): self.data = bytearray(512 * n)
    def readblocks(self, n, buf): buf[:] = self.data[512 * n:512 * n + len(buf)]
    def writeblocks(self, n, buf): self.data[512 * n:512 * n + len(buf)] = buf
    def ioctl(self, op, arg): return {4: len(self.data) // 512, 5: 512}.get(op, 0)
disk = Ram(60)
vfs.VfsFat.mkfs(disk)
vfs.mount(vfs.VfsFat(disk), '/ram')
os.chdir('/ram')
"""


def test_a_file_that_arrives_damaged_is_not_installed(board, bundle, monkeypatch):
    write = MicroPythonBoard.write_file
    monkeypatch.setattr(
        MicroPythonBoard, "write_file", lambda self, path, content, *rest: write(self, path, content[:-1], *rest)
    )
    with board.prompt() as url, pytest.raises(MicroPythonError, match="arrived damaged"):
        deploy(bundle, url)
    assert files(board) == {}


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_a_module_for_another_architecture_is_refused_with_both_names(bare, bundle, tmp_path):
    header = bytes([ord("M"), 6, 7 << 2 | 3, 31])
    (tmp_path / "_ttzo.mpy").write_bytes(header + bytes(20))
    with bare.prompt() as url, pytest.raises(ModuleError, match="needs a module for x64, but .* is for armv7emsp"):
        deploy(bundle, url, module=tmp_path)
    assert files(bare) == {}


def test_without_a_module_the_error_names_the_architecture(bare, bundle, monkeypatch):
    monkeypatch.delenv("MPY_DIR", raising=False)
    with (
        bare.prompt() as url,
        pytest.raises(
            ModuleError, match="needs a module for x64, this ttzo came without built modules, and none was given"
        ) as error,
    ):
        deploy(bundle, url)
    assert "MPY_DIR" in error.value.hint and files(bare) == {}


@pytest.mark.parametrize(
    ("mpy", "says"), [(0, "loads no native modules"), (6 | 1 << 8 | 7 << 10, "of version 6.1, but ttzo builds 6.3")]
)
def test_a_micropython_that_is_too_old_is_refused_in_a_sentence(bundle, mpy, says):
    facts = micropython_board.Facts(mpy, (1, 20, 0), "an old board", 1 << 20, 1 << 16, False, "", 0)
    with pytest.raises(ModuleError, match=says):
        deploying._module_files(facts, PLAN, None, None, print)


@pytest.mark.parametrize(
    ("told", "loads"), [(6, "armv7m"), (5, "armv7m"), (4, "armv6m"), (7, "armv7emsp"), (0, "none")]
)
def test_a_board_names_the_modules_that_it_loads(told, loads):
    """MicroPython for a Cortex-M3 calls itself armv7em, for which nobody builds modules."""
    facts = micropython_board.Facts(6 | 3 << 8 | told << 10, (1, 29, 0), "a board", 1 << 20, 1 << 16, False, "", 0)
    assert facts.architecture == loads


def test_a_board_whose_memory_is_in_pieces_is_reset_and_serves(board, bundle, monkeypatch):
    run, failed = MicroPythonBoard.run, []

    def fails_once(self, code, *rest):
        if "load(hash)" in code and not failed:
            failed.append(run(self, "torn = True"))
            raise MicroPythonError("the board says: MemoryError: memory allocation failed")
        return run(self, code, *rest)

    with board.prompt() as url:
        deploy(bundle, url, test=False)
        monkeypatch.setattr(MicroPythonBoard, "run", fails_once)
        with open_device(f"mpy:{url}", bundle) as device:
            assert failed and device.step_count == 0
        with MicroPythonBoard(url) as prompt:
            assert prompt.run("print('torn' in globals())").strip() == "False"


def test_a_port_without_a_prompt_is_no_board(native_executable, tmp_path, bundle):
    from devices import native

    with (
        native(native_executable, PLAN, tmp_path) as url,
        pytest.raises(MicroPythonError, match="no MicroPython prompt"),
    ):
        deploy(bundle, url)


def test_a_board_without_the_model_says_what_to_do(board, bundle):
    with board.prompt() as url:
        with pytest.raises(MicroPythonError, match="no module named") as error:
            open_device(f"mpy:{url}", bundle)
        assert "ttzo deploy" in error.value.hint
        put_python(board.folder)
        with pytest.raises(MicroPythonError, match="no bundle file of that model") as error:
            open_device(f"mpy:{url}", bundle)
        assert "ttzo deploy" in error.value.hint


def test_a_board_that_computes_otherwise_is_told(board, bundle, monkeypatch):
    rows = deploying.seeded_rows(PLAN)
    changed = rows.copy()
    changed[0, 0] ^= 16
    other = iter([rows, changed])

    write = Device.write_batch
    monkeypatch.setattr(Device, "write_batch", lambda self, _: write(self, next(other)))
    with board.prompt() as url, pytest.raises(MicroPythonError, match="does not compute the same as the reference"):
        deploy(bundle, url)


def test_the_bundle_is_named_after_its_folder(tmp_path):
    assert bundle_name(tmp_path / "digits" / "model.ttzo") == "digits.ttzo"
    assert bundle_name(tmp_path / "my model (2)" / "model.ttzo") == "my-model-2.ttzo"
    assert bundle_name(tmp_path / "other.ttzo") == "other.ttzo"
