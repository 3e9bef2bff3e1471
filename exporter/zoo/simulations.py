# SPDX-License-Identifier: MIT
"""Simulations with unknown constants by name: a house, a heater block, a battery."""

from collections.abc import Callable

from ttzo.exporter import ode

OPEN_CIRCUIT = ([0.0, 0.1, 0.3, 0.6, 0.9, 1.0], [3.0, 3.45, 3.6, 3.8, 4.05, 4.2])  # volts over the state of charge


def house() -> ode.Model:
    """Two heat capacities (kWh/K) and two resistances (K/kW): air and walls, heated by a switched heater (kW)."""
    return ode.Model(
        time="h",
        substep=0.05,
        states={"room": 20.0, "walls": 17.0},
        inputs=["outdoor", "heating"],
        linear=["outdoor"],
        unknowns={"C_room": 0.5, "C_walls": 6.0, "R_inside": 1.6, "R_outside": 5.0},
        rates=lambda m: {
            "room": ((m.walls - m.room) / m.R_inside + m.heating) / m.C_room,
            "walls": ((m.room - m.walls) / m.R_inside + (m.outdoor - m.walls) / m.R_outside) / m.C_walls,
        },
        measured={"indoor": "room"},
    )


def heater() -> ode.Model:
    """A heated block: gain (K/W), its time constant and the sensor's lag (s); both begin at the ambient temperature."""
    return ode.Model(
        time="s",
        substep=1.0,
        states={"block": lambda m: m.ambient, "sensor": lambda m: m.ambient},
        inputs=["ambient", "power"],
        linear=["ambient"],
        unknowns={"gain": 2.0, "tau": ode.Unknown(80.0, 5.0, 5000.0), "lag": ode.Unknown(8.0, 1.0, 200.0)},
        rates=lambda m: {
            "block": (m.ambient + m.gain * m.power - m.block) / m.tau,
            "sensor": (m.block - m.sensor) / m.lag,
        },
        measured={"temperature": "sensor"},
    )


def battery() -> ode.Model:
    """A cell with its open-circuit voltage curve: capacity (Ah), series resistance, and an R-C pair (ohm, its time
    constant in s); positive current discharges."""
    return ode.Model(
        time="s",
        substep=5.0,
        states={"charge": 1.0, "pair": 0.0},
        inputs=["current"],
        unknowns={"capacity": 2.5, "R_series": 0.05, "R_pair": 0.03, "tau": ode.Unknown(40.0, 3.0, 2000.0)},
        rates=lambda m: {
            "charge": -m.current / (3600.0 * m.capacity),
            "pair": (m.R_pair * m.current - m.pair) / m.tau,
        },
        measured={"voltage": lambda m: ode.curve(m.charge, *OPEN_CIRCUIT) - m.pair - m.R_series * m.current},
    )


SIMULATIONS: dict[str, Callable[[], ode.Model]] = {"house": house, "heater": heater, "battery": battery}
