"""The page that says what the campaign of regime changes has come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from config.settings import LifeSettings
from tests.campaigns.regimes import BACK, CALM, CHANGES, LIVELY, MONTH, NOTICED, STILL, WHOLE, share

DOCUMENT = """# Changes of regime, and months without one

Each case is a synthetic market of its own with a real trainer on it: {back:,} bars of history, a small
forest (20 trees, 8,000 rows, retrained every 12 hours), the strict gate, the registry, probation, and the checks of
drift and of failing versions with their default limits (`FAILING_ALPHA` {alpha:g}). {calm:,} bars after the start the market
changes, and {whole:,} bars more are played:

- `sign`: what the past tells of the next bars is turned round;
- `mechanism`: going on after a surge becomes turning back after a move, or the other way round;
- `gone`: the past tells nothing any more;
- `volatility`: every move is twice as large. The edge is still there, so there is something to notice and nothing to replace.

A version serves when the change comes; a seed with which none did was left out and the next one taken: {skipped} of {seeds} so far.
Bounds are exact, at 95 %. "Noticed" is the first that drift or the check of failing versions says. "Out of service"
means that the version was stopped, put back, or replaced by one whose whole final window lies after the change, the last
of which is "replaced".

## After a change that costs the edge

{changes}

## After one that does not

{lively}

## Months without a change

{months} months of {month:,} bars, each with a version in service from the first day on, whose sides made {worth} R on average:
{alarms} false alarms of drift, {alarm_rate} a month, at most {most} in one; {stops} false stops, {stop_rate} a month.

{words}

Made by `python -m tests.campaigns.regimes`. No limit was chosen on these seeds: they begin at 0, those that were looked at
before at 500, and `FAILING_ALPHA` comes of simulated results (`docs/STATISTICS.md`).
"""

Cases = Sequence[Mapping[str, Any]]


def document(cases: Cases) -> str:
    """The page."""
    served = [case for case in cases if case["served"]]
    months = [case for case in served if case["kind"] == STILL]
    alarms, stops = [len(case["alarms"]) for case in months], [len(case["failed"]) for case in months]
    return DOCUMENT.format(
        back=BACK,
        calm=CALM,
        whole=WHOLE,
        month=MONTH,
        alpha=LifeSettings().failing_alpha,
        skipped=len(cases) - len(served),
        seeds=len(cases),
        changes=_table(CHANGES, served),
        lively=_table((LIVELY,), served),
        months=len(months),
        worth=_mean([case["former_r"] for case in months]),
        alarms=sum(alarms),
        alarm_rate=_rate(alarms),
        most=max(alarms, default=0),
        stops=sum(stops),
        stop_rate=_rate(stops),
        words="\n".join(f"- seed {case['seed']}: {words}" for case in months for words in (*case["words"], *case["failures"])),
    )


def noticed(case: Mapping[str, Any]) -> int | None:
    """Bars until anything was said of the change."""
    return min((*case["alarms"][:1], *case["failed"][:1]), default=None)


def out_of_service(case: Mapping[str, Any]) -> int | None:
    """Bars until the version that served was stopped, put back or truly replaced."""
    return min((*case["failed"][:1], *case["put_back"][:1], *_known([case["replaced"]])), default=None)


def _table(kinds: Sequence[str], cases: Cases) -> str:
    """One column for every kind of change, and one for all."""
    parts = [[case for case in cases if case["kind"] == kind] for kind in kinds]
    if len(kinds) > 1:
        parts.append([case for part in parts for case in part])
    columns, names = [_column(part) for part in parts], [*kinds, "together"][: len(parts)]
    head = f"| | {' | '.join(names)} |\n|---|{'---|' * len(names)}"
    return "\n".join([head, *(f"| {name} | {' | '.join(column[name] for column in columns)} |" for name in columns[0])])


def _column(cases: Cases) -> dict[str, str]:
    first, out = _known(map(noticed, cases)), _known(map(out_of_service, cases))
    replaced = _known(case["replaced"] for case in cases)
    return {
        "cases": str(len(cases)),
        f"noticed within {NOTICED:,} bars": share(sum(bars <= NOTICED for bars in first), len(cases)),
        "median bars until noticed": _median(first),
        "out of service": share(len(out), len(cases)),
        "of these stopped or put back first": str(len(_known(case["failed"][0] if case["failed"] else None for case in cases))),
        "median bars until out of service": _median(out),
        "replaced": share(len(replaced), len(cases)),
        "median bars until replaced": _median(replaced),
        "R a side after the change, of the version that served then": _mean([case["former_r"] for case in cases]),
        f"R a side over the newest {NOTICED:,} bars, of the version that votes at the end": _mean([case["newest_r"] for case in cases]),
    }


def _known(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if value is not None]


def _rate(counts: Sequence[int]) -> str:
    return f"{np.mean(counts):.2f}" if counts else "none"


def _mean(values: Sequence[float | None]) -> str:
    known = _known(values)
    return f"{np.mean(known):+.2f}" if known else ""


def _median(values: Sequence[int]) -> str:
    return f"{np.median(values):,.0f}" if values else ""
