# SPDX-License-Identifier: MIT
"""The bundle: a plan as one binary file.

    header | model_info | training | phase, phase | layer ... | pde section, with one | parameters | metadata (JSON) | CRC-32

A model that is no chain of layers has a graph section (graph_section.py) in the place of its layers. The records are the contract's; `read` gives back the plan that `write` was given.
"""

import dataclasses
import hashlib
import json
import struct
import zlib
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import (
    LIMIT,
    Arithmetic,
    BundleHeader,
    Cache,
    DeviceError,
    Difference,
    Direction,
    Estimator,
    LayerRecord,
    Loss,
    ModelInfo,
    Number,
    PhaseRecord,
    Schedule,
    TrainingRecord,
    Update,
)
from ttzo.exporter.costs.memory import work_bytes
from ttzo.exporter.ode import section as simulation_section
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.operations.layer_records import layer_of, layer_record
from ttzo.exporter.pde import section
from ttzo.exporter.plan import graph_section, row_section
from ttzo.exporter.plan.loss_options import LossOptions
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.printable import printable, printable_name
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.plan.untrusted_file import json_page

MOST_BYTES = 64 << 20  # of a bundle: 2^20 parameters take 4 MiB, and the largest sparse grid less than the rest
MOST_METADATA_BYTES = 1 << 20
NO_PHASE = PhaseRecord.unpack(bytes(PhaseRecord.SIZE))


def model_info(plan: Plan) -> ModelInfo:
    return ModelInfo(
        n_parameters=plan.n_parameters,
        batch=plan.batch,
        work_bytes=work_bytes(plan),
        n_layers=len(plan.chain or ()),
        in_features=plan.in_features,
        out_features=plan.out_features,
        input_number=plan.input_number,
        loss=plan.loss,
        arithmetic=plan.arithmetic,
        cache=plan.cache,
        has_loss_section=int(bool(plan.loss_options.section(plan.loss))),
        has_row_section=int(bool(row_section.write(plan))),
        input_scale=plan.input_scale,
        input_offset=plan.input_offset,
    )


def training_records(training: Training) -> tuple[TrainingRecord, PhaseRecord, PhaseRecord]:
    """The records of a schedule; without a second phase its record is all zeros."""
    values = {f.name: getattr(training, f.name) for f in dataclasses.fields(Training) if f.name != "phases"}
    phases = [
        PhaseRecord(**{f.name: getattr(phase, f.name) for f in dataclasses.fields(Phase)}) for phase in training.phases
    ]
    return TrainingRecord(n_phases=len(phases), **values), phases[0], (phases + [NO_PHASE])[1]


def training_from_records(training: TrainingRecord, *phases: PhaseRecord) -> Training:
    """The inverse of `training_records`."""
    enums = {"estimator": Estimator, "direction": Direction, "difference": Difference, "update": Update}
    made = []
    for record in phases[: training.n_phases]:
        values = dataclasses.asdict(record)
        made.append(Phase(**values | {name: kind(values[name]) for name, kind in enums.items()}))
    values = dataclasses.asdict(training)
    del values["n_phases"]
    return Training(phases=tuple(made), **values | {"schedule": Schedule(training.schedule)})


def _body(plan: Plan) -> bytes:
    head = b"".join(record.pack() for record in (model_info(plan), *training_records(plan.training)))
    layers = b"".join(layer_record(layer).pack() for layer in plan.chain or ())
    graph = graph_section.write(plan) if plan.chain is None else b""
    pde = section.write(plan.pde) if plan.pde else b""
    pde += simulation_section.write(plan.simulation) if plan.simulation else b""
    sections = row_section.write(plan) + layers + graph + pde
    return head + plan.loss_options.section(plan.loss) + sections + plan.parameters.astype("<f4").tobytes()


def model_hash(plan: Plan) -> bytes:
    """What HELLO reports and `train` compares: 16 bytes that change with any number the device reads."""
    return hashlib.sha256(_body(plan)).digest()[: LIMIT["hash_bytes"]]


def write(plan: Plan) -> bytes:
    """The bundle file's bytes; equal plans give equal bytes."""
    body = _body(plan)
    names: dict[str, Any] = {"layers": [node.name for node in plan.graph.nodes]}
    if plan.simulation:
        names["simulation"] = simulation_section.names(plan.simulation)
    if plan.chain is None:
        names["shapes"] = [list(array.shape) for array in plan.graph.arrays]
    metadata = json.dumps(plan.metadata | names, sort_keys=True, separators=(",", ":")).encode()
    header = BundleHeader(
        magic=LIMIT["bundle_magic"],
        format=LIMIT["bundle_format"],
        total_bytes=BundleHeader.SIZE + len(body) + len(metadata) + 4,
        metadata_bytes=len(metadata),
        hash=model_hash(plan),
    )
    content = header.pack() + body + metadata
    return content + struct.pack("<I", zlib.crc32(content))


def read(data: bytes) -> Plan:
    """The plan of a bundle. Raises `DeviceError` (`bad_bundle`, `bad_bundle_format`, `wrong_work_size`) or `PlanError` when it is damaged."""
    if len(data) < BundleHeader.SIZE + ModelInfo.SIZE + 4:
        raise DeviceError("bad_bundle", 1)
    header = BundleHeader.unpack(data)
    if header.magic != LIMIT["bundle_magic"]:
        raise DeviceError("bad_bundle", 2)
    if header.format != LIMIT["bundle_format"]:
        raise DeviceError("bad_bundle_format", header.format)
    if header.total_bytes != len(data):
        raise DeviceError("bad_bundle", 3)
    if struct.unpack("<I", data[-4:])[0] != zlib.crc32(data[:-4]):
        raise DeviceError("bad_bundle", 4)
    try:
        plan = _plan(header, data)
    except (ValueError, KeyError, IndexError, struct.error, PlanError, DeviceError) as error:
        raise DeviceError("bad_bundle", 5) from error
    if ModelInfo.unpack(data[BundleHeader.SIZE :]).work_bytes != work_bytes(plan):
        raise DeviceError("wrong_work_size", work_bytes(plan))
    body = data[BundleHeader.SIZE : len(data) - 4 - header.metadata_bytes]
    if body != _body(plan) or model_hash(plan) != header.hash:
        raise DeviceError("bad_bundle", 6)
    return plan


def _plan(header: BundleHeader, data: bytes) -> Plan:
    at = BundleHeader.SIZE

    def take(record):
        nonlocal at
        at += record.SIZE
        return record.unpack(data[at - record.SIZE : at])

    info = take(ModelInfo)
    training = training_from_records(take(TrainingRecord), take(PhaseRecord), take(PhaseRecord))
    options, loss_bytes = LossOptions.read(data[at:], Loss(info.loss)) if info.has_loss_section else (LossOptions(), 0)
    at += loss_bytes
    augmentation, normalisation, packing = None, None, None
    if info.has_row_section:
        augmentation, normalisation, packing, section_bytes = row_section.read(data[at:])
        at += section_bytes
    layers = [take(LayerRecord) for _ in range(info.n_layers)]
    at_graph = at
    if info.loss == Loss.simulation:
        return _simulation_plan(header, info, training, data, at)
    if not layers:
        at += graph_section.size(data[at:])
    pde = None
    if info.loss == Loss.residual:
        pde, section_bytes = section.read(data[at:], info.out_features)
        at += section_bytes
    parameters = np.frombuffer(data, "<f4", info.n_parameters, at).astype(np.float32)
    at += 4 * info.n_parameters
    metadata, names = _names(data[at : at + header.metadata_bytes])
    settings = dict(
        loss=Loss(info.loss),
        training=training,
        batch=info.batch,
        arithmetic=Arithmetic(info.arithmetic),
        cache=Cache(info.cache),
        input_number=Number(info.input_number),
        input_scale=info.input_scale,
        input_offset=info.input_offset,
        metadata=metadata,
        pde=pde,
        loss_options=options,
        augmentation=augmentation,
        normalisation=normalisation,
        packing=packing,
    )
    if not layers:
        graph, constants = graph_section.read(data[at_graph:], names, _shapes(metadata.pop("shapes")))
        return Plan(graph, parameters, constants=constants, **settings)
    named = [layer_of(record, name) for record, name in zip(layers, names, strict=True)]
    return Plan.of_layers(named, parameters, **settings)


def _simulation_plan(header: BundleHeader, info: ModelInfo, training: Training, data: bytes, at: int) -> Plan:
    metadata, _ = _names(data[len(data) - 4 - header.metadata_bytes : len(data) - 4])
    page = metadata.pop("simulation", None)
    simulation, section_bytes = simulation_section.read(data[at:], page, info.n_parameters)
    start = np.frombuffer(data, "<f4", info.n_parameters, at + section_bytes).astype(np.float32)
    settings: dict[str, Any] = {"batch": info.batch, "arithmetic": Arithmetic(info.arithmetic), "metadata": metadata}
    return Plan.of_simulation(simulation, start, training=training, **settings)


def _names(data: bytes) -> tuple[dict[str, Any], list[str]]:
    """A bundle's metadata, and the layers' names in it; all texts fit for terminals and files. Raises `ValueError`."""
    if len(data) > MOST_METADATA_BYTES:
        raise ValueError(f"{len(data):,} bytes of metadata")
    metadata = json_page(data)
    if not isinstance(metadata, dict):
        raise ValueError("the metadata is no table")
    names = metadata.pop("layers", None)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("the metadata names no layers")
    return {str(key): _cleaned(value) for key, value in metadata.items()}, [printable_name(name) for name in names]


def _shapes(page: Any) -> list[list[int]]:
    """The shapes of a graph's arrays, as its metadata name them. Raises `ValueError`."""
    if not isinstance(page, list) or not all(isinstance(shape, list) for shape in page):
        raise ValueError("the metadata hold no shapes")
    for size in (size for shape in page for size in shape):
        if type(size) is not int or not 0 < size <= LIMIT["max_width"]:
            raise ValueError(f"an array with {size!r} numbers along an axis")
    return page


def _cleaned(value: Any) -> Any:
    """The value with its texts made printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    if isinstance(value, dict):
        return {printable(key): _cleaned(each) for key, each in value.items()}
    return value
