# SPDX-License-Identifier: MIT
"""Where one application of a layer finds its inputs, when that is not simply the array before it.

A convolution is a linear layer applied to every patch of an image; an embedding is one applied to the unit vectors of
tokens. `Layer.in_features` and `out_features` stay those of one application, `n_inputs` and `n_outputs` count the arrays
before and after the layer.
"""

from dataclasses import dataclass

import numpy as np

from ttzo.device_runtime.contract import LIMIT, Combine

NO_TOKEN = LIMIT["no_token"]


@dataclass(frozen=True)
class Patches:
    """Every patch of an image [channel][row][column]; what lies beyond its border is 0.

    A patch's numbers are in the order (channel, row, column), as torch flattens a kernel. The layer's outputs make an
    image again, [out_feature][row][column]. A patch takes every `dilation`-th row and column. `padding` is (above, left),
    `padding_end` (below, right), the same as `padding` where it is None. With `groups`, channels and outputs fall into so
    many parts and a patch has the channels of one part.
    """

    channels: int
    height: int
    width: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    padding_end: tuple[int, int] | None = None
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self):
        if self.padding_end is None:
            object.__setattr__(self, "padding_end", self.padding)

    @property
    def n_inputs(self) -> int:
        return self.channels * self.height * self.width

    @property
    def in_features(self) -> int:
        return self.channels // self.groups * self.kernel[0] * self.kernel[1]

    @property
    def borders(self) -> tuple[int, int, int, int]:
        """Padding above, left, below and right."""
        return (*self.padding, *(self.padding_end or self.padding))

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns of the image that a patch spans."""
        (kh, kw), (dh, dw) = self.kernel, self.dilation
        return dh * (kh - 1) + 1, dw * (kw - 1) + 1

    @property
    def out_image(self) -> tuple[int, int]:
        """Rows and columns of the image of outputs."""
        above, left, below, right = self.borders
        rows = (self.height + above + below - self.extent[0]) // self.stride[0] + 1
        columns = (self.width + left + right - self.extent[1]) // self.stride[1] + 1
        return rows, columns

    @property
    def positions(self) -> int:
        return self.out_image[0] * self.out_image[1]

    def n_outputs(self, out_features: int) -> int:
        return out_features * self.positions

    @property
    def inconsistency(self) -> str:
        """What no device could run, or nothing."""
        if min(self.channels, self.height, self.width) < 1 or max(self.height, self.width, self.channels) > 65535:
            return f"an image of {self.channels} x {self.height} x {self.width} numbers"
        steps, borders = (*self.kernel, *self.stride, *self.dilation), self.borders
        if min(steps) < 1 or max(*steps, *borders) > 255:
            return f"kernel {self.kernel}, stride {self.stride} and dilation {self.dilation}; 1 to 255 are supported"
        if min(borders) < 0 or any(p >= k for p, k in zip(borders, self.extent * 2, strict=True)):
            return f"padding {borders} is not less than what the kernel spans, {self.extent}"
        if self.groups < 1 or self.channels % self.groups:
            return f"{self.groups} groups of {self.channels} channels"
        if min(self.out_image) < 1:
            return f"a kernel {self.kernel} that is larger than the padded image"
        return ""

    @property
    def table(self) -> np.ndarray:
        """int64 [positions, in_features]: where in the image each number of each patch lies, `n_inputs` for the padding.
        Not for patches with groups."""
        (kh, kw), (sh, sw), (ph, pw), (dh, dw) = self.kernel, self.stride, self.padding, self.dilation
        rows = np.arange(self.out_image[0])[:, None] * sh + dh * np.arange(kh) - ph
        columns = np.arange(self.out_image[1])[:, None] * sw + dw * np.arange(kw) - pw
        y, x = rows[:, None, None, :, None], columns[None, :, None, None, :]
        channel = np.arange(self.channels)[None, None, :, None, None]
        inside = (y >= 0) & (y < self.height) & (x >= 0) & (x < self.width)
        place = np.where(inside, (channel * self.height + y) * self.width + x, self.n_inputs)
        return place.reshape(self.positions, self.in_features)


@dataclass(frozen=True)
class Tokens:
    """`count` token numbers, each the unit vector that picks one input of the layer's matrix; `padding` picks none.

    `combine`: the tokens' outputs one after the other [token][feature], their sum, or their mean (over those that are
    no padding; 0 where all are).
    """

    count: int
    combine: Combine = Combine.mean
    padding: int | None = None

    @property
    def n_inputs(self) -> int:
        return self.count

    @property
    def positions(self) -> int:
        return self.count

    def n_outputs(self, out_features: int) -> int:
        return out_features * self.count if self.combine == Combine.each else out_features

    @property
    def inconsistency(self) -> str:
        if not 1 <= self.count <= LIMIT["max_features"]:
            return f"{self.count} tokens a row; 1 to {LIMIT['max_features']} are supported"
        return ""


@dataclass(frozen=True)
class Places:
    """`count` rows of an array [place][in_feature]; the outputs are [place][out_feature]. In graphs alone."""

    count: int
    in_features: int

    @property
    def n_inputs(self) -> int:
        return self.count * self.in_features

    @property
    def positions(self) -> int:
        return self.count

    def n_outputs(self, out_features: int) -> int:
        return self.count * out_features

    @property
    def inconsistency(self) -> str:
        if not 1 <= self.count <= LIMIT["max_features"]:
            return f"{self.count} places; 1 to {LIMIT['max_features']} are supported"
        return ""


Gathering = Patches | Tokens | Places
