# SPDX-License-Identifier: MIT
"""Residual programs: an expression as a short list of operations on registers, and the PDE's data as a plan holds them.

Registers 0 to 7 are the inputs (the contract's enum program_input), then come the constants, then one register for each
instruction. A register is a scalar or a vector over the coordinates in space.
"""

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ttzo.device_runtime.contract import LIMIT, Derivative, Need, Operation, ProgramInput, Sampler
from ttzo.exporter.pde.expression import Expression, PdeError, add, multiply, spread, subtract
from ttzo.exporter.pde.sampled import Sampling
from ttzo.exporter.pde.sparse_grid import SparseGrid, smolyak

MOST_READINGS = 65535
MOST_NODES = 1 << 20  # of a sparse grid
JETS = (Derivative.jet, Derivative.sampled_jet)  # of plain float32 numbers
VECTOR_INPUTS = (ProgramInput.x, ProgramInput.n_x, ProgramInput.n_xx)
_NEEDS = {
    ProgramInput.n_x: Need.first,
    ProgramInput.n_t: Need.first,
    ProgramInput.lap: Need.laplacian,
    ProgramInput.n_xx: Need.diagonal,
    ProgramInput.n_tt: Need.diagonal,
}
# by plain numbers, of no register
READS = (Operation.output, Operation.along, Operation.unknown, Operation.measured, Operation.gradient_product)
_OPERANDS = {
    **dict.fromkeys(READS, 0),
    Operation.select: 3,
    Operation.add: 2,
    Operation.subtract: 2,
    Operation.multiply: 2,
    Operation.divide: 2,
    Operation.less: 2,
    Operation.atan2: 2,
}


def operand_count(operation: Operation) -> int:
    """How many of a, b, c are registers."""
    return _OPERANDS.get(operation, 1)


@dataclass(frozen=True)
class Program:
    """`constants` are float32 values; an instruction is (operation, a, b, c)."""

    constants: tuple[float, ...]
    instructions: tuple[tuple[Operation, int, int, int], ...]
    output: int

    @property
    def needs(self) -> int:
        """Sum of the contract's enum need: the derivatives that the program reads."""
        wanted = {_NEEDS[ProgramInput(r)] for r in self.inputs_read if r in _NEEDS}
        operations = {op for op, *_ in self.instructions}
        wanted |= {Need.along} if Operation.along in operations else set()
        wanted |= {Need.first} if Operation.gradient_product in operations else set()
        return sum(wanted)

    @property
    def inputs_read(self) -> set[int]:
        """The inputs that it reads, in registers or by number."""
        read = {self.output} | {r for op, *registers in self.instructions for r in registers[: operand_count(op)]}
        read |= {a for op, a, *_ in self.instructions if op == Operation.output}
        return {r for r in read if r < len(ProgramInput)}

    @property
    def reads_network(self) -> bool:
        """Whether it reads an output of the network or a derivative of one."""
        return any(r >= ProgramInput.n for r in self.inputs_read) or bool(self.needs)

    @property
    def words(self) -> int:
        """Four-byte words of the program in a bundle, its header included."""
        return 1 + len(self.constants) + len(self.instructions)


@dataclass(frozen=True)
class Direction:
    """Along input `first` and `factor` times input `second`, or, where `first` is the contract's vector_direction, along
    the vector in space that program number `second` computes; derivatives to `order`."""

    first: int
    second: int
    factor: float
    order: int


class Network:
    """What programs read of the network: how many outputs it has, and the directions that they ask for. With `sampled`, a
    number of coordinates in space, derivatives are sampled."""

    def __init__(self, outputs: int = 1, sampled: int = 0):
        self.outputs = outputs
        self.vectors: list[Program] = []
        self._sampling = Sampling(sampled, self.alone) if sampled else None
        self._orders: dict[tuple[int, int, float], int] = {}

    @property
    def directions(self) -> tuple[Direction, ...]:
        return tuple(Direction(*key, order) for key, order in self._orders.items())

    def along(self, output: int, first: int, second: int, factor: float, order: int) -> Expression:
        """That derivative of an output."""
        key = (first, second, factor)
        self._orders[key] = max(order, self._orders.get(key, 0))
        return Expression("along", index=output, along=(list(self._orders).index(key), order))

    def alone(self, output: int, direction: int | Expression, order: int) -> Expression:
        """The derivative of an output along one input, or along a vector in space."""
        if isinstance(direction, int):
            return self.along(output, direction, direction, 0.0, order)
        size = self._sampling.size if self._sampling else 0
        vector = compile_expression(spread(direction, size))
        if vector not in self.vectors:
            self.vectors.append(vector)
        return self.along(output, LIMIT["vector_direction"], self.vectors.index(vector), 0.0, order)

    def mixed(self, e: Expression) -> Expression:
        """A "derivative" in at most two inputs by those along directions: a polynomial in the factor of the second input
        is known from its values at 1, -1 and 0."""
        low, high = e.along[0], e.along[-1]
        if low == high:
            return self.along(e.index, low, low, 0.0, 3)
        if len(e.along) == 2:
            plus, minus = (self.along(e.index, low, high, factor, 2) for factor in (1.0, -1.0))
            return multiply(0.25, subtract(plus, minus))
        once, twice = (low, high) if e.along[1] == high else (high, low)
        plus, minus = (self.along(e.index, once, twice, factor, 3) for factor in (1.0, -1.0))
        alone = self.along(e.index, once, once, 0.0, 3)
        return multiply(1 / 6, subtract(add(plus, minus), multiply(2.0, alone)))

    def lower(self, e: Expression, made: dict[Expression, Expression]) -> Expression:
        """The expression with its derivatives along directions."""
        if self._sampling:
            return self._sampling.lowered(e)
        if e not in made:
            if e.operation == "derivative":
                made[e] = self.mixed(e)
            else:
                args = tuple(self.lower(arg, made) for arg in e.args)
                same = all(a is b for a, b in zip(args, e.args, strict=True))
                made[e] = e if same else dataclasses.replace(e, args=args)
        return made[e]


def compile_expression(e: Expression, network: Network | None = None) -> Program:
    """The program of an expression; equal parts are computed once. Raises `PdeError` when it is too long."""
    network = network or Network()
    e = network.lower(e, {})
    constants: dict[float, int] = {}
    _collect_constants(e, constants, set())
    first = LIMIT["program_inputs"] + len(constants)
    registers: dict[tuple, int] = {}
    seen: dict[Expression, int] = {}

    def emit(node: Expression) -> int:
        if node not in seen:
            seen[node] = place(node)
        return seen[node]

    def place(node: Expression) -> int:
        if node.operation == "input" and (network.outputs == 1 or ProgramInput[node.name] < ProgramInput.n):
            return ProgramInput[node.name]
        if node.operation == "input":
            key: tuple[int, ...] = (Operation.output, ProgramInput[node.name], node.index, 0)
            return registers.setdefault(key, first + len(registers))
        if node.operation in ("unknown", "measured"):
            key = (Operation[node.operation], node.index, 0, 0)
            return registers.setdefault(key, first + len(registers))
        if node.operation == "along":
            key = (Operation.along, node.along[0], node.index, node.along[1])
            return registers.setdefault(key, first + len(registers))
        if node.operation == "gradient_product":
            key = (Operation.gradient_product, *node.along, 0)
            return registers.setdefault(key, first + len(registers))
        if node.operation == "constant":
            return LIMIT["program_inputs"] + constants[float(np.float32(node.value))]
        operation = Operation[node.operation]
        operands = [emit(arg) for arg in node.args]
        if operation in (Operation.component, Operation.place, Operation.shift):
            operands.append(node.index)
        key = (operation, *operands, *[0] * (3 - len(operands)))
        return registers.setdefault(key, first + len(registers))

    output = emit(e)
    if len(registers) > LIMIT["max_instructions"] or len(constants) > LIMIT["max_constants"]:
        raise PdeError(
            f"this takes {len(registers)} instructions and {len(constants)} constants; "
            f"at most {LIMIT['max_instructions']} and {LIMIT['max_constants']} are supported",
            "write it with vectors and pde.sum instead of coordinate by coordinate",
        )
    return Program(tuple(constants), tuple(registers), output)


def _require_float32(value: float) -> None:
    with np.errstate(over="ignore", under="ignore"):
        kept = float(np.float32(value))
    if math.isinf(kept) or (kept == 0) != (value == 0):
        raise PdeError(
            f"the constant {value:g} becomes {kept:g} in float32",
            "scale the equation: devices hold numbers from 1.4e-45 to 3.4e38",
        )


def _collect_constants(e: Expression, found: dict[float, int], seen: set[int]) -> None:
    if id(e) in seen:
        return
    seen.add(id(e))
    if e.operation == "constant":
        _require_float32(e.value)
        found.setdefault(float(np.float32(e.value)), len(found))
    for arg in e.args:
        _collect_constants(arg, found, seen)


@dataclass(frozen=True)
class RowGroup:
    """Rows of one kind: where they lie, how many of a batch, the root of their weight in the loss, and what should be
    zero there."""

    sampler: Sampler
    count: int
    root_weight: float
    condition: Program
    first_face: int = 0  # of samplers faces and opposite: the contract's row_group
    n_faces: int = 0


@dataclass(frozen=True)
class Pde:
    """A problem as data. `low` and `high` bound space and then, with `has_time`, time: the network's inputs in order.

    `solution` gives the unknown functions from the network's outputs, `exact` the exact ones where they are known,
    `directions` are those along which derivatives are computed, `units` are of the unknown constants (the contract's
    pde_section), `readings` hold a point and what was measured there; `points` where uniform training points go: a vector in space, then a time. `radius` is sigma of the
    Stein estimators or the step of finite differences; `level` is the sparse grid's, `n_pairs` monte_carlo's. `n_sampled`
    random directions are sampled_jet's, 0 of other derivatives; `vectors` compute those that depend on the point.
    """

    n_space: int
    has_time: bool
    low: tuple[float, ...]
    high: tuple[float, ...]
    groups: tuple[RowGroup, ...]
    solution: tuple[Program, ...]
    exact: tuple[Program, ...] | None = None
    points: tuple[Program, ...] = ()
    directions: tuple[Direction, ...] = ()
    vectors: tuple[Program, ...] = ()
    units: tuple[float, ...] = ()
    readings: tuple[tuple[float, ...], ...] = ()
    derivative: Derivative = Derivative.jet
    radius: float = 0.1
    level: int = 3
    n_pairs: int = 512
    n_sampled: int = 0
    validation_seed: int = 1

    @property
    def n_inputs(self) -> int:
        return self.n_space + self.has_time

    @property
    def n_measured(self) -> int:
        """Numbers measured at each reading."""
        return len(self.readings[0]) - self.n_inputs if self.readings else 0

    @property
    def batch(self) -> int:
        return sum(group.count for group in self.groups)

    @property
    def programs(self) -> tuple[Program, ...]:
        """In the order of the bundle: the groups' conditions, the solution, the exact solution, the points, vectors of
        directions."""
        conditions = (group.condition for group in self.groups)
        return (*conditions, *self.solution, *(self.exact or ()), *self.points, *self.vectors)

    @property
    def n_outputs(self) -> int:
        """Unknown functions, and outputs of the network."""
        return len(self.solution)

    @property
    def needs(self) -> int:
        """Sum of the contract's enum need over all groups."""
        result = 0
        for group in self.groups:
            result |= group.condition.needs
        return result

    @property
    def is_system(self) -> bool:
        """Whether it has several functions, directions, unknown constants, readings, periodic or many conditions, inverse
        tangents, or sampled derivatives."""
        late = any(op >= Operation.atan for program in self.programs for op, *_ in program.instructions)
        return (
            bool(self.beyond_columns or self.readings)
            or len(self.groups) > LIMIT["few_row_groups"]
            or late
            or self.n_sampled > 0
        )

    @property
    def n_summed(self) -> int:
        """Directions whose second derivatives add up to the Laplacian: coordinates in space, or random ones."""
        return self.n_sampled or self.n_space

    @property
    def n_directions(self) -> int:
        """All directions of a jet's first derivatives: time is the last."""
        return self.n_summed + self.has_time

    @property
    def beyond_columns(self) -> str:
        """What the columns of coordinate_gn behind other layers than dense ones cannot have, in words: they follow one
        output's first and unmixed second derivatives at one point. Empty where there is nothing."""
        if self.n_outputs > 1:
            return "systems of equations"
        if self.directions:
            return "derivatives along directions" if self.n_sampled else "mixed and third derivatives"
        if self.units:
            return "unknown constants"
        return "periodic conditions" if any(group.sampler == Sampler.opposite for group in self.groups) else ""

    @property
    def passes(self) -> int:
        """About how many forward passes one point takes."""
        n = self.n_inputs
        if self.grid:
            return self.grid.n_nodes
        made = {
            **dict.fromkeys(JETS, 2 + self.n_directions + sum(direction.order for direction in self.directions)),
            Derivative.compensated_jet: 3 + n,
            Derivative.finite_difference: 1 + 2 * n,
        }
        return made.get(self.derivative, 1 + 2 * self.n_pairs)

    @property
    def known_solution(self) -> tuple[Program, ...]:
        """`exact` of an equation that must have it. Raises `PdeError` where it is not known."""
        if self.exact is None:
            raise PdeError("the exact solution of this equation is not known", "give `exact` in the problem")
        return self.exact

    @cached_property
    def stein_grid(self) -> SparseGrid:
        """The grid of `sparse_grid` over all inputs."""
        return smolyak(self.n_inputs, self.level)

    @property
    def grid(self) -> SparseGrid | None:
        """`stein_grid` with the derivative `sparse_grid`, else None."""
        return self.stein_grid if self.derivative == Derivative.sparse_grid else None

    def inconsistency(self) -> str:
        """What is inconsistent and could not run on any device, in words; empty when there is nothing."""
        if self.n_space < 1 or not len(self.low) == len(self.high) == self.n_inputs:
            return f"{len(self.low)} and {len(self.high)} bounds for {self.n_inputs} inputs"
        if not all(math.isfinite(a) and math.isfinite(b) and a < b for a, b in zip(self.low, self.high, strict=True)):
            return "a bound of the domain is not finite, or low is not below high"
        if not 1 <= len(self.groups) <= LIMIT["max_row_groups"]:
            return f"{len(self.groups)} kinds of rows; 1 to {LIMIT['max_row_groups']} are supported"
        if any(group.count < 1 or not 0 < group.root_weight < math.inf for group in self.groups):
            return "every kind of rows needs a count of 1 or more and a positive weight"
        if not self.has_time and any(group.sampler in (Sampler.start, Sampler.end) for group in self.groups):
            return "a problem without time has no rows at its start or end"
        if self.grid and self.grid.n_nodes > MOST_NODES:
            return (
                f"the sparse grid of level {self.level} in {self.n_inputs} dimensions has {self.grid.n_nodes:,} nodes, each a "
                f"forward pass of every point; at most {MOST_NODES:,} are supported. Give a lower --level, or --derivative jet"
            )
        if not 1 <= self.n_outputs <= LIMIT["max_fields"] or self.n_outputs > self.batch:
            return f"{self.n_outputs} unknown functions and {self.batch} rows; 1 to {LIMIT['max_fields']} and no fewer rows are supported"
        if len(self.units) > LIMIT["max_unknowns"]:
            return f"{len(self.units)} unknown constants; at most {LIMIT['max_unknowns']} are supported"
        if len(self.readings) > MOST_READINGS:
            return f"{len(self.readings):,} readings; at most {MOST_READINGS:,} are supported"
        if len(self.directions) > LIMIT["max_pde_directions"]:
            return f"mixed and third derivatives take {len(self.directions)} directions; at most {LIMIT['max_pde_directions']} are supported"
        if len(self.vectors) > LIMIT["max_pde_vectors"]:
            return f"sums of first derivatives take {len(self.vectors)} vectors; at most {LIMIT['max_pde_vectors']} are supported"
        if self.directions and self.derivative not in JETS:
            return f"mixed and third derivatives need --derivative jet, not {self.derivative.name}"
        if (self.derivative == Derivative.sampled_jet) != (self.n_sampled > 0):
            return "sampled_jet, and no other derivative, has random directions"
        if self.n_sampled > LIMIT["max_sampled"] or self.n_sampled & (self.n_sampled - 1):
            return f"{self.n_sampled} random directions; a power of two up to {LIMIT['max_sampled']} is supported"
        if not 0 < self.radius < math.inf or self.n_pairs < 1:
            return "the radius of the derivatives must be positive, and n_pairs 1 or more"
        return ""
