"""The official module, where it is installed: the only place that imports it."""

from __future__ import annotations

from typing import Any

from config.errors import TerminalUnavailable
from execution.terminal import Execution


def official_module() -> Any:
    """The `MetaTrader5` module of MetaQuotes, checked against the constants that we use.

    Raises:
        TerminalUnavailable: where it is not installed, or its constants differ from ours.
    """
    try:
        import MetaTrader5
    except ImportError as error:
        raise TerminalUnavailable(
            "the MetaTrader5 package is not installed; it exists for Windows only: pip install MetaTrader5, or use TERMINAL=simulated"
        ) from error
    ours = {name: value for name, value in vars(Execution).items() if name.isupper()}
    changed = [name for name, value in ours.items() if getattr(MetaTrader5, name, value) != value]
    if changed:
        raise TerminalUnavailable(f"MetaTrader5 has other values for {', '.join(changed)}; install a version that this release supports")
    return MetaTrader5
