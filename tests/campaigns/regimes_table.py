"""The page that says what the campaign of regime changes has come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tests.campaigns.regimes import BACK, CALM, CHANGES, MONTH, NOTICED, WHOLE, share

DOCUMENT = """# Changes of regime, and months without one

Each case is a synthetic market of its own with a real trainer on it: {back:,} bars of history, a small
forest (20 trees, 8,000 rows, retrained every 12 hours), the strict gate, the registry and the drift check
with its default limits. {calm:,} bars after the start the market changes:

- `sign`: what the past tells of the next bars is turned round;
- `volatility`: every move is twice as large;
- `mechanism`: going on after a surge becomes turning back after a move, or the other way round.

An edge is there before and after every change, so a new model can be found. Whether one serves when the
change comes is for the gate to say; cases without a served version have nothing to notice and are counted apart.

Made by `python -m tests.campaigns.regimes`. Bounds are exact, at 95 %.

## Noticed within {noticed:,} bars

{noticed_table}

## Replaced, on markets that go on for {whole:,} bars

"Replaced" means by a version whose whole final window lies after the change, promoted after drift was noticed.
Net R a side over the newest {noticed:,} bars is what both versions would have made at the end: the one that
served when the change came, and the one that serves last.

{replaced_table}

## Months without a change

{months} months of {month:,} bars on the same markets, {served} of them with a version in service from the first day on:
{alarms} false alarms, {rate} a month; at most {most} in one month; none in {quiet}.

{words}
"""

Cases = Sequence[Mapping[str, Any]]


def document(cases: Cases) -> str:
    """The page."""
    changes = [case for case in cases if case["kind"] != "none"]
    months = [case for case in cases if case["kind"] == "none"]
    counts = [len(case["alarms"]) for case in months]
    return DOCUMENT.format(
        back=BACK,
        calm=CALM,
        noticed=NOTICED,
        whole=WHOLE,
        month=MONTH,
        noticed_table=_table([case for case in changes if case["after"] == NOTICED], _noticed),
        replaced_table=_table([case for case in changes if case["after"] == WHOLE], _replaced),
        months=len(months),
        served=sum(case["served"] for case in months),
        alarms=sum(counts),
        rate=f"{np.mean(counts):.2f}" if counts else "none",
        most=max(counts, default=0),
        quiet=counts.count(0),
        words="\n".join(f"- `{case['kind']}`: {words}" for case in months for words in case["words"]),
    )


def _table(cases: Cases, column: Callable[[Cases], dict[str, str]]) -> str:
    """One column for every kind of change, and one for all."""
    columns = [column([case for case in cases if case["kind"] == kind]) for kind in CHANGES] + [column(cases)]
    head = f"| | {' | '.join(CHANGES)} | together |\n|---|{'---|' * (len(CHANGES) + 1)}"
    return "\n".join([head, *(f"| {name} | {' | '.join(part[name] for part in columns)} |" for name in columns[0])])


def _noticed(cases: Cases) -> dict[str, str]:
    served = [case for case in cases if case["served"]]
    first = [case["alarms"][0] for case in served if case["alarms"]]
    by_hits = sum("hit rate" in case["words"][0] for case in served if case["words"])
    return {
        "markets": str(len(cases)),
        "with a served version": str(len(served)),
        "noticed": share(sum(bars <= NOTICED for bars in first), len(served)),
        "by the hit rate, by the market": f"{by_hits}, {len(first) - by_hits}",
        "median bars until noticed": _median(first),
    }


def _replaced(cases: Cases) -> dict[str, str]:
    served = [case for case in cases if case["served"]]
    replaced = [case["replaced"] for case in served if case["replaced"] is not None]
    both = [(case["former_r"], case["newest_r"]) for case in served if None not in (case["former_r"], case["newest_r"])]
    return {
        "markets with a served version": str(len(served)),
        "replaced": share(len(replaced), len(served)),
        "median bars until replaced": _median(replaced),
        "R a side, former and newest": " and ".join(f"{value:+.2f}" for value in np.mean(both, axis=0)) if both else "",
    }


def _median(values: Sequence[int]) -> str:
    return f"{np.median(values):,.0f}" if values else ""
