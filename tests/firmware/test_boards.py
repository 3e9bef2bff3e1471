# SPDX-License-Identifier: MIT
"""Board files: the ones that come with ttzo, a user's own, and damaged ones."""

import json
import tomllib

import pydantic
import pytest

from ttzo.device_runtime.contract import TtzoError
from ttzo.host_tools.firmware import boards

PAGE = tomllib.loads((boards.FOLDER / "netduinoplus2.toml").read_text(encoding="utf-8"))


def write(path, page):
    """A flat TOML: its values look as in JSON."""
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in page.items()), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", boards.names())
def test_a_board_that_comes_with_ttzo_loads_by_its_file_name(name):
    assert boards.load(name).name == name


def test_the_boards_of_the_main_job_are_there():
    assert {"netduinoplus2", "mps2-an386"} <= set(boards.names())


@pytest.mark.parametrize("name", boards.names())
def test_a_current_names_its_source_and_that_nobody_measured_it_here(name):
    lines = (boards.FOLDER / f"{name}.toml").read_text(encoding="utf-8").splitlines()
    at = [number for number, line in enumerate(lines) if line.startswith("active_milliamperes")]
    assert bool(at) == bool(boards.load(name).active_milliamperes)
    for number in at:
        assert lines[number - 1].startswith("# Current: ") and "Not measured" in lines[number - 1]


def test_a_users_own_file_is_a_board(tmp_path):
    board = boards.load(write(tmp_path / "mine.toml", PAGE | {"name": "mine", "ram_bytes": 0x30000}))
    assert (board.name, board.ram_bytes, board.flash_bytes) == ("mine", 0x30000, PAGE["flash_bytes"])


def test_a_board_does_not_change():
    with pytest.raises(pydantic.ValidationError):
        boards.load("netduinoplus2").ram_bytes = 1


@pytest.mark.parametrize("name", boards.names())
def test_room_is_what_stack_and_variables_leave(name):
    board = boards.load(name)
    assert board.room.ram_bytes + board.stack_bytes + board.static_bytes == board.ram_bytes
    assert board.room.flash_bytes == board.flash_bytes


def test_netduinoplus2_stays_inside_the_chip():
    """STM32F405RG data sheet: 1 MiB flash, 128 KiB of SRAM in one piece; QEMU would give more."""
    board = boards.load("netduinoplus2")
    assert (board.flash_origin, board.flash_bytes) == (0x08000000, 1 << 20)
    assert (board.ram_origin, board.ram_bytes) == (0x20000000, 128 << 10)


@pytest.mark.parametrize("field", [name for name in PAGE if boards.Board.model_fields[name].is_required()])
def test_a_missing_field_is_named(tmp_path, field):
    path = write(tmp_path / "board.toml", {name: value for name, value in PAGE.items() if name != field})
    with pytest.raises(TtzoError, match=f"board.toml: {field}: ") as error:
        boards.load(path)
    assert error.value.hint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": "red"}, "colour"),
        ({"ram_bytes": "128K"}, "ram_bytes"),
        ({"ram_bytes": 131072.5}, "ram_bytes"),
        ({"ram_bytes": -1}, "ram_bytes"),
        ({"flash_origin": 1 << 32}, "flash_origin"),
        ({"name": "Netduino Plus 2"}, "name"),
        ({"name": "n" * 24}, "name"),
        ({"arithmetics": ["exact"]}, "arithmetics"),
        ({"cpu_flags": "-mthumb"}, "cpu_flags"),
        ({"stack_bytes": 4098}, "stack_bytes"),
        ({"stack_bytes": 131072}, "stack_bytes"),
        ({"code_bytes": 1 << 20}, "flash_bytes has no room for the firmware: 1,048,576"),
        ({"flash_bytes": 0x4000}, "flash_bytes has no room for the firmware: 22,"),
        ({"uart": "pigeon"}, "uart is 'pigeon'; there are: cmsdk, nano33ble, nrf51, rp2040, stm32, "),
        ({"uart": "../native/main"}, "uart"),
        ({"clock": "sundial"}, "clock is 'sundial'; there are: fixed, rp2040, stm32f405, stm32l4"),
        ({"slots": "tape"}, "slots is 'tape'; there are: nrf51, retained, rp2040, stm32f4"),
        ({"slots": ""}, "slots is empty"),
        ({"slot_origins": [0x080C0000]}, "two addresses"),
        ({"slot_origins": [0x080C0000, 0x080C0000]}, "overlap"),
        ({"slot_origins": [0x08000000, 0x080E0000]}, "leave no room"),
        ({"watchdog": "stm32"}, "belong together"),
        ({"port": "native"}, "port is 'native'; there are: cortex_m, riscv"),
        ({"baud": 168_000_000}, "baud"),
        ({"uart_irq": 240}, "uart_irq"),
        ({"instruction_ratio": 0.0}, "instruction_ratio"),
        ({"supply_volts": 0.0}, "belong together"),
    ],
)
def test_a_wrong_value_is_named_with_its_file(tmp_path, change, said):
    path = write(tmp_path / "board.toml", PAGE | change)
    with pytest.raises(TtzoError) as error:
        boards.load(path)
    assert str(path) in str(error.value) and said in str(error.value)
    assert error.value.hint


def test_all_wrong_keys_are_named_at_once(tmp_path):
    page = {name: value for name, value in PAGE.items() if name != "uart"} | {"baud": 0, "colour": "red"}
    with pytest.raises(TtzoError) as error:
        boards.load(write(tmp_path / "board.toml", page))
    said = str(error.value).partition("board.toml: ")[2].split("; ")
    assert [each.partition(":")[0] for each in said] == ["uart", "baud", "colour"]
    assert said[1].endswith("(it is 0)")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"name = ", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        (b"", "Field required"),
    ],
    ids=["missing", "cut", "binary", "empty"],
)
def test_a_damaged_file_is_named(tmp_path, content, said):
    path = tmp_path / "board.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TtzoError) as error:
        boards.load(path)
    assert str(path) in str(error.value) and said in str(error.value)
    assert error.value.hint


def test_an_unknown_board_gets_the_names_of_those_known():
    with pytest.raises(TtzoError) as error:
        boards.load("arduino")
    assert "arduino" in str(error.value)
    assert all(name in error.value.hint for name in boards.names())
