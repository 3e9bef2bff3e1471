# SPDX-License-Identifier: MIT
"""Talks to people and devices. The Python side of what `ttzo` does:

from ttzo.host_tools import load_data, open_device, train

with open_device("native:", "bundle") as device:
    run = train(device, load_data(None, device.plan))
    theta = device.parameters()
"""

from importlib import import_module

_PLACES = {
    "open_device": ("device.device", "open_device"),
    "train": ("training.session", "train"),
    "load_data": ("data.data_set", "load"),
}
__all__ = ["load_data", "open_device", "train"]


def __getattr__(name: str):
    """Imports on first use, so that a single module of this folder costs only itself."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(f"{__name__}.{module}"), attribute)
