"""Trade requests: the strict parsing of the official module, one key after another.

The official module refuses a whole number where it wants a float and a NumPy integer where it
wants an int. A simulator that let them pass would hide the fault until the first live order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from execution.simulated.calls import LONGEST_TEXT, invalid
from execution.simulated.structs import Struct, TradeRequest

_UNSIGNED_64, _UNSIGNED_32 = 2**64, 2**32
_LIMITS = {
    "action": _UNSIGNED_32,
    "magic": _UNSIGNED_64,
    "order": _UNSIGNED_64,
    "deviation": _UNSIGNED_64,
    "type": _UNSIGNED_32,
    "type_filling": _UNSIGNED_32,
    "type_time": _UNSIGNED_32,
    "position": _UNSIGNED_64,
    "position_by": _UNSIGNED_64,
}
_FLOATS = frozenset({"volume", "price", "stoplimit", "sl", "tp"})
_TEXTS = frozenset({"symbol", "comment"})


def parse_request(args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Struct:
    """The request of an `order_check` or `order_send` call.

    Args:
        args: one dict, or nothing where the request came as keywords.
        keywords: the request's keys, where it did.

    Returns:
        A TradeRequest; a missing key is 0, 0.0 or "", so a missing `type` means BUY.

    Raises:
        CallFailed: naming the first field that does not fit.
    """
    if bool(args) == bool(keywords) or len(args) > 1 or (args and not isinstance(args[0], dict)):
        raise invalid()
    given: Mapping[str, Any] = args[0] if args else keywords
    return TradeRequest(_field(name, given) for name in TradeRequest.__match_args__)


def _field(name: str, given: Mapping[str, Any]) -> int | float | str:
    if name in _FLOATS:
        return _float(name, given.get(name, 0.0))
    if name in _TEXTS:
        return _text(name, given.get(name, ""))
    return _integer(name, given.get(name, 0))


def _integer(name: str, value: object) -> int:
    least, limit = (-(2**63), 2**63) if name == "expiration" else (0, _LIMITS[name])
    if not isinstance(value, int) or not least <= value < limit:
        raise invalid(f'Invalid "{name}" argument')
    return int(value)


def _float(name: str, value: object) -> float:
    if not isinstance(value, float):
        raise invalid(f'Invalid "{name}" argument')
    return float(value)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise invalid(f'Invalid "{name}" argument')
    return value
