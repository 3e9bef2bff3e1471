# SPDX-License-Identifier: MIT
# What _ttzo_model.py says of a caller's arguments, in the order of its numbers. Read when one is wrong.
_TEXTS = (
    "rows are numbers, not text",
    "x needs numbers of kind '{}' or raw bytes, not '{}'",
    "x has {} bytes, a row of inputs has {}",
    "y needs classes of kind 'B' or 'H', not '{}'",
    "y needs float32 outputs of kind 'f', not '{}'",
    "y has {} bytes, {} rows need {}",
    "the model has an equation: rows are points in x and values in y",
    "without y, x needs whole rows as raw bytes",
    "x has {} bytes, a row of inputs and target has {}",
    "the file has {} bytes, a row of inputs and target has {}",
    "the model trains on rows",
    "the model trains on an equation, not on rows",
    "callback is a function of step and loss",
    "steps is a number of steps: 0, 1, 2, ..",
    "room is a number of bytes",
)


def text(number):
    """What is said with that number."""
    return _TEXTS[number]
