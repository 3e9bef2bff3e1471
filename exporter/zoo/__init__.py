# SPDX-License-Identifier: MIT
"""The zoo: models by name. A new one is a module with a `RECIPE`, and a line here."""

from ttzo.device_runtime.contract import TtzoError
from ttzo.exporter.zoo import (
    allen_cahn,
    autoencoders,
    black_scholes,
    burgers,
    convolution,
    darcy,
    digits,
    digits_rnn,
    heat,
    hjb20,
    mnist,
    names_gpt,
    sensors,
    unicode_names,
)
from ttzo.exporter.zoo.recipe import Recipe

_PDES = (
    black_scholes.RECIPE,
    hjb20.RECIPE,
    hjb20.RANK_10,
    hjb20.DENSE,
    hjb20.LQ,
    burgers.RECIPE,
    heat.RECIPE,
    allen_cahn.RECIPE,
    darcy.RECIPE,
)
_CONVOLUTIONS = (convolution.DIGITS, convolution.MNIST, convolution.MNIST_TT)
SENSORS = (sensors.WATCH, sensors.MOTIONS, sensors.VOWELS, sensors.POWER, sensors.APPLIANCES)
AUTOENCODERS = (autoencoders.HEARTBEATS, autoencoders.BLEEDING)
SEQUENCES = (digits_rnn.RECIPE, names_gpt.RECIPE)
_MNIST = (mnist.RECIPE, mnist.RECIPE_3898)
SMALL_MNIST = (mnist.RECIPE_196, mnist.RECIPE_100, convolution.MNIST_99)
_RECIPES = {
    recipe.name: recipe
    for recipe in (
        digits.RECIPE,
        *_MNIST,
        *_CONVOLUTIONS,
        *SMALL_MNIST,
        unicode_names.RECIPE,
        *SEQUENCES,
        *SENSORS,
        *AUTOENCODERS,
        *_PDES,
    )
}


def names() -> tuple[str, ...]:
    """What `get` knows, in the order people should read it."""
    return tuple(_RECIPES)


def get(name: str) -> Recipe:
    """The recipe of that name. Raises `TtzoError` for another."""
    if name not in _RECIPES:
        raise TtzoError(f"the zoo has no model {name!r}", f"choose one of {', '.join(_RECIPES)}")
    return _RECIPES[name]
