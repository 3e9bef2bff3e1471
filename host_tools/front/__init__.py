# SPDX-License-Identifier: MIT
"""ttzo trains neural networks on microcontrollers, with forward passes only.

    import ttzo

    ttzo.export("digits", "digits")                         # a zoo name, file.py:function, or an .onnx file
    with ttzo.open_device("native:", "digits") as device:   # or "/dev/ttyACM0", "qemu:netduinoplus2", "numpy:", ..
        run = ttzo.train(device, ttzo.load_data(None, device.plan))
        theta = device.parameters()                         # float32 [n_parameters]

In a notebook `report=ttzo.LiveCurves()` draws the curves while a device trains, and `ttzo.picture(run.folder)` draws a run.

`ttzo.nn` has the torch modules that a model can use besides torch's own, `ttzo.pde` what an equation is written with,
`ttzo.ode` what a simulation with unknown constants is written with.
Errors that a person can mend are `ttzo.TtzoError`, with the next step in `hint`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what `_PLACES` gives at run time
    from ttzo import nn, ode, pde
    from ttzo.device_runtime.contract import TtzoError
    from ttzo.exporter.export import export
    from ttzo.host_tools.data.data_set import load as load_data
    from ttzo.host_tools.data.read_log import read_log
    from ttzo.host_tools.device.device import open_device, read_bundle
    from ttzo.host_tools.report.notebook import LiveCurves, picture
    from ttzo.host_tools.training.identify import identify
    from ttzo.host_tools.training.session import train

    __version__: str

__all__ = [
    "LiveCurves",
    "TtzoError",
    "__version__",
    "export",
    "identify",
    "load_data",
    "nn",
    "ode",
    "open_device",
    "pde",
    "picture",
    "read_bundle",
    "read_log",
    "train",
]

# name here: module, and the name there (None: the module itself)
_PLACES = {
    "LiveCurves": ("ttzo.host_tools.report.notebook", "LiveCurves"),
    "TtzoError": ("ttzo.device_runtime.contract", "TtzoError"),
    "export": ("ttzo.exporter.export", "export"),
    "identify": ("ttzo.host_tools.training.identify", "identify"),
    "load_data": ("ttzo.host_tools.data.data_set", "load"),
    "nn": ("ttzo.nn", None),
    "ode": ("ttzo.ode", None),
    "open_device": ("ttzo.host_tools.device.device", "open_device"),
    "pde": ("ttzo.pde", None),
    "picture": ("ttzo.host_tools.report.notebook", "picture"),
    "read_bundle": ("ttzo.host_tools.device.device", "read_bundle"),
    "read_log": ("ttzo.host_tools.data.read_log", "read_log"),
    "train": ("ttzo.host_tools.training.session", "train"),
}


def __getattr__(name: str) -> Any:
    """Imports a name when it is first used, so that `import ttzo` costs nothing and torch is loaded only for `nn`."""
    if name == "__version__":
        value = import_module("importlib.metadata").version("ttzo")
    elif name in _PLACES:
        module, attribute = _PLACES[name]
        value = import_module(module) if attribute is None else getattr(import_module(module), attribute)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
