"""Drives mqpy by its public interface; it asks for RETURN filling, so it trades a symbol of instant execution."""

import json
import sys
from datetime import datetime, timedelta

import MetaTrader5
from mqpy.book import Book
from mqpy.rates import Rates
from mqpy.tick import Tick
from mqpy.trade import Trade

trade = Trade("driver", "1.0", "US500", 77, 0.1, 25, 300, 25, 300, start_time="0:00", finishing_time="23:59", ending_time="23:59")
rates = Rates("US500", MetaTrader5.TIMEFRAME_H1, 0, 500)
first = Tick("US500")
changes = 0
stop = datetime.now() + timedelta(seconds=60)
while changes < 3 and datetime.now() < stop:  # what a strategy of it does: poll until the price moves
    tick = Tick("US500")
    changes += tick.time_msc != first.time_msc
    first = tick
book = Book("US500").get()
trade.open_buy_position("driver")
(position,) = MetaTrader5.positions_get(symbol="US500")
trade.close_position("driver")
deals = MetaTrader5.history_deals_get(position=position.ticket)
json.dump(
    {
        "rates": len(rates.close),
        "ticks": changes,
        "depth": len(book or ()),
        "held": 1,
        "left": len(MetaTrader5.positions_get(symbol="US500")),
        "deals": [[deal.entry, deal.price, deal.profit] for deal in deals],
    },
    sys.stdout,
)
MetaTrader5.shutdown()
