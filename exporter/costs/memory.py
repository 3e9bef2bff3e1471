# SPDX-License-Identifier: MIT
"""What a plan costs in memory: the work buffer, carved in the order of work_memory.c.

`work_items` names every consumer, so that a refusal can name the largest; the device computes the same total and
refuses a bundle whose figure differs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ttzo.device_runtime.contract import LIMIT, RECORD, Activation, Cache, Derivative, Estimator, LayerRecord, Need
from ttzo.exporter.costs import part_sizes
from ttzo.exporter.costs.coordinates import jet_width
from ttzo.exporter.costs.core_memory import core_gradient_numbers
from ttzo.exporter.costs.gathered_memory import gathered_gradient_numbers
from ttzo.exporter.costs.graph_memory import graph_numbers
from ttzo.exporter.costs.part_sizes import CodeBytes
from ttzo.exporter.ode import section as simulation_section
from ttzo.exporter.operations.layer import Layer, PlanError, gather_scratch
from ttzo.exporter.pde import section
from ttzo.exporter.pde.program import JETS, Pde
from ttzo.exporter.plan.packing import TABLE_BYTES
from ttzo.exporter.plan.parts import firmware_parts
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import GAUSS_NEWTON, Phase

ALIGNMENT = 8
PAIRS = LIMIT["pairs_at_once"]
MANY_COLUMNS = 2 * PAIRS


def widest(plan: Plan) -> int:
    """Floats of the largest array of one sample: between two layers, or within a layer that is contracted core by core. Of
    a graph, those of all its arrays."""
    if plan.chain is None:
        return plan.graph.arena
    sizes = [plan.in_features]
    for layer in plan.layers:
        if layer.contraction or layer.gather:
            sizes.append(layer.n_outputs)
        else:
            sizes += [repeats * rows * columns for repeats, rows, _, columns in layer.contractions]
    return max(sizes)


def exchange_buffers(plan: Plan) -> tuple[int, int]:
    """Floats of the two buffers between which the arrays of a forward pass, or the columns of a PDE's derivatives, go
    back and forth."""
    if plan.chain is None:
        return _buffers_of_graph(plan)
    if plan.pde is None:
        return (widest(plan),) * 2
    sizes, current = [plan.in_features, 0], 0
    for layer in plan.layers:
        if layer.gather:  # a patch and what is made of it stand after the outputs
            current = 1 - current
            sizes[current] = max(sizes[current], layer.n_outputs + layer.in_features + layer.out_features)
            continue
        for repeats, rows, _, columns in layer.merged.contractions:
            current = 1 - current
            sizes[current] = max(sizes[current], repeats * rows * columns)
    n = columns_at_once(plan)
    return n * sizes[0], n * sizes[1]


def _buffers_of_graph(plan: Plan) -> tuple[int, int]:
    """The arena with the columns of a jet; where derivatives are differences, what lies beside it."""
    if plan.pde is None:
        return plan.graph.arena, 0
    beside = 0 if plan.equation.derivative in JETS else PAIRS * (plan.in_features + 2 * plan.out_features)
    return columns_at_once(plan) * plan.graph.arena, beside


def columns_at_once(plan: Plan) -> int:
    """How many floats of a feature go through the layers at once: a whole jet where it is short. Through a graph the value
    goes with each part of it."""
    pde = plan.equation
    if plan.chain is None:
        highest = max((1 + direction.order for direction in pde.directions), default=0)
        return max(min(_whole_jet(pde), MANY_COLUMNS), highest) if pde.derivative in JETS else 1
    if pde.derivative == Derivative.compensated_jet:
        return LIMIT["compensated_floats"]
    if pde.derivative not in JETS:
        return MANY_COLUMNS
    whole = _whole_jet(pde)
    columns = whole if whole <= MANY_COLUMNS else LIMIT["few_columns"]
    return max([columns, *(direction.order for direction in pde.directions)])


def _whole_jet(pde: Pde) -> int:
    second = pde.n_directions if pde.needs & Need.diagonal else bool(pde.needs & Need.laplacian)
    return 1 + pde.n_directions + second


# ---- split layers: the sizes of split_layer.c -----------------------------------------------------------------------


def _whole_panels(numbers: int) -> int:
    return 4 * math.ceil(numbers / 4)


def prepared(layer: Layer) -> int:
    """Floats of both halves of a split layer, as panels."""
    total = 0
    for first, end in _halves(layer):
        m, n = math.prod(layer.out_modes[first:end]), math.prod(layer.in_modes[first:end])
        lines = m // 4 * 4 * layer.ranks[first] + _whole_panels(m % 4 * layer.ranks[first])
        total += lines * n * layer.ranks[end]
    return total


def scratch(layer: Layer) -> int:
    """Floats that multiplying out the halves, or one sample's pass, needs besides."""
    if layer.gather:
        return gather_scratch(layer)
    if not layer.contraction:
        return 0
    c = layer.contraction
    if c == len(layer.in_modes):
        return _half_scratch(layer, 0, c)
    n_left, n_right = math.prod(layer.in_modes[:c]), math.prod(layer.in_modes[c:])
    middles = 2 if math.prod(layer.out_modes[c:]) % 4 else 1
    forward = _whole_panels(n_left) * n_right + middles * 4 * n_left * layer.ranks[c]
    return max(forward, *(_half_scratch(layer, first, end) for first, end in _halves(layer)))


def _halves(layer: Layer) -> tuple[tuple[int, int], ...]:
    """First core and end of each half that there is."""
    c, length = layer.contraction, len(layer.in_modes)
    return tuple((first, end) for first, end in ((0, c), (c, length)) if c and first < end)


def _half_scratch(layer: Layer, first: int, end: int) -> int:
    if end - first == 1:
        return 0
    sizes, size = [0], layer.ranks[first]
    for k in range(first, end - 1):
        size *= layer.out_modes[k] * layer.in_modes[k]
        if k > first:
            sizes.append(size * layer.ranks[k + 1])
    columns = _whole_panels(layer.out_modes[end - 1] * layer.in_modes[end - 1] * layer.ranks[end])
    lines = _whole_panels(layer.in_modes[end - 2])
    return 2 * _whole_panels(max(sizes)) + (columns + lines) * layer.ranks[end - 1] + 4 * columns


# ---- the work buffer ------------------------------------------------------------------------------------------------


def _padded(size: int) -> int:
    return ALIGNMENT * math.ceil(size / ALIGNMENT)


def work_items(plan: Plan) -> dict[str, int]:
    """Bytes of each part of the work buffer, in carving order, each padded to 8 bytes."""
    n, batch = plan.n_parameters, plan.batch
    copies = 2 if _keeps_both(plan) else 1  # the gradient, and the parameters of a query
    forward = sum(_padded(4 * size) for size in _forward_numbers(plan))
    moments, caches = _padded(4 * plan.n_moments), _padded(4 * _kept(plan))
    shared = max(forward, caches, moments - copies * _padded(4 * n))
    sizes = {
        "parameters": 4 * n,
        "moments of the update rule": 4 * plan.n_moments,
        "losses of the batch": 4 * batch,
        "row numbers of the batch": 4 * batch,
        "loss differences of random directions": 4 * difference_capacity(plan),
        "derivatives and residual program": 4 * _pde_numbers(plan),
        "least squares of Gauss-Newton": 4 * max(_gauss_newton_numbers(plan, phase) for phase in plan.training.phases),
        "simulations": 4 * (plan.simulation.work_numbers if plan.simulation else 0),
        "gradient estimate": 4 * n,
        "perturbed parameters": 4 * n * (copies - 1),
        "environments" if shared == caches else "forward pass": shared,
        "rows of the batch": batch_capacity(plan) * plan.row_bytes,
    }
    return {name: _padded(size) for name, size in sizes.items()}


def forward_bytes(plan: Plan) -> int:
    """Bytes of the arrays of a forward pass: the scratch of ttzo_infer."""
    return sum(_padded(4 * size) for size in _forward_numbers(plan))


def _forward_numbers(plan: Plan) -> tuple[int, ...]:
    """Numbers of two exchange buffers, the cores multiplied out, and a layer's scratch."""
    if plan.chain is None:
        return *exchange_buffers(plan), 0, plan.graph.scratch
    return *exchange_buffers(plan), sum(map(prepared, plan.layers)), max(map(scratch, plan.layers), default=0)


def _kept(plan: Plan) -> int:
    """Numbers that estimators keep that share environments."""
    if plan.chain is None:
        return graph_numbers(plan)
    return (gathered_gradient_numbers if plan.gathers else core_gradient_numbers)(plan)


def _keeps_both(plan: Plan) -> bool:
    """Whether a phase needs a query's parameters and the gradient at the same time."""
    estimators = {phase.estimator for phase in plan.training.phases}
    return bool(estimators & (GAUSS_NEWTON | {Estimator.cge_plain}))


def difference_capacity(plan: Plan) -> int:
    """Random directions of a step that the memory has room for; 0 without such a phase."""
    wanted = [phase.n_queries for phase in plan.training.phases if phase.estimator == Estimator.rge]
    return min(max([LIMIT["min_query_room"], *wanted]), LIMIT["max_queries"]) if wanted else 0


def batch_capacity(plan: Plan) -> int:
    """Rows of the region batch."""
    return min(plan.batch, LIMIT["question_rows"]) if plan.pde else plan.batch


def _pde_numbers(plan: Plan) -> int:
    """Floats of `struct ttzo_pde_work`, as in ttzo_pde_carve."""
    pde = plan.pde
    if pde is None:
        return 0
    n, outputs = pde.n_directions, plan.out_features
    m = max(plan.layers[-1].in_features, outputs) if plan.uses_last_layer else outputs
    along = LIMIT["max_order"] * len(pde.directions)
    units = sum(layer.n_outputs for layer in plan.chain or () if layer.activation != Activation.identity)
    sampled = pde.derivative == Derivative.monte_carlo
    kept = _kept_of_a_unit(plan) * units + (PAIRS * plan.in_features if sampled else 0)
    merged = sum(map(_merged_numbers(plan), plan.chain or ()))
    basis = 2 * plan.basis_size * pde.n_space if pde.derivative == Derivative.compensated_jet else 0
    derivatives = 2 if pde.needs & Need.diagonal else 1
    registers = max(len(program.instructions) for program in pde.programs) * pde.n_space
    combined = 2 * outputs * (2 + 2 * n + along) if plan.uses_last_layer else 0
    return (
        plan.in_features
        + 2 * m
        + derivatives * n * m
        + along * m
        + len(pde.units)
        + kept
        + merged
        + basis
        + combined
        + registers
    )


def _kept_of_a_unit(plan: Plan) -> int:
    """Floats: phi(z) and phi'(z), and a sum of squares; or two compensated numbers."""
    if plan.equation.derivative == Derivative.compensated_jet:
        return 4
    return 3 if plan.equation.derivative in JETS and plan.equation.needs & Need.laplacian else 2


def _merged_numbers(plan: Plan) -> Callable[[Layer], int]:
    """Of a layer's merged cores: with all parameters around them, or as compensated numbers."""
    if plan.equation.derivative == Derivative.compensated_jet:
        return lambda layer: 2 * sum(math.prod(shape) for shape in layer.merged_core_shapes)
    return lambda layer: 0 if layer.merged is layer else layer.merged.n_parameters


def _gauss_newton_numbers(plan: Plan, phase: Phase) -> int:
    """Floats of two triangles, a block of rows and the coefficients, as in ttzo_gauss_newton_count."""
    if phase.estimator == Estimator.coordinate_gn:
        return _coordinate_numbers(plan, phase)
    n, least = plan.n_columns(phase), LIMIT["gn_block_rows"]
    if phase.estimator == Estimator.frozen_features:
        return n * (n + 3) + least * (n + 1) + n + _column_numbers(plan)
    keeps_all = plan.batch > least and plan.batch * (n + 1) <= LIMIT["gn_block_numbers"]
    return n * (n + 3) + (plan.batch if keeps_all else least) * (n + 1) + n if n else 0


def _coordinate_numbers(plan: Plan, phase: Phase) -> int:
    """Floats as in ttzo_coordinate_gn_count: triangles, block of rows, columns, residuals, answer, and what a row needs."""
    n, rows = plan.n_coordinates, plan.batch
    order = min(n, rows)
    kept = 0 if n < rows else min(phase.n_coordinates, n) * rows
    return order * (order + 3) + LIMIT["gn_block_rows"] * (order + 1) + kept + rows + order + _column_numbers(plan)


def _column_numbers(plan: Plan) -> int:
    """Floats of `struct ttzo_column_work`; of a graph, the parameters with one of them moved."""
    if plan.chain is None:
        return plan.n_parameters
    width, before, last = jet_width(plan.equation), plan.layers[:-1], plan.layers[-1]
    slopes = plan.out_features * width + plan.equation.n_directions + len(plan.unknowns)
    if plan.asks_all:
        features = sum(layer.in_features + layer.out_features for layer in before) + last.in_features
        widest = max(layer.out_features for layer in before)
        return slopes + width * (features + 2 * widest + 2)
    smooth = all(layer.activation != Activation.identity for layer in before)
    if smooth and plan.equation.derivative in JETS and plan.equation.needs & Need.laplacian:
        return slopes + last.in_features  # jets have room for the rest
    merged = sum(0 if layer.merged is layer else layer.merged.n_parameters for layer in before)
    units = sum(layer.out_features for layer in before[:-1])
    return slopes + 3 * units + 4 * last.in_features + merged


def work_bytes(plan: Plan) -> int:
    """Bytes of work buffer the device needs, without a resident dataset."""
    return sum(work_items(plan).values())


def beyond_inference(plan: Plan) -> int:
    """Bytes of the work buffer that are there for training: what is neither parameters nor arrays of a forward pass."""
    forward = sum(_padded(4 * size) for size in _forward_numbers(plan))
    return work_bytes(plan) - forward - _padded(4 * plan.n_parameters)


def dataset_capacity(plan: Plan, buffer_bytes: int) -> int:
    """Rows that can stay on a device whose work buffer has `buffer_bytes`."""
    left, spare = max(0, buffer_bytes - work_bytes(plan)), spare_bytes(plan)
    return (left - spare if spare <= left else left) // plan.row_bytes


def spare_bytes(plan: Plan) -> int:
    """Bytes beyond the work buffer in which rows of an equation keep what is the same for all of them, where a device has
    as much; as in ttzo_pde_spare_bytes."""
    if plan.pde is None or plan.equation.derivative != Derivative.compensated_jet or plan.batch < 2:
        return 0
    if (first := plan.layers[0]).activation == Activation.identity:
        return 0
    directions = plan.in_features - (plan.equation.n_space - plan.basis_size if plan.basis_size else 0)
    return 8 * (directions + 1) * first.out_features


# ---- does it fit ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Room:
    """What a board offers one model, in bytes.

    `flash_bytes`: flash for firmware and model together. `code_bytes`: the firmware's share of it; 0: by its parts on the
    `core`, with the part for rows without their zeros where it `keeps_rows`; without a core nothing.
    `ram_bytes`: RAM that the work buffer may take, after stack and static data.
    """

    name: str
    flash_bytes: int
    ram_bytes: int
    code_bytes: int = 0
    core: str = ""
    keeps_rows: bool = False

    @property
    def least_code_bytes(self) -> int:
        """What firmware for any model takes."""
        return self.code_bytes or (part_sizes.base_bytes(self.core) if self.core else 0)

    def code(self, plan: Plan) -> CodeBytes:
        """Forecast of the firmware for this plan, without the model's tables."""
        if self.code_bytes or not self.core:
            return CodeBytes(self.code_bytes, self.code_bytes)
        parts = firmware_parts(plan, keeps_rows=self.keeps_rows)
        return part_sizes.code_bytes(self.core, parts, plan.arithmetic)


def saved_run_bytes(plan: Plan) -> int:
    """Bytes of a run as one blob (struct saved_run of the contract)."""
    return RECORD["saved_run"].SIZE + 4 * (plan.n_parameters + plan.n_moments) + 4


def flash_items(plan: Plan) -> dict[str, int]:
    """Bytes of flash that the model's data take in the firmware."""
    return _model_items(plan) | ({"code of packed rows": TABLE_BYTES} if plan.packing else {})


def _model_items(plan: Plan) -> dict[str, int]:
    if plan.chain is None:
        from ttzo.exporter.plan import graph_section  # it builds on this module

        nodes = len(graph_section.write(plan)) - len(plan.constants)
        sizes = {"parameters": 4 * plan.n_parameters, "nodes": nodes, "frozen parameters": len(plan.constants)}
        return sizes | ({"equation": len(section.write(plan.pde))} if plan.pde else {})
    if plan.simulation:
        return {"parameters": 4 * plan.n_parameters, "simulation": len(simulation_section.write(plan.simulation))}
    sizes = {"parameters": 4 * plan.n_parameters, "layer records": LayerRecord.SIZE * len(plan.layers)}
    return sizes | ({"equation": len(section.write(plan.pde))} if plan.pde else {})


def require_room(plan: Plan, room: Room) -> None:
    """Raises `PlanError`, naming the largest consumer, when the plan does not fit the board by what is expected."""
    _require(plan, work_items(plan), room.ram_bytes, "RAM", room.name)
    _require(plan, {"the firmware": room.code(plan).expected} | flash_items(plan), room.flash_bytes, "flash", room.name)


def _require(plan: Plan, items: dict[str, int], offered: int, what: str, board: str) -> None:
    needed = sum(items.values())
    if needed <= offered:
        return
    largest = max(items, key=items.__getitem__)
    raise PlanError(
        f"the model needs {needed:,} bytes of {what}, {board} has {offered:,}; "
        f"the largest part is {largest} ({items[largest]:,} bytes)",
        _hint(largest, plan),
    )


def _hint(largest: str, plan: Plan) -> str:
    if "batch" in largest or "query" in largest:
        return "export with a smaller --batch"
    if "environments" in largest:
        narrower = [] if plan.gathers else [f"--cache {cache.name}, " for cache in Cache if cache > plan.cache]
        caches = "".join(narrower[-1:])
        return f"export with {caches}smaller --ranks, or an estimator that keeps no environments (--estimator rge)"
    if largest == "the firmware":
        return "choose a larger board, or export with an estimator whose code is small (--estimator rge)"
    if "moments" in largest:
        return "export with smaller --ranks, or an update rule without memory (--update sgd or sign)"
    return "export with smaller --ranks, or choose a larger board"
