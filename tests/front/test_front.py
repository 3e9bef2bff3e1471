# SPDX-License-Identifier: MIT
"""`import ttzo`: a program of one's own needs nothing else, and pays for a thing when it uses it."""

import ast
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import ttzo

HEAVY = {"numpy", "torch", "onnx", "onnxruntime", "serial", "click", "rich", "tflite", "pydantic"}


def loaded_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after `code`, besides those of its own start."""
    script = (
        f"import sys, json\nbefore = set(sys.modules)\n{code}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        ("import ttzo", set()),
        ("import ttzo; ttzo.__version__; dir(ttzo); help", set()),
        ("import ttzo; ttzo.TtzoError", {"numpy"}),
        ("import ttzo.pde", {"numpy"}),
    ],
)
def test_nothing_heavy_is_imported_until_it_is_used(code, loaded):
    assert loaded_after(code) & HEAVY <= loaded


def test_an_equation_is_written_without_torch_and_a_device_opened_without_torch():
    assert "torch" not in loaded_after("import ttzo; ttzo.pde.Problem, ttzo.open_device, ttzo.train, ttzo.load_data")


def test_it_exports_opens_and_trains(tmp_path):
    plan = ttzo.export("digits", tmp_path / "digits", steps=2, lr=0.01)
    with ttzo.open_device("numpy:", tmp_path / "digits") as device:
        run = ttzo.train(device, ttzo.load_data(None, device.plan))
        theta = device.parameters()
    assert run.folder == tmp_path / "digits" / "runs" / "numpy"
    assert theta.shape == (plan.n_parameters,) and not np.array_equal(theta, plan.parameters)


def test_its_submodules_import_in_each_spelling():
    from ttzo import nn, pde
    from ttzo.exporter.pde import Problem
    from ttzo.exporter.readers.nn import TTLinear

    assert ttzo.nn is nn and nn.TTLinear is TTLinear
    assert ttzo.pde is pde and pde.Problem is Problem


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        ttzo.trian  # noqa: B018
    with pytest.raises(ImportError, match="trian"):
        from ttzo import trian  # noqa: F401


def test_the_version_is_the_packages():
    assert ttzo.__version__ == version("ttzo")


def test_static_tools_see_the_names_that_are_given_at_run_time():
    """What stands under TYPE_CHECKING binds each public name to the very object that `__getattr__` gives."""
    tree = ast.parse(Path(ttzo.__file__).read_text(encoding="utf-8"))
    (static,) = (node for node in tree.body if isinstance(node, ast.If))
    seen: dict[str, object] = {}
    imports = [node for node in static.body if isinstance(node, ast.ImportFrom)]
    exec(compile(ast.Module(imports, []), "front", "exec"), seen)  # noqa: S102
    names = [name for name in ttzo.__all__ if name != "__version__"]
    assert [name for name in names if seen[name] is not getattr(ttzo, name)] == []
    assert set(ttzo.__all__) <= set(dir(ttzo))
