# SPDX-License-Identifier: MIT
"""What each value of an option of `ttzo export` is for, one line each, as its help prints them."""

import click

WHAT_FOR = {
    "--task": {
        "anomaly": "the model gives good rows back, and a row that it gives back badly is anomalous",
    },
    "--format": {
        "matrix": "each core has an input and an output mode (paper eq. 7)",
        "tensor": "2L-way: cores of the input modes first, then cores of the output modes",
    },
    "--estimator": {
        "rge": "random directions, N loss differences a step: any model, little memory, a noisy gradient",
        "sign_rge": "rge that updates by the gradient's sign only: the paper's ZO-signRGE",
        "cge": "the derivative of every parameter; tensor-train cores share the work, which takes memory for caches",
        "cge_plain": "the same derivatives by whole loss evaluations: a reference, hundreds of times slower",
        "node_cge": "one loss difference for each unit, from which its parameters' derivatives are made: less work than cge",
        "chain_differences": "difference quotients carried backwards layer by layer: back-propagation with quotients for derivatives",
        "block_rge": "random directions of one core, weight or bias at a time, with caches like those of cge",
        "cocd": "cge of the next --n-coordinates parameters in turn: cheaper steps; older derivatives decay",
        "hybrid": "sign_rge until the loss stops falling, then cge: the paper's two phases",
        "subspace_gn": "PDEs: Gauss-Newton within random directions and the last two steps",
        "coordinate_gn": "PDEs: Gauss-Newton in the parameters themselves, each asked where it moves the residual",
        "frozen_features": "linear PDEs: one least squares over units that each step draws anew; the best fit stays",
        "last_layer_gn": "PDEs whose last layer is dense: the same, and all of the last layer is solved for",
    },
    "--update": {
        "sgd": "theta - lr g: needs no memory",
        "momentum": "theta - lr v with v = beta v + g: smooths noisy gradients",
        "ema_momentum": "the same with v = beta v + (1 - beta) g: the paper's momentum",
        "adam": "a rate for each parameter, with bias correction: needs twice the memory of momentum",
        "sign": "theta - lr sign(g): needs no memory, and the size of the gradient does not matter",
    },
    "--direction": {
        "rademacher": "each coordinate is +1 or -1",
        "gaussian": "each coordinate is drawn from N(0, 1)",
    },
    "--difference": {
        "one_sided": "L(theta + mu v) - L(theta): one evaluation a query",
        "antithetic": "L(theta + mu v) - L(theta - mu v): two evaluations a query, a smaller error",
    },
    "--schedule": {
        "constant": "lr stays the same",
        "step": "lr is multiplied by a factor at fixed intervals of steps",
        "linear": "lr falls linearly to 0 at the last step",
        "cosine": "lr falls along half a cosine to 0: slowly at first and at the end",
    },
    "--arithmetic": {
        "separate": "a multiply-add rounds the product, then the sum; numpy: supports only this",
        "fused": "a multiply-add rounds once (fmaf): faster where the processor has the instruction",
    },
    "--cache": {
        "float32": "caches of a sample as they are: fastest, most memory",
        "int16": "caches in 16 bits: about half the memory, a less accurate gradient",
        "int16_least": "also without the matrices of later layers, which are computed again when needed: least memory",
    },
    "--frozen": {
        "float32": "as they are: the default",
        "int8": "matrices as 8-bit integers with a scale for each row: a quarter of the flash, slightly other outputs",
    },
    "--loss": {
        "cross_entropy": "classes: softmax cross-entropy",
        "mse": "numbers: squared error, mean over a row's outputs",
        "residual": "PDEs: squared residual at collocation points",
        "place_cross_entropy": "sequences: a class for each place, outputs [places, classes]",
        "binary_cross_entropy": "two classes from one output, the logit of class 1",
        "huber": "numbers: squared error that grows linearly from --huber-delta on",
        "simulation": "constants of simulations (ttzo.ode), along a log",
    },
    "--derivative": {
        "jet": "exact up to float32 rounding: first and second derivatives go through the layers with the values",
        "compensated_jet": "jet with each number the sum of two floats: for derivatives that nearly vanish",
        "sampled_jet": "jet in --n-sampled random directions: cost and memory do not follow the dimension; noisy, without bias",
        "finite_difference": "central differences of step --radius",
        "sparse_grid": "Stein's estimator on a sparse grid (paper eqs. 8-13), sigma --radius",
        "monte_carlo": "Stein's estimator over --n-pairs random pairs: noisy, sigma --radius",
    },
    "--library": {
        "cmake": "a CMake project",
        "arduino": "a library of the Arduino IDE",
        "platformio": "a library of PlatformIO",
        "zephyr": "a module of Zephyr",
        "esp-idf": "a component of ESP-IDF",
    },
    "--generation": {
        "last": "the last state that was saved: the default",
        "good": "the last one whose loss was near the best",
        "best": "the one with the lowest loss",
    },
    "--heading": {
        "yes": "the first line names the columns",
        "no": "the first line is a row",
    },
    "--missing": {
        "refuse": "stop with an error that gives the place: the default",
        "drop": "leave out rows that lack a number",
        "mean": "put the mean of the column's training rows there",
    },
    "--normalise": {
        "auto": "standard for float32 inputs without --scale, none for others: the default",
        "none": "leave the numbers as they are",
        "standard": "bring each column to mean 0 and deviation 1 of the training rows",
        "robust": "the same by median and quartiles, which outliers do not move",
    },
    "--window-label": {
        "majority": "the class of most rows of the window: the default",
        "last": "the class of its last row",
        "any": "the largest one of its rows: a window is anomalous where a row is",
    },
    "--input": {
        "uint8": "one byte",
        "int16": "two bytes, signed",
        "float32": "four bytes",
    },
}  # fmt: skip


class Explained(click.Command):
    """A command whose help ends with a line for each value of its options that are choices."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        names = {name for parameter in self.params for name in parameter.opts}
        width = max(map(len, (value for values in WHAT_FOR.values() for value in values)))
        for name, values in WHAT_FOR.items():
            if name in names:
                with formatter.section(f"Values of {name}"):
                    formatter.write_dl([(f"{value:{width}}", text) for value, text in values.items()])


SIZE = click.option("--size", is_flag=True, help="Optimise for size (-Os): less flash, slower steps, the same bits.")
STORAGE = click.option(
    "--storage", is_flag=True, help="Keep the run over a reset and a power cut, in the board's memory for it."
)
ALL_PARTS = click.option(
    "--all-parts", is_flag=True, help="Link the whole runtime, not only what the model and the link need."
)
