# SPDX-License-Identifier: MIT
"""The zoo: models by name. A new one is a module with a `RECIPE`, and a line here."""

from ttzo.device_runtime.contract import TtzoError
from ttzo.exporter.zoo import digits, mnist
from ttzo.exporter.zoo.recipe import Recipe

_RECIPES = {recipe.name: recipe for recipe in (digits.RECIPE, mnist.RECIPE)}


def names() -> tuple[str, ...]:
    """What `get` knows, in the order people should read it."""
    return tuple(_RECIPES)


def get(name: str) -> Recipe:
    """The recipe of that name. Raises `TtzoError` for another."""
    if name not in _RECIPES:
        raise TtzoError(f"the zoo has no model {name!r}", f"take one of {', '.join(_RECIPES)}")
    return _RECIPES[name]
