"""Rules and limits that look beyond account and proposal: other positions, the past, the calendar.

As in `execution.risk`, a rule answers None or says why not, a limit answers lots, and a figure
that is missing raises, which the gate turns into a denial.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta

from execution.exposure import Exposure, Line, by_currency, legs, market_lines, stop_lines, value_per_lot
from execution.risk_case import Case, at_least_zero, finite, positive
from execution.sizing import lots_for_risk
from market_data.instruments import SymbolSpec

_HOUR = timedelta(hours=1)


def drawdown(case: Case) -> str | None:
    """Equity is near its peak, and was ever since somebody last said so."""
    if case.scene.tripped is None:
        raise ValueError("whether the drawdown switch has tripped is unknown")
    if case.scene.tripped:
        return f"{case.scene.tripped}; lift it with `resume --drawdown`"
    peak, limit = positive("peak equity", case.scene.peak_equity), case.risk.max_drawdown_percent
    lost = (peak - case.equity) / peak * 100
    return f"equity is {lost:.2f} % below its peak {peak:.2f}, MAX_DRAWDOWN_PERCENT is {limit:g}" if lost >= limit else None


def order_rate(case: Case) -> str | None:
    """A daemon that runs wild is stopped by the count of its entries."""
    oldest, limit = case.scene.oldest_entry, case.risk.max_orders_per_hour
    if oldest is None:
        raise ValueError("the times of earlier entries are unknown")
    return f"{limit} entries in the last hour, MAX_ORDERS_PER_HOUR is {limit}" if case.scene.now - oldest < _HOUR else None


def correlated_positions(case: Case) -> str | None:
    """Positions that win and lose together count together; what is unknown counts as together."""
    correlations, side, limit = case.scene.correlations, case.proposal.side, case.risk.max_correlated_positions
    if correlations is None:
        raise ValueError("correlations are unknown")
    alike = [p.symbol for p in case.state.positions if _alike(correlations.get(p.symbol), p.side * side, case.risk.max_correlation)]
    if len(alike) < limit:
        return None
    known = ", ".join(f"{symbol} {_shown(correlations.get(symbol))}" for symbol in dict.fromkeys(alike))
    return f"one bet with {len(alike)} positions ({known}), MAX_CORRELATED_POSITIONS is {limit}"


def _alike(correlation: float | None, direction: int, limit: float) -> bool:
    """Whether two positions are one bet; `direction` is 1 for the same side and -1 for opposite ones."""
    if correlation is None or not math.isfinite(correlation):
        return True
    return correlation * direction > limit


def _shown(correlation: float | None) -> str:
    return "unknown" if correlation is None or not math.isfinite(correlation) else f"{correlation:+.2f}"


def news_window(case: Case) -> str | None:
    """No entries around a release that concerns the symbol."""
    if case.scene.news is None:
        raise ValueError("the news calendar was not asked")
    return case.scene.news or None


def currency_risk(case: Case) -> float:
    """Lots that keep the loss at all stops, for or against one currency, within MAX_CURRENCY_RISK_PERCENT."""
    cap = case.equity * case.risk.max_currency_risk_percent / 100
    held = _held(stop_lines(case.state.positions, _specs(case)))
    signs = zip(legs(case.proposal.spec), (case.proposal.side, case.proposal.side.opposite), strict=True)
    room = min(cap - sign * finite("risk by currency", held.get(currency, Exposure()).net) for currency, sign in signs)
    return lots_for_risk(room, case.loss_per_lot, case.proposal.spec)


def currency_exposure(case: Case) -> float:
    """Lots that keep the market value in each currency within MAX_CURRENCY_EXPOSURE_PERCENT.

    Longs and shorts are added: where prices jump, a loser's stop slips and a winner's target does not.
    """
    spec = case.proposal.spec
    cap = case.equity * case.risk.max_currency_exposure_percent / 100
    held = _held(market_lines(case.state.positions, _specs(case)))
    room = min(cap - at_least_zero("exposure by currency", held.get(currency, Exposure()).gross) for currency in legs(spec))
    return lots_for_risk(room, positive("value per lot", value_per_lot(spec, case.proposal.entry)), spec)


def _specs(case: Case) -> Mapping[str, SymbolSpec]:
    if case.scene.specs is None:
        raise ValueError("the symbols of open positions are unknown")
    return case.scene.specs


def _held(lines: list[Line]) -> dict[str, Exposure]:
    for spec, _, amount in lines:
        at_least_zero(f"exposure on {spec.name}", amount)
    return by_currency(lines)
