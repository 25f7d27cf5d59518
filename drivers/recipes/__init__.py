"""Recipes: what is known of each provider's page, as data. Neither a browser nor a decision may come in."""

from drivers.recipes.catalog import Catalog, check_name, read_recipe, write_recipe
from drivers.recipes.recipe import (
    Completion,
    FrameRule,
    Limits,
    Locator,
    Locators,
    Origin,
    Proof,
    Recipe,
    SendWay,
)

__all__ = (
    "Catalog",
    "Completion",
    "FrameRule",
    "Limits",
    "Locator",
    "Locators",
    "Origin",
    "Proof",
    "Recipe",
    "SendWay",
    "check_name",
    "read_recipe",
    "write_recipe",
)
