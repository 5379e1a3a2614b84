"""`control.retrain`: the slots that a running daemon, or the next one, is asked to train."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from utils.shared_state import SharedState

REQUEST = "control.retrain"


def queue(state: SharedState, slots: Sequence[str]) -> None:
    """Asks for slots beside those that others have asked for; each stands there once for every command that wants it."""
    _change(state, lambda pending: Counter(pending) + Counter(slots))


def withdraw(state: SharedState, slots: Sequence[str]) -> bool:
    """Takes back what one `queue` asked for, and nothing of what others did; False where the daemon has taken it."""
    before = _change(state, lambda pending: Counter(pending) - Counter(slots))
    return any(slot in before for slot in slots)


def _change(state: SharedState, change: Callable[[list[str]], Counter[str]]) -> list[str]:
    """Replaces the request unless somebody else wrote it meanwhile, and else begins anew; what it was before."""
    while True:
        version, stored = state.version(REQUEST), state.get(REQUEST)
        pending = stored if isinstance(stored, list) else []
        after = sorted(change(pending).elements())
        if after == sorted(pending) or state.compare_and_set(REQUEST, version, after or None):
            return pending
