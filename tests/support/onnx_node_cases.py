# SPDX-License-Identifier: MIT
"""The test models of the onnx 1.17 wheel, each with all inputs but one as constants, as a file that can be trained.

The wheel is fetched once into a cache folder. A model is wrapped so that it has one output of rows and a parameter: its
output is flattened after the first axis and multiplied by a matrix that is trained.
"""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CACHE = Path.home() / ".cache" / "ttzo" / "onnx-1.17.0"
DATA = "onnx/backend/test/data/"


@dataclass(frozen=True)
class Case:
    """A model of the wheel: its name ("node/test_relu"), bytes, the arrays of its first data set, None for others, and
    its first output."""

    name: str
    model: bytes
    inputs: list[np.ndarray | None]
    output: np.ndarray | None

    @property
    def operators(self) -> set[str]:
        return {node.op_type for node in onnx.load_from_string(self.model).graph.node}


def wheel() -> Path | None:
    """The wheel in the cache, fetched where it is missing; None where it cannot be had."""
    found = next(CACHE.glob("onnx-1.17.0-*.whl"), None)
    if found is None:
        words = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
        words += ["--python-version", "3.11", "--platform", "manylinux2014_x86_64", "-d", str(CACHE), "onnx==1.17.0"]
        subprocess.run(words, capture_output=True, timeout=120)
        found = next(CACHE.glob("onnx-1.17.0-*.whl"), None)
    return found


def cases(
    path: Path, kinds: tuple[str, ...] = ("node", "simple", "pytorch-operator", "pytorch-converted")
) -> Iterator[Case]:
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        for name in sorted(name for name in names if name.startswith(DATA) and name.endswith("/model.onnx")):
            folder = name.removesuffix("model.onnx")
            if folder.removeprefix(DATA).split("/")[0] not in kinds:
                continue
            inputs = []
            while (part := f"{folder}test_data_set_0/input_{len(inputs)}.pb") in names:
                inputs.append(_array(archive.read(part)))
            end = f"{folder}test_data_set_0/output_0.pb"
            output = _array(archive.read(end)) if end in names else None
            yield Case(folder.removeprefix(DATA).rstrip("/"), archive.read(name), inputs, output)


def _array(content: bytes) -> np.ndarray | None:
    """An array, where the file holds one and not a sequence or an optional value."""
    try:
        return numpy_helper.to_array(TensorProto.FromString(content))
    except Exception:  # whatever protobuf and onnx raise about another message
        return None


def with_constants(case: Case, kept: int) -> onnx.ModelProto | None:
    """The model with all inputs except number `kept` as initialisers, and a parameter at its end. None where that is no
    model: the input is not float32 or has no rows, an input is no array, or there are several outputs."""
    model = onnx.load_from_string(case.model)
    graph = model.graph
    names = [value.name for value in graph.input if value.name not in {i.name for i in graph.initializer}]
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 1)
    x = case.inputs[kept] if kept < len(case.inputs) else None
    if len(names) != len(case.inputs) or any(each is None for each in case.inputs) or len(graph.output) != 1:
        return None
    if case.output is None or case.output.dtype != np.float32 or case.output.ndim < 1 or not case.output.size:
        return None
    if x is None or x.dtype != np.float32 or not x.ndim or not x.size or opset < 7:
        return None
    for number, (name, values) in enumerate(zip(names, case.inputs, strict=True)):
        if number != kept:
            graph.initializer.append(numpy_helper.from_array(values, name))
    entry = helper.make_tensor_value_info(names[kept], TensorProto.FLOAT, list(x.shape))
    del graph.input[:]
    graph.input.append(entry)
    end = graph.output[0].name
    graph.node.append(helper.make_node("Flatten", [end], ["ttzo_rows"], axis=1))
    graph.node.append(helper.make_node("MatMul", ["ttzo_rows", "last.weight"], ["ttzo_out"]))
    rows, numbers = case.output.shape[0], case.output[0].size
    weight = np.random.default_rng(0).normal(0, 1, (numbers, 3)).astype(np.float32)
    graph.initializer.append(numpy_helper.from_array(weight, "last.weight"))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("ttzo_out", TensorProto.FLOAT, [rows, 3]))
    return model
