"""The terminal: connection, account, permissions, symbols, history, clocks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from config.settings import Settings
from execution.mt5_client import MT5Client
from execution.orders import Account, Quote
from execution.terminal import Execution
from execution.translate import TerminalState, filling_modes
from market_data.bars import Timeframe
from market_data.clock import utc_text
from market_data.instruments import SymbolSpec
from market_data.loader import BarLoader
from utils.doctor.findings import Finding, failed, guarded, passed, warned

FRESH = timedelta(minutes=5)
"""A quote older than this says that the market is shut, and nothing about clocks."""

SKEW = timedelta(seconds=10)
_STEP = timedelta(minutes=15)  # offsets of servers are whole quarters of an hour

_MARGIN_MODES = {0: "netting", 1: "exchange", 2: "hedging"}
_TRADE_MODES = {0: "demo", 1: "contest", 2: "real"}
_EXECUTION = {0: "request", 1: "instant", 2: "market", 3: "exchange"}
_FILLING = {0: "fill-or-kill", 1: "immediate-or-cancel", 2: "return"}
_OPENING = {0: "nothing", 1: "long only", 2: "short only", 3: "closing only", 4: "both sides"}


def permissions(state: TerminalState, settings: Settings) -> Iterator[Finding]:
    """Server connection, and every switch that would refuse an order."""
    if state.connected:
        yield passed("server", f"connected, terminal build {state.build}")
    else:
        yield failed("server", "the terminal has no connection to its server", "look at the terminal's status bar; log in again")
    if state.tradeapi_disabled:
        remedy = "clear Tools > Options > Expert Advisors > Disable automatic trading via the external Python API"
        yield failed("algo trading", "trading from Python is switched off", remedy)
    elif not state.trade_allowed:
        yield failed("algo trading", "the Algo Trading button is off", "switch Algo Trading on in the terminal (Ctrl+E)")
    else:
        yield passed("algo trading", "on")
    most = max(settings.data.history_bars, settings.data.chunk_bars)
    if most >= state.maxbars:
        remedy = "raise Tools > Options > Charts > Max bars in chart and restart the terminal, or lower HISTORY_BARS and CHUNK_BARS"
        yield failed("chart bars", f"the terminal keeps {state.maxbars} bars, {most + 1} needed", remedy)


def account(found: Account, settings: Settings) -> Iterator[Finding]:
    """Whose account it is, what is at stake, and how positions are kept."""
    chosen = settings.terminal
    told = f"{found.login} at {found.server}"
    if settings.uses_mt5 and found.login != chosen.mt5_login:
        yield failed("login", f"{told}, MT5_LOGIN says {chosen.mt5_login}", "log in to the right account, or correct MT5_LOGIN")
    else:
        yield passed("login", f"{told}, {found.balance:,.2f} {found.currency}, leverage 1:{found.leverage}")
    yield _stake(found, settings)
    if not found.trade_allowed:
        remedy = "use the master password, not the investor's; ask the broker if experts may trade"
        yield failed("trading rights", "the broker does not let this login trade", remedy)
    kept = _MARGIN_MODES.get(found.margin_mode, f"margin mode {found.margin_mode}")
    if found.hedging:
        yield passed("positions", kept)
    else:
        yield warned("positions", f"{kept}: positions opened by hand merge with ours", "prefer a hedging account, or trade nothing by hand")


def _stake(found: Account, settings: Settings) -> Finding:
    kind = _TRADE_MODES.get(found.trade_mode, f"trade mode {found.trade_mode}")
    chosen = settings.terminal
    if chosen.trade_mode != "live" or found.trade_mode != Execution.ACCOUNT_TRADE_MODE_REAL:
        return passed("account kind", f"{kind}, TRADE_MODE={chosen.trade_mode}")
    if not chosen.allow_real_account:
        return failed(
            "account kind", "real money, ALLOW_REAL_ACCOUNT=false", "set ALLOW_REAL_ACCOUNT=true to trade it, or use a demo account"
        )
    return warned("account kind", "real money, live trading", "make sure that this is what you want")


def symbols(client: MT5Client, settings: Settings, now: datetime) -> Iterator[Finding]:
    """Every configured symbol: resolved, tradable, quoted, with enough history."""
    for symbol in settings.symbols.symbols:
        yield from guarded(symbol, lambda name=symbol: _symbol(client, settings, name, now))  # type: ignore[misc]  # a default binds the loop's value


def _symbol(client: MT5Client, settings: Settings, symbol: str, now: datetime) -> Iterator[Finding]:
    spec = client.select(symbol)
    yield specification(symbol, spec)
    quote = client.quote(spec.name)
    yield clocks(quote, now, settings.terminal.broker_time_zone)
    yield spread(spec, quote)
    yield from guarded(f"{symbol} history", lambda: [history(client, settings, spec.name)])


def specification(symbol: str, spec: SymbolSpec) -> Finding:
    """How the broker describes a symbol, and whether it can be traded at all."""
    told = (
        f"{spec.name}: {_EXECUTION.get(spec.exemode, spec.exemode)} execution, "
        f"filling {_FILLING[filling_modes(spec)[0]]}, lots {spec.volume_min:g} to {spec.volume_max:g} by {spec.volume_step:g}, "
        f"stops level {spec.stops_level}, freeze level {spec.freeze_level} points"
    )
    if spec.problems():
        return failed(symbol, f"{told}; {'; '.join(spec.problems())}", "ask the broker, or take the symbol out of SYMBOLS")
    if spec.trade_mode != 4:
        opened = _OPENING.get(spec.trade_mode, f"trade mode {spec.trade_mode}")
        return failed(
            symbol, f"{told}; the broker lets open {opened}", "give the variant of the symbol that your account trades in SYMBOLS"
        )
    return passed(symbol, told)


def spread(spec: SymbolSpec, quote: Quote) -> Finding:
    """The spread now; a quote without one is no market."""
    check, points = f"{spec.name} spread", spec.points(quote.spread)
    if points < 0:
        return failed(check, f"bid {quote.bid} above ask {quote.ask}", "wait for the market to open; reload the symbol in the terminal")
    return passed(check, f"{points:.1f} points, bid {quote.bid:.{spec.digits}f}")


def clocks(quote: Quote, now: datetime, rule: str) -> Finding:
    """The server's clock against the rule, and this machine's against both.

    Args:
        quote: its time converted by the rule.
        now: this machine's clock; of a simulated terminal its own.
        rule: BROKER_TIME_ZONE.
    """
    check, off = f"{quote.symbol} clock", quote.time - now
    steps = round(off / _STEP)
    rest = off - steps * _STEP
    if steps and abs(rest) <= SKEW:
        remedy = (
            f"set BROKER_TIME_ZONE so that the server is {'later' if steps > 0 else 'earlier'} than {rule} says by {abs(steps) * _STEP}"
        )
        return failed(check, f"newest quote is {abs(off)} {'ahead of' if off > timedelta(0) else 'behind'} this machine", remedy)
    if off < -FRESH:
        remedy = "run doctor again while the market is open: only a fresh quote shows the server's clock"
        return warned(check, f"newest quote is of {utc_text(quote.time)}, {-off} ago", remedy)
    if off > SKEW:
        return warned(check, f"newest quote is {off} ahead of this machine", "set the machine's clock by a time server (w32tm /resync)")
    return passed(check, f"newest quote {max(-off, timedelta(0)).total_seconds():.1f} s old by {rule}")


def history(client: MT5Client, settings: Settings, symbol: str) -> Finding:
    """Closed bars against what decisions and training need."""
    need = settings.data.history_bars
    most = max(need, settings.training.tree_train_rows, settings.lstm.lstm_train_rows if settings.models.use_lstm else 0)
    timeframe = Timeframe[settings.symbols.timeframe]
    bars = BarLoader(client, timeframe, settings.data.chunk_bars).history(symbol, most)
    check, told = f"{symbol} history", f"{len(bars)} closed {timeframe.name} bars since {utc_text(bars.opened_at(0))}"
    if len(bars) < need:
        remedy = "scroll the chart back in the terminal, raise Tools > Options > Charts > Max bars in chart, or lower HISTORY_BARS"
        return failed(check, f"{told}, HISTORY_BARS is {need}", remedy)
    return passed(check, f"{told}; a training job reads up to {most}")
