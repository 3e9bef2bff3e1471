# SPDX-License-Identifier: MIT
"""A user's own model: `file.py:function`, where the function returns an nn.Module, or a module and options."""

import contextlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ttzo.device_runtime.contract import TtzoError
from ttzo.exporter.ode import Model
from ttzo.exporter.readers.nn import seeded, torch

MOVED = {"ttzo.exporter.nn": "ttzo.nn"}  # what a person's file may still name: where it is now


class ModelError(TtzoError):
    """The model that was asked for could not be loaded."""


def load(path: Path, function: str, given: dict[str, Any]) -> tuple[torch.nn.Module | Model, dict[str, Any]]:
    """The function's module, or its simulation, and its options ({} when it names none).

    given: `ranks`, `format`, `seed` as far as the person named them; they are handed over where the function has such
    parameters. torch draws from the seed (0 when not given) either way, so the same call gives the same parameters.
    Raises `ModelError` when file or function is missing, fails (naming the file's own line) or returns something else.
    """
    if not path.is_file():
        raise ModelError(f"there is no file {path}", "check the path before the colon")
    with _importable(path.parent), seeded(given.get("seed", 0)):
        with _named_line(path, "could not be read"):
            source = _source(path)
        make = getattr(source, function, None)
        if not callable(make):
            raise ModelError(f"{path} has no function {function}", _functions_of(source))
        accepted = _accepted(make, given, f"{path}:{function}")
        with _named_line(path, f"{function} failed"):
            made = make(**accepted)
    module, options = made if isinstance(made, tuple) and len(made) == 2 else (made, {})
    if not isinstance(module, torch.nn.Module | Model) or not isinstance(options, dict):
        pair = module is not made
        returned = f"({type(module).__name__}, {type(options).__name__})" if pair else type(made).__name__
        hint = 'return an nn.Module, or an nn.Module and a dictionary of options, as {"problem": problem} (of a simulation, an ode.Model)'
        raise ModelError(f"{path}:{function} returned {returned}", hint)
    return module, options


def _source(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"ttzo_model_{path.stem}", path)
    if spec is None or spec.loader is None:  # its name ends in .py, so that there is a loader
        raise ModelError(f"{path} is not a Python file", "name a .py file")
    source = importlib.util.module_from_spec(spec)
    # from the text, not from Python's own cache: it takes a file that was changed within a second for the old one
    exec(compile(path.read_bytes(), str(path), "exec"), source.__dict__)
    return source


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Lets the user's file import its neighbours, as a script could."""
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


@contextlib.contextmanager
def _named_line(path: Path, what: str) -> Iterator[None]:
    """Turns whatever the user's code raises into a `ModelError` that names the last line of that file involved."""
    try:
        yield
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
        line = own[-1] if own else getattr(error, "lineno", None)
        place = f"{path}, line {line}" if line else str(path)
        moved = MOVED.get(error.name or "") if isinstance(error, ModuleNotFoundError) else None
        hint = f"write `from {moved} import ...` in that line" if moved else "mend that line and export again"
        hint = getattr(error, "hint", "") or hint
        raise ModelError(f"{place}: {what}: {type(error).__name__}: {error}", hint) from error


def _functions_of(source: ModuleType) -> str:
    values = vars(source).items()
    own = [name for name, value in values if inspect.isfunction(value) and value.__module__ == source.__name__]
    return f"its functions are {', '.join(own)}" if own else "write a function that returns an nn.Module"


def _accepted(make: Callable, given: dict[str, Any], name: str) -> dict[str, Any]:
    """What the function has parameters for. A seed reaches torch anyway; other options must not be ignored silently."""
    parameters = inspect.signature(make).parameters.values()
    takes_all = any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    known = {parameter.name for parameter in parameters}
    lost = [option for option in given if option not in known and option != "seed" and not takes_all]
    if lost:
        raise ModelError(f"{name} does not accept {lost[0]}", f"give the function a parameter `{lost[0]}`")
    return {option: value for option, value in given.items() if takes_all or option in known}
