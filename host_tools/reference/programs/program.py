# SPDX-License-Identifier: MIT
"""Twin of program.c: residual programs, the points of a batch as the last axis of every register."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Operation, ProgramInput
from ttzo.exporter.pde.program import READS, Program, operand_count
from ttzo.host_tools.reference.number import real

_UNARY: dict[Operation, Callable[[np.ndarray], np.ndarray]] = {
    Operation.negate: np.negative,
    Operation.sqrt: real.sqrt,
    Operation.exp: real.exp,
    Operation.expm1: real.expm1,
    Operation.log: real.log,
    Operation.log1p: real.log1p,
    Operation.sin: real.sin,
    Operation.cos: real.cos,
    Operation.tanh: real.tanh,
    Operation.atan: real.atan,
}
_BINARY: dict[Operation, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    Operation.add: np.add,
    Operation.subtract: np.subtract,
    Operation.multiply: np.multiply,
    Operation.divide: np.divide,
    Operation.atan2: real.atan2,
}


@dataclass(frozen=True)
class Reads:
    """What a program reads by number: `outputs`, for each output of the network its inputs from n on by code, `along`
    [directions, orders, outputs, n], the equation's unknown constants, and what was measured."""

    outputs: list[dict[int, np.ndarray | None]]
    along: np.ndarray | None = None
    unknowns: np.ndarray | None = None  # [constants]
    measured: np.ndarray | None = None  # [numbers, n]


def run(program: Program, n_space: int, inputs: Sequence[Any], reads: Reads | None = None) -> np.ndarray:
    """The program's result, float32 [n]. `inputs` in the order of enum program_input: scalars [n], vectors [n_space, n];
    None for what the program does not read."""
    registers: list[Any] = [*inputs, *(np.full_like(inputs[1], constant) for constant in program.constants)]
    with np.errstate(all="ignore"):
        for operation, *numbers in program.instructions:
            if operation in READS:
                registers.append(_read(operation, numbers, reads, inputs[1]))
                continue
            args = [registers[r] for r in numbers[: operand_count(operation)]]
            registers.append(_apply(operation, args, numbers[1], n_space))
    return registers[program.output]


def _read(operation: Operation, numbers: list[int], reads: Reads | None, like: np.ndarray) -> np.ndarray:
    which, output, order = numbers
    if reads is None:
        raise ValueError("the program reads a network, and there is none")
    if operation == Operation.gradient_product:
        return _gradient_product(*(each[ProgramInput.n_x] for each in (reads.outputs[which], reads.outputs[output])))
    if operation == Operation.output:
        value = reads.outputs[output][ProgramInput(which)]
    elif operation == Operation.unknown:
        value = None if reads.unknowns is None else np.full_like(like, reads.unknowns[which])
    elif operation == Operation.measured:
        value = None if reads.measured is None else reads.measured[which]
    else:
        value = None if reads.along is None else reads.along[which, order - 1, output]
    if value is None:
        raise ValueError("the program reads what has not been derived")
    return value


def _gradient_product(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray:
    """The sum over random directions of the derivatives of two outputs along them."""
    if a is None or b is None:
        raise ValueError("the program reads what has not been derived")
    result = np.zeros(a.shape[1:], np.float32)
    for one, other in zip(a, b, strict=True):
        result = one * other + result
    return result


def _apply(operation: Operation, args: list[np.ndarray], index: int, n_space: int) -> np.ndarray:
    a = args[0]
    if operation in _UNARY:
        return _UNARY[operation](a)
    if operation in _BINARY:
        return _BINARY[operation](a, args[1])
    if operation == Operation.less:
        return np.less(a, args[1]).astype(np.float32)
    if operation == Operation.select:
        return np.where(a != 0, args[1], args[2])
    if operation == Operation.component:
        return a[index]
    if operation == Operation.shift:
        return np.concatenate([a[index:], np.zeros_like(a[:index])])
    if operation == Operation.sum:
        total = np.zeros(a.shape[1:], np.float32)
        for row in a:
            total = total + row
        return total
    rows = np.zeros((n_space, *a.shape), np.float32)
    rows[slice(None) if operation == Operation.spread else index] = a
    return rows
