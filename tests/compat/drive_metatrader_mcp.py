"""Drives the client of metatrader-mcp-server by its public interface."""

import json
import sys
from datetime import datetime, timedelta

from metatrader_client import MT5Client

# Without a path it looks for a terminal to start; any file will do where it is simulated.
client = MT5Client({"path": sys.executable, "login": 5001, "password": "any", "server": "Demo"})
client.connect()
rates = client.market.get_candles_latest("EURUSD", "H1", 500)
recent = client.market.get_candles_by_date("GBPUSD", "D1", (datetime.now() - timedelta(days=20)).strftime("%Y-%m-%d"))
price = client.market.get_symbol_price("EURUSD")
opened = client.order.place_market_order(type="BUY", symbol="EURUSD", volume=0.1)
ticket = opened["data"].order
held = client.order.get_positions_by_symbol("EURUSD")
closed = client.order.close_position(ticket)
tomorrow = datetime.now() + timedelta(days=1)
deals = client.history.get_deals_as_dataframe(to_date=tomorrow)
json.dump(
    {
        "rates": len(rates),
        "recent": len(recent),
        "ticks": 1 if price["bid"] < price["ask"] else 0,
        "sent": opened["data"].retcode,
        "held": len(held),
        "closed": closed["data"].retcode,
        "deals": [[int(deal.entry), deal.price, deal.profit] for deal in deals.itertuples() if deal.position_id == ticket],
        "balance": client.account.get_balance(),
    },
    sys.stdout,
)
client.disconnect()
