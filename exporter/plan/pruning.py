# SPDX-License-Identifier: MIT
"""Pruned parameters: those that are -0.0, bit for bit. No step moves them, so that they stay zero.

An ordinary parameter never becomes -0.0 by a step, since x - x is +0.0; readers write one that begins as -0.0 as +0.0.
"""

import dataclasses

import numpy as np

from ttzo.exporter.plan.plan import Plan

PRUNED = np.float32(-0.0)


def is_pruned(values: np.ndarray) -> np.ndarray:
    """bool, of the shape of the values."""
    return (values == 0) & np.signbit(values)


def unpruned(values: np.ndarray) -> np.ndarray:
    """The same values, without a pruned one."""
    return np.where(values == 0, np.zeros((), values.dtype), values)


def pruned_where(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The values, pruned where the mask is 0."""
    return np.where(mask == 0, np.asarray(PRUNED, values.dtype), unpruned(values))


def keep_zeros(plan: Plan) -> Plan:
    """The plan whose matrices (and all tensors of two axes or more) keep the zeros that they have."""
    theta = plan.parameters.copy()
    for tensor in plan.tensors:
        if len(tensor.shape) > 1:
            part = theta[tensor.offset : tensor.offset + tensor.size]
            part[part == 0] = PRUNED
    return dataclasses.replace(plan, parameters=theta)


def zeros_text(plan: Plan) -> str:
    """How many weights are zero and not kept so, where they are many; else ""."""
    weights = [t for t in plan.tensors if len(t.shape) > 1]
    parts = [plan.parameters[t.offset : t.offset + t.size] for t in weights]
    count, zeros = sum(map(len, parts)), sum(int(((part == 0) & ~is_pruned(part)).sum()) for part in parts)
    if not zeros or zeros < SHARE * count:
        return ""
    return f"{zeros:,} of {count:,} trained weights are zero and will move; keep_zeros keeps such weights zero"


SHARE = 0.1  # of the weights: a pruned model has more zeros than that
