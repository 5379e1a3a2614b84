"""Profit and margin in account currency, by each symbol's own rule.

Source: https://www.mql5.com/en/docs/constants/environment_state/marketinfoconstants (calculation modes).
"""

from __future__ import annotations

from collections.abc import Mapping

from config.errors import DataError
from execution.orders import Side
from execution.simulated import constants as mt5
from execution.simulated.market import Market
from market_data.instruments import SymbolSpec

_BY_TICK_VALUE = frozenset({mt5.SYMBOL_CALC_MODE_FUTURES, mt5.SYMBOL_CALC_MODE_CFDINDEX})
_WITHOUT_PRICE = frozenset({mt5.SYMBOL_CALC_MODE_FOREX, mt5.SYMBOL_CALC_MODE_FOREX_NO_LEVERAGE})
_BANK_YEAR = 360
_BY_POINTS = (mt5.SYMBOL_SWAP_MODE_POINTS, mt5.SYMBOL_SWAP_MODE_REOPEN_CURRENT, mt5.SYMBOL_SWAP_MODE_REOPEN_BID)
_WITH_LEVERAGE = frozenset({mt5.SYMBOL_CALC_MODE_FOREX, mt5.SYMBOL_CALC_MODE_CFDLEVERAGE})


class Money:
    """Converts by the market's quotes; where none fits, by the tick value in the specification.

    Raises:
        DataError: if a symbol's profit could never be converted.
    """

    def __init__(self, market: Market, specs: Mapping[str, SymbolSpec], currency: str, leverage: int) -> None:
        self._market, self._specs = market, specs
        self.currency, self._leverage = currency, leverage
        for spec in specs.values():
            if not spec.tick_value_loss > 0:
                raise DataError(
                    f"{spec.name}: tick_value_loss is {spec.tick_value_loss}; {spec.currency_profit} cannot be valued in {currency}"
                )

    def profit(self, symbol: str, side: Side, volume: float, price_open: float, price_close: float) -> float:
        """Account currency that a position makes between two prices, without commission; not rounded."""
        spec = self._specs[symbol]
        moved = (price_close - price_open) * side * volume
        if spec.calc_mode in _BY_TICK_VALUE:
            return moved / spec.tick_size * spec.tick_value_loss
        amount = moved * spec.contract_size
        return amount * self.profit_rate(spec, price_close, receiving=amount > 0)

    def profit_rate(self, spec: SymbolSpec, price: float, *, receiving: bool) -> float:
        """Account currency for one unit of a symbol's profit currency, when the symbol is at `price`."""
        if spec.currency_profit == self.currency:
            return 1.0
        if spec.currency_base == self.currency and price > 0:
            return 1.0 / price
        quoted = self._market.rate(spec.currency_profit, self.currency, receiving=receiving)
        return quoted if quoted is not None else spec.tick_value_loss / (spec.tick_size * spec.contract_size)

    def tick_value(self, spec: SymbolSpec, price: float, *, receiving: bool) -> float:
        """Account currency of one tick of one lot."""
        if spec.calc_mode in _BY_TICK_VALUE:
            return spec.tick_value_loss
        return spec.tick_size * spec.contract_size * self.profit_rate(spec, price, receiving=receiving)

    def margin_per_lot(self, symbol: str, price: float) -> float:
        """Account currency that one lot binds when opened at `price`."""
        spec, fixed = self._specs[symbol], self._market.feeds[symbol].terms.margin_initial
        if fixed:
            return fixed * self._worth(spec, spec.currency_margin, price, receiving=False)
        share = 1.0 / self._leverage if spec.calc_mode in _WITH_LEVERAGE else 1.0
        if spec.calc_mode in _BY_TICK_VALUE:
            return price / spec.tick_size * spec.tick_value_loss * share
        if spec.calc_mode in _WITHOUT_PRICE:
            return spec.contract_size * share * self._margin_rate(spec, price)
        return spec.contract_size * price * share * self.profit_rate(spec, price, receiving=False)

    def swap_per_lot(self, symbol: str, side: Side, price: float, price_open: float) -> float:
        """Account currency that a night adds to one lot, by the symbol's swap mode.

        Args:
            symbol: of the position.
            side: of the position.
            price: the quote at which it could be closed.
            price_open: its own.
        """
        spec, terms = self._specs[symbol], self._market.feeds[symbol].terms
        swap = terms.swap(side) * swap_unit(spec, terms.swap_mode, price, price_open)
        currencies = {
            mt5.SYMBOL_SWAP_MODE_CURRENCY_SYMBOL: spec.currency_base,
            mt5.SYMBOL_SWAP_MODE_CURRENCY_MARGIN: spec.currency_margin,
            mt5.SYMBOL_SWAP_MODE_CURRENCY_DEPOSIT: self.currency,
        }
        currency = currencies.get(terms.swap_mode, spec.currency_profit)
        return swap * self._worth(spec, currency, price, receiving=swap > 0)

    def _worth(self, spec: SymbolSpec, currency: str, price: float, *, receiving: bool) -> float:
        """Account currency for one unit of any of a symbol's currencies."""
        if currency == self.currency:
            return 1.0
        if currency == spec.currency_profit:
            return self.profit_rate(spec, price, receiving=receiving)
        quoted = self._market.rate(currency, self.currency, receiving=receiving)
        return quoted if quoted is not None else price * self.profit_rate(spec, price, receiving=receiving)

    def _margin_rate(self, spec: SymbolSpec, price: float) -> float:
        """Account currency for one unit of the margin currency."""
        if spec.currency_margin == self.currency:
            return 1.0
        quoted = None
        if spec.currency_profit != self.currency:
            quoted = self._market.rate(spec.currency_margin, self.currency, receiving=False)
        return quoted if quoted is not None else price * self.profit_rate(spec, price, receiving=False)


def swap_unit(spec: SymbolSpec, mode: int, price: float, price_open: float) -> float:
    """What one unit of a swap is in money of its currency, per lot and night; of a position that is opened anew, what that comes to."""
    return {
        mt5.SYMBOL_SWAP_MODE_DISABLED: 0.0,
        **dict.fromkeys(_BY_POINTS, spec.point * spec.contract_size),
        mt5.SYMBOL_SWAP_MODE_INTEREST_CURRENT: price * spec.contract_size / 100.0 / _BANK_YEAR,
        mt5.SYMBOL_SWAP_MODE_INTEREST_OPEN: price_open * spec.contract_size / 100.0 / _BANK_YEAR,
    }.get(mode, 1.0)
