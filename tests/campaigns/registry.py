"""The whole registry campaign; can be stopped at any time and goes on where it was.

    python -m tests.campaigns.registry --results FOLDER [--part kills|writers|bytes|swaps]
    python -m tests.campaigns.registry --results FOLDER --table docs/campaigns/registry.md

Results are one JSON line per batch. What is drawn is seeded; the instants of kills from outside and
the meeting of threads are not.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

from loguru import logger

from tests.campaigns.campaign import Total, lines
from tests.campaigns.registry_bytes import ByteReport, Museum, attack_all, sweep_manifests
from tests.campaigns.registry_kills import OPERATIONS, killed_at, steps_of, storm
from tests.campaigns.swap_storm import DECIDE_EVERY, SWAPS_PER_SECOND, Arena
from tests.campaigns.swap_storm import storm as swap_storm

Batches = Iterator[tuple[str, Callable[[], Total]]]

WRITER_STORMS, KILLS = 10, 20
BYTE_SEEDS = 20
SWAP_BATCHES, READS = 20, 50_000
VERSIONS, READERS = 6, 2

DOCUMENT = """# The registry campaign

Made by `python -m tests.campaigns.registry`; a small one runs with the tests (`tests/campaigns/test_registry.py`).

## Killed before every step
A process does one operation and is killed (`kill -9`, `TerminateProcess` on Windows) before one of its steps:
every write, flush and rename of `active.json`, its mirror and `promotions.jsonl`, every file staged, placed,
removed or set aside. Then the registry is opened anew. In every slot exactly one version serves, it verifies,
and it is the old or the new one; nothing lies about; the record tells every change once. The operation is said
again and comes to its end.

| operation | steps | killed | wrong |
|---|---|---|---|
{kills}

## Two writers at once, killed at any moment
One process publishes as the daemon does, another promotes, rolls back, pins, prunes and imports as commands do,
on the same folder. One of them, drawn by chance, is killed and replaced again and again; a reader beside them looks
whether a sound version serves in every slot.

| storms | kills | changes of the state | looks | wrong |
|---|---|---|---|---|
{writers}

## Damaged and forged files
Two versions of each kind with all their files, compiled models included; the newer one is damaged in one file and a
daemon loads what serves. It must be told, the older version must serve, the planted code must not run, and no
damaged byte may reach joblib, torch or the ONNX runtime ({opened:,} sound files did, so the listening works). "Hashes
rewritten" and "signed with another key" are what somebody does who lacks the key.

| damage | done | not noticed |
|---|---|---|
{bytes}

{same:,} further changes of a manifest left every value as it was (its last line's end cut off, `e` for `E` in a figure):
the signature is over the content, so these are no alterations.

## Swap storm
Deciding threads read while a thread swaps {pace:,} times a second and another promotes versions in the registry and loads
them from disk. Each of {versions} versions a slot (compiled forest, compiled booster, compiled BiLSTM) has its own columns in
its own order, its own scalers, model and calibration, so a forecast made from parts of two is found by its value.
One read in {every} is a whole decision from bars. Threads take turns a hundred times as often as usual.

| reads | of them whole decisions | swaps | swaps a second | loaded from disk | reads that met another version than the one before | mixed |
|---|---|---|---|---|---|---|
{swaps}
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs what is missing; 1 where anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--part", choices=tuple(PARTS), default=None, help="only this one")
    parser.add_argument("--table", type=Path, default=None, help="write this file and run nothing")
    options = parser.parse_args(arguments)
    if options.table is not None:
        options.table.parent.mkdir(parents=True, exist_ok=True)
        options.table.write_text(document(options.results), encoding="utf-8")
        return 0
    logger.remove()
    options.results.mkdir(parents=True, exist_ok=True)
    for part in PARTS if options.part is None else (options.part,):
        with tempfile.TemporaryDirectory() as scratch:
            play(PARTS[part](Path(scratch)), options.results / f"{part}.jsonl")
    problems = [problem for part in PARTS for line in lines(options.results / f"{part}.jsonl") for problem in line["problems"]]
    sys.stdout.write(json.dumps(problems, indent=1) + "\n")
    return 1 if problems else 0


def play(batches: Batches, results: Path) -> None:
    """Runs the batches that no line of the results names yet."""
    done = {line["batch"] for line in lines(results)}
    for name, run in batches:
        if name not in done:
            line = json.dumps({"batch": name, **run()}, sort_keys=True)
            with results.open("a", encoding="utf-8") as file:
                file.write(line + "\n")


def kills(scratch: Path) -> Batches:
    """One batch for every operation: killed before each of its steps."""
    for number, name in enumerate(OPERATIONS):
        yield name, partial(_killed_everywhere, name, scratch / f"operation{number}")


def _killed_everywhere(name: str, root: Path) -> Total:
    steps = steps_of(name, root / "rehearsal")
    found = {f"{number} {step}": killed_at(name, number, root / str(number)) for number, step in enumerate(steps)}
    return {"steps": len(steps), "problems": [f"{name}, {step}: {problem}" for step, problems in found.items() for problem in problems]}


def writers(scratch: Path) -> Batches:
    """Storms of two writers."""
    for seed in range(WRITER_STORMS):
        yield str(seed), partial(_stormed, scratch / f"storm{seed}", seed)


def _stormed(root: Path, seed: int) -> Total:
    return asdict(storm(root, KILLS, seed))


def bytes_(scratch: Path) -> Batches:
    """Every file in every way, once a batch."""
    museum = Museum(scratch)
    for seed in range(BYTE_SEEDS):
        yield str(seed), partial(_damaged, museum, seed)


def _damaged(museum: Museum, seed: int) -> Total:
    report = ByteReport()
    attack_all(museum, range(seed, seed + 1), report)
    sweep_manifests(museum, seed, report)
    return vars(report)  # not asdict, which makes nonsense of a Counter


def swaps(scratch: Path) -> Batches:
    """So many reads a batch."""
    arena = Arena(scratch, VERSIONS, compiled=True)
    for seed in range(SWAP_BATCHES):
        yield str(seed), partial(_swapped, arena, seed)


def _swapped(arena: Arena, seed: int) -> Total:
    return asdict(swap_storm(arena, READS, readers=READERS, seed=seed))


PARTS: Mapping[str, Callable[[Path], Batches]] = {"kills": kills, "writers": writers, "bytes": bytes_, "swaps": swaps}


def document(results: Path) -> str:
    """The page with what the results have come to so far."""
    killed, wrote, damaged, swapped = (list(lines(results / f"{part}.jsonl")) for part in PARTS)
    done = sum((Counter(line["done"]) for line in damaged), Counter[str]())
    missed = [problem for line in damaged for problem in line["problems"]]
    rows = [f"| {name} | {count:,} | {0 if not missed else 'see below'} |" for name, count in sorted(done.items())]
    return DOCUMENT.format(
        kills="\n".join(f"| {line['batch']} | {line['steps']} | {line['steps']} | {len(line['problems'])} |" for line in killed),
        writers=f"| {len(wrote)} | {_sum(wrote, 'kills')} | {_sum(wrote, 'changes')} | {_sum(wrote, 'looks')} | {_found(wrote)} |",
        bytes="\n".join([*rows, f"| together | {sum(done.values()):,} | {len(missed)} |", *(f"| {problem} | | 1 |" for problem in missed)]),
        opened=sum(line["opened"] for line in damaged),
        same=sum(line["same"] for line in damaged),
        pace=SWAPS_PER_SECOND,
        versions=VERSIONS,
        every=DECIDE_EVERY,
        swaps=_swap_row(swapped),
    )


def _swap_row(batches: list[Total]) -> str:
    seconds = sum(line["seconds"] for line in batches)
    pace = sum(line["swaps"] for line in batches) / seconds if seconds else 0.0
    cells = [_sum(batches, "reads"), _sum(batches, "decisions"), _sum(batches, "swaps"), f"{pace:,.0f}"]
    return f"| {' | '.join([*cells, _sum(batches, 'loaded'), _sum(batches, 'changes'), _found(batches)])} |"


def _sum(batches: list[Total], name: str) -> str:
    return f"{sum(line[name] for line in batches):,}"


def _found(batches: list[Total]) -> str:
    return str(sum(len(line["problems"]) for line in batches))


if __name__ == "__main__":
    sys.exit(main())
