"""The risk gate: every entry passes it, and what it cannot compute it refuses.

A rule is a function of one case that answers None, or says why not. `RULES` and `LIMITS`, read
from top to bottom, are the policy for account and proposal; `WATCHED_RULES` and `WATCHED_LIMITS`
are the whole policy, with what a watch knows of the surroundings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Protocol, TypeVar

from config.errors import OrderDenied
from config.settings import RiskSettings
from execution.orders import Side
from execution.risk_case import Approved, Case, Denied, Proposal, RiskState, Scene, TradingState, at_least_zero, finite, positive
from execution.sizing import lots_for_risk
from execution.surroundings import correlated_positions, currency_exposure, currency_risk, drawdown, news_window, order_rate
from market_data.clock import NEW_YORK

__all__ = [
    "LIMITS",
    "RULES",
    "WATCHED_LIMITS",
    "WATCHED_RULES",
    "Approved",
    "Denied",
    "Proposal",
    "RiskGate",
    "RiskState",
    "Scene",
    "TradingState",
    "Watch",
    "trading_day",
    "trading_day_start",
]

Answer = TypeVar("Answer")


def trading_state(case: Case) -> str | None:
    """Entries only while the daemon is ACTIVE."""
    state = case.state.trading
    return None if state is TradingState.ACTIVE else f"the daemon is {state.value}"


def account_allows(case: Case) -> str | None:
    """The broker lets this account trade."""
    return None if case.account.trade_allowed else f"trading is off for account {case.account.login}"


def symbol_allows(case: Case) -> str | None:
    """The symbol's description is sound, and this side of it may be opened."""
    spec = case.proposal.spec
    modes = {Side.LONG: (1, 4), Side.SHORT: (2, 4)}[case.proposal.side]
    problems = spec.problems()
    if spec.trade_mode not in modes:
        problems = (f"trade_mode {spec.trade_mode} does not allow opening {case.proposal.side.name.lower()}", *problems)
    return f"{spec.name}: {', '.join(problems)}" if problems else None


def unresolved_order(case: Case) -> str | None:
    """Nothing is added while an order's outcome on the symbol is unknown."""
    count = int(at_least_zero("count of unresolved orders", case.state.unresolved))
    return f"{count} orders on {case.proposal.spec.name} have an unknown outcome" if count else None


def unprotected_position(case: Case) -> str | None:
    """Nothing is added while a position of ours on the symbol shows no stop."""
    bare = [position.ticket for position in case.state.positions if position.symbol == case.proposal.spec.name and not position.sl > 0]
    return f"positions {bare} on {case.proposal.spec.name} have no stop" if bare else None


def max_positions(case: Case) -> str | None:
    """So many positions over all symbols."""
    have, limit = len(case.state.positions), case.risk.max_positions
    return f"{have} positions open, MAX_POSITIONS is {limit}" if have >= limit else None


def max_positions_per_symbol(case: Case) -> str | None:
    """So many positions on the symbol; one where the account nets, for a second one would merge into the first, whoever opened that."""
    symbol, limit, named = case.proposal.spec.name, case.risk.max_positions_per_symbol, "MAX_POSITIONS_PER_SYMBOL"
    have = sum(position.symbol == symbol for position in case.state.positions)
    if not case.account.hedging:
        have, limit, named = have + case.state.foreign, 1, "what a netting account can hold"
    return f"{have} positions open on {symbol}, {named} is {limit}" if have >= limit else None


def daily_loss(case: Case) -> str | None:
    """The day's loss, floating loss included, is below its limit.

    Money paid in or out is neither profit nor loss. The percentage is of what the day opened
    with, or of what a withdrawal left of it: a deposit does not widen the day's limit.
    """
    opening = positive("equity at the day's opening", case.state.day_equity)
    base = positive("the day's opening equity less withdrawals", min(opening, opening + case.transfers))
    lost = (opening + case.transfers - case.equity) / base * 100
    limit = case.risk.daily_loss_percent
    return f"{lost:.2f} % of the day's opening equity {base:.2f} is lost, DAILY_LOSS_PERCENT is {limit}" if lost >= limit else None


def cooldown(case: Case) -> str | None:
    """Some bars have passed since the symbol's last losing trade."""
    since, limit = case.state.bars_since_loss, case.risk.cooldown_bars
    if since is None or at_least_zero("bars since the last loss", since) >= limit:
        return None
    return f"{since} bars since the last loss on {case.proposal.spec.name}, COOLDOWN_BARS is {limit}"


def stop_sides(case: Case) -> str | None:
    """The stop is behind the entry, the target before it."""
    proposal = case.proposal
    reward = (positive("take profit", proposal.tp) - proposal.entry) * proposal.side
    if case.stop_distance > 0 and reward > 0:
        return None
    return f"stop {proposal.sl} and target {proposal.tp} do not enclose the entry {proposal.entry} of a {proposal.side.name.lower()}"


def spread_cap(case: Case) -> str | None:
    """The spread takes a bearable share of the stop distance."""
    share, limit = case.spread / case.stop_distance, case.risk.max_spread_to_stop
    return f"spread is {share:.2f} of the stop distance, MAX_SPREAD_TO_STOP is {limit}" if share > limit else None


def stops_level(case: Case) -> str | None:
    """Stop and target keep the broker's least distance from both sides of the quote.

    A level of 0 often means that the broker decides by the moment, so the spread is the least.
    Within the freeze level nothing could be changed or closed, so it counts as well.
    """
    proposal, quote = case.proposal, case.proposal.quote
    spec = proposal.spec
    level = max(at_least_zero("stops level", spec.stops_level), at_least_zero("freeze level", spec.freeze_level))
    least = max(level * spec.point, case.spread)
    near, far = (quote.bid, quote.ask) if proposal.side is Side.LONG else (quote.ask, quote.bid)
    room = min((near - proposal.sl) * proposal.side, (proposal.tp - far) * proposal.side)
    # Prices carry float dust of about a millionth of a point.
    if room >= least - proposal.spec.point * 1e-6:
        return None
    return f"stop or target is {proposal.spec.points(room):.1f} points from the quote, {proposal.spec.points(least):.1f} are needed"


Rule = Callable[[Case], str | None]

RULES: tuple[Rule, ...] = (
    trading_state,
    account_allows,
    symbol_allows,
    unresolved_order,
    unprotected_position,
    max_positions,
    max_positions_per_symbol,
    daily_loss,
    cooldown,
    stop_sides,
    spread_cap,
    stops_level,
)
"""Vetoes, in the order in which they are asked."""

WATCHED_RULES: tuple[Rule, ...] = (drawdown, *RULES, order_rate, correlated_positions, news_window)
"""The same with what a watch knows; what has stopped all entries is named first."""


def risk_percent(case: Case) -> float:
    """Lots whose loss at the stop is within RISK_PERCENT of equity."""
    return lots_for_risk(case.equity * case.risk.risk_percent / 100, case.loss_per_lot, case.proposal.spec)


def volume_limit(case: Case) -> float:
    """Lots that the symbol's limit in this direction still has room for."""
    spec, side = case.proposal.spec, case.proposal.side
    limit = at_least_zero("volume limit", spec.volume_limit)
    if limit == 0:
        return spec.floor_lots(spec.volume_max)
    used = sum(p.volume for p in case.state.positions if p.symbol == spec.name and p.side is side)
    return spec.floor_lots(limit - at_least_zero("open volume", used))


def max_margin_percent(case: Case) -> float:
    """Lots that keep all margin within MAX_MARGIN_PERCENT of equity."""
    room = case.equity * case.risk.max_margin_percent / 100 - at_least_zero("margin", case.account.margin)
    return _lots_for_margin(case, room)


def free_margin(case: Case) -> float:
    """Lots that the free margin carries."""
    return _lots_for_margin(case, finite("free margin", case.account.margin_free))


def _lots_for_margin(case: Case, money: float) -> float:
    return lots_for_risk(money, positive("margin per lot", case.state.margin_per_lot), case.proposal.spec)


Limit = Callable[[Case], float]

LIMITS: tuple[Limit, ...] = (risk_percent, volume_limit, max_margin_percent, free_margin)
"""Caps on the volume, each in lots; the smallest holds."""

WATCHED_LIMITS: tuple[Limit, ...] = (*LIMITS, currency_risk, currency_exposure)
"""The same with what a watch knows."""


Price = Callable[[RiskState], RiskState]
"""Fills in `margin_per_lot` and `profit_per_lot`."""


class Watch(Protocol):
    """Whoever knows the surroundings of an entry."""

    def scene(self, proposal: Proposal, state: RiskState) -> Scene:
        """What surrounds this entry now."""
        ...


class RiskGate:
    """Reviews entries by its rules, then sizes them by its limits; holds no state.

    Args:
        risk: the limits.
        watch: knows the surroundings; the daemon always has one. Without one `RULES` and `LIMITS`
            alone are asked.
    """

    def __init__(self, risk: RiskSettings, watch: Watch | None = None) -> None:
        self._risk = risk
        self._watch = watch
        self._rules = RULES if watch is None else WATCHED_RULES
        self._limits = LIMITS if watch is None else WATCHED_LIMITS

    def review(self, proposal: Proposal, state: RiskState, price: Price | None = None) -> Approved | Denied:
        """Approves an entry with its volume, or denies it with the first rule that objects.

        A rule that lacks a figure denies; there is no default volume.

        Args:
            proposal: the entry.
            state: of the account.
            price: adds what one lot binds and loses. Limits alone read that, so it is asked when no rule objects: an entry that a
                rule denies costs the terminal no calculation. None: the state has it.

        Raises:
            RetryError: the watch cannot tell what surrounds the entry, or the terminal what a lot costs: there is no approval.
        """
        scene = None if self._watch is None else self._watch.scene(proposal, state)
        case = Case(self._risk, proposal, state, scene)
        for rule in self._rules:
            objection = _ask(rule, case)
            if objection is not None:
                return Denied(rule.__name__, str(objection))
        return self._size(case if price is None else replace(case, state=price(state)))

    def _size(self, case: Case) -> Approved | Denied:
        allowed: dict[str, float] = {}
        for limit in self._limits:
            lots = _ask(limit, case)
            if not isinstance(lots, float):
                return Denied(limit.__name__, str(lots))
            allowed[limit.__name__] = lots
        name, volume = min(allowed.items(), key=lambda item: item[1])
        if not volume > 0:
            return Denied(name, _too_small(case))
        return Approved(volume, volume * case.loss_per_lot, name)


def _ask(rule: Callable[[Case], Answer], case: Case) -> Answer | str:
    try:
        return rule(case)
    except OrderDenied as error:
        return error.detail
    except (ArithmeticError, TypeError, ValueError, LookupError) as error:
        return f"cannot be computed: {error}"


def _too_small(case: Case) -> str:
    spec = case.proposal.spec
    return (
        f"{spec.name}: not even the least volume of {spec.volume_min} lots fits; it risks {spec.volume_min * case.loss_per_lot:.2f} of equity "
        f"{case.equity:.2f} at RISK_PERCENT {case.risk.risk_percent}, and binds {spec.volume_min * finite('margin', case.state.margin_per_lot):.2f}"
    )


def trading_day(instant: datetime) -> date:
    """The trading day of an aware instant; a day begins at 17:00 in New York.

    >>> from datetime import UTC
    >>> trading_day(datetime(2024, 7, 1, 20, 59, tzinfo=UTC)), trading_day(datetime(2024, 7, 1, 21, 0, tzinfo=UTC))
    (datetime.date(2024, 7, 1), datetime.date(2024, 7, 2))
    """
    return (instant.astimezone(NEW_YORK) + timedelta(hours=7)).date()


def trading_day_start(instant: datetime) -> datetime:
    """When the trading day of an aware instant began, UTC.

    >>> from datetime import UTC
    >>> trading_day_start(datetime(2024, 7, 2, 3, 0, tzinfo=UTC)).isoformat()
    '2024-07-01T21:00:00+00:00'
    """
    return _day_start(instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0))


@lru_cache(maxsize=64)
def _day_start(hour: datetime) -> datetime:
    """The same for the whole hour: a trading day begins on one."""
    eve = trading_day(hour) - timedelta(days=1)
    return datetime(eve.year, eve.month, eve.day, 17, tzinfo=NEW_YORK).astimezone(UTC)
