"""Every error of the daemon, by what the caller should do about it.

    ScalperError
    |-- StopError                 stop the process; `exit_code` says how
    |   |-- SettingsError             3  settings do not make sense
    |   |-- HomeError                 3  home of another origin, or in use
    |   |-- StorageError              1  a database of the home cannot be used
    |   |-- TerminalUnavailable       4  the configured terminal cannot be reached
    |   `-- CheckFailed               5  a command found what it was asked to look for
    |-- SkipError               leave this bar, file or entry; go on with the next
    |   |-- DataError                 market data that cannot be used
    |   |   |-- InsufficientHistory       fewer bars than needed
    |   |   |-- TooNew                    too few rows since the market changed: a job waits for them
    |   |   `-- DataFileError             a file that cannot be read as what it claims to be
    |   |-- RecordError               a record that a database does not hold or cannot take
    |   |-- OrderDenied               refused by our own risk gate
    |   `-- OrderRejected             refused by the venue; `retcode` says why
    |-- RetryError              the same call may succeed later
    |   |-- TerminalCallFailed        a call came back empty; `code` is its last_error
    |   |   `-- TerminalDisconnected      the pipe or the server is gone: reconnect first
    |   |-- AccountChanged            the terminal is logged in to another account than at the start
    |   |-- PriceMoved                requote, price changed, no quotes: ask with a fresh price
    |   |-- FitCancelled              a fit was told to stop; its job is due again later
    |   |-- StorageBusy               another program holds a lock on a database of the home
    |   `-- FileUnavailable           a file cannot be written or locked now
    |-- OutcomeUnknown          an order may or may not exist: reconcile, never send again
    `-- SlotError               refuse this model slot; the others go on
        |-- ArtifactError             files of a version: missing, altered, foreign, mismatched
        |-- SchemaMismatch            columns differ from those the model was trained on
        `-- PredictionFailed          a model gave no usable forecast

Errors of libraries and of the terminal are translated into this tree once, where they enter.
"""

from __future__ import annotations


class ScalperError(Exception):
    """Root of every error the daemon raises on purpose."""


class StopError(ScalperError):
    """The process cannot go on; `exit_code` is what the shell sees."""

    exit_code = 1


class SettingsError(StopError):
    """One or more settings are wrong; the message lists all of them."""

    exit_code = 3


class HomeError(StopError):
    """The home belongs to another origin, or another process holds it."""

    exit_code = 3


class StorageError(StopError):
    """A database of the home is damaged, unreadable, or made by a newer version."""


class TerminalUnavailable(StopError):
    """The configured terminal cannot be reached; there is never a fallback."""

    exit_code = 4


class CheckFailed(StopError):
    """A checking command found a fault."""

    exit_code = 5


class SkipError(ScalperError):
    """This item is left out; the next one is taken."""


class DataError(SkipError):
    """Market data that cannot be used."""


class InsufficientHistory(DataError):
    """Fewer bars than a computation needs."""

    def __init__(self, symbol: str, have: int, need: int) -> None:
        super().__init__(f"{symbol}: {have} closed bars, {need} needed; load more history or lower HISTORY_BARS")
        self.symbol, self.have, self.need = symbol, have, need


class TooNew(DataError):
    """Too few rows since the market changed to learn from; they come with time."""

    def __init__(self, slot: str, have: int, need: int, since: str) -> None:
        super().__init__(f"{slot}: {have:,} of {need:,} rows since the market changed at {since}; the job runs again when it is due")
        self.slot, self.have, self.need, self.since = slot, have, need, since


class DataFileError(DataError):
    """A data file that is not what it claims to be."""


class RecordError(SkipError):
    """A record that a database does not hold, or a value that it cannot take."""


class OrderDenied(SkipError):
    """Our own risk gate refused an order."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule, self.detail = rule, detail


class OrderRejected(SkipError):
    """The venue refused an order; nothing was opened, closed or changed."""

    def __init__(self, retcode: int, symbol: str, message: str) -> None:
        super().__init__(f"{symbol}: order rejected, retcode {retcode}: {message}")
        self.retcode, self.symbol, self.message = retcode, symbol, message


class RetryError(ScalperError):
    """The same call may succeed later."""


class TerminalCallFailed(RetryError):
    """A terminal call came back without a result."""

    def __init__(self, function: str, code: int, message: str) -> None:
        super().__init__(f"{function} failed: ({code}, {message!r})")
        self.function, self.code, self.message = function, code, message


class TerminalDisconnected(TerminalCallFailed):
    """The connection to the terminal is gone; reconnect before the next call."""


class AccountChanged(RetryError):
    """The terminal is logged in to another account than the one that was verified; nothing of it may be read or changed."""

    def __init__(self, change: str) -> None:
        super().__init__(f"the terminal is logged in to another account: {change}; log in to the first one again")
        self.change = change


class PriceMoved(RetryError):
    """The price changed while the order was on its way; nothing was done."""

    def __init__(self, retcode: int, symbol: str, message: str) -> None:
        super().__init__(f"{symbol}: price moved, retcode {retcode}: {message}")
        self.retcode, self.symbol, self.message = retcode, symbol, message


class FitCancelled(RetryError):
    """A fit was told to stop before it was done; nothing changed."""


class StorageBusy(RetryError):
    """Another program holds a lock on a database of the home."""


class FileUnavailable(RetryError):
    """A file cannot be written or locked now; what it held before still stands."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


class OutcomeUnknown(ScalperError):
    """An order may or may not have reached the venue: look, never send again."""

    def __init__(self, key: str, detail: str) -> None:
        super().__init__(f"order {key}: outcome unknown ({detail})")
        self.key, self.detail = key, detail


class SlotError(ScalperError):
    """A model slot cannot serve; the other slots go on."""


class ArtifactError(SlotError):
    """Files of a model version are missing, altered, foreign or do not fit together."""


class SchemaMismatch(SlotError):
    """Feature columns differ from those a model was trained on."""

    def __init__(self, owner: str, missing: tuple[str, ...], unexpected: tuple[str, ...]) -> None:
        super().__init__(f"{owner}: missing columns {list(missing)}, unexpected columns {list(unexpected)}")
        self.missing, self.unexpected = missing, unexpected


class PredictionFailed(SlotError):
    """A model gave no usable forecast for this bar."""
