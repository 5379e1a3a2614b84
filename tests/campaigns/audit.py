"""Whether journal and broker tell the same story once all faults are over; an empty list says yes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from execution.terminal import Request, Terminal
from tests.fakes_terminal import MAGIC
from utils.trade_journal import TradeJournal

EXPERT, CENT = 3, 0.005
MANY = 100_000
DONE = ("filled", "partial")


@dataclass(frozen=True)
class BrokerBooks:
    """What the broker has of ours: orders that we sent, all deals and open positions."""

    orders: dict[int, Any]
    deals: dict[int, Any]
    positions: dict[int, Any]


def broker_books(terminal: Terminal, magic: int = MAGIC) -> BrokerBooks:
    """Read past all faults."""

    def records(function: str, *args: Any) -> dict[int, Any]:
        return {record.ticket: record for record in terminal.call(Request(function, args)).value}

    orders = records("history_orders_get", 0, 2**33)
    deals = records("history_deals_get", 0, 2**33)
    ours = {ticket: order for ticket, order in orders.items() if order.magic == magic and order.reason == EXPERT}
    return BrokerBooks(ours, {t: d for t, d in deals.items() if d.magic == magic}, records("positions_get"))


def compare(books: BrokerBooks, journal: TradeJournal, keys: Mapping[int, str]) -> list[str]:
    """Every difference in words.

    Args:
        books: the broker's.
        journal: the daemon's.
        keys: order ticket at the broker -> key of the intent that it was sent for.
    """
    intents = {row["key"]: row for row in journal.orders(MANY)}
    trades = {row["ticket"]: row for row in journal.trades(MANY)}
    problems = _orders(books, intents, journal, keys)
    problems += _deals(books, {row["ticket"]: row for row in journal.deals(MANY)})
    problems += _trades(books, trades, keys)
    problems += [f"{fault} (journal file)" for fault in journal.faults()]
    return problems


def _orders(books: BrokerBooks, intents: Mapping[str, Any], journal: TradeJournal, keys: Mapping[int, str]) -> list[str]:
    found: dict[str, list[int]] = {}
    for ticket in books.orders:
        found.setdefault(keys.get(ticket, f"?{ticket}"), []).append(ticket)
    problems = [f"DUPLICATE: {key} has orders {tickets}" for key, tickets in found.items() if len(tickets) > 1]
    problems += [f"order {tickets} of {key} has no intent" for key, tickets in found.items() if key not in intents]
    for key, row in intents.items():
        problems += _state(key, row, found.get(key, []), books, journal)
    return problems


def _state(key: str, row: Mapping[str, Any], tickets: list[int], books: BrokerBooks, journal: TradeJournal) -> list[str]:
    state = row["state"]
    if state in ("intended", "unknown"):
        return [f"{key} is still {state}"]
    if row["purpose"] == "stop":
        return []
    if (state in DONE) != bool(tickets):
        return [f"LOST: {key} is {state}, the broker has {tickets}"]
    if not tickets:
        return []
    newest = journal.order_states(key)[-1]
    filled = sum(deal.volume for deal in books.deals.values() if deal.order == tickets[0])
    wrong = newest["order_ticket"] != tickets[0] or abs(newest["volume"] - filled) > 1e-9
    said = f"{newest['state']} {newest['volume']} under {newest['order_ticket']}"
    return [f"{key}: journal says {said}, broker {filled} under {tickets}"] if wrong else []


def _deals(books: BrokerBooks, journalled: Mapping[int, Any]) -> list[str]:
    missing, extra = books.deals.keys() - journalled.keys(), journalled.keys() - books.deals.keys()
    problems = [f"deals {sorted(missing)} are not journalled"] if missing else []
    problems += [f"journalled deals {sorted(extra)} do not exist"] if extra else []
    both = books.deals.keys() & journalled.keys()
    return problems + [f"deal {t}: money differs" for t in both if abs(_net(books.deals[t]) - _row_net(journalled[t])) > CENT]


def _trades(books: BrokerBooks, trades: Mapping[int, Any], keys: Mapping[int, str]) -> list[str]:
    made = {deal.position_id for deal in books.deals.values()}
    problems = [f"positions {sorted(made ^ trades.keys())} and trades differ"] if made != trades.keys() else []
    still = {ticket for ticket, row in trades.items() if row["closed"] is None}
    if still != books.positions.keys():
        problems.append(f"open trades {sorted(still)}, open positions {sorted(books.positions)}")
    for ticket in made & trades.keys():
        problems += _trade(ticket, trades[ticket], books, keys)
    return problems


def _trade(ticket: int, row: Mapping[str, Any], books: BrokerBooks, keys: Mapping[int, str]) -> list[str]:
    deals = [deal for deal in books.deals.values() if deal.position_id == ticket]
    problems = []
    if row["order_key"] != keys.get(ticket):
        problems.append(f"trade {ticket} has key {row['order_key']}, its order {keys.get(ticket)}")
    volume = sum(deal.volume for deal in deals if deal.entry == 0)
    if abs(row["volume"] - volume) > 1e-9:
        problems.append(f"trade {ticket}: {row['volume']} lots, deals {volume}")
    if row["closed"] is not None and abs(row["net"] - sum(map(_net, deals))) > CENT:
        problems.append(f"trade {ticket}: net {row['net']}, deals {sum(map(_net, deals))}")
    if row["closed"] is not None and row["close_reason"] not in _reasons(deals[-1].reason):
        problems.append(f"trade {ticket}: closed by {row['close_reason']}, the broker says {deals[-1].reason}")
    held = books.positions.get(ticket)
    if held is not None and not (held.sl and held.tp):
        problems.append(f"UNPROTECTED: position {ticket} has stop {held.sl} and target {held.tp}")
    return problems


def _reasons(code: int) -> tuple[str, ...]:
    return {4: ("stop",), 5: ("target",), 6: ("stop_out",)}.get(code, ("time", "unprotected"))


def _net(deal: Any) -> float:
    return float(deal.profit + deal.swap + deal.commission + deal.fee)


def _row_net(row: Mapping[str, Any]) -> float:
    return float(row["profit"] + row["swap"] + row["commission"] + row["fee"])


def sent_twice(sent: Counter[str]) -> list[str]:
    """Keys that were handed to the terminal more than once."""
    return [f"DUPLICATE: {key} was sent {times} times" for key, times in sent.items() if times > 1]
