# SPDX-License-Identifier: MIT
"""A simulation as the section of a bundle: contract record `simulation_info`, unknowns, scales, programs. Its names stand in
the bundle's metadata."""

import struct
from typing import Any

from ttzo.device_runtime.contract import LIMIT, DeviceError, SimulationInfo, UnknownRecord
from ttzo.exporter.ode.model import TIME_UNITS
from ttzo.exporter.ode.simulation import Simulation
from ttzo.exporter.pde.program import Program
from ttzo.exporter.pde.program_bytes import program_bytes, read_program

NAMES = ("states", "inputs", "unknowns", "measured")


def write(simulation: Simulation) -> bytes:
    """The section's bytes, a multiple of four."""
    rows = zip(simulation.low, simulation.high, simulation.units, strict=True)
    unknowns = b"".join(UnknownRecord(*row).pack() for row in rows)
    scales = struct.pack(f"<{len(simulation.scales)}f", *simulation.scales)
    body = unknowns + scales + b"".join(map(program_bytes, simulation.programs))
    info = SimulationInfo(
        section_bytes=SimulationInfo.SIZE + len(body),
        n_states=len(simulation.states),
        n_inputs=len(simulation.inputs),
        n_measured=len(simulation.measured),
        n_starts=simulation.n_starts,
        tries=simulation.tries,
        reserved=0,
        linear_inputs=simulation.linear_inputs,
        substep=simulation.substep,
        spread=simulation.spread,
    )
    return info.pack() + body


def names(simulation: Simulation) -> dict[str, Any]:
    """What the metadata hold of it."""
    return {name: list(getattr(simulation, name)) for name in NAMES} | {"time": simulation.time}


def read(data: bytes, page: Any, n_unknowns: int) -> tuple[Simulation, int]:
    """The simulation of a section at the start of `data`, with the names of the metadata's `page`, and the section's length.
    Raises `DeviceError("bad_bundle", 8)`."""
    try:
        return _read(data, page, n_unknowns)
    except (ValueError, KeyError, TypeError, IndexError, struct.error, DeviceError) as error:
        raise DeviceError("bad_bundle", 8) from error


def _read(data: bytes, page: Any, n_unknowns: int) -> tuple[Simulation, int]:
    info, at = SimulationInfo.unpack(data), SimulationInfo.SIZE
    if n_unknowns > LIMIT["max_unknowns"]:
        raise ValueError(f"{n_unknowns} unknowns")
    unknowns = [UnknownRecord.unpack(data[at + k * UnknownRecord.SIZE :]) for k in range(n_unknowns)]
    at += n_unknowns * UnknownRecord.SIZE
    scales = struct.unpack_from(f"<{info.n_measured}f", data, at)
    at += 4 * info.n_measured
    programs: list[Program] = []
    for _ in range(2 * info.n_states + info.n_measured):
        program, at = read_program(data, at)
        programs.append(program)
    made = Simulation(
        **_names(page, info, n_unknowns),
        low=tuple(each.low for each in unknowns),
        high=tuple(each.high for each in unknowns),
        units=tuple(each.unit for each in unknowns),
        scales=scales,
        linear_inputs=info.linear_inputs,
        substep=info.substep,
        spread=info.spread,
        n_starts=info.n_starts,
        tries=info.tries,
        rates=tuple(programs[: info.n_states]),
        initial=tuple(programs[info.n_states : 2 * info.n_states]),
        readings=tuple(programs[2 * info.n_states :]),
    )
    if write(made) != data[: info.section_bytes]:
        raise ValueError("the section is not what it describes")
    return made, info.section_bytes


def _names(page: Any, info: SimulationInfo, n_unknowns: int) -> dict[str, Any]:
    sizes = {
        "states": info.n_states,
        "inputs": info.n_inputs,
        "unknowns": n_unknowns,
        "measured": info.n_measured,
    }
    made: dict[str, Any] = {name: tuple(page[name]) for name in NAMES}
    for name, size in sizes.items():
        if len(made[name]) != size or not all(isinstance(each, str) for each in made[name]):
            raise ValueError(f"the metadata do not name the {name}")
    if page["time"] not in TIME_UNITS:
        raise ValueError(f"the metadata name no unit of time: {page['time']!r}")
    return made | {"time": page["time"]}
