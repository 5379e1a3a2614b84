"""Which account a terminal is logged in to, and whether it is still the one that was meant."""

from __future__ import annotations

from execution.orders import Account

_LASTING = ("login", "server", "trade_mode", "margin_mode", "currency")
"""What cannot change while it is the same account: `trade_mode` is demo or real money, `margin_mode` netting or hedging."""


def account_change(known: Account, found: Account) -> str | None:
    """What differs between the account that was meant and the one that answers; None where nothing does.

    Args:
        known: as it was when it was verified.
        found: as the terminal shows it now.
    """
    changes = [f"{name} was {getattr(known, name)}, is {getattr(found, name)}" for name in _LASTING if _differs(known, found, name)]
    return "; ".join(changes) or None


def _differs(known: Account, found: Account, name: str) -> bool:
    return bool(getattr(known, name) != getattr(found, name))
