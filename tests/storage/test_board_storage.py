# SPDX-License-Identifier: MIT
"""Firmware that keeps its run: what a board's file says, what is linked, power cuts of emulated boards, and a watchdog that
does not bite during a long step."""

import dataclasses
import subprocess
import time
import zlib

import pytest
from devices import connect, dense_plan, rows
from firmware import needs_compiler, needs_qemu, write_bundle
from power_cuts import Cuts, bundle_in, emulated_power

from ttzo.device_runtime import FOLDER, PORTS
from ttzo.device_runtime.contract import Part, Region
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.parts import parts_of
from ttzo.exporter.plan.training import Phase
from ttzo.exporter.writers.to_bundle import training_records
from ttzo.host_tools.device import qemu, round_trips
from ttzo.host_tools.device.device import read_bundle
from ttzo.host_tools.firmware import boards, build, wear
from ttzo.host_tools.training import kept_run

M4 = ["-mcpu=cortex-m4", "-mthumb"]
M0 = ["-mcpu=cortex-m0plus", "-mthumb"]
DRIVERS = {
    "slots_nrf51": (M0, "-DTTZO_SLOT_0=0x3C000u", "-DTTZO_SLOT_1=0x3E000u", "-DTTZO_SLOT_BYTES=0x2000u"),
    "slots_stm32f4": (M4, "-DTTZO_SLOT_0=0x080C0000u", "-DTTZO_SLOT_1=0x080E0000u", "-DTTZO_SLOT_BYTES=0x20000u"),
    "slots_rp2040": (M0, "-DTTZO_SLOT_0=0x101F0000u", "-DTTZO_SLOT_1=0x101F8000u", "-DTTZO_SLOT_BYTES=0x8000u"),
    "slots_retained": (M4, "-DTTZO_SLOT_0=0x20300000u", "-DTTZO_SLOT_1=0x20320000u", "-DTTZO_SLOT_BYTES=0x20000u"),
    "watchdog_cmsdk": (M4,),
    "watchdog_nrf51": (M0,),
    "watchdog_stm32": (M4,),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return bundle_in(tmp_path_factory.mktemp("board") / "bundle")


@needs_compiler
@pytest.mark.parametrize("driver", DRIVERS)
def test_every_driver_compiles_without_a_warning(driver, tmp_path):
    """Those of the STM32F4 and the RP2040 and two watchdogs run nowhere here."""
    core, *macros = DRIVERS[driver]
    macros += ["-DTTZO_CLOCK_HZ=16000000u", "-DTTZO_WATCHDOG_MS=8000u", "-DTTZO_SLOT_RATED_ERASES=10000u"]
    port, shared = PORTS / "cortex_m", PORTS / "serial"
    command = [
        "arm-none-eabi-gcc",
        *core,
        *build.FLAGS,
        "-Werror",
        *macros,
        f"-I{FOLDER}",
        f"-I{port}",
        f"-I{shared}",
    ]
    folder = shared if driver == "slots_retained" else port
    subprocess.run([*command, "-c", folder / f"{driver}.c", "-o", tmp_path / "driver.o"], check=True)


@pytest.mark.parametrize(("name", "slot"), [("netduinoplus2", 0x080C0000), ("microbit", 0x3C000), ("mps2-an386", None)])
def test_an_image_that_keeps_runs_ends_before_the_slots(name, slot):
    board = boards.load(name)
    kept = board.with_slots()
    assert kept.flash_bytes == (board.flash_bytes if slot is None else slot - board.flash_origin)
    assert min(board.slot_origins) >= (kept.ram_origin + kept.ram_bytes if slot is None else 0)


def test_a_run_that_no_slot_holds_is_refused(bundle):
    plan, board = read_bundle(bundle), boards.load("microbit")
    assert wear.slot_bytes(plan) == 196 + 4 * (plan.n_parameters + plan.n_moments) + 4 + 20
    tight = board.model_copy(update={"slot_bytes": 1024})
    with pytest.raises(PlanError, match=r"takes 4,652 bytes, a slot of microbit has 1,024"):
        wear.require_slots(plan, tight)
    with pytest.raises(PlanError, match="has no memory for runs"):
        wear.require_slots(plan, board.model_copy(update={"slots": ""}))
    assert wear.describe(plan, tight) == ""


def test_wear_is_told_in_erases_an_hour(bundle):
    said = wear.describe(read_bundle(bundle), boards.load("netduinoplus2"))
    assert "every 180 s: 10 erases of each in an hour of training, 10,000 are rated" in said
    assert "does not wear" in wear.describe(read_bundle(bundle), boards.load("mps2-an386"))


def test_only_firmware_that_was_asked_to_keeps_runs(bundle):
    board, parts = boards.load("microbit"), parts_of(read_bundle(bundle)) | {Part.link}
    plain = {path.name for path in build._firmware_sources(parts, board)}
    kept = {path.name for path in build._firmware_sources(parts | {Part.storage}, board)}
    assert kept - plain == {"storage.c", "slots_nrf51.c"} and plain < kept


@needs_compiler
@needs_qemu
@pytest.mark.parametrize("name", ["mps2-an386", "microbit"])
def test_an_emulated_board_that_is_reset_at_random_ends_in_the_same_bits(bundle, tmp_path, name, monkeypatch):
    monkeypatch.setattr(kept_run, "period_s", lambda rated_erases: 0.0)
    with emulated_power(bundle, name) as power:
        seen = Cuts(power, bundle, tmp_path / "run", steps=12, longest_s=1.5)
        seen.run(seed=1, most=1)
    assert seen.held == seen.starts and seen.same == seen.runs == 1


@needs_compiler
@needs_qemu
def test_a_watchdog_does_not_bite_during_a_step_longer_than_it(tmp_path, monkeypatch):
    """Steps of more and more directions, until one takes longer. QEMU is slow where a watchdog is fed: nothing is repeated."""
    monkeypatch.setattr(round_trips, "FIRST_SILENCE_S", 60.0)
    plan = dense_plan(64, 64, 2, batch=16, phases=(Phase(n_queries=800 << 7),))
    training, phase_0, phase_1 = training_records(plan.training)
    board = boards.load("mps2-an386").model_copy(update={"watchdog": "cmsdk", "watchdog_ms": 2000})
    report = build.build(write_bundle(tmp_path / "bundle", plan), board)
    with qemu.emulated(board, report.elf) as emulation, connect(emulation.url) as link:
        session, content = link.hello(timeout=60) and link._session, rows(plan, 16)
        link.write(Region.batch, content, timeout=60)
        link.request("commit", region=Region.batch, count=len(content), crc=zlib.crc32(content), timeout=60)
        control = emulation.ask("human-monitor-command", **{"command-line": "xp /1wx 0x40008008"})
        assert control.split()[-1] == "0x00000003"  # it counts, and resets
        for step, n_queries in enumerate(800 << k for k in range(8)):
            phase_0 = dataclasses.replace(phase_0, n_queries=n_queries)
            link.request("configure", timeout=60, training=training, phase_0=phase_0, phase_1=phase_1)
            began = time.monotonic()
            link.request("step", step=step, region=Region.batch, timeout=60)
            if (seconds := time.monotonic() - began) > 2:
                break
        assert seconds > 2 and link.request("status", timeout=60)[0].state.step == step + 1
        assert link.hello(timeout=60).session_before == session != 0  # no reset has forgotten it
