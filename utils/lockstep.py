"""What a lockstep replay does otherwise where it has the simulated market in its own process.

It looks ahead of the loop, for features and forecasts; it commits the records of many bars together;
and it reads the broker's books after they changed. None of it changes what is decided or journalled.
"""

from __future__ import annotations

from contextlib import ExitStack

from config.home import Home
from config.settings import Settings
from market_data.bars import Timeframe
from market_data.clock import BrokerTime
from market_data.correlation import BarSource
from market_data.loader import BarLoader
from strategy.foresight import Foresight
from strategy.trading_loop import Market
from utils.deciding import decision_bars
from utils.played_bars import PlayedBars
from utils.simulated_terminal import CommittingMarket
from utils.terminals import OpenTerminal, RunOptions
from utils.trade_journal import TradeJournal


def foreseen(
    settings: Settings, options: RunOptions, terminal: OpenTerminal, loader: BarLoader, undo: ExitStack
) -> tuple[Foresight | None, BarSource]:
    """What looks ahead, None where nothing can, and where the loop's bars come from.

    Args:
        settings: the daemon's.
        options: of the command line.
        terminal: opened.
        loader: the source of bars where nothing looks ahead.
        undo: ends the threads.
    """
    if terminal.played is None or not options.foresight:
        return None, loader
    rule = BrokerTime(settings.terminal.broker_time_zone)
    bars = PlayedBars(terminal.played, loader, Timeframe[settings.symbols.timeframe], rule, decision_bars(settings))
    foresight = Foresight(bars, settings.models.feature_families)
    undo.callback(foresight.close)
    return foresight, bars


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
