# SPDX-License-Identifier: MIT
"""A plan as flat C arrays: `model.h` and `model.c`, only data, for firmware that links one model.

`model.c` fills the same `struct ttzo_model` (ttzo.h) that the bundle reader fills. Numbers are written with the fewest
digits that give the same float32 bits back; equal plans give equal bytes.
"""

import re
import struct

import numpy as np

from ttzo.device_runtime.contract import (
    Activation,
    Arithmetic,
    Cache,
    Combine,
    Difference,
    Direction,
    Estimator,
    Gather,
    GraphInfo,
    LayerKind,
    Loss,
    NodeArrayRecord,
    NodeRecord,
    Number,
    Record,
    Schedule,
    SimulationInfo,
    Update,
)
from ttzo.exporter.costs.memory import forward_bytes, saved_run_bytes, work_bytes
from ttzo.exporter.ode import section as simulation_section
from ttzo.exporter.ode.simulation import Simulation
from ttzo.exporter.operations.layer import Layer, Tensor
from ttzo.exporter.operations.layer_records import layer_record
from ttzo.exporter.plan import graph_section, row_section
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers import pde_to_c
from ttzo.exporter.writers.to_bundle import model_hash, model_info, training_records

ENUMS = {
    "activation": Activation,
    "arithmetic": Arithmetic,
    "cache": Cache,
    "combine": Combine,
    "difference": Difference,
    "direction": Direction,
    "estimator": Estimator,
    "gather": Gather,
    "input_number": Number,
    "kind": LayerKind,
    "loss": Loss,
    "schedule": Schedule,
    "update": Update,
}  # field of a record -> its enumeration
NUMBERS_A_LINE = 8
BYTES_A_LINE = 32


def c_files(plan: Plan) -> dict[str, str]:
    """The texts of `model.h` and `model.c` by file name."""
    return {"model.h": _header(plan), "model.c": _source(plan)}


def _header(plan: Plan) -> str:
    if plan.chain is None:
        model = f"""\
#define TTZO_MODEL_N_NODES {len(plan.graph.nodes)}u
#define TTZO_MODEL_GRAPH_BYTES {len(graph_section.write(plan))}u"""
        data = """\
union ttzo_model_graph {
    uint8_t bytes[TTZO_MODEL_GRAPH_BYTES]; // layout graph_section of the contract
    float alignment;
};
extern const union ttzo_model_graph ttzo_model_graph;"""
    else:
        model = f"#define TTZO_MODEL_N_LAYERS {len(plan.chain)}u"
        data = "" if plan.simulation else "extern const struct ttzo_layer ttzo_model_layers[TTZO_MODEL_N_LAYERS];"
    return f"""\
// {_title(plan)}
// Written by ttzo; export again instead of changing it.
#ifndef TTZO_MODEL_H
#define TTZO_MODEL_H
#include "ttzo.h"

{model}
#define TTZO_MODEL_N_PARAMETERS {plan.n_parameters}u
#define TTZO_MODEL_WORK_BYTES {work_bytes(plan)}u // without a resident dataset

{_facts(plan)}

{data}
extern const float ttzo_model_parameters[{_length(plan)}];
extern const struct ttzo_model ttzo_model;{_names(plan)}

#endif
"""


def _labels(plan: Plan) -> list[str]:
    """The classes' names, by number; none where the data hold the numbers themselves."""
    return list(plan.metadata.get("preparation", {}).get("labels") or ())


def _names(plan: Plan) -> str:
    return "\nextern const char *const ttzo_model_class_names[TTZO_MODEL_CLASSES]; // UTF-8" if _labels(plan) else ""


def _quoted(text: str) -> str:
    """A C string: whatever is no plain letter or digit by its UTF-8 bytes in octal, which cannot run into what follows."""
    return '"' + "".join(chr(b) if chr(b).isalnum() and b < 128 else f"\\{b:03o}" for b in text.encode()) + '"'


def _facts(plan: Plan) -> str:
    """What a program of one's own needs to know of its rows and memory."""
    input_bytes = plan.row_bytes - (2 * plan.n_places or 4 * plan.out_features)
    saved = saved_run_bytes(plan)
    infer = (
        []
        if plan.pde or plan.simulation
        else [f"#define TTZO_MODEL_INFER_BYTES {forward_bytes(plan)}u // scratch of ttzo_infer"]
    )
    lines = [
        f"#define TTZO_MODEL_SAVED_BYTES {saved}u // of a saved run",
        *infer,
        f"#define TTZO_MODEL_INPUTS {plan.in_features}u",
        f"#define TTZO_MODEL_OUTPUTS {plan.out_features}u",
        f"#define TTZO_MODEL_CLASSES {plan.n_classes}u // 0: targets are numbers",
        f"#define TTZO_MODEL_BATCH {plan.batch}u // rows of a step",
        f"#define TTZO_MODEL_ROW_BYTES {plan.row_bytes}u // raw inputs, then the target",
        f"#define TTZO_MODEL_INPUT_BYTES {input_bytes}u // raw inputs: {plan.input_number.name}",
        f"#define TTZO_MODEL_INPUT_SCALE {_float(np.float32(plan.input_scale))} // the network reads raw * scale + offset",
        f"#define TTZO_MODEL_INPUT_OFFSET {_float(np.float32(plan.input_offset))}",
    ]
    if plan.normalisation:
        lines.append("#define TTZO_MODEL_NORMALISES 1 // ttzo_pack_inputs takes readings as they stood in the table")
    return "\n".join(lines)


def _source(plan: Plan) -> str:
    lines = [f"// {_title(plan)}", "// Written by ttzo; export again instead of changing it.", '#include "model.h"', ""]
    if plan.simulation:
        lines += _simulation(plan.simulation)
    else:
        lines += _graph(plan) if plan.chain is None else _layers(plan.chain)
    lines += ["", f"const float ttzo_model_parameters[{_length(plan)}] = {{"]
    lines += [] if plan.n_parameters else ["    0.0f, // all parameters are frozen; C has no arrays of length 0"]
    for tensor in plan.tensors:
        lines += _tensor(plan, tensor)
    lines += ["};", "", *(pde_to_c.words(plan.pde) if plan.pde else []), *_model(plan), ""]
    if _labels(plan):
        names = ", ".join(map(_quoted, _labels(plan)))
        lines += [f"const char *const ttzo_model_class_names[TTZO_MODEL_CLASSES] = {{ {names} }};", ""]
    return "\n".join(lines)


def _layers(layers: tuple[Layer, ...]) -> list[str]:
    lines = ["const struct ttzo_layer ttzo_model_layers[TTZO_MODEL_N_LAYERS] = {"]
    for index, layer in enumerate(layers):
        lines += [f"    [{index}] = {{ // {_describe(layer)}", *_fields(layer_record(layer), 8), "    },"]
    return [*lines, "};"]


def _graph(plan: Plan) -> list[str]:
    """The graph section as bytes, a record a line; the union gives it the alignment of its float32 constants."""
    lines = ["const union ttzo_model_graph ttzo_model_graph = { .bytes = {"]
    nodes = graph_section.records(plan.graph)
    lines += [
        f"    {_bytes(graph_section.info(plan).pack())} // nodes, arrays, bytes of attributes and constants, arena"
    ]
    for node, record, _ in nodes:
        arrays = " ".join(map(str, node.inputs)) or "nothing"
        lines.append(
            f"    {_bytes(record.pack())} // {_safe(node.name)}: {node.operation.CODE.name} of {arrays} -> {node.output}"
        )
    for array, place in zip(plan.graph.arrays, plan.graph.places, strict=True):
        lines.append(f"    {_bytes(NodeArrayRecord(array.numbers, place).pack())}")
    lines += [f"    {_bytes(own.pack())} // of {_safe(node.name)}" for node, _, own in nodes if own]
    at = range(0, len(plan.constants), BYTES_A_LINE)
    return [*lines, *(f"    {_bytes(plan.constants[i : i + BYTES_A_LINE])}" for i in at), "} };"]


def _simulation(simulation: Simulation) -> list[str]:
    """The section as words, in the byte order of the little-endian targets."""
    numbers = [f"0x{word:08x}" for (word,) in struct.iter_unpack("<I", simulation_section.write(simulation))]
    lines = [
        f"// Simulation: states {', '.join(map(_safe, simulation.states))}; layout simulation_section of the contract.",
        f"static const uint32_t ttzo_model_simulation[{len(numbers)}] = {{",
    ]
    for at in range(0, len(numbers), NUMBERS_A_LINE):
        lines.append("    " + ", ".join(numbers[at : at + NUMBERS_A_LINE]) + ",")
    return [*lines, "};"]


def _bytes(data: bytes) -> str:
    return ", ".join(map(str, data)) + ","


def _graph_initialiser(plan: Plan) -> list[str]:
    info = graph_section.info(plan)
    at_arrays = GraphInfo.SIZE + len(plan.graph.nodes) * NodeRecord.SIZE
    at_attributes = at_arrays + len(plan.graph.arrays) * NodeArrayRecord.SIZE
    places = {
        "nodes": GraphInfo.SIZE,
        "arrays": at_arrays,
        "attributes": at_attributes,
        "constants": at_attributes + info.attribute_bytes,
    }
    lines = ["    .graph = {", "        .info = {", *_fields(info, 12), "        },"]
    return [*lines, *(f"        .{name} = ttzo_model_graph.bytes + {at}," for name, at in places.items()), "    },"]


def _model(plan: Plan) -> list[str]:
    training, *phases = training_records(plan.training)
    hash_bytes = [f"0x{byte:02x}" for byte in model_hash(plan)]
    lines = ["const struct ttzo_model ttzo_model = {", f"    .hash = {{ {', '.join(hash_bytes)} }},"]
    lines += ["    .info = {", *_fields(model_info(plan), 8), "    },"]
    lines += ["    .training = {", *_fields(training, 8), "    },", "    .phases = {"]
    for index, phase in enumerate(phases[: training.n_phases]):
        lines += [f"        [{index}] = {{", *_fields(phase, 12), "        },"]
    lines += ["    },"]
    if plan.simulation:
        info = SimulationInfo.unpack(simulation_section.write(plan.simulation))
        lines += ["    .simulation = {", "        .info = {", *_fields(info, 12), "        },"]
        lines += ["        .section = (const uint8_t *)ttzo_model_simulation,", "    },"]
    else:
        lines += _graph_initialiser(plan) if plan.chain is None else ["    .layers = ttzo_model_layers,"]
    lines += ["    .parameters = ttzo_model_parameters,", *_loss(plan)]
    if row_section.write(plan):
        lines += ["    .rows = {", *_fields(row_section.info(plan), 8), "    },"]
    if plan.normalisation:
        numbers = ", ".join(map(_float, plan.normalisation.numbers()))
        lines += [f"    .columns = (const float[]){{ {numbers} }},"]
    if plan.packing:
        lines += [f"    .packing = (const uint16_t[]){{ {', '.join(map(str, plan.packing.table()))} }},"]
    return [*lines, *(pde_to_c.initialiser(plan.pde) if plan.pde else []), "};"]


def _loss(plan: Plan) -> list[str]:
    if not plan.loss_options.section(plan.loss):
        return []
    info = ["    .loss = {", *_fields(plan.loss_options.info(plan.loss), 8), "    },"]
    weights = ", ".join(_float(np.float32(weight)) for weight in plan.loss_options.class_weights)
    return info + ([f"    .class_weights = (const float[]){{ {weights} }},"] if weights else [])


# ---- records --------------------------------------------------------------------------------------------------------


def _fields(record: Record, indent: int) -> list[str]:
    """Designated initialisers; what is left out (reserved bytes, unused modes) is 0 by C's rule."""
    lines = []
    for kind, name in record.FIELDS:
        value = getattr(record, name)
        if name == "reserved" or isinstance(value, tuple) and not value:
            continue
        lines.append(f"{' ' * indent}.{name} = {_value(kind, name, value)},")
    return lines


def _value(kind: str, name: str, value: int | float | tuple[int, ...]) -> str:
    if name in ENUMS and isinstance(value, int):
        enumeration = ENUMS[name]
        words = "_".join(re.findall("[A-Z][a-z]*", enumeration.__name__))
        return f"TTZO_{words}_{enumeration(value).name}".upper()
    if isinstance(value, tuple):
        return f"{{ {', '.join(map(str, value))} }}"
    if kind == "f32":
        return _float(np.float32(value))
    return f"{int(value)}{'ull' if kind == 'u64' else ''}"


# ---- parameters -----------------------------------------------------------------------------------------------------


def _length(plan: Plan) -> str:
    return "TTZO_MODEL_N_PARAMETERS" if plan.n_parameters else "1"


def _tensor(plan: Plan, tensor: Tensor) -> list[str]:
    shape = " x ".join(map(str, tensor.shape))
    values = [_float(value) for value in plan.parameters[tensor.offset : tensor.offset + tensor.size]]
    lines = [f"    // {_safe(tensor.name)}: {shape}, from {tensor.offset}"]
    for at in range(0, len(values), NUMBERS_A_LINE):
        lines.append("    " + ", ".join(values[at : at + NUMBERS_A_LINE]) + ",")
    return lines


def _float(value: np.float32) -> str:
    """A C literal of the same bits, -0 included."""
    return f"{value!s}f"


# ---- words ----------------------------------------------------------------------------------------------------------


def _title(plan: Plan) -> str:
    between: list[int | str] = [layer.n_outputs for layer in plan.chain] if plan.chain else ["..", plan.out_features]
    widths = " -> ".join(map(str, [plan.in_features, *between]))
    name = _safe(str(plan.metadata.get("name", "model")))
    return f"{name}: {widths}, {plan.n_parameters} parameters, {plan.loss.name}"


def _describe(layer: Layer) -> str:
    return f"{_safe(layer.name)}: {layer.n_inputs} -> {layer.n_outputs}, {layer.n_parameters} parameters"


def _safe(text: str) -> str:
    """Text that cannot leave its comment: line ends, backslashes and trigraphs become underscores."""
    return re.sub(r"[^A-Za-z0-9_.+\- ]", "_", text)
