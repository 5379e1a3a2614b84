"""Drives aiomql by its public interface, which calls the module from several threads."""

import asyncio
import json
import sys
from datetime import datetime, timedelta
from pathlib import Path

from aiomql import Account, Config, History, Order, OrderType, Positions, Symbol, TimeFrame


async def main() -> None:
    Config(login=5001, password="any", server="Demo", root=Path(sys.argv[1]), record_trades=False)
    async with Account() as account:
        symbol = Symbol(name="EURUSD")
        ready = await symbol.initialize()
        candles = await symbol.copy_rates_from_pos(timeframe=TimeFrame.H1, count=500)
        recent = await symbol.copy_rates_range(
            timeframe=TimeFrame.M1, date_from=datetime.now() - timedelta(hours=2), date_to=datetime.now()
        )
        ticks = await symbol.copy_ticks_from(date_from=datetime.now() - timedelta(hours=1), count=300)
        tick = await symbol.info_tick()
        order = Order(symbol="EURUSD", volume=0.1, type=OrderType.BUY, price=tick.ask)
        checked = await order.check()
        opened = await order.send()
        held = await Positions.get_positions_by_symbol(symbol="EURUSD")
        closed, result = await Positions.close_position(position=held[0])
        history = History(date_from=datetime.now() - timedelta(days=1), date_to=datetime.now() + timedelta(days=1))
        await history.initialize()
        deals = history.filter_deals_by_position(position=opened.order)
        told = {
            "login": account.login,
            "ready": ready,
            "rates": len(candles),
            "recent": len(recent),
            "ticks": len(ticks),
            "checked": checked.retcode,
            "sent": opened.retcode,
            "held": len(held),
            "closed": result.retcode if closed else 0,
            "deals": [[int(deal.entry), deal.price, deal.profit] for deal in deals],
        }
    json.dump(told, sys.stdout)


asyncio.run(main())
