"""What the terminal tells: account, terminal, symbols, positions, quotes, as the module's records."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from execution.simulated import constants as mt5
from execution.simulated.dealer import Dealer
from execution.simulated.feed import Feed
from execution.simulated.ledger import OpenPosition
from execution.simulated.structs import AccountInfo, BookInfo, Struct, SymbolInfo, TerminalInfo, Tick, TradePosition
from execution.simulated.terms import BrokerTerms
from market_data.instruments import SymbolSpec

MAX_BARS = 100_000
BUILD = 5430
VERSION = (500, BUILD, "24 Sep 2026")
_FLAGS = 0x80 | mt5.TICK_FLAG_BID | mt5.TICK_FLAG_ASK
_ALL_ORDER_TYPES, _ALL_EXPIRATIONS = 127, 15
_COMPANY = "Simulated broker"
_FIRST_TEXT = SymbolInfo.__match_args__.index("basis")
_FIRST_FLOAT = SymbolInfo.__match_args__.index("bid")
_FLAG_FIELDS = frozenset({"custom", "select", "visible", "spread_float", "margin_hedged_use_leg"})


def account_info(dealer: Dealer, trade_allowed: bool) -> Struct:
    """The account as it stands."""
    account, equity, margin = dealer.account, dealer.equity(), dealer.margin()
    mode = mt5.ACCOUNT_MARGIN_MODE_RETAIL_HEDGING if account.hedging else mt5.ACCOUNT_MARGIN_MODE_RETAIL_NETTING
    settings = (account.login, mt5.ACCOUNT_TRADE_MODE_DEMO, account.leverage, account.limit_orders, mt5.ACCOUNT_STOPOUT_MODE_PERCENT)
    rights = (trade_allowed, True, mode, 2, account.fifo)
    money = (dealer.ledger.balance, 0.0, dealer.profit(), equity, margin, round(equity - margin, 2), dealer.level(equity, margin))
    limits = (account.margin_call, account.stop_out, 0.0, 0.0, 0.0, 0.0, 0.0)
    return AccountInfo((*settings, *rights, *money, *limits, "Simulated account", account.server, account.currency, _COMPANY))


def terminal_info(connected: bool, trade_allowed: bool, api_disabled: bool) -> Struct:
    """The terminal as it stands."""
    flags = (False, False, connected, False, trade_allowed, api_disabled, False, False, False, False)
    paths = ("Simulated terminal", "English", "", "", "")
    return TerminalInfo((*flags, BUILD, MAX_BARS, 0, 100, 0.0, 0.0, _COMPANY, *paths))


def tick(feed: Feed) -> Struct:
    """The current quote; currencies have no last price and no volume."""
    now = feed.tick
    return Tick((now.time_msc // 1000, now.bid, now.ask, 0.0, 0, now.time_msc, _FLAGS, 0.0))


def depth(feed: Feed) -> tuple[Struct, ...]:
    """One level on each side of the market."""
    lots = feed.spec.volume_max
    return (
        BookInfo((mt5.BOOK_TYPE_SELL, feed.tick.ask, int(lots), lots)),
        BookInfo((mt5.BOOK_TYPE_BUY, feed.tick.bid, int(lots), lots)),
    )


def position(held: OpenPosition, dealer: Dealer) -> Struct:
    """An open position with its profit at the current quote."""
    times = (held.time_msc // 1000, held.time_msc, held.time_update_msc // 1000, held.time_update_msc)
    order = (held.type, held.magic, held.identifier, held.reason, held.volume, held.price_open, held.sl, held.tp)
    return TradePosition(
        (held.ticket, *times, *order, dealer.exit_price(held), held.swap, dealer.floating(held), held.symbol, held.comment, "")
    )


def symbol_info(feed: Feed, dealer: Dealer, selected: bool) -> Struct:
    """A symbol: its specification, its quote and its day so far."""
    values = {**_specification(feed.spec, feed.terms), "select": selected, "visible": selected}
    if feed.position >= 0:
        values |= _quotes(feed) | _values(feed, dealer)
    return SymbolInfo(values.values())


@lru_cache(maxsize=64)
def _specification(spec: SymbolSpec, terms: BrokerTerms) -> Mapping[str, Any]:
    """Every field, with what does not change with the quotes."""
    return {
        **_BLANK,
        "digits": spec.digits,
        "spread_float": True,
        "ticks_bookdepth": 1,
        "trade_calc_mode": spec.calc_mode,
        "trade_mode": spec.trade_mode,
        "trade_stops_level": spec.stops_level,
        "trade_freeze_level": spec.freeze_level,
        "trade_exemode": spec.exemode,
        "swap_mode": terms.swap_mode,
        "swap_rollover3days": terms.triple_day,
        "swap_long": terms.swap_long,
        "swap_short": terms.swap_short,
        "margin_hedged_use_leg": terms.margin_hedged is None,
        "margin_initial": terms.margin_initial,
        "volume_limit": spec.volume_limit,
        "expiration_mode": _ALL_EXPIRATIONS,
        "filling_mode": spec.filling_mode,
        "order_mode": _ALL_ORDER_TYPES,
        "point": spec.point,
        "trade_tick_size": spec.tick_size,
        "trade_contract_size": spec.contract_size,
        "volume_min": spec.volume_min,
        "volume_max": spec.volume_max,
        "volume_step": spec.volume_step,
        "margin_hedged": spec.contract_size if terms.margin_hedged is None else terms.margin_hedged,
        "currency_base": spec.currency_base,
        "currency_profit": spec.currency_profit,
        "currency_margin": spec.currency_margin,
        "description": f"{spec.name}, simulated",
        "name": spec.name,
        "path": f"Simulated\\{spec.name}",
    }


def _quotes(feed: Feed) -> dict[str, Any]:
    now, (opened, high, low) = feed.tick, feed.day()
    return {
        "time": now.time_msc // 1000,
        "spread": round((now.ask - now.bid) / feed.spec.point),
        "bid": now.bid,
        "bidhigh": high,
        "bidlow": low,
        "ask": now.ask,
        "askhigh": feed.ask_of(high),
        "asklow": feed.ask_of(low),
        "session_open": opened,
        "price_change": round((now.bid / opened - 1.0) * 100.0, 4),
    }


def _values(feed: Feed, dealer: Dealer) -> dict[str, Any]:
    gain = dealer.money.tick_value(feed.spec, feed.tick.bid, receiving=True)
    loss = dealer.money.tick_value(feed.spec, feed.tick.bid, receiving=False)
    return {"trade_tick_value": gain, "trade_tick_value_profit": gain, "trade_tick_value_loss": loss}


def _blank_value(index: int, name: str) -> bool | int | float | str:
    if index >= _FIRST_TEXT:
        return ""
    if index >= _FIRST_FLOAT:
        return 0.0
    return False if name in _FLAG_FIELDS else 0


_BLANK = {name: _blank_value(index, name) for index, name in enumerate(SymbolInfo.__match_args__)}
