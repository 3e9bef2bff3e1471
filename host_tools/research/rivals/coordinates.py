# SPDX-License-Identifier: MIT
"""Losses at theta + mu e_i for every coordinate i of a two-layer network, without a forward pass for each.

A layer is linear in each of its tensors, so a query moves pre-activations by mu times a number that many queries share:
D = (left cores) (inputs) (right cores) of a TT-matrix, the input itself of a dense weight. Only the units that move go
through the activation and the second layer's columns. Differences of cross-entropy are taken without cancellation:
L(l + d) - L(l) = log1p(sum_j p_j expm1(d_j)) - d_y with p = softmax(l).
"""

import math

from ttzo.device_runtime.contract import Activation, LayerKind
from ttzo.exporter.operations.layer import Layer, Tensor
from ttzo.exporter.readers.nn import torch
from ttzo.host_tools.research.rivals.network import ACTIVATIONS, affine, at_once, dense_weight, tensors
from ttzo.host_tools.research.rivals.objective import Batch, cross_entropy

NUMBERS_AT_ONCE = {"cpu": 1 << 21, "cuda": 1 << 26}  # of the largest array
ENTRIES_AT_ONCE = {"cpu": 1 << 12, "cuda": 1 << 16}


def suits(batch: Batch) -> bool:
    """Whether `differences` can take this network and loss."""
    layers = batch.network.layers
    return (
        len(layers) == 2
        and batch.loss is cross_entropy
        and layers[1].activation == Activation.identity
        and all(layer.kind != LayerKind.tt_tensor for layer in layers)
    )


def is_dense(batch: Batch) -> bool:
    """Whether `Rows.move` can go on: both layers dense."""
    return all(layer.kind == LayerKind.dense for layer in batch.network.layers)


@torch.no_grad()
def differences(
    batch: Batch, theta: torch.Tensor, radius: float, which: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """L(theta + radius e_i) - L(theta), (n,), and L(theta). Counts n + 1 evaluations.

    `which`: ascending places in theta; the others' differences are 0 and not counted as evaluations. Of a train a core
    is done as a whole however few of its entries are asked, and its operations are counted so.
    """
    network = batch.network
    batch.cost.evaluations += 1 + (network.n if which is None else len(which))
    batch.cost.macs += network.prepare_macs + len(batch.x) * network.macs
    wanted = which if network.kept is None else network.kept if which is None else network.kept[which]
    stored = network.full(theta[None])
    total, loss = stored.new_zeros(network.n_stored), stored.new_zeros(())
    n_rows = _rows_at_once(batch, wanted)
    for x, y in zip(batch.x.split(n_rows), batch.y.split(n_rows), strict=True):
        rows = Rows(batch, stored, x, y)
        loss += rows.losses.sum()
        for at, moved in rows.all_differences(radius, wanted):
            total[at] += moved.sum(0)
    kept = total if network.kept is None else total[network.kept]
    return kept / len(batch.x), loss / len(batch.x)


def _rows_at_once(batch: Batch, wanted: torch.Tensor | None) -> int:
    layers = batch.network.layers
    device = batch.x.device
    entries = at_once(ENTRIES_AT_ONCE, device)
    entries = entries if wanted is None else min(entries, len(wanted))
    widest = entries * layers[1].out_features
    for layer in layers:
        for k, shape in enumerate(layer.core_shapes if layer.kind == LayerKind.tt_matrix else ()):
            widest = max(widest, math.prod(shape) // layer.out_modes[k] ** 2 * layer.out_features)
    return max(1, at_once(NUMBERS_AT_ONCE, device) // widest)


class Rows:
    """A few rows at one theta: what all queries share. stored: (1, n_stored)."""

    def __init__(self, batch: Batch, stored: torch.Tensor, x: torch.Tensor, y: torch.Tensor):
        self.batch, self.stored, self.x, self.y = batch, stored, x, y
        self.first, self.second = batch.network.layers
        self.activation = ACTIVATIONS[self.first.activation]
        self.z = affine(self.first, stored, x[None])[0]
        self.h = self.activation(self.z)
        self.outputs = affine(self.second, stored, self.h[None])[0]
        self.columns = dense_weight(self.second, tensors(self.second, stored))[0].T.contiguous()  # (hidden, outputs)
        self._judge()

    def _judge(self) -> None:
        self.p = self.outputs.softmax(1)
        self.losses = self.outputs.logsumexp(1) - self.outputs.gather(1, self.y[:, None])[:, 0]

    def all_differences(self, radius: float, wanted: torch.Tensor | None):
        """(place in theta, differences (rows, entries)) of every tensor; `wanted`: as `which` of `differences`."""
        for layer, inputs, far in ((self.first, self.x, False), (self.second, self.h, True)):
            parts = tensors(layer, self.stored)
            places = layer.tensors
            if layer.has_bias:
                at = _entries(places[-1], wanted, inputs.device)
                by = torch.full_like(self.z[:, :1], radius).expand(-1, len(at))
                if len(at):
                    yield at, self._units_moved(at - places[-1].offset, by, far)
            if layer.kind == LayerKind.dense:
                yield from self._dense(places[0], inputs, radius, far, wanted)
                continue
            for k in range(len(layer.core_shapes)):
                at = _entries(places[k], wanted, inputs.device)
                if len(at):
                    whole = self._core(layer, parts, k, inputs, radius, far)
                    yield at, whole if wanted is None else whole[:, at - places[k].offset]

    # ---- dense weights, biases ---------------------------------------------------------------------------------------

    def _dense(self, tensor: Tensor, inputs: torch.Tensor, radius: float, far: bool, wanted: torch.Tensor | None):
        for part in _entries(tensor, wanted, inputs.device).split(at_once(ENTRIES_AT_ONCE, inputs.device)):
            unit, source = _unit_and_source(tensor, part)
            yield part, self._units_moved(unit, radius * inputs[:, source], far)

    def _units_moved(self, units: torch.Tensor, by: torch.Tensor, far: bool) -> torch.Tensor:
        """Differences (rows, entries) of queries that move one unit each, by (rows, entries)."""
        if far:
            return self._one_output(units, by)
        change = self.activation(self.z[:, units] + by) - self.h[:, units]
        self.batch.cost.macs += change.numel() * self.columns.shape[1]
        return self._difference(change[..., None] * self.columns[units])

    def _one_output(self, units: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
        return torch.log1p(self.p[:, units] * torch.expm1(by)) - by * (self.y[:, None] == units)

    def move(self, at: torch.Tensor, by: torch.Tensor) -> None:
        """Goes on from stored parameters moved by `by` at the ascending places `at`, both layers dense. Only what they
        reach is done anew: one pre-activation or output for each."""
        units = []
        for unit, source, step in self._moved(self.first, at, by):
            self.z.index_add_(1, unit, _carried(self.x, source) * step)
            units.append(unit)
        units = torch.cat(units).unique()
        after = self.activation(self.z[:, units])
        self.outputs += (after - self.h[:, units]) @ self.columns[units]
        self.h[:, units] = after
        for unit, source, step in self._moved(self.second, at, by):
            self.outputs.index_add_(1, unit, _carried(self.h, source) * step)
            if source is not None:
                self.columns[source, unit] += step
        self._judge()

    def _moved(self, layer: Layer, at: torch.Tensor, by: torch.Tensor):
        """Of the layer's tensors: (units, sources or None of a bias, steps (entries,))."""
        for tensor in layer.tensors:
            here = (at >= tensor.offset) & (at < tensor.offset + tensor.size)
            unit, source = _unit_and_source(tensor, at[here])
            yield unit, source, by[here]

    # ---- cores of a TT-matrix ----------------------------------------------------------------------------------------

    def _core(self, layer: Layer, parts: list, k: int, inputs: torch.Tensor, radius: float, far: bool) -> torch.Tensor:
        shared = moves(layer, parts, k, radius * inputs)  # (rows, a, n, c, i, j)
        rows, a, n, c, i, j = shared.shape
        self.batch.cost.macs += rows * moves_macs(layer, k)
        m = layer.core_shapes[k][1]
        shared = shared.reshape(rows, a * n * c, i * j)
        units = torch.arange(layer.out_features, device=inputs.device).reshape(i, m, j)
        made = []
        for each in range(m):
            which = units[:, each].reshape(-1)
            if far:
                change = shared.new_zeros(rows, a * n * c, layer.out_features)
                change[..., which] = shared
            else:
                change = self._changed(which, shared) @ self.columns[which]
                self.batch.cost.macs += shared.numel() * self.columns.shape[1]
            made.append(self._difference(change).reshape(rows, a, n, c))
        return torch.stack(made, 2).reshape(rows, -1)

    def _changed(self, units: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
        """phi(z + by) - phi(z) of those units, by: (rows, entries, units)."""
        z, h = self.z[:, None, units], self.h[:, None, units]
        if self.first.activation == Activation.relu:  # max(z + by, 0) - h in two passes over `by`
            moved = by + (z - h)
            return torch.maximum(moved, -h, out=moved)
        return self.activation(by + z).sub_(h)

    def _difference(self, change: torch.Tensor) -> torch.Tensor:
        """Outputs moved by (rows, entries, outputs) -> loss differences (rows, entries)."""
        of_class = change.gather(2, self.y[:, None, None].expand(-1, change.shape[1], 1))[..., 0]
        return torch.log1p(torch.bmm(torch.expm1(change), self.p[..., None])[..., 0]) - of_class


def _entries(tensor: Tensor, wanted: torch.Tensor | None, device: torch.device) -> torch.Tensor:
    """Places of the tensor's entries, all or those of `wanted` (ascending)."""
    if wanted is None:
        return torch.arange(tensor.offset, tensor.offset + tensor.size, device=device)
    return wanted[(wanted >= tensor.offset) & (wanted < tensor.offset + tensor.size)]


def _unit_and_source(tensor: Tensor, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Output and input of entries of a dense weight (out, in) or a bias (out,), which has no input."""
    if len(tensor.shape) == 1:
        return at - tensor.offset, None
    return (at - tensor.offset) // tensor.shape[1], (at - tensor.offset) % tensor.shape[1]


def _carried(inputs: torch.Tensor, source: torch.Tensor | None) -> torch.Tensor:
    """What an output moves by for each unit of its entry: (rows, entries), or (rows, 1) of ones for biases."""
    return torch.ones_like(inputs[:, :1]) if source is None else inputs[:, source]


def moves(layer: Layer, parts: list[torch.Tensor], k: int, inputs: torch.Tensor) -> torch.Tensor:
    """How far output (i, m, j) moves for each unit of entry (a, m, n, c) of core k, whatever m is:
    (rows, a, n, c, i, j) with i the output modes before core k, j those after it."""
    a, _, n, c = layer.core_shapes[k]
    left, right = inputs.new_ones(1, 1, 1), inputs.new_ones(1, 1, 1)
    for core in parts[:k]:
        left = torch.einsum("ipa,amnc->impnc", left, core[0]).flatten(2, 3).flatten(0, 1)
    for core in reversed(parts[k + 1 : len(layer.core_shapes)]):
        right = torch.einsum("amnc,cjq->amjnq", core[0], right).flatten(3, 4).flatten(1, 2)
    x = inputs.reshape(len(inputs), left.shape[1], n, right.shape[2])
    return torch.einsum("ipa,bpncj->bancij", left, torch.einsum("bpnq,cjq->bpncj", x, right))


def moves_macs(layer: Layer, k: int) -> int:
    """Multiply-accumulates of `moves` for one row."""
    a, _, n, c = layer.core_shapes[k]
    p, q = math.prod(layer.in_modes[:k]), math.prod(layer.in_modes[k + 1 :])
    i, j = math.prod(layer.out_modes[:k]), math.prod(layer.out_modes[k + 1 :])
    return p * n * c * j * (q + i * a)
