"""The terminal in another process: the broker outlives the daemon, and a hang costs the worker alone."""

from __future__ import annotations

import json
from datetime import timedelta

from execution.broker import connect_broker
from execution.terminal import Request
from market_data.clock import utc_text
from tests.fakes_daemon import TREES_ONLY, DaemonProcess, broker_deals, broker_positions, table
from tests.fakes_processes import order_hang

BROKER = {**TREES_ONLY, "SIM_BROKER": "process"}


def journalled(home):
    return {row["ticket"] for row in table(home, "deals")}


def test_the_broker_outlives_the_daemon_and_the_next_one_finds_it(tmp_path):
    home = tmp_path / "home"
    first = DaemonProcess(home, "--speed", "1200", env=BROKER)
    first.wait_for(", ticket ")
    first.kill()
    card = json.loads((home / "broker.json").read_text(encoding="utf-8"))
    client = connect_broker((card["host"], card["port"]), bytes.fromhex(card["key"]))
    assert client.call(Request("initialize")).value is True
    assert {p.ticket for p in client.call(Request("positions_get")).value} == set(broker_positions(home))
    for _ in range(20):  # the market goes on without a daemon
        assert client.call(Request("advance")).value is True
    reached = client.clock.now()
    client.close()
    second = DaemonProcess(home, "--speed", "1200", env=BROKER)
    second.wait_for("found the simulated broker")
    second.wait_for("heartbeat")
    second.interrupt()
    assert second.finish() == 130
    assert not (home / "broker.json").exists()
    assert table(home, "decisions")[-1]["bar_time"] >= utc_text(reached - timedelta(minutes=1))
    assert journalled(home) == set(broker_deals(home))


WORKER = {
    **TREES_ONLY,
    "TERMINAL_ISOLATION": "process",
    "TERMINAL_CALL_SECONDS": "3",
    "TERMINAL_HISTORY_SECONDS": "3",
    "TERMINAL_ORDER_SECONDS": "3",
    "HEARTBEAT_SECONDS": "1",
}
HANGING = ("-m", "tests.fakes_processes", "run")


def test_a_call_that_hangs_costs_the_worker_and_nothing_else(tmp_path):
    home = tmp_path / "home"
    daemon = DaemonProcess(home, "--speed", "600", env=WORKER, program=HANGING)
    daemon.wait_for("train:scalper")
    for call, said in (("copy_rates_from_pos before", "no answer within 3 s"), ("order_send after", "is unknown")):
        order_hang(home, call)
        daemon.wait_for(said)
        daemon.wait_for("no entries: the terminal does not answer")
        daemon.wait_for("the terminal answers again")
        daemon.wait_for("heartbeat", 2)
    daemon.wait_for("closed by")
    order_hang(home, "positions_get before")
    daemon.wait_for("no entries: the terminal does not answer")
    order_hang(home, "all 9e9")  # the next worker hangs as well, and the one after it
    daemon.interrupt()
    assert daemon.finish(timeout=60) == 130
    (home / "hang").unlink()
    unknown = [row for row in table(home, "order_states") if row["state"] == "unknown"]
    assert unknown
    entries = [row["comment"] for row in broker_deals(home).values() if row["entry"] == 0]
    assert len(entries) == len(set(entries))  # no key was sent twice
    last = DaemonProcess(home, "--speed", "600", "--bars", "3", env=WORKER)
    assert last.finish() == 0
    assert journalled(home) == set(broker_deals(home))
