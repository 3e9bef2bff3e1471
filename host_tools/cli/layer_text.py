# SPDX-License-Identifier: MIT
"""A layer in words, for the tables of `ttzo export` and `ttzo plan`."""

from ttzo.exporter.operations.gathering import Places, Tokens


def gather_text(layer) -> str:
    """What the layer is applied to."""
    gather = layer.gather
    if isinstance(gather, Tokens):
        return f"{gather.count} tokens, {gather.combine.name}"
    if isinstance(gather, Places):
        return f"{gather.count} places"
    image = f"{gather.channels}x{gather.height}x{gather.width}"
    after = f"{layer.out_features}x{'x'.join(map(str, gather.out_image))}"
    kernel, stride = ("x".join(map(str, sizes)) for sizes in (gather.kernel, gather.stride))
    return f"{image} -> {after}, patches of {kernel}, stride {stride}"


def layer_text(layer) -> str:
    kind = layer.kind.name.replace("_", "-")
    shape = f"{'x'.join(map(str, layer.in_modes))} -> {'x'.join(map(str, layer.out_modes))}, ranks {','.join(map(str, layer.ranks))}"
    applied = f"{layer.in_features} -> {layer.out_features}, {kind}" + (f", {shape}" if layer.in_modes else "")
    return f"{gather_text(layer)}, each {applied}" if layer.gather else applied
