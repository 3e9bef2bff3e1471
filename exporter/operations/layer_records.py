# SPDX-License-Identifier: MIT
"""Layers as the contract's records, and back."""

from ttzo.device_runtime.contract import Activation, Combine, Gather, LayerKind, LayerRecord
from ttzo.exporter.operations.gathering import NO_TOKEN, Gathering, Patches, Places, Tokens
from ttzo.exporter.operations.layer import Layer


def layer_record(layer: Layer) -> LayerRecord:
    return LayerRecord(
        kind=layer.kind,
        activation=layer.activation,
        has_bias=layer.has_bias,
        n_in_modes=len(layer.in_modes),
        n_out_modes=len(layer.out_modes),
        contraction=layer.contraction,
        **_gather_fields(layer.gather),
        in_features=layer.in_features,
        out_features=layer.out_features,
        in_modes=layer.in_modes,
        out_modes=layer.out_modes,
        ranks=layer.ranks,
        reserved=b"",
        parameter_offset=layer.parameter_offset,
    )


GATHER_FIELDS = (
    "gather",
    "combine",
    "kernel_height",
    "kernel_width",
    "stride_height",
    "stride_width",
    "padding_height",
    "padding_width",
    "channels",
    "height",
    "width",
    "padding_token",
    "padding_bottom",
    "padding_right",
    "dilation_height",
    "dilation_width",
    "groups",
    "out_height",
    "out_width",
)


def _gather_fields(gather: Gathering | None) -> dict[str, int]:
    values = [Gather.whole] + [0] * (len(GATHER_FIELDS) - 1)
    if isinstance(gather, Patches):
        values = [Gather.patches, Combine.each, *gather.kernel, *gather.stride, *gather.padding]
        values += [gather.channels, gather.height, gather.width, 0]
        values += [*gather.borders[2:], *gather.dilation, gather.groups, *gather.out_image]
    elif isinstance(gather, Tokens):
        padding = NO_TOKEN if gather.padding is None else gather.padding
        values = [Gather.tokens, gather.combine, *[0] * 8, gather.count, padding, *[0] * 7]
    elif isinstance(gather, Places):
        values = [Gather.places, Combine.each, *[0] * 8, gather.count, *[0] * 8]
    return dict(zip(GATHER_FIELDS, values, strict=True))


def _gather(record: LayerRecord) -> Gathering | None:
    """The inverse of `_gather_fields`."""
    kind = Gather(record.gather)
    if kind == Gather.patches:
        return Patches(
            record.channels,
            record.height,
            record.width,
            (record.kernel_height, record.kernel_width),
            (record.stride_height, record.stride_width),
            (record.padding_height, record.padding_width),
            (record.padding_bottom, record.padding_right),
            (record.dilation_height, record.dilation_width),
            record.groups,
        )
    if kind == Gather.tokens:
        padding = None if record.padding_token == NO_TOKEN else record.padding_token
        return Tokens(record.width, Combine(record.combine), padding)
    return Places(record.width, record.in_features) if kind == Gather.places else None


def layer_of(record: LayerRecord, name: str) -> Layer:
    kind = LayerKind(record.kind)
    n_cores = {
        LayerKind.dense: -1,
        LayerKind.tt_matrix: record.n_in_modes,
        LayerKind.tt_tensor: record.n_in_modes + record.n_out_modes,
    }
    return Layer(
        name=name,
        kind=kind,
        in_features=record.in_features,
        out_features=record.out_features,
        parameter_offset=record.parameter_offset,
        has_bias=bool(record.has_bias),
        activation=Activation(record.activation),
        in_modes=record.in_modes[: record.n_in_modes],
        out_modes=record.out_modes[: record.n_out_modes],
        ranks=record.ranks[: n_cores[kind] + 1],
        contraction=record.contraction,
        gather=_gather(record),
    )
