"""`models import`: files of an older installation, set aside and never loaded; their slots are trained anew."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from utils.cli.options import HomeOption, JsonOption, existing_home, settings_with
from utils.cli.output import cell, say, say_json
from utils.cli.registry import registry_of
from utils.cli.retraining import queue

if TYPE_CHECKING:
    from config.home import Home
    from config.settings import ModelSettings

_ASIDE = "legacy, never loaded"


def import_models(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be done")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sets files of an older installation aside and queues a retrain.

    They lie in `models/` under names like lstm_EURUSD.pth or scalper.pkl. Nobody signed them, so
    they are moved to `models/legacy/` and never opened. A running daemon trains their slots as
    soon as it is free, another one at its next start.
    """
    found, origin = existing_home(home)
    registry = registry_of(found, origin)
    files = registry.legacy()
    slots = slots_of(files, settings_with({}).models)
    if files and not dry_run:
        _queue(found, slots)  # first: a command that dies between the two is repeated
        files = registry.set_aside()
    if as_json:
        say_json({"dry_run": dry_run, "files": files, "retrain": slots})
    else:
        _say(files, slots, dry_run)


def slots_of(names: Iterable[str], chosen: ModelSettings) -> list[str]:
    """The slots that old files were for, by their names; a name that tells none adds none.

    Args:
        names: file names.
        chosen: how the slots are called.
    """
    stems = [re.escape(chosen.model_path), re.escape(chosen.xgb_model_path), rf"{re.escape(chosen.lstm_model_path)}_[^_.]+"]
    name = re.compile(rf"({'|'.join(stems)})[._].+")
    return sorted({match[1] for match in map(name.fullmatch, names) if match})


def _queue(home: Home, slots: Sequence[str]) -> None:
    from market_data.clock import SystemClock
    from utils.shared_state import SharedState

    with closing(SharedState(home.shared_state, SystemClock())) as state:
        queue(state, slots)


def _say(files: Sequence[str], slots: Sequence[str], dry_run: bool) -> None:
    for name in files:
        say(f"would set aside {name}" if dry_run else f"{name}: {_ASIDE}")
    if not files:
        say("nothing to import: no file in models/ is without a manifest")
    elif slots:
        say(f"retrain {'would be ' if dry_run else ''}queued: {cell(list(slots))}")
    else:
        say("no retrain queued: the names tell no slot; see `train`")
