"""What a lockstep replay does otherwise where it has the simulated market in its own process.

It looks ahead of the loop, for features and forecasts; it makes passes in which nothing is done many at
a time; it commits the records of many bars together; and it reads the broker's books after they changed.
None of it changes what is decided or journalled.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from config.home import Home
from config.settings import Settings
from market_data.bars import Timeframe
from market_data.clock import BrokerTime
from market_data.loader import BarLoader
from strategy.foreseeing import ForeseeingStrategy
from strategy.foresight import Foresight
from strategy.quiet import Due, Quiet
from strategy.scalping_strategy import ScalpingStrategy
from strategy.trading_loop import Market
from utils.deciding import decision_bars
from utils.played_bars import PlayedBars
from utils.simulated_terminal import CommittingMarket
from utils.terminals import OpenTerminal, RunOptions
from utils.trade_journal import TradeJournal


def foreseen(
    settings: Settings, options: RunOptions, terminal: OpenTerminal, loader: BarLoader, undo: ExitStack
) -> tuple[Foresight | None, PlayedBars | None]:
    """What looks ahead, and where the loop's bars then come from; neither where nothing can.

    Args:
        settings: the daemon's.
        options: of the command line.
        terminal: opened.
        loader: the source of bars where nothing looks ahead; knows what is recorded.
        undo: ends the threads.
    """
    if terminal.played is None or not options.foresight:
        return None, None
    rule = BrokerTime(settings.terminal.broker_time_zone)
    bars = PlayedBars(terminal.played, loader, Timeframe[settings.symbols.timeframe], rule, decision_bars(settings), options.bars)
    foresight = Foresight(bars, settings.models.feature_families)
    undo.callback(foresight.close)
    return foresight, bars


def quiet_of(
    terminal: OpenTerminal,
    market: Market,
    bars: PlayedBars | None,
    strategy: ScalpingStrategy,
    *,
    ends: Sequence[Due],
    stops: Sequence[Due],
    symbols: Sequence[str],
) -> Quiet | None:
    """What finds passes in which nothing is done; None where nothing looks ahead.

    Args:
        terminal: opened.
        market: the loop's.
        bars: the loop's, where something looks ahead.
        strategy: the loop's.
        ends: of whoever else may change what is decided.
        stops: of those who do something by the clock.
        symbols: on which decisions are made.
    """
    if terminal.played is None or bars is None or not isinstance(strategy, ForeseeingStrategy):
        return None
    made = market.passed if isinstance(market, CommittingMarket) else _uncounted
    return Quiet(strategy, bars, terminal.played.leap, made=made, ends=(*ends, strategy.quiet_until), stops=stops, symbols=symbols)


def _uncounted(passes: int) -> None:
    """Where every record is committed by itself."""


def journal_of(options: RunOptions, terminal: OpenTerminal, home: Home) -> TradeJournal:
    """The home's journal; where a replay commits many bars together the broker's book goes along."""
    held = None
    if terminal.played is not None and options.commit_bars:
        terminal.played.hold()
        held = terminal.played.commit
    return TradeJournal(home.journal, account=terminal.account_name, mode=terminal.mode, clock=terminal.clock, held=held)


def market_of(options: RunOptions, terminal: OpenTerminal, journal: TradeJournal) -> Market:
    """The terminal's market, with a commit now and then where records are held back."""
    return CommittingMarket(terminal.market, journal.commit, options.commit_bars) if options.commit_bars else terminal.market


def revision_of(terminal: OpenTerminal) -> int | None:
    """Of the simulated broker's books, where they are in this process."""
    return None if terminal.played is None else terminal.played.revision
