# SPDX-License-Identifier: MIT
"""A device that is not there, played on the CPU: its tensors do not mix with the CPU's, as a GPU's do not."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")  # a name that every torch knows; nothing here is without numbers
_COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}


class Away(torch.Tensor):
    """A tensor that says it is on `DEVICE`; `held` has its numbers."""

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "Away":
        return torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device=DEVICE, requires_grad=held.requires_grad
        )

    def __init__(self, held: torch.Tensor):
        self.held = held

    def __repr__(self) -> str:
        return f"Away({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _done(function, args, kwargs or {})


class OtherDevice(TorchDispatchMode):
    """Within it `DEVICE` can be named. A call that mixes it with the CPU (except for single numbers), or that draws on it from
    a generator of the CPU, raises RuntimeError, as CUDA has it."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _done(function, args, kwargs or {})


def _done(function, args, kwargs):
    given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
    away = [each for each in given if isinstance(each, Away)]
    if away and function not in _COPIES and any(each.dim() and not isinstance(each, Away) for each in given):
        raise RuntimeError(f"{function}: tensors of two devices")
    device = kwargs.get("device")
    goes_away = bool(away) if device is None else device == DEVICE
    if device == DEVICE:
        if kwargs.get("generator") is not None:
            raise RuntimeError(f"{function}: a generator of the CPU draws on the CPU")
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if function is torch.ops.aten.copy_.default:
        goes_away = isinstance(args[0], Away)
    known = {id(each.held): each for each in away}

    def outwards(made):
        if not isinstance(made, torch.Tensor) or not goes_away:
            return made
        if made._is_zerotensor():  # forward-mode's zeros have no numbers to hold
            made = torch.zeros(made.shape, dtype=made.dtype)
        return known[id(made)] if id(made) in known else Away(made)

    found = function(*tree_map(_held, args), **tree_map(_held, kwargs))
    return tree_map(outwards, found)


def _held(value):
    return value.held if isinstance(value, Away) else value
