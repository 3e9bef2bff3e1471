# SPDX-License-Identifier: MIT
"""A plan that is already there, changed and exported again: trained parameters frozen, another estimator, narrow weights."""

import dataclasses
from typing import Any

from ttzo.device_runtime.contract import Arithmetic, Cache, TtzoError
from ttzo.exporter.choose import contraction
from ttzo.exporter.costs.memory import Room
from ttzo.exporter.export import fitted
from ttzo.exporter.option_values import names_of, one_of
from ttzo.exporter.plan import augmentation, freeze, pruning, train_defaults
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.unread_options import require_use_of_plan
from ttzo.exporter.writers import to_bundle

CHANGES = ("augment", "freeze", "frozen", "keep_zeros", "batch", "arithmetic", "cache", *train_defaults.SETTINGS)


def changed(plan: Plan, *, room: Room | None = None, **options: Any) -> Plan:
    """The plan with `CHANGES`. `frozen` without `freeze` freezes every parameter: what is exported can be run, and no
    longer trained. Raises `TtzoError` for an option that would be another model, `PlanError`.

    Contractions and caches are chosen anew for `room` where something changes that they depend on.
    """
    given = {name: value for name, value in options.items() if value is not None}
    other = [name for name in given if name not in CHANGES]
    if other:
        known = ", ".join(CHANGES)
        raise TtzoError(f"{other[0]} cannot change a model that is already trained", f"what can be given: {known}")
    if not given:
        return plan
    training = {name: value for name, value in given.items() if name in train_defaults.SETTINGS}
    patterns = names_of("freeze", given.get("freeze", ["*"] if "frozen" in given else []))
    kind = one_of("frozen", given.get("frozen", "float32"), freeze.KINDS)
    metadata = plan.metadata | {"overrides": plan.metadata.get("overrides", {}) | _recorded(given)}
    made = dataclasses.replace(
        _core_by_core(plan),
        training=train_defaults.overridden(plan.training, training),
        batch=given.get("batch", plan.batch),
        arithmetic=train_defaults.member("arithmetic", given.get("arithmetic", plan.arithmetic), Arithmetic),
        metadata=metadata,
    )
    made = augmentation.of_plan(made, augmentation.settings_of(given.get("augment")), None)
    made = freeze.freeze(made, patterns, int8=kind == "int8")
    require_use_of_plan(made, given)
    made = pruning.keep_zeros(made) if given.get("keep_zeros") else made
    cache = train_defaults.member("cache", given.get("cache", plan.cache), Cache)
    if made.chain is not None or "cache" in given:
        made = dataclasses.replace(made, cache=cache)
    made = contraction.chosen(made) if room is None else fitted(made, room, given="cache" in given)
    return to_bundle.read(to_bundle.write(made))


def _core_by_core(plan: Plan) -> Plan:
    """The plan as readers make it: nothing split, caches of float32."""
    plan = dataclasses.replace(plan, cache=Cache.float32)
    if plan.chain is None:
        return plan
    return plan.with_layers([dataclasses.replace(layer, contraction=0) for layer in plan.layers])


def _recorded(given: dict[str, Any]) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else getattr(value, "name", value)
        for name, value in given.items()
    }
