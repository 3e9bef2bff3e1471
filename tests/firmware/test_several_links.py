# SPDX-License-Identifier: MIT
"""Two links in one firmware, each with a port and a trainer of its own: built, and the stack it needs is forecast."""

import struct
import zlib

import numpy as np
import pytest
from firmware import needs_compiler, plan_for_firmware, write_bundle
from plans import random_rows

from ttzo.device_runtime.contract import HASH, MESSAGE, MESSAGE_HASH, REQUEST, Region
from ttzo.exporter.costs.memory import work_bytes
from ttzo.host_tools.device.link import Frame, encode
from ttzo.host_tools.firmware import boards, build

pytest.importorskip("unicorn", reason="needs the extra `bench`")

PLAN = plan_for_firmware()
BOARD = boards.load("mps2-an386")
PAYLOAD = 256
MAIN = """
#include "serial.h"
#include "link/link.h"
extern const struct ttzo_model ttzo_model;
static const uint8_t asked[] = { %s };
struct memory { uint32_t at; uint32_t sent; };
static struct memory memories[2];
static uint32_t memory_port_read(void *context, uint8_t *bytes, uint32_t capacity)
{
    struct memory *memory = context;
    uint32_t n = 0;
    while (n < capacity && memory->at < sizeof asked)
        bytes[n++] = asked[memory->at++];
    return n;
}
static void memory_port_write(void *context, const uint8_t *bytes, uint32_t count)
{
    struct memory *memory = context;
    if (count && bytes)
        memory->sent += count;
}
static uint8_t frames[2][TTZO_PORT_BUFFER_BYTES(%du)];
static struct ttzo_trainer trainers[2];
static struct ttzo_link links[2];
static uint64_t work[2][%d];
int poll_both(uint32_t *steps);
static enum ttzo_error start(uint32_t i, uint32_t *detail)
{
    const struct ttzo_port port = { memory_port_read, memory_port_write, &memories[i], frames[i], %du };
    enum ttzo_error error = ttzo_open(&trainers[i], &ttzo_model, work[i], sizeof work[i], detail);
    return ttzo_link_init(&links[i], &port, &trainers[i], "two", error, *detail);
}
int poll_both(uint32_t *steps)
{
    for (uint32_t i = 0; i < 2; i++)
        if (start(i, steps))
            return 1;
    for (uint32_t i = 0; i < 2; i++)
        ttzo_link_poll(&links[i]);
    *steps = trainers[0].state.step + trainers[1].state.step;
    for (uint32_t i = 0; i < ttzo_model.info.n_parameters; i++)
        if (trainers[0].theta[i] != trainers[1].theta[i])
            return 2;
    return trainers[0].theta[0] == ttzo_model.parameters[0] ? 3 : 0;
}
int main(void)
{
    uint32_t detail = 0;
    (void)poll_both(&detail);
    ttzo_port_start();
    for (;;)
        ttzo_port_idle();
}
"""


def requests() -> bytes:
    """HELLO, a batch in pieces that fit the port, and a step."""
    rows = random_rows(np.random.default_rng(3), PLAN, PLAN.batch).tobytes()
    most = PAYLOAD - REQUEST["write"].SIZE
    hashes = {"hello_hash": MESSAGE_HASH["hello"], "leave_hash": MESSAGE_HASH["leave"]}
    asked = [("hello", REQUEST["hello"](**{"contract_hash": HASH, **hashes, **session()}).pack())]
    asked += [
        ("write", struct.pack("<BI", Region.batch, at) + rows[at : at + most]) for at in range(0, len(rows), most)
    ]
    asked += [("commit", REQUEST["commit"](region=Region.batch, count=len(rows), crc=zlib.crc32(rows)).pack())]
    asked += [("step", REQUEST["step"](step=0, region=Region.batch).pack())]
    return b"".join(encode(Frame(n + 1, MESSAGE[name], body)) for n, (name, body) in enumerate(asked))


def session() -> dict[str, int]:
    """What else HELLO says of the host."""
    return {name: 7 for _, name in REQUEST["hello"].FIELDS if not name.endswith("_hash")}


@needs_compiler
def test_two_links_train_within_the_forecast_stack(monkeypatch, tmp_path):
    from ttzo.host_tools.measure.instruction_count import Machine

    main = tmp_path / "main.c"
    main.write_text(MAIN % (", ".join(map(str, requests())), PAYLOAD, work_bytes(PLAN) // 8 + 1, PAYLOAD))
    usual = build._firmware_sources
    monkeypatch.setattr(build, "_firmware_sources", lambda *a: [main if p.name == "main.c" else p for p in usual(*a)])
    report = build.build(write_bundle(tmp_path / "bundle", PLAN), BOARD)
    machine = Machine(BOARD, report)
    machine.call("poll_both")
    assert struct.unpack("<I", machine.read(machine.host - 8, 4))[0] == 2  # a step on each
    assert machine.stack_bytes() <= report.stack_bytes
