"""`status`: what the daemon is doing, and what stands in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from config.errors import StorageBusy, StorageError
from utils.cli.journal import journal_of
from utils.cli.options import AccountOption, HomeOption, JsonOption, existing_home
from utils.cli.output import minute, models_text, say_json, say_pairs
from utils.cli.registry import registry_of

if TYPE_CHECKING:
    from config.home import Home
    from utils.journal_queries import JournalReader


PAUSED = "trading.paused"
"""Where the daemon keeps that it is paused."""

MARKS = "risk.drawdown."
"""Where the daemon keeps the drawdown mark of each mode and account."""


def status(account: AccountOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """What the daemon is doing, today's result, open trades."""
    from config.home import is_held

    found, origin = existing_home(home)
    running = is_held(found)
    last, age = last_status(found)
    told: dict[str, Any] = {"home": str(found.path), "origin": origin, "running": running, "paused": _paused(found)}
    told |= {"heartbeat_age_seconds": age, "daemon": last, "kill_switch": _tripped(found)}
    slots = registry_of(found, origin).state().slots
    told |= {"models": _voting(slots), "stopped": _stopped(slots)}
    told |= _journalled(found, account)
    say_json(told) if as_json else say_pairs(_lines(told))


def last_status(home: Home) -> tuple[dict[str, Any], float | None]:
    """The daemon's last heartbeat and its age in seconds; empty and None where there was none."""
    from market_data.clock import SystemClock
    from utils.shared_state import SharedState

    if not home.shared_state.is_file():
        return {}, None
    clock = SystemClock()
    with closing(SharedState(home.shared_state, clock)) as state:
        at, told = state.get_last_update("status"), state.get("status", {})
    return told, round((clock.now() - at).total_seconds(), 1) if at is not None else None


def _paused(home: Home) -> bool:
    """A pause outlives the daemon that was told of it."""
    from market_data.clock import SystemClock
    from utils.shared_state import SharedState

    if not home.shared_state.is_file():
        return False
    with closing(SharedState(home.shared_state, SystemClock())) as state:
        return bool(state.get(PAUSED, False))


def _tripped(home: Home) -> dict[str, str]:
    """Mode and account -> why the drawdown switch stops its entries; it outlives the daemon too."""
    from market_data.clock import SystemClock
    from utils.shared_state import SharedState

    if not home.shared_state.is_file():
        return {}
    with closing(SharedState(home.shared_state, SystemClock())) as state:
        marks = state.get_all(MARKS)
    return {key.removeprefix(MARKS): mark["tripped"] for key, mark in marks.items() if mark["tripped"]}


def _voting(slots: Mapping[str, Any]) -> dict[str, int]:
    return {name: slot.voting for name, slot in sorted(slots.items()) if slot.voting is not None}


def _stopped(slots: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Slot -> the version that no longer votes, since when and why."""
    return {name: {"version": slot.active, **asdict(slot.stopped)} for name, slot in sorted(slots.items()) if slot.stopped is not None}


def _journalled(home: Home, account: str | None) -> dict[str, Any]:
    """What the journal says; a journal that cannot be read does not hide the rest."""
    if not home.journal.is_file():
        return {"journal": "none yet"}
    try:
        with journal_of(home.path, account) as reader:
            day = _day(reader)
            stats = asdict(reader.get_daily_stats(day)) if day is not None else None
            return {"account": reader.account, "mode": reader.mode, "day": stats, "open": reader.trades(1_000, open_only=True)}
    except (StorageError, StorageBusy) as error:
        return {"journal": str(error)}


def _day(reader: JournalReader) -> date | None:
    """Today; on the simulated terminal the day of its newest decision."""
    from market_data.clock import SystemClock

    if reader.mode != "simulated":
        return SystemClock().now().date()
    newest = reader.decisions(1)
    return datetime.fromisoformat(newest[0]["bar_time"]).date() if newest else None


def _lines(told: Mapping[str, Any]) -> dict[str, object]:
    """Values by the heading under which people look for them."""
    last, age = told["daemon"], told["heartbeat_age_seconds"]
    lines: dict[str, object] = {"home": f"{told['home']} (prices: {told['origin']})", "daemon": _daemon(told["running"], last, age)}
    if told["paused"]:
        lines["paused"] = "no new entries until `resume`"
    if told["kill_switch"]:
        reasons = "; ".join(f"{scope}: {reason}" for scope, reason in told["kill_switch"].items())
        lines["kill switch"] = f"{reasons}; lift it with `resume --drawdown`"
    if told["running"] and last:
        lines |= {
            "trading": last["trading"],
            **risk_lines(last.get("risk") or {}),
            "time": minute(last["at"]),
            "decision": f"{minute(last['last_bar'])} {last['last_decision']}" if last["last_bar"] else "none yet",
            "training": last["training"] or "idle",
            "due": ", ".join(f"{job} {minute(due)}" for job, due in last["due"].items()),
            "jobs": "; ".join(f"{job} {outcome}" for job, outcome in last["jobs"].items()) or "none yet",
            "memory": f"{last['memory_mb']} MB",
        }
    lines["models"] = models_text(told["models"])
    if told["running"] and last and last["models"] != told["models"]:  # it was told before a change, or a file was refused
        lines["in service"] = f"{models_text(last['models'])} at the last heartbeat"
    if told["stopped"]:
        lines["stopped"] = [f"{slot} since {minute(stop['at'])}: {stop['reason']}" for slot, stop in told["stopped"].items()]
    if told["running"] and last.get("not_compiled"):
        lines["not compiled"] = f"{', '.join(last['not_compiled'])}: decisions take several times as long; the log says why"
    return lines | _journal_lines(told)


def risk_lines(risk: Mapping[str, Any]) -> dict[str, object]:
    """The risk state by the heading under which people look for it; empty where the daemon told none.

    >>> risk_lines({"kill_switch": "", "drawdown_percent": 1.5, "max_drawdown_percent": 10.0, "day_loss_percent": -0.2,
    ...     "daily_loss_percent": 2.0, "exposure": {"EUR": 100.0}, "session": "open", "news_next": None, "news_problem": None})["risk"]
    'drawdown 1.50 % of 10 %, day +0.20 % (limit -2 %)'
    """
    if not risk:
        return {}
    day, drawdown = risk["day_loss_percent"], risk["drawdown_percent"]
    fallen = "drawdown unknown" if drawdown is None else f"drawdown {drawdown:.2f} % of {risk['max_drawdown_percent']:g} %"
    today = "day unknown" if day is None else f"day {-day:+.2f} % (limit -{risk['daily_loss_percent']:g} %)"
    lines: dict[str, object] = {"risk": f"{fallen}, {today}"}
    lines["session"] = risk["session"]
    if risk["exposure"]:
        lines["exposure"] = ", ".join(f"{currency} {amount:+,.0f}" for currency, amount in risk["exposure"].items())
    if risk["news_next"] or risk["news_problem"]:
        lines["news"] = "; ".join(filter(None, (risk["news_next"], risk["news_problem"])))
    return lines


def _daemon(running: bool, last: Mapping[str, Any], age: float | None) -> str:
    seen = f"last heartbeat {_ago(age)}" if age is not None else "no heartbeat yet"
    if not running:
        return f"not running; {seen}"
    return f"running, process {last['pid']}, {seen}" if last else f"running, {seen}"


def _ago(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    if seconds < 120:
        return f"{seconds:.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 7_200 else f"{seconds / 3_600:.0f} h ago"


def _journal_lines(told: Mapping[str, Any]) -> dict[str, object]:
    if "journal" in told:
        return {"journal": told["journal"]}
    lines: dict[str, object] = {"account": f"{told['account']} {told['mode']}".strip()}
    day = told["day"]
    if day is not None:
        rate = f", {day['win_rate']:.0%} won" if day["win_rate"] is not None else ""
        lines["day"] = f"{day['day']}: {day['trades']} trades closed{rate}, net {day['net']:+.2f}, {day['sum_r']:+.2f} R"
    lines["open"] = [f"{t['symbol']} {t['side']} {t['volume']:g} lots at {t['price']:g}, ticket {t['ticket']}" for t in told["open"]]
    return lines
