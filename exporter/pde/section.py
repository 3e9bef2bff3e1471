# SPDX-License-Identifier: MIT
"""A PDE as the section of a bundle: contract record `pde_info`, bounds, row groups, programs, sparse grid."""

import struct

from ttzo.device_runtime.contract import (
    Derivative,
    DeviceError,
    PdeInfo,
    RowGroupRecord,
    Sampler,
)
from ttzo.exporter.pde.program import Pde, Program, RowGroup
from ttzo.exporter.pde.program_bytes import program_bytes, read_program
from ttzo.exporter.pde.sparse_grid import SparseGrid

CLASS_FORMAT = "<fB7B"  # struct ttzo_sparse_class


def write(pde: Pde) -> bytes:
    """The section's bytes, a multiple of four."""
    bounds = struct.pack(f"<{2 * pde.n_inputs}f", *pde.low, *pde.high)
    groups = b"".join(
        RowGroupRecord(group.sampler, group.condition.needs, group.count, group.root_weight).pack()
        for group in pde.groups
    )
    body = bounds + groups + b"".join(map(program_bytes, pde.programs)) + _grid_bytes(pde.grid)
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
        reserved=b"",
        n_pairs=pde.n_pairs,
        validation_seed=pde.validation_seed,
        radius=pde.radius,
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


def read(data: bytes) -> tuple[Pde, int]:
    """The PDE of a section at the start of `data`, and the section's length. Raises `DeviceError("bad_bundle", 6)`."""
    try:
        return _read(data)
    except (ValueError, IndexError, struct.error, DeviceError) as error:
        raise DeviceError("bad_bundle", 6) from error


def _read(data: bytes) -> tuple[Pde, int]:
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
    heads = [RowGroupRecord.unpack(bytes(take(f"<{RowGroupRecord.SIZE}s")[0])) for _ in range(info.n_groups)]
    conditions = [take_program() for _ in heads]
    groups = [RowGroup(Sampler(h.sampler), h.count, h.root_weight, c) for h, c in zip(heads, conditions, strict=True)]
    made = Pde(
        n_space=info.n_space,
        has_time=bool(info.has_time),
        low=low,
        high=high,
        groups=tuple(groups),
        solution=take_program(),
        exact=take_program() if info.has_exact else None,
        points=tuple(take_program() for _ in range((1 + info.has_time) * info.has_points)),
        derivative=Derivative(info.derivative),
        radius=info.radius,
        level=info.level,
        n_pairs=info.n_pairs,
        validation_seed=info.validation_seed,
    )
    if write(made) != data[: info.section_bytes]:
        raise ValueError("the section is not what it describes")
    return made, info.section_bytes
