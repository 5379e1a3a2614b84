"""Between the daemon's records and the journal's rows: both directions side by side."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from config.errors import RecordError
from execution.orders import Account, Deal, OrderIntent, OrderResult, OrderState, Side
from market_data.clock import utc_text
from strategy.decision import Decision, DecisionOutcome, JobRun, ModelEvent, TradeEntry, TradeExit
from strategy.predictor import Forecast
from utils.journal_records import ClosedTrade

JSON_COLUMNS = frozenset({"forecasts", "absent", "versions", "report"})

Values = tuple[Any, ...]


def stamp(instant: datetime) -> str:
    """UTC text of an aware instant.

    Raises:
        RecordError: if it has no time zone; it would be read as this machine's local time.
    """
    if instant.tzinfo is None:
        raise RecordError(f"time {instant} has no time zone; give an aware datetime in UTC")
    return utc_text(instant)


def instant(text: str) -> datetime:
    """The aware UTC datetime of a stamp."""
    return datetime.fromisoformat(text)


def json_text(value: object) -> str:
    """JSON with sorted keys; NumPy scalars as numbers, numbers that are not finite as text.

    Raises:
        RecordError: if the value has no place in JSON.
    """
    if not value and isinstance(value, Mapping):
        return "{}"  # most decisions have nothing absent
    try:
        return _encode(value)
    except TypeError as error:
        raise RecordError(f"{value!r} cannot be written as JSON: {error}") from error
    except ValueError:  # JSON has no NaN and no infinity
        return _encode(_spelled(value))


def decision_values(outcome: DecisionOutcome) -> Values:
    """Columns `symbol` to `latency_us` of `decisions`."""
    decision = outcome.decision
    return (
        decision.symbol,
        stamp(decision.bar_time),
        _side_text(decision.side),
        outcome.action,
        outcome.detail,
        decision.reason,
        float(decision.expected_r),
        float(decision.close),
        float(decision.atr),
        decision.feature_hash,
        _forecasts_text(decision.forecasts),
        repeated_text(tuple(decision.absent.items())),
        repeated_text(tuple(decision.versions.items())),
        outcome.order_key,
        int(outcome.latency_us),
    )


def read_outcome(row: sqlite3.Row) -> DecisionOutcome:
    """The outcome behind a row of `decisions`."""
    decision = Decision(
        row["symbol"],
        instant(row["bar_time"]),
        _read_side(row["side"]),
        row["reason"],
        {slot: _read_forecast(values) for slot, values in json.loads(row["forecasts"]).items()},
        json.loads(row["absent"]),
        json.loads(row["versions"]),
        row["expected_r"],
        row["close"],
        row["atr"],
        row["feature_hash"],
    )
    return DecisionOutcome(decision, row["action"], row["detail"], row["order_key"], row["latency_us"])


def intent_values(intent: OrderIntent, bar_time: datetime) -> Values:
    """Columns `key` to `reason` of `orders`."""
    return (
        intent.key,
        intent.symbol,
        stamp(bar_time),
        intent.purpose,
        _word(intent.side),
        float(intent.volume),
        float(intent.price),
        float(intent.sl),
        float(intent.tp),
        int(intent.deviation),
        int(intent.magic),
        int(intent.position),
        stamp(intent.created),
        intent.reason,
    )


def plan_values(plan: TradeEntry | None) -> Values:
    """Columns `risk_money` to `expected_r` of `orders`."""
    return (0.0, "{}", 0.0) if plan is None else (float(plan.risk_money), json_text(plan.versions), float(plan.expected_r))


def read_plan(row: sqlite3.Row) -> TradeEntry:
    """The trade that a row of `orders` was to open; without a ticket, at the price of the intent."""
    intent = read_intent(row)
    return TradeEntry(
        0,
        intent.key,
        intent.symbol,
        intent.side,
        intent.volume,
        intent.created,
        instant(row["bar_time"]),
        intent.price,
        intent.sl,
        intent.tp,
        row["risk_money"],
        json.loads(row["versions"]),
        row["expected_r"],
        intent.reason,
    )


def read_result(row: sqlite3.Row) -> OrderResult:
    """The result behind a row of `order_states`."""
    return OrderResult(
        OrderState(row["state"]), row["retcode"], row["message"], row["order_ticket"], row["deal"], row["price"], row["volume"]
    )


def read_intent(row: sqlite3.Row) -> OrderIntent:
    """The intent behind a row of `orders`."""
    return OrderIntent(
        row["key"],
        row["symbol"],
        Side[row["side"].upper()],
        row["volume"],
        row["price"],
        row["sl"],
        row["tp"],
        row["deviation"],
        row["magic"],
        instant(row["created"]),
        row["purpose"],
        row["position"],
        row["reason"],
    )


def result_values(result: OrderResult) -> Values:
    """Columns `state` to `volume` of `order_states`."""
    return (
        result.state.value,
        int(result.retcode),
        result.message,
        int(result.order),
        int(result.deal),
        float(result.price),
        float(result.volume),
    )


def deal_values(deal: Deal) -> Values:
    """Columns `ticket` to `comment` of `deals`."""
    money = (deal.volume, deal.price, deal.commission, deal.swap, deal.profit, deal.fee)
    return (
        int(deal.ticket),
        int(deal.order),
        int(deal.position),
        deal.symbol,
        _side_text(deal.side),
        deal.entry,
        *map(float, money),
        deal.reason,
        int(deal.magic),
        stamp(deal.time),
        deal.comment,
    )


def entry_values(entry: TradeEntry) -> Values:
    """Columns `ticket` to `reason` of `trades`."""
    return (
        int(entry.ticket),
        entry.order_key,
        entry.symbol,
        _word(entry.side),
        float(entry.volume),
        stamp(entry.opened),
        stamp(entry.bar_time),
        float(entry.price),
        float(entry.sl),
        float(entry.tp),
        float(entry.risk_money),
        json_text(entry.versions),
        float(entry.expected_r),
        entry.reason,
    )


def read_entry(row: sqlite3.Row) -> TradeEntry:
    """The entry behind a row of `trades`."""
    return TradeEntry(
        row["ticket"],
        row["order_key"],
        row["symbol"],
        Side[row["side"].upper()],
        row["volume"],
        instant(row["opened"]),
        instant(row["bar_time"]),
        row["price"],
        row["sl"],
        row["tp"],
        row["risk_money"],
        json.loads(row["versions"]),
        row["expected_r"],
        row["reason"],
    )


def exit_values(done: TradeExit) -> Values:
    """Columns `closed` to `net` of `trades`."""
    money = (done.gross, done.commission, done.swap, done.net)
    return (stamp(done.closed), float(done.price), done.reason, *map(float, money))


def read_closed(row: sqlite3.Row) -> ClosedTrade:
    """The closed trade behind a row of `trades`."""
    done = TradeExit(
        row["ticket"],
        instant(row["closed"]),
        row["close_price"],
        row["close_reason"],
        row["gross"],
        row["commission"],
        row["swap"],
        row["net"],
    )
    return ClosedTrade(read_entry(row), done, row["r_multiple"])


def event_values(event: ModelEvent) -> Values:
    """Columns `at` to `report` of `model_events`."""
    return (stamp(event.at), event.slot, event.event, int(event.version), event.detail, json_text(event.report))


def job_values(run: JobRun) -> Values:
    """Columns `job` to `seconds_wall` of `job_runs`."""
    return (
        run.job,
        run.trigger,
        stamp(run.started),
        run.outcome,
        run.reason,
        stamp(run.due_next),
        int(run.rows),
        int(run.epochs),
        int(run.version),
        float(run.seconds_wall),
    )


def equity_values(at: datetime, account: Account) -> Values:
    """Columns `at` to `margin_free` of `equity`."""
    money = (account.balance, account.equity, account.margin, account.margin_free)
    return (stamp(at), account.currency, *map(float, money))


def plain(row: sqlite3.Row) -> dict[str, Any]:
    """A row as a dict, its JSON columns decoded."""
    return {name: json.loads(value) if name in JSON_COLUMNS else value for name, value in zip(row.keys(), tuple(row), strict=True)}


def _side_text(side: Side | None) -> str | None:
    return None if side is None else _word(side)


def _word(side: Side) -> str:
    return "long" if side > 0 else "short"  # a comparison of integers costs a tenth of `side.name.lower()`


def _read_side(text: str | None) -> Side | None:
    return None if text is None else Side[text.upper()]


def _forecasts_text(forecasts: Mapping[str, Forecast]) -> str:
    """What `json_text` makes of forecasts, at a fraction of the time: there is a row of them for every bar."""
    return "{" + ",".join(f"{quoted(slot)}:{_forecast_text(forecasts[slot])}" for slot in sorted(forecasts)) + "}"


def _forecast_text(forecast: Forecast) -> str:
    expected, p_long, p_short, side = float(forecast.expected_r), float(forecast.p_long), float(forecast.p_short), _word(forecast.side)
    if math.isfinite(expected + p_long + p_short):
        return f'{{"expected_r":{expected!r},"p_long":{p_long!r},"p_short":{p_short!r},"side":"{side}"}}'
    return json_text({"expected_r": expected, "p_long": p_long, "p_short": p_short, "side": side})


@lru_cache(maxsize=256)
def quoted(name: str) -> str:
    """A name as JSON has it."""
    return _encode(name)


@lru_cache(maxsize=256)
def repeated_text(items: tuple[tuple[str, int | str], ...]) -> str:
    """What `json_text` makes of a mapping that one bar after the other repeats."""
    return json_text(dict(items))


def _read_forecast(values: Mapping[str, Any]) -> Forecast:
    return Forecast(float(values["p_long"]), float(values["p_short"]), Side[values["side"].upper()], float(values["expected_r"]))


def _unwrapped(value: object) -> object:
    """What JSON's encoder does not know by itself."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def _spelled(value: Any) -> Any:
    """The same value, with numbers that are not finite as `nan`, `inf`, `-inf`."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {name: _spelled(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(part) for part in value]
    return _spelled(value.tolist()) if hasattr(value, "tolist") else value


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False, default=_unwrapped).encode
