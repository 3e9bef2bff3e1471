# SPDX-License-Identifier: MIT
"""A PDE as the section of a bundle: contract record `pde_info`, bounds, row groups, programs, sparse grid."""

import struct

from ttzo.device_runtime.contract import (
    Derivative,
    DeviceError,
    PdeDirectionRecord,
    PdeInfo,
    RowGroupRecord,
    Sampler,
)
from ttzo.exporter.pde.program import Direction, Pde, Program, RowGroup
from ttzo.exporter.pde.program_bytes import program_bytes, read_program
from ttzo.exporter.pde.sparse_grid import SparseGrid

CLASS_FORMAT = "<fB7B"  # struct ttzo_sparse_class


def write(pde: Pde) -> bytes:
    """The section's bytes, a multiple of four."""
    bounds = struct.pack(f"<{2 * pde.n_inputs}f", *pde.low, *pde.high)
    directions = b"".join(
        PdeDirectionRecord(each.first, each.second, each.factor, each.order, b"").pack() for each in pde.directions
    )
    groups = b"".join(
        RowGroupRecord(
            group.sampler,
            group.condition.needs,
            group.count,
            group.root_weight,
            group.first_face,
            group.n_faces,
        ).pack()
        for group in pde.groups
    )
    numbers = [*pde.units, *(number for reading in pde.readings for number in reading)]
    directions += struct.pack(f"<{len(numbers)}f", *numbers)
    body = bounds + directions + groups + b"".join(map(program_bytes, pde.programs)) + _grid_bytes(pde.grid)
    info = PdeInfo(
        section_bytes=PdeInfo.SIZE + len(body),
        n_space=pde.n_space,
        has_time=pde.has_time,
        derivative=pde.derivative,
        n_groups=len(pde.groups),
        has_exact=pde.exact is not None,
        n_classes=len(pde.grid.classes) if pde.grid else 0,
        n_values=len(pde.grid.values) if pde.grid else 0,
        level=pde.level,
        has_points=bool(pde.points),
        n_directions=len(pde.directions),
        n_unknowns=len(pde.units),
        n_pairs=pde.n_pairs,
        validation_seed=pde.validation_seed,
        radius=pde.radius,
        n_readings=len(pde.readings),
        n_measured=pde.n_measured,
        n_sampled=pde.n_sampled,
        n_vectors=len(pde.vectors),
        reserved=b"",
    )
    return info.pack() + body


def _grid_bytes(grid: SparseGrid | None) -> bytes:
    if grid is None:
        return b""
    values = struct.pack(f"<{len(grid.values)}f", *grid.values)
    classes = [
        struct.pack(
            CLASS_FORMAT, c.weight, len(c.values), *[grid.values.index(v) for v in c.values], *[0] * (7 - len(c.values))
        )
        for c in grid.classes
    ]
    return values + b"".join(classes)


def read(data: bytes, n_outputs: int) -> tuple[Pde, int]:
    """The PDE of a section at the start of `data`, for a network of so many outputs, and the section's length. Raises `DeviceError("bad_bundle", 6)`."""
    try:
        return _read(data, n_outputs)
    except (ValueError, IndexError, struct.error, DeviceError) as error:
        raise DeviceError("bad_bundle", 6) from error


def _read(data: bytes, n_outputs: int) -> tuple[Pde, int]:
    info, at = PdeInfo.unpack(data), PdeInfo.SIZE
    n_inputs = info.n_space + info.has_time

    def take(form: str) -> tuple:
        nonlocal at
        at += struct.calcsize(form)
        return struct.unpack_from(form, data, at - struct.calcsize(form))

    def take_program() -> Program:
        nonlocal at
        program, at = read_program(data, at)
        return program

    low, high = take(f"<{n_inputs}f"), take(f"<{n_inputs}f")
    directions = [
        PdeDirectionRecord.unpack(bytes(take(f"<{PdeDirectionRecord.SIZE}s")[0])) for _ in range(info.n_directions)
    ]
    units = take(f"<{info.n_unknowns}f")
    readings = tuple(take(f"<{n_inputs + info.n_measured}f") for _ in range(info.n_readings))
    heads = [RowGroupRecord.unpack(bytes(take(f"<{RowGroupRecord.SIZE}s")[0])) for _ in range(info.n_groups)]
    conditions = [take_program() for _ in heads]
    groups = [
        RowGroup(Sampler(h.sampler), h.count, h.root_weight, c, h.first_face, h.n_faces)
        for h, c in zip(heads, conditions, strict=True)
    ]
    made = Pde(
        n_space=info.n_space,
        has_time=bool(info.has_time),
        low=low,
        high=high,
        groups=tuple(groups),
        solution=tuple(take_program() for _ in range(n_outputs)),
        exact=tuple(take_program() for _ in range(n_outputs)) if info.has_exact else None,
        points=tuple(take_program() for _ in range((1 + info.has_time) * info.has_points)),
        vectors=tuple(take_program() for _ in range(info.n_vectors)),
        directions=tuple(Direction(d.first, d.second, d.factor, d.order) for d in directions),
        units=units,
        readings=readings,
        derivative=Derivative(info.derivative),
        radius=info.radius,
        level=info.level,
        n_pairs=info.n_pairs,
        n_sampled=info.n_sampled,
        validation_seed=info.validation_seed,
    )
    if write(made) != data[: info.section_bytes]:
        raise ValueError("the section is not what it describes")
    return made, info.section_bytes
