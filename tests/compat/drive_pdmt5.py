"""Drives pdmt5 by its public interface: rates and ticks as tables, an order checked, sent and closed, its deals."""

import json
import sys
from datetime import UTC, datetime, timedelta

from pdmt5 import Mt5Config, Mt5DataClient

client = Mt5DataClient(config=Mt5Config(login=5001, password="any", server="Demo"))
client.initialize_and_login_mt5()
now = datetime.now(UTC)
rates = client.copy_rates_from_pos_as_df(symbol="EURUSD", timeframe=client.mt5.TIMEFRAME_H1, start_pos=0, count=1_000)
recent = client.copy_rates_range_as_df("GBPUSD", client.mt5.TIMEFRAME_M1, now - timedelta(hours=2), now)
ticks = client.copy_ticks_from_as_df("EURUSD", now - timedelta(hours=1), 500, client.mt5.COPY_TICKS_ALL)
quote = client.symbol_info_tick_as_dict("EURUSD")
request = {
    "action": client.mt5.TRADE_ACTION_DEAL,
    "symbol": "EURUSD",
    "volume": 0.1,
    "type": client.mt5.ORDER_TYPE_BUY,
    "price": quote["ask"],
    "deviation": 10,
    "type_filling": client.mt5.ORDER_FILLING_IOC,
}
checked = client.order_check_as_dict(request)
opened = client.order_send_as_dict(request)
held = client.positions_get_as_df(symbol="EURUSD")
closing = {**request, "type": client.mt5.ORDER_TYPE_SELL, "position": opened["order"], "price": quote["bid"]}
closed = client.order_send_as_dict(closing)
deals = client.history_deals_get_as_df(position=opened["order"])
json.dump(
    {
        "rates": len(rates),
        "recent": len(recent),
        "ticks": len(ticks),
        "checked": checked["retcode"],
        "sent": opened["retcode"],
        "held": len(held),
        "closed": closed["retcode"],
        "deals": [[int(deal.entry), float(deal.price), float(deal.profit)] for deal in deals.itertuples()],
        "symbols": len(client.symbols_get_as_df()),
    },
    sys.stdout,
)
client.shutdown()
