# SPDX-License-Identifier: MIT
"""Heads of ONNX models that only label or normalise: Softmax, ArgMax, ZipMap and what scikit-learn's converter puts around
them. A loss takes scores, so a plan ends before them, and says so."""

from ttzo.device_runtime.contract import Loss
from ttzo.exporter.plan.loss_options import CLASSES
from ttzo.exporter.readers.errors import OnnxError
from ttzo.exporter.writers.onnx.onnx_nodes import onnx

HANDED_ON = ("Identity", "Cast", "Reshape", "Squeeze", "Flatten")  # of labels


class Heads:
    """Losses of classes hold the soft-max, of one logit the sigmoid."""

    def __init__(self, graph: "onnx.GraphProto", loss: Loss):
        self.graph, self.cut, self.one_logit = graph, loss in CLASSES, loss == Loss.binary_cross_entropy
        self.makers = {name: node for node in graph.node for name in node.output}
        self.notes: list[str] = []

    def scores(self) -> tuple[str, bool]:
        """The value that the plan ends with, and whether it is the one logit of two classes. Raises `OnnxError`."""
        found = {self._scores(output.name) for output in self.graph.output}
        if len(found) != 1:
            names = ", ".join(output.name for output in self.graph.output)
            raise OnnxError(
                f"the model has {len(self.graph.output)} outputs ({names})", "export it with one, the scores"
            )
        return found.pop()

    def _scores(self, name: str) -> tuple[str, bool]:
        while name in self.makers:
            node = self.makers[name]
            before = node.input[0] if node.op_type == "Identity" else None
            if before is not None:
                name = before
                continue
            before = self._before_label(name)
            if before is not None:
                self._say(f"the output {name} holds labels and is left out: a loss takes scores")
                name = before
                continue
            if node.op_type == "ZipMap":
                before = node.input[0]
            if self.cut and node.op_type in (("Sigmoid",) if self.one_logit else ("Softmax", "LogSoftmax")):
                before = node.input[0]
            if before is None and self.one_logit:
                before = self._logit(node) or None
            if before is None and self.cut and self._logit(node):
                self._note(node, "the one logit of two classes becomes two scores, 0 and itself")
                return self._logit(node), True
            if before is None:
                break
            self._note(node, "only labels or normalises; the loss does that")
            name = before
        return name, False

    def _note(self, node: "onnx.NodeProto", why: str) -> None:
        self._say(f"{node.op_type} at the end is left out: {why}")

    def _say(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    def _before_label(self, name: str) -> str | None:
        """Where a label is chosen, the scores that it is chosen by."""
        while name in self.makers:
            node = self.makers[name]
            if node.op_type == "ArgMax":
                return node.input[0]
            if node.op_type in HANDED_ON:
                name = node.input[0]
            elif node.op_type in ("ArrayFeatureExtractor", "Gather"):
                name = node.input[1]
            else:
                return None
        return None

    def _logit(self, node: "onnx.NodeProto") -> str:
        """z of Concat(1 - sigmoid(z), sigmoid(z))."""
        if node.op_type != "Concat" or len(node.input) != 2:
            return ""
        other, sigmoid = (self.makers.get(name) for name in node.input)
        if other is None or sigmoid is None or (other.op_type, sigmoid.op_type) != ("Sub", "Sigmoid"):
            return ""
        return sigmoid.input[0] if other.input[1] == node.input[1] else ""
