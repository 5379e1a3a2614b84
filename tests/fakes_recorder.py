"""A recorder that keeps everything in memory, for tests of what records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

from config.errors import OutcomeUnknown, RecordError
from execution.orders import Account, Deal, OrderIntent, OrderResult, OrderState
from market_data.clock import Clock
from strategy.decision import DecisionOutcome, JobRun, Lull, ModelEvent, TradeEntry, TradeExit
from utils.journal_records import MONEY_NOISE, ClosedTrade, DailyStats, daily_stats, r_multiple

UNRESOLVED = (OrderState.INTENDED, OrderState.UNKNOWN)


class ListRecorder:
    """What TradeJournal does, for one account and mode, without a file.

    The lists are open to a test that asks what was recorded, in the order of the calls.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.outcomes: list[DecisionOutcome] = []
        self.intents: dict[str, tuple[OrderIntent, datetime]] = {}
        self.states: dict[str, list[tuple[datetime, OrderResult]]] = {}
        self.recorded_deals: dict[int, Deal] = {}
        self.entries: dict[int, TradeEntry] = {}
        self.closed: dict[int, ClosedTrade] = {}
        self.events: list[ModelEvent] = []
        self.runs: list[JobRun] = []
        self.equities: dict[datetime, Account] = {}
        self.plans: dict[str, TradeEntry] = {}

    def close(self) -> None:
        """Nothing to close."""

    def record_decision(self, outcome: DecisionOutcome) -> bool:
        if self.decision(outcome.decision.symbol, outcome.decision.bar_time) is not None:
            return False
        self.outcomes.append(outcome)
        return True

    def record_lulls(self, lulls: Sequence[Lull]) -> None:
        made = [(when, lull.at(place)) for lull in lulls for place, when in enumerate(lull.passes)]
        for _, decision in sorted(made, key=lambda one: one[0]):
            self.record_decision(DecisionOutcome(decision, "none"))

    def record_intent(self, intent: OrderIntent, bar_time: datetime, plan: TradeEntry | None = None) -> None:
        if intent.key in self.intents:
            raise OutcomeUnknown(intent.key, "its intent was recorded before")
        if plan is not None:
            self.plans[intent.key] = plan
        self.intents[intent.key] = (intent, bar_time)
        self.states[intent.key] = [(intent.created, OrderResult(OrderState.INTENDED, 0, ""))]

    def record_order(self, key: str, result: OrderResult) -> bool:
        if key not in self.intents:
            raise RecordError(f"order {key}: no such intent")
        if self.states[key][-1][1] == result:
            return False
        self.states[key].append((self.clock.now(), result))
        return True

    def record_deal(self, deal: Deal) -> bool:
        return self.recorded_deals.setdefault(deal.ticket, deal) is deal

    def log_entry(self, entry: TradeEntry) -> bool:
        return self.entries.setdefault(entry.ticket, entry) is entry

    def log_exit(self, exit: TradeExit) -> bool:
        if exit.ticket not in self.entries:
            raise RecordError(f"trade {exit.ticket}: no entry")
        if exit.ticket in self.closed:
            return False
        entry = self.entries[exit.ticket]
        self.closed[exit.ticket] = ClosedTrade(entry, exit, r_multiple(exit.net, entry.risk_money))
        return True

    def record_model_event(self, event: ModelEvent) -> bool:
        new = all(
            (e.at, e.slot, e.event, e.version, e.detail) != (event.at, event.slot, event.event, event.version, event.detail)
            for e in self.events
        )
        if new:
            self.events.append(event)
        return new

    def record_job(self, run: JobRun) -> None:
        self.runs.append(run)

    def record_equity(self, at: datetime, account: Account) -> bool:
        return self.equities.setdefault(at, account) is account

    def open_trades(self) -> tuple[TradeEntry, ...]:
        still = (entry for ticket, entry in self.entries.items() if ticket not in self.closed)
        return tuple(sorted(still, key=lambda entry: (entry.opened, entry.ticket)))

    def unresolved_orders(self) -> tuple[OrderIntent, ...]:
        found = (intent for key, (intent, _) in self.intents.items() if self.states[key][-1][1].state in UNRESOLVED)
        return tuple(sorted(found, key=lambda intent: (intent.created, intent.key)))

    def given_up_orders(self, since: datetime) -> tuple[OrderIntent, ...]:
        found = (i for key, (i, _) in self.intents.items() if self.states[key][-1][1].state is OrderState.NOT_SENT and i.created >= since)
        return tuple(sorted(found, key=lambda intent: (intent.created, intent.key)))

    def tickets_of_others(self, key: str, since: datetime) -> frozenset[int]:
        others = (states for other, states in self.states.items() if other != key and self.intents[other][0].created >= since)
        return frozenset(result.order for states in others for _, result in states if result.order)

    def unlogged_fills(self) -> tuple[tuple[OrderIntent, OrderResult], ...]:
        logged = {entry.order_key for entry in self.entries.values()}
        latest = ((intent, self.states[key][-1][1]) for key, (intent, _) in self.intents.items() if key not in logged)
        found = ((i, r) for i, r in latest if i.purpose == "entry" and r.state in (OrderState.FILLED, OrderState.PARTIAL))
        return tuple(sorted(found, key=lambda pair: (pair[0].created, pair[0].key)))

    def planned(self, key: str) -> TradeEntry | None:
        intent, bar_time = self.intents.get(key, (None, None))
        if intent is None or intent.purpose != "entry":
            return None
        plan = self.plans.get(key)
        known = (plan.risk_money, plan.versions, plan.expected_r) if plan else (0.0, {}, 0.0)
        levels = (intent.price, intent.sl, intent.tp)
        return TradeEntry(0, key, intent.symbol, intent.side, intent.volume, intent.created, bar_time, *levels, *known, intent.reason)

    def intent_of_ticket(self, ticket: int) -> OrderIntent | None:
        sent = [key for key, states in self.states.items() if ticket and any(result.order == ticket for _, result in states)]
        return self.intents[sent[-1]][0] if sent else None

    def equity_since(self, start: datetime) -> float | None:
        since = [at for at in self.equities if at >= start]
        return self.equities[min(since)].equity if since else None

    def day_opening(self, start: datetime) -> tuple[datetime, float] | None:
        since = [at for at in self.equities if at >= start]
        return (min(since), self.equities[min(since)].equity) if since else None

    def entry_before(self, rank: int) -> datetime | None:
        made = [intent.created for intent, _ in self.intents.values() if intent.purpose == "entry"]
        return made[-rank] if len(made) >= rank else None

    def last_decision(self, symbol: str) -> datetime | None:
        return max((o.decision.bar_time for o in self.outcomes if o.decision.symbol == symbol), default=None)

    def decision(self, symbol: str, bar_time: datetime) -> DecisionOutcome | None:
        return next((o for o in self.outcomes if (o.decision.symbol, o.decision.bar_time) == (symbol, bar_time)), None)

    def intent_for_bar(self, symbol: str, bar_time: datetime) -> OrderIntent | None:
        found = (i for i, bar in self.intents.values() if (i.symbol, bar, i.purpose) == (symbol, bar_time, "entry"))
        return max(found, key=lambda intent: (intent.created, intent.key), default=None)

    def last_loss(self, symbol: str) -> datetime | None:
        lost = (t.exit.closed for t in self.closed.values() if t.entry.symbol == symbol and t.exit.net < -MONEY_NOISE)
        return max(lost, default=None)

    def recent_closed(self, limit: int) -> tuple[ClosedTrade, ...]:
        return tuple(sorted(self.closed.values(), key=lambda t: (t.exit.closed, t.exit.ticket), reverse=True)[:limit])

    def get_daily_stats(self, day: date) -> DailyStats:
        return daily_stats(day, (t for t in self.closed.values() if t.exit.closed.astimezone(UTC).date() == day))

    def equity_at_day_start(self, day: date) -> float | None:
        of_day = [at for at in self.equities if at.astimezone(UTC).date() == day]
        return self.equities[min(of_day)].equity if of_day else None

    def counts(self) -> dict[str, int]:
        return {
            "decisions": len(self.outcomes),
            "orders": len(self.intents),
            "order_states": sum(map(len, self.states.values())),
            "deals": len(self.recorded_deals),
            "trades": len(self.entries),
            "model_events": len(self.events),
            "equity": len(self.equities),
            "job_runs": len(self.runs),
        }
