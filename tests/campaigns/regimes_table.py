"""The page that says what the campaign of regime changes has come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tests.campaigns.regimes import AFTER, BACK, CALM, CHANGES, MONTH, NOTICED, share

DOCUMENT = """# Changes of regime, and months without one

Each case is a synthetic market of its own with a real trainer on it: {back:,} bars of history, a small
forest (20 trees, 8,000 rows, retrained every 12 hours), the strict gate, the registry and the drift check
with its default limits. {calm:,} bars after the start the market changes, and goes on for {after:,}:

- `sign`: what the past tells of the next bars is turned round;
- `mechanism`: going on after a surge becomes turning back after a move, or the other way round;
- `volatility`: every move is twice as large.

An edge is there before and after every change, so a new model can be found. Whether one serves when the
change comes is for the gate to say; cases without a served version have nothing to notice and are counted apart.
"Replaced" means by a version whose whole final window lies after the change, promoted after drift was noticed.

Made by `python -m tests.campaigns.regimes`. Bounds are exact, at 95 %.

| | {names} | together |
|---|{lines}---|
{rows}

Net R a side over the newest {noticed:,} bars is what both versions would have made at the end: the one that
served when the change came, and the one that serves last.

## Months without a change

{months} months of {month:,} bars on the same markets, with a version in service in {served} of them:
{alarms} false alarms, {rate} a month; at most {most} in one month; none in {quiet}.

{words}
"""


def document(cases: Sequence[Mapping[str, Any]]) -> str:
    """The page."""
    groups = [[case for case in cases if case["kind"] == kind] for kind in CHANGES]
    columns = [_column(group) for group in (*groups, [case for case in cases if case["kind"] != "none"])]
    rows = "\n".join(f"| {name} | " + " | ".join(column[name] for column in columns) + " |" for name in columns[0])
    quiet = [case for case in cases if case["kind"] == "none"]
    counts = [len(case["alarms"]) for case in quiet]
    return DOCUMENT.format(
        back=BACK,
        calm=CALM,
        after=AFTER,
        noticed=NOTICED,
        month=MONTH,
        names=" | ".join(CHANGES),
        lines="---|" * len(CHANGES),
        rows=rows,
        months=len(quiet),
        served=sum(case["served"] for case in quiet),
        alarms=sum(counts),
        rate=f"{np.mean(counts):.2f}" if counts else "0",
        most=max(counts, default=0),
        quiet=counts.count(0),
        words="\n".join(f"- {text}" for text in _first_words(cases)),
    )


def _column(group: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    served = [case for case in group if case["served"]]
    first = [case["alarms"][0] for case in served if case["alarms"]]
    replaced = [case["replaced"] for case in served if case["replaced"] is not None]
    both = [(case["former_r"], case["newest_r"]) for case in served if None not in (case["former_r"], case["newest_r"])]
    return {
        "markets": str(len(group)),
        "with a served version": str(len(served)),
        f"noticed within {NOTICED:,} bars": share(sum(bars <= NOTICED for bars in first), len(served)),
        "median bars until noticed": _median(first),
        "replaced": share(len(replaced), len(served)),
        "noticed in time and replaced": share(
            sum(bool(case["alarms"]) and case["alarms"][0] <= NOTICED and case["replaced"] is not None for case in served), len(served)
        ),
        "median bars until replaced": _median(replaced),
        "R a side, former and newest": " and ".join(f"{value:+.2f}" for value in np.mean(both, axis=0)) if both else "",
    }


def _median(values: Sequence[int]) -> str:
    return f"{np.median(values):,.0f}" if values else ""


def _first_words(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """One example of each kind, as the journal has it."""
    examples = {case["kind"]: case["words"][0] for case in cases if case["words"]}
    return [f"`{kind}`: {words}" for kind, words in sorted(examples.items())]
