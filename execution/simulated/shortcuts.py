"""`Buy`, `Sell` and `Close`, which the official module adds to its functions.

This file is also loaded on its own by the stand-in package, so it imports the standard library alone.

Source: behaviour of the official package, version 5.0.6231.
"""

from __future__ import annotations

from typing import Any

_TRIES = 10
_DEVIATION = 10
_DEAL, _BUY, _SELL = 1, 0, 1
_REQUOTE, _NO_QUOTES, _DONE = 10004, 10021, 10009
_TRY_AGAIN = frozenset({_REQUOTE, _NO_QUOTES})


class Shortcuts:
    """Market orders in one line, for any object with the module's functions.

    No filling policy is sent, so all-or-nothing is meant.
    """

    # The official names begin with a capital.
    def Buy(self, symbol: str, volume: float, price: float | None = None, *, comment: str | None = None, ticket: int | None = None) -> Any:
        """Buys at market, or closes the short position `ticket`; without a price at the current ask.

        Returns:
            The result of the order; None where there is no quote or the request is malformed.
        """
        return self._deal(_BUY, symbol, volume, price, comment, ticket)

    def Sell(self, symbol: str, volume: float, price: float | None = None, *, comment: str | None = None, ticket: int | None = None) -> Any:
        """Sells at market, or closes the long position `ticket`; without a price at the current bid.

        Returns:
            The result of the order; None where there is no quote or the request is malformed.
        """
        return self._deal(_SELL, symbol, volume, price, comment, ticket)

    def Close(self, symbol: str, *, comment: str | None = None, ticket: int | None = None) -> bool | str | None:
        """Closes the positions of a symbol, or the one of a ticket.

        Returns:
            True: all closed; "Partially": some; False: none; None: there is no quote or a request is malformed.
        """
        api: Any = self
        held = api.positions_get(symbol=symbol) if ticket is None else api.positions_get(ticket=ticket)
        done: list[bool] = []
        for each in held or ():
            outcome = self._deal(_SELL if each.type == _BUY else _BUY, symbol, each.volume, None, comment, each.ticket)
            if outcome is None:
                return None
            done.append(outcome.retcode == _DONE)
        return "Partially" if any(done) and not all(done) else any(done)

    def _deal(self, kind: int, symbol: str, volume: float, price: float | None, comment: str | None, ticket: int | None) -> Any:
        """Sends a market order, up to ten times while the price runs away."""
        extra = {key: value for key, value in (("comment", comment), ("position", ticket)) if value is not None}
        request = {"action": _DEAL, "symbol": symbol, "volume": volume, "type": kind, "deviation": _DEVIATION, **extra}
        api: Any = self
        result = None
        for _ in range(_TRIES):
            quoted = price if price is not None else self._quote(symbol, kind)
            result = None if quoted is None else api.order_send({**request, "price": quoted})
            if result is None or result.retcode not in _TRY_AGAIN:
                break
        return result

    def _quote(self, symbol: str, kind: int) -> float | None:
        api: Any = self
        tick = api.symbol_info_tick(symbol)
        if tick is None:
            return None
        quote: float = tick.ask if kind == _BUY else tick.bid
        return quote
