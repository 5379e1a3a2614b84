"""The page that the ablation campaign writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Line = dict[str, Any]

HEAD = """# What the optional parts earn

## Feature families

`FEATURE_FAMILIES` adds columns: `order_blocks`, `fair_value_gaps` and `liquidity` (strategy/structure.py). The
same XGBoost recipe learns from the older half of a stretch of 12,000 bars with different columns, and is judged on
the newer half. Gains are against the usual columns, row by row on the same rows: log-loss in nats of the three
outcomes, and net R after costs per row, 0 where the model stays out. Bounds are 95 %, two-sided, from block
errors; with {tests} comparisons some would leave 0 by luck alone. A calibration that is kept with one set of columns and not
with another moves the log-loss by hundredths; it is part of what the columns do.

Made by `python -m tests.campaigns.ablation`.

"""


def document(families: Sequence[Line], weights: Sequence[Line]) -> str:
    """The whole page."""
    markets = {line["market"] for line in families}
    kinds: list[tuple[str, Callable[[Line], bool]]] = [
        ("Real files", lambda line: line["market"].startswith("real")),
        ("Synthetic markets", lambda line: line["market"].startswith("synthetic")),
        *((name, lambda line, name=name: line["market"] == name) for name in sorted(markets)),  # type: ignore[misc]  # bound per name
    ]
    variants = [name for name in dict.fromkeys(line["variant"] for line in families) if name != "none"]
    parts = [HEAD.format(tests=2 * len(variants) * len(kinds))]
    for title, chosen in kinds:
        parts += _family_table(title, [line for line in families if chosen(line)], variants)
    return "".join([*parts, *_verdicts([line for line in families if kinds[0][1](line)], variants), *_weight_table(weights)])


def _family_table(title: str, lines: Sequence[Line], variants: Sequence[str]) -> list[str]:
    base = [line for line in lines if line["variant"] == "none"]
    if not base:
        return []
    said = f"{len(base)} stretches, {sum(line['rows'] for line in base):,} test rows; the usual columns gain "
    usual = f"{1e3 * np.mean([line['nats'] for line in base]):+.2f} thousandths of a nat over class priors and net {_r(base)} R a row.\n\n"
    found = [f"### {title}\n\n", said, usual, "| families | log-loss, nats / 1,000 | net R a row / 1,000 |\n|---|---|---|\n"]
    for variant in variants:
        own = [line for line in lines if line["variant"] == variant]
        found.append(f"| {variant} | {_bounds(own, 'nats')} | {_bounds(own, 'net_r')} |\n")
    return [*found, "\n"]


def _verdicts(real: Sequence[Line], variants: Sequence[str]) -> list[str]:
    """Whether each set of families has shown a gain on real files."""
    found = ["A set of families earns its place where the lower bound of its log-loss gain on real files is above 0. That is so for: "]
    return [*found, ", ".join(name for name in variants if _earns([line for line in real if line["variant"] == name])) or "none", ".\n\n"]


def _earns(own: Sequence[Line]) -> bool:
    value, error = _gain(own, "nats")
    return len(own) > 1 and value - 1.96 * error > 0


def _r(lines: Sequence[Line]) -> str:
    return f"{np.mean([line['net_r'] for line in lines]):+.4f}"


def _bounds(lines: Sequence[Line], figure: str) -> str:
    """Mean gain over stretches, each of the same weight, and its bounds, in thousandths."""
    value, error = (1e3 * part for part in _gain(lines, figure))
    return f"{value:+.2f} ({value - 1.96 * error:+.2f} to {value + 1.96 * error:+.2f})"


def _gain(lines: Sequence[Line], figure: str) -> tuple[float, float]:
    """Mean gain over stretches and its standard error."""
    variance = np.sum([line[f"{figure}_error"] ** 2 for line in lines])
    return float(np.mean([line[f"{figure}_gain"] for line in lines])), float(np.sqrt(variance) / len(lines))


def _weight_table(lines: Sequence[Line]) -> list[str]:
    found = [
        "## Votes weighed by skill\n\n",
        "A RandomForest and an XGBoost model of one synthetic history vote on as many bars that follow it.\n",
    ]
    found.append("Net R is the sum over all trades, one position at a time.\n\n")
    found.append("| mechanism | histories | trades, equal | trades, skill | net R, equal | net R, skill | skill less equal, a history |\n")
    found.append("|---|---|---|---|---|---|---|\n")
    for name in [*sorted({line["market"] for line in lines}), "all"]:
        found.append(_weight_row(name, [line for line in lines if name in (line["market"], "all")]))
    return found


def _weight_row(name: str, own: Sequence[Line]) -> str:
    gains = np.array([line["skill_net_r"] - line["equal_net_r"] for line in own])
    error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else float("nan")
    total = {key: sum(line[key] for line in own) for key in ("equal_trades", "skill_trades", "equal_net_r", "skill_net_r")}
    bounds = f"{gains.mean():+.1f} ({gains.mean() - 1.96 * error:+.1f} to {gains.mean() + 1.96 * error:+.1f})"
    trades = f"{total['equal_trades']:,} | {total['skill_trades']:,} | {total['equal_net_r']:+.0f} | {total['skill_net_r']:+.0f}"
    return f"| {name} | {len(own)} | {trades} | {bounds} |\n"
