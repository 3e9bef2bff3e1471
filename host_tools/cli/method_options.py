# SPDX-License-Identifier: MIT
"""Options of estimators that `ttzo export` and the commands that train take alike."""

import click


class Numbers(click.ParamType):
    """One number, or one for each phase with commas between: `0.01` or `1e-3,0.1`."""

    name = "NUMBER[,NUMBER]"

    def __init__(self, kind: type):
        self.kind = kind

    def convert(self, value, param, ctx):
        try:
            return tuple(self.kind(word) for word in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is neither a number nor numbers separated by commas", param, ctx)


# Settings that one kind of estimator has; a command that trains takes them too.
METHOD_OPTIONS = (
    click.option(
        "--n-coordinates",
        type=Numbers(int),
        help="cocd: coordinates that one step differentiates; coordinate_gn: columns that memory keeps (others are made twice).",
    ),
    click.option(
        "--stale-decay", type=Numbers(float), help="cocd: factor by which a step reduces the other estimates."
    ),
    click.option(
        "--ridge",
        type=Numbers(float),
        help="Gauss-Newton: ridge at the start, relative to the mean squared column; of coordinate_gn also the least.",
    ),
    click.option(
        "--trust-radius", type=Numbers(float), help="Gauss-Newton: longest step along its directions; 0: no limit."
    ),
)
METHOD_SETTINGS = ("n_coordinates", "stale_decay", "ridge", "trust_radius")
