"""`models diff`: two versions of a slot, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from utils.cli.options import HomeOption, JsonOption
from utils.cli.output import cell, say, say_json, say_table
from utils.cli.registry import SlotArgument, check_known, opened, verified

if TYPE_CHECKING:
    from strategy.learning.artifact import Manifest

Pairs = dict[str, list[object]]

_ALWAYS = ("created", "first_bar", "last_bar", "rows")
_FACTS = (*_ALWAYS, "kind", "parent", "origin", "symbols", "timeframe", "seed", "input_rows")
_SECTIONS = ("hyper_parameters", "exit", "libraries")


def diff(
    slot: SlotArgument,
    version: Annotated[int, typer.Argument(metavar="VERSION")],
    other: Annotated[int | None, typer.Argument(metavar="[OTHER]", help="the active one otherwise")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Two versions: what taught them, their columns and settings, and their figures."""
    with opened(home) as (registry, _):
        check_known(registry, slot, version)
        against = other if other is not None else registry.state().slot(slot).active
        if against is None:
            raise typer.BadParameter(f"slot {slot} has no active version; say which two, see `models list`")
        check_known(registry, slot, against)
        found = differences(verified(registry, slot, version), verified(registry, slot, against))
    told = {"slot": slot, "versions": [version, against], **found}
    say_json(told) if as_json else _say(told)


def differences(left: Manifest, right: Manifest) -> dict[str, Any]:
    """What two manifests say differently, and all their figures.

    Returns:
        `facts` and `settings`: name -> both values, the training span always and the rest where
        it differs; `features`: columns that the right one added and removed, and whether the
        common ones are in another order; `metrics`: name -> both values, None where one has none.
    """
    facts = {name: [getattr(left, name), getattr(right, name)] for name in _FACTS}
    sections = [{name: getattr(manifest, name) for name in _SECTIONS} for manifest in (left, right)]
    threshold = {"threshold": [manifest.inference.get("threshold") for manifest in (left, right)]}
    return {
        "facts": {name: pair for name, pair in facts.items() if name in _ALWAYS or pair[0] != pair[1]},
        "features": _columns(left.features, right.features),
        "settings": _unequal({**_paired(*sections), **threshold}),
        "metrics": _paired(left.metrics, right.metrics),
    }


def _columns(left: tuple[str, ...], right: tuple[str, ...]) -> dict[str, Any]:
    common = [[name for name in names if name in other] for names, other in ((left, right), (right, left))]
    return {
        "added": [name for name in right if name not in left],
        "removed": [name for name in left if name not in right],
        "reordered": common[0] != common[1],
    }


def _paired(left: Mapping[str, Any], right: Mapping[str, Any]) -> Pairs:
    flat_left, flat_right = _flat(left), _flat(right)
    return {name: [flat_left.get(name), flat_right.get(name)] for name in {**flat_left, **flat_right}}


def _unequal(pairs: Pairs) -> Pairs:
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Nested values under dotted names.

    >>> _flat({"folds": {"1": {"rows": 5}}, "rows": 7})
    {'folds.1.rows': 5, 'rows': 7}
    """
    flat: dict[str, object] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _say(told: Mapping[str, Any]) -> None:
    heads = [f"version {version}" for version in told["versions"]]
    say_table((told["slot"], *heads), [(name, *map(cell, pair)) for name, pair in told["facts"].items()], empty="")
    features = told["features"]
    for name in ("added", "removed"):
        say(f"columns {name}: {cell(features[name])}")
    if features["reordered"]:
        say("common columns are in another order")
    say_table(("setting", *heads), [(name, *map(cell, pair)) for name, pair in told["settings"].items()], empty="same settings")
    rows = [(name, *map(cell, pair), _change(*pair)) for name, pair in told["metrics"].items()]
    say_table(("figure", *heads, "change"), rows, empty="no figures")


def _change(left: object, right: object) -> str | None:
    numbers = [value for value in (left, right) if isinstance(value, int | float) and not isinstance(value, bool)]
    return f"{numbers[1] - numbers[0]:+.5g}" if len(numbers) == 2 else None
