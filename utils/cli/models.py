"""`models`: the registry; every command works with the daemon up or down."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from utils.cli import model_diff, model_import, model_log
from utils.cli.options import HomeOption, JsonOption
from utils.cli.output import cell, fixed, minute, say, say_json, say_pairs, say_table
from utils.cli.registry import SlotArgument, check_known, opened, verified

if TYPE_CHECKING:
    from strategy.learning.active import ActiveState, SlotState
    from strategy.learning.artifact import Manifest
    from strategy.learning.catalogue import VersionInfo
    from strategy.learning.registry import Registry

app = typer.Typer(rich_markup_mode=None, help="Versions: which serve, why, and back again.")
app.command("diff")(model_diff.diff)
app.command("log")(model_log.log)
app.command("import")(model_import.import_models)


@app.command("list")
def list_versions(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Every version on disk; each is checked."""
    with opened(home) as (registry, _):
        infos = registry.versions()
    if as_json:
        say_json([asdict(info) for info in infos])
        return
    columns = ("slot", "version", "state", "created", "accuracy", "expectancy R", "at least R", "problem")
    say_table(columns, [_listed(info) for info in infos], empty="no models yet")


@app.command()
def show(
    slot: SlotArgument,
    version: Annotated[int | None, typer.Argument(metavar="[VERSION]", help="the active one otherwise")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """One version: what taught it, what the gate found, its files."""
    with opened(home) as (registry, _):
        check_known(registry, slot, version)
        number = version if version is not None else registry.state().slot(slot).active
        if number is None:
            raise typer.BadParameter(f"slot {slot} has no active version; say which one, see `models list`")
        manifest = verified(registry, slot, number)
    say_json(json.loads(manifest.to_json())) if as_json else _show(manifest)


@app.command()
def verify(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Checks signature, size and hash of every file; exit code 5 if anything is refused."""
    from config.errors import CheckFailed

    with opened(home) as (registry, _):
        refusals = registry.verify()
        count = sum(info.version is not None for info in registry.versions())
    if as_json:
        say_json({"ok": not refusals, "versions": count, "refused": [asdict(refusal) for refusal in refusals]})
    elif not refusals:
        say(f"ok: {count} versions")
    if refusals:
        raise CheckFailed("\n".join(f"refused: {refusal}" for refusal in refusals))


@app.command()
def promote(
    slot: SlotArgument, version: Annotated[int, typer.Argument(metavar="VERSION")], home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Makes a version the active one; where it is, ends its probation and whatever else is tried or waits."""
    with opened(home) as (registry, held):
        check_known(registry, slot, version)
        before = registry.state()
        verified(registry, slot, version)
        _switched(slot, before, registry.promote(slot, version), held, as_json)


@app.command()
def rollback(
    slot: SlotArgument,
    to: Annotated[int | None, typer.Option("--to", metavar="VERSION", help="the version meant; the previous one otherwise")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Puts the previous version back."""
    from strategy.learning.lifecycle import rollback_target

    with opened(home) as (registry, held):
        check_known(registry, slot, to)
        before = registry.state()
        target = to if to is not None else rollback_target(slot, before.slot(slot))
        if target != before.slot(slot).active:
            verified(registry, slot, target)
        _switched(slot, before, registry.rollback(slot, to), held, as_json)


@app.command()
def resume(slot: SlotArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Lets a stopped version vote again; what it makes from now on is watched anew."""
    with opened(home) as (registry, held):
        check_known(registry, slot, None)
        before = registry.state()
        active = before.slot(slot).active
        if active is None:
            raise typer.BadParameter(f"slot {slot} has no active version; choose one with `models promote {slot} VERSION`")
        verified(registry, slot, active)
        _switched(slot, before, registry.promote(slot, active), held, as_json)


@app.command()
def pin(slot: SlotArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Keeps the active version whatever is trained."""
    with opened(home) as (registry, _):
        check_known(registry, slot, None)
        before = registry.state()
        _check_votes(registry, slot, before.slot(slot))
        after = registry.pin(slot)
        _answer(slot, before, after, f"version {after.slot(slot).active} stays active whatever is trained", as_json)


@app.command()
def unpin(slot: SlotArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Lets new versions serve again."""
    with opened(home) as (registry, _):
        check_known(registry, slot, None)
        before, after = registry.state(), registry.pin(slot, pinned=False)
        _answer(slot, before, after, f"new versions may serve again; version {after.slot(slot).active} is active", as_json)


@app.command()
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be deleted")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deletes versions beyond KEEP_VERSIONS; never the active, previous or pinned one."""
    with opened(home) as (registry, _):
        names = registry.prune(dry_run)
    if as_json:
        say_json({"dry_run": dry_run, "files": names})
        return
    for name in names:
        say(f"{'would delete' if dry_run else 'deleted'} {name}")
    if not names:
        say("nothing to delete")


def _switched(slot: str, before: ActiveState, after: ActiveState, running: bool, as_json: bool) -> None:
    old, new = before.slot(slot), after.slot(slot)
    when = "the running daemon adopts it before its next decision" if running else "it serves when the daemon starts"
    text = f"version {new.active} is active, before: {old.active or 'none'}; {when}"
    if old.voting == new.active:
        text = f"version {new.active} is active and settled: what was tried beside it or waited is not pursued any more"
    _answer(slot, before, after, text, as_json)


def _answer(slot: str, before: ActiveState, after: ActiveState, text: str, as_json: bool) -> None:
    held, changed = after.slot(slot), after.generation != before.generation
    if as_json:
        told = {"slot": slot, "active": held.active, "stopped": held.stopped is not None, "previous": held.previous, "pinned": held.pinned}
        say_json({**told, "generation": after.generation, "changed": changed})
    else:
        say(f"{slot}: {text if changed else f'nothing to change; {_stands(slot, held)}'}")


def _stands(slot: str, held: SlotState) -> str:
    """What a slot serves, in words."""
    if held.stopped is not None:
        return f"version {held.active} is active but stopped since {minute(held.stopped.at)} UTC; `models resume {slot}` lets it vote again"
    return f"version {held.active} is active{', pinned' if held.pinned else ''}"


def _check_votes(registry: Registry, slot: str, held: SlotState) -> None:
    """Raises CheckFailed where a pin would keep the slot silent whatever is trained."""
    from config.errors import CheckFailed

    if held.stopped is not None:
        raise CheckFailed(f"refused: {_stands(slot, held)}, and can then be pinned")
    if held.active is not None:
        verified(registry, slot, held.active)


def _listed(info: VersionInfo) -> tuple[object, ...]:
    figures = (fixed(info.metrics.get(name), 3) for name in ("accuracy", "expectancy_r", "expectancy_lower_r"))
    return info.slot, info.version, " ".join(info.marks), minute(info.created), *figures, info.problem


def _show(manifest: Manifest) -> None:
    say_pairs(
        {
            "model": f"{manifest.slot} version {manifest.version} ({manifest.kind})",
            "created": f"{minute(manifest.created)} UTC, after version {cell(manifest.parent)}",
            "origin": manifest.origin,
            "votes on": f"{cell(manifest.symbols)} {manifest.timeframe}",
            "taught by": f"{manifest.rows} rows, {minute(manifest.first_bar)} to {minute(manifest.last_bar)}, seed {manifest.seed}",
            "features": f"{len(manifest.features)} columns, hash {manifest.feature_hash}",
            "exit": f"{cell(manifest.exit)}, hash {manifest.exit_hash}",
            "settings": manifest.hyper_parameters,
            "libraries": manifest.libraries,
        }
    )
    say("figures of the final window")
    say_pairs({f"  {name}": value for name, value in manifest.metrics.items()})
    say("gate")
    for line in gate_lines(manifest.gate_report):
        say(f"  {line}")
    say("files")
    say_pairs({f"  {manifest.stem}{suffix}": f"{entry.size} bytes, sha256 {entry.sha256}" for suffix, entry in manifest.files.items()})


def gate_lines(report: Any) -> list[str]:
    """The gate's findings, one a line; none where there is no report."""
    findings = report.get("findings", ()) if hasattr(report, "get") else ()
    return [f"{'pass' if finding['passed'] else 'FAIL'}  {finding['rule']}: {finding['detail']}" for finding in findings]
