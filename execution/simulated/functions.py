"""What can be called, and where: the module's functions, and the variables that lead a program to its terminal.

This file is also loaded on its own by the stand-in package, by any Python from 3.10 on.
"""

from __future__ import annotations

ADDRESS, KEY, SHADOW = "SIMULATED_MT5_ADDRESS", "SIMULATED_MT5_KEY", "SIMULATED_MT5_SHADOW"
"""Environment variables by which a program finds its terminal."""

FUNCTIONS = (
    "initialize",
    "login",
    "shutdown",
    "version",
    "last_error",
    "account_info",
    "terminal_info",
    "symbols_total",
    "symbols_get",
    "symbol_info",
    "symbol_info_tick",
    "symbol_select",
    "market_book_add",
    "market_book_get",
    "market_book_release",
    "copy_rates_from",
    "copy_rates_from_pos",
    "copy_rates_range",
    "copy_ticks_from",
    "copy_ticks_range",
    "orders_total",
    "orders_get",
    "order_calc_margin",
    "order_calc_profit",
    "order_check",
    "order_send",
    "positions_total",
    "positions_get",
    "history_orders_total",
    "history_orders_get",
    "history_deals_total",
    "history_deals_get",
)
"""The functions of the module."""
