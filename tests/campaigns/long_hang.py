"""A terminal that hangs for minutes, in real time: what the daemon does meanwhile.

`python -m tests.campaigns.long_hang HOME [MINUTES]` starts the daemon on the simulated module in a
worker, lets every call hang with the interpreter's lock held from the moment a training job has its
data, in every worker that is started, and prints what it saw as JSON.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from market_data.clock import SystemClock
from tests.fakes_daemon import TREES_ONLY, DaemonProcess, broker_deals, table
from tests.fakes_processes import order_hang

PAUSE = threading.Event()
HEARTBEAT = 10
ENV: Mapping[str, str] = {
    **TREES_ONLY,
    "TREE_COUNT": "400",
    "TERMINAL_ISOLATION": "process",
    "TERMINAL_CALL_SECONDS": "5",
    "TERMINAL_HISTORY_SECONDS": "5",
    "TERMINAL_ORDER_SECONDS": "5",
    "MT5_TIMEOUT_MS": "30000",
    "HEARTBEAT_SECONDS": str(HEARTBEAT),
}
PROGRAM = ("-m", "tests.fakes_processes", "run", "--terminal", "simulated")


def measure(home: Path, minutes: float) -> dict[str, Any]:
    """Hangs once for `minutes`, lets the daemon recover, hangs again and interrupts; figures of all that."""
    daemon = DaemonProcess(home, "--speed", "60", env=ENV, program=PROGRAM)
    daemon.wait_for("training scalper")
    PAUSE.wait(0.5)  # the job fetches its bars at once; what follows is the fit
    began = len(daemon.lines)
    order_hang(home, f"all {epoch() + 60 * minutes}")
    threading.Timer(60 * minutes, (home / "hang").unlink).start()
    daemon.wait_for("the terminal answers again")
    during = daemon.lines[began:]
    daemon.wait_for("entries are allowed again")
    daemon.wait_for("heartbeat")
    order_hang(home, f"all {epoch() + 3600}")
    daemon.wait_for("no entries: the terminal does not answer")
    PAUSE.wait(2.0)
    asked = time.monotonic()
    daemon.interrupt()
    code = daemon.finish(timeout=120)
    delay = time.monotonic() - asked
    (home / "hang").unlink()
    after = DaemonProcess(home, "--speed", "600", "--bars", "3", env={**ENV, "HEARTBEAT_SECONDS": "60"})
    after_code = after.finish()
    return {
        "minutes": minutes,
        "heartbeats while it hung": sum("heartbeat:" in line for line in during),
        "heartbeats due": int(60 * minutes / HEARTBEAT),
        "longest seconds between heartbeats": round(_longest_pause(during), 1),
        "jobs that ended while it hung": [line.split(" - ")[-1][:80] for line in during if " - train:" in line],
        "tries to connect": sum("the terminal is gone" in line for line in during),
        "seconds from Ctrl-C to the end": round(delay, 2),
        "exit codes": [code, after_code],
        "deals in journal and broker's book equal": {row["ticket"] for row in table(home, "deals")} == set(broker_deals(home)),
    }


def epoch() -> float:
    """This machine's clock, which the hanging workers read too."""
    return SystemClock().now().timestamp()


def _longest_pause(lines: list[str]) -> float:
    """Seconds between heartbeats, by the log's own stamps."""
    beats = [line.split(" - ")[0] for line in lines if "heartbeat:" in line]
    moments = [time.mktime(time.strptime(beat[:19], "%Y-%m-%d %H:%M:%S")) + int(beat[20:23]) / 1000 for beat in beats]
    return max((later - earlier for earlier, later in pairwise(moments)), default=float("inf"))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 10.0), indent=2) + "\n")
