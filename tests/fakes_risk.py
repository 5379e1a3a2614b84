"""An entry among others: symbols, surroundings and a store, for tests of the risk gate and its watch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from config.errors import TerminalCallFailed
from config.settings import RiskSettings
from execution.orders import Account, Deal, Position, Side
from execution.risk import Approved, Denied, Proposal, RiskGate, RiskState, Scene, TradingState
from market_data.instruments import SymbolSpec
from tests.fakes_terminal import EURUSD, account, quote

NOW = datetime(2024, 1, 8, 12, 0, tzinfo=UTC)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

SPECS: Mapping[str, SymbolSpec] = {
    "EURUSD": EURUSD,
    "GBPUSD.m": replace(EURUSD, name="GBPUSD.m", currency_base="GBP"),
    "USDCHF": replace(EURUSD, name="USDCHF", currency_base="USD", currency_profit="CHF", tick_value_loss=1.1),
    "USDJPY": replace(
        EURUSD, name="USDJPY", digits=3, point=1e-3, tick_size=1e-3, currency_base="USD", currency_profit="JPY", tick_value_loss=0.67
    ),
    "XAUUSD.pro": replace(
        EURUSD, name="XAUUSD.pro", digits=2, point=0.01, tick_size=0.01, tick_value_loss=1.0, contract_size=100.0, currency_base="USD"
    ),
    "US500": replace(EURUSD, name="US500", digits=1, point=0.1, tick_size=0.1, tick_value_loss=0.1, currency_base="USD"),
}
PRICES = {"EURUSD": 1.1, "GBPUSD.m": 1.25, "USDCHF": 0.9, "USDJPY": 150.0, "XAUUSD.pro": 2_000.0, "US500": 5_000.0}

LONG = Proposal(EURUSD, Side.LONG, entry=1.10005, sl=1.09905, tp=1.10105, quote=quote(), commission=7.0)
SHORT = Proposal(EURUSD, Side.SHORT, entry=1.10000, sl=1.10100, tp=1.09900, quote=quote(), commission=7.0)
STATE = RiskState(
    trading=TradingState.ACTIVE,
    account=account(),
    day_equity=10_000.0,
    positions=(),
    unresolved=0,
    bars_since_loss=None,
    margin_per_lot=1_100.0,
    profit_per_lot=-100.0,
)
SCENE = Scene(now=NOW, specs=SPECS, correlations={}, peak_equity=10_000.0, tripped="", transfers=0.0, oldest_entry=LONG_AGO, news="")


def held(ticket: int, symbol: str, side: Side = Side.LONG, volume: float = 0.1, points: float = 100.0) -> Position:
    """An open position whose stop is so many points behind its entry."""
    price, distance = PRICES[symbol], points * SPECS[symbol].point
    return Position(ticket, symbol, side, volume, price, price - side * distance, price + side * distance, NOW, 1, 0.0, 0.0, "")


class FixedWatch:
    """A watch that always sees the same."""

    def __init__(self, scene: Scene | None) -> None:
        self._scene = scene

    def scene(self, proposal: Proposal, state: RiskState) -> Any:
        return self._scene


def review(
    proposal: Proposal = LONG, state: RiskState = STATE, scene: Scene | None = SCENE, risk: RiskSettings | None = None, **changes: Any
) -> Approved | Denied:
    """What a watched gate answers; a change goes to the scene or to the state, whichever has that name."""
    of_scene = {name: value for name, value in changes.items() if name in Scene.__dataclass_fields__}
    of_state = {name: value for name, value in changes.items() if name not in of_scene}
    seen = scene if scene is None else replace(scene, **of_scene)
    return RiskGate(risk or RiskSettings(), FixedWatch(seen)).review(proposal, replace(state, **of_state))


class Store(dict[str, Any]):
    """What the shared state is, without a file; `busy` makes it refuse to write."""

    busy = False

    def set(self, key: str, value: object) -> None:
        if self.busy:
            raise TerminalCallFailed("set", -1, "busy")
        self[key] = value


class AccountBook:
    """An account with its deals, as a terminal shows them."""

    def __init__(self, equity: float = 10_000.0) -> None:
        self.equity = self.balance = equity
        self.deals: list[Deal] = []
        self.open: tuple[Position, ...] = ()
        self.failing = False
        self.searches = 0

    def account(self) -> Account:
        self._may()
        return account(balance=self.balance, equity=self.equity)

    def positions(self, symbol: str | None = None) -> tuple[Position, ...]:
        self._may()
        return self.open

    def spec(self, symbol: str) -> SymbolSpec:
        self._may()
        return SPECS[symbol]

    def transfers_between(self, start: datetime, end: datetime) -> tuple[Deal, ...]:
        self._may()
        self.searches += 1
        return tuple(deal for deal in self.deals if deal.transfer and start <= deal.time <= end)

    def trade(self, profit: float, at: datetime) -> None:
        """A closed trade."""
        self._book(profit, at, transfer=False)

    def pay(self, amount: float, at: datetime) -> None:
        """A deposit, or a withdrawal where negative."""
        self._book(amount, at, transfer=True)

    def _book(self, amount: float, at: datetime, *, transfer: bool) -> None:
        ticket = 100 + len(self.deals)
        side = None if transfer else Side.LONG
        money = (0.0, 0.0, 0.0, 0.0, amount, 0.0)
        self.deals.append(Deal(ticket, 0, 0, "", side, "in", *money, "client", 0, at, "", transfer=transfer))
        self.balance += amount
        self.equity += amount

    def _may(self) -> None:
        if self.failing:
            raise TerminalCallFailed("account_info", -10_004, "no connection")
