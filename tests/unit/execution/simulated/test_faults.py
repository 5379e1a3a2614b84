"""Faults on demand: what the broker has, and what the daemon is told."""

import pytest

from config.errors import SettingsError
from execution.broker import start_broker
from execution.simulated.faults import STEPS, Fault, FaultPlan, FaultyTerminal, Kind, Step
from execution.terminal import ModuleTerminal, Request
from tests.fakes_processes import small_terminal
from tests.fakes_simulated import flat, make_bars, make_terminal

B, A, R = Step.BEFORE, Step.AFTER, Step.ANSWER
ALL = (0, 2**33)


class World:
    """A terminal with faults, and its broker without."""

    def __init__(self, *faults, seed=0, **options):
        self.module = make_terminal(make_bars(flat(1.1, 60)), history=20, **options)
        self.hung = []
        self.terminal = FaultyTerminal(ModuleTerminal(self.module), FaultPlan(faults, seed), wait=self.hung.append)

    def call(self, function, *args, **kwargs):
        return self.terminal.call(Request(function, args, kwargs))

    def buy(self, volume=0.1, **more):
        fields = {"action": 1, "symbol": "EURUSD", "volume": volume, "type": 0, "sl": 1.09, "tp": 1.11, "comment": "key", **more}
        return self.call("order_send", fields)

    @property
    def positions(self):
        return self.module.positions_get()


@pytest.mark.parametrize("code", [1, -1, -2, -8, -10000, -10003, -10005])
@pytest.mark.parametrize(("step", "executed"), [(B, 0), (A, 1)])
def test_a_lost_answer_is_none_with_its_code(code, step, executed):
    world = World(Fault(Kind.ERROR, step, nth=1, value=code))
    reply = world.buy()
    assert (reply.value, reply.code, len(world.positions)) == (None, code, executed)
    assert world.buy().value.retcode == 10009


@pytest.mark.parametrize("code", [-10001, -10002])
def test_a_broken_pipe_stays_broken_until_initialize(code):
    world = World(Fault(Kind.ERROR, A, nth=1, value=code))
    assert world.buy().code == code
    assert [world.call(name).code for name in ("account_info", "positions_get")] == [-10004, -10004]
    assert world.call("symbol_select", "EURUSD", True).value is False
    assert world.call("initialize").value is True
    assert len(world.call("positions_get").value) == 1


@pytest.mark.parametrize(("kind", "error"), [(Kind.OS_ERROR, OSError), (Kind.EOF_ERROR, EOFError)])
@pytest.mark.parametrize(("step", "executed"), [(B, 0), (A, 1)])
def test_a_broken_wire_raises(kind, error, step, executed):
    world = World(Fault(kind, step, nth=1))
    with pytest.raises(error):
        world.buy()
    assert len(world.positions) == executed
    assert world.buy().code == -10004


@pytest.mark.parametrize(("step", "executed"), [(B, 0), (A, 1)])
def test_a_retcode_of_its_own(step, executed):
    world = World(Fault(Kind.RETCODE, step, nth=1, value=10012))
    assert (world.buy().value.retcode, len(world.positions)) == (10012, executed)


@pytest.mark.parametrize(("value", "told"), [(10012, (10012, 1)), (-10005, (None, -10005))])
def test_a_late_success_is_executed_some_calls_later(value, told):
    world = World(Fault(Kind.LATE, B, nth=1, value=value, lasts=3))
    reply = world.buy()
    assert (reply.value and reply.value.retcode, reply.code) == told
    seen = [len(world.call("positions_get").value) for _ in range(4)]
    assert seen == [0, 0, 1, 1]
    assert world.positions[0].comment == "key"


def test_part_of_the_volume_is_filled():
    world = World(Fault(Kind.PARTIAL, R, nth=1, value=0.4), Fault(Kind.PARTIAL, A, nth=2, value=0.4))
    told = world.buy().value
    assert (told.retcode, told.volume) == (10010, 0.04)
    assert world.buy().value is None
    assert [held.volume for held in world.positions] == [0.04, 0.04]


def test_the_least_volume_has_no_part():
    world = World(Fault(Kind.PARTIAL, R, nth=1, value=0.4))
    assert (world.buy(0.01).value.retcode, world.positions[0].volume) == (10009, 0.01)


@pytest.mark.parametrize("step", [B, A])
def test_a_hang_takes_its_time_and_answers(step):
    world = World(Fault(Kind.HANG, step, nth=1, value=30.0))
    assert (world.buy().value.retcode, world.hung) == (10009, [30.0])


@pytest.mark.parametrize(("kind", "what"), [(Kind.STOPS_DROPPED, ("key", 0.0, 0.0)), (Kind.COMMENT_LOST, ("", 1.09, 1.11))])
@pytest.mark.parametrize(("step", "told"), [(B, True), (A, False)])
def test_the_broker_takes_less_than_it_was_given(kind, what, step, told):
    world = World(Fault(kind, step, nth=1))
    assert (world.buy().value is not None) is told
    (held,) = world.positions
    assert (held.comment, held.sl, held.tp) == what


class TestLasting:
    def test_algo_trading_off(self):
        world = World(Fault(Kind.ALGO_OFF, B, nth=1, lasts=2))
        assert world.buy().value.retcode == 10027
        assert not world.call("terminal_info").value.trade_allowed
        assert world.buy().value.retcode == 10027
        assert world.buy().value.retcode == 10009
        assert len(world.positions) == 1

    def test_python_is_not_allowed(self):
        world = World(Fault(Kind.API_DISABLED, B, nth=1, lasts=1))
        assert (world.buy().code, world.call("terminal_info").value.tradeapi_disabled) == (-8, True)
        assert world.buy().value.retcode == 10009

    def test_another_account(self):
        world = World(Fault(Kind.ACCOUNT_SWAPPED, B, "account_info", nth=2, lasts=3))
        own = world.call("account_info").value.login
        world.buy()
        assert world.call("account_info").value.login != own
        assert world.call("positions_get").value == ()
        assert world.buy().value.retcode == 10027
        assert world.call("history_deals_get", *ALL).value == ()
        assert world.call("account_info").value.login == own
        assert len(world.call("positions_get").value) == 1

    def test_the_server_is_lost(self):
        world = World(Fault(Kind.SERVER_LOST, B, "positions_get", nth=1, lasts=8))
        world.call("positions_get")
        first = world.call("symbol_info_tick", "EURUSD").value
        world.module.advance()
        world.module.order_send({"action": 1, "symbol": "EURUSD", "volume": 0.1, "type": 0})
        assert not world.call("terminal_info").value.connected
        assert world.call("symbol_info_tick", "EURUSD").value == first
        assert world.buy().value.retcode == 10031
        assert world.call("positions_get").value == ()
        assert len(world.call("history_deals_get", *ALL).value) == 1  # the deposit
        assert world.call("history_orders_get", *ALL).value == ()
        world.call("terminal_info")
        world.call("terminal_info")
        assert world.call("terminal_info").value.connected
        assert world.call("symbol_info_tick", "EURUSD").value.time > first.time

    @pytest.mark.parametrize("seconds", [3600, -3600])
    def test_the_servers_clock_jumps(self, seconds):
        world = World(Fault(Kind.CLOCK_JUMP, B, nth=1, value=seconds, lasts=3))
        world.buy()
        jumped = world.call("symbol_info_tick", "EURUSD").value
        deal = world.call("history_deals_get", *ALL).value[-1]
        assert world.call("symbol_info_tick", "EURUSD").value.time == jumped.time
        sound = world.call("symbol_info_tick", "EURUSD").value
        assert (jumped.time - sound.time, jumped.time_msc - sound.time_msc) == (seconds, 1000 * seconds)
        assert deal.time_msc - world.call("history_deals_get", *ALL).value[-1].time_msc == 1000 * seconds

    def test_history_comes_late(self):
        world = World(Fault(Kind.HISTORY_LATE, R, nth=2, lasts=3))
        world.buy()
        order = world.buy().value.order
        assert len(world.call("positions_get").value) == 2
        assert len(world.call("history_deals_get", *ALL).value) == 2
        assert world.call("history_orders_get", ticket=order).value == ()
        assert len(world.call("history_deals_get", *ALL).value) == 3

    def test_positions_lag_behind_a_close_too(self):
        world = World(Fault(Kind.POSITIONS_LATE, R, nth=2, lasts=2))
        ticket = world.buy().value.order
        assert world.buy(position=ticket, type=1, sl=0.0, tp=0.0).value.retcode == 10009
        assert [held.ticket for held in world.call("positions_get", ticket=ticket).value] == [ticket]
        assert world.call("positions_get", symbol="GBPUSD").value == ()
        assert world.call("positions_get").value == ()


class TestPlans:
    def test_the_same_seed_strikes_the_same_calls(self):
        def struck(seed):
            world = World(Fault(Kind.ERROR, B, "account_info", probability=0.3, value=-1), seed=seed)
            return [world.call("account_info").value is None for _ in range(40)]

        assert struck(1) == struck(1)
        assert struck(1) != struck(2)
        assert 4 < sum(struck(1)) < 20

    def test_what_struck_is_told_in_order(self):
        faults = Fault(Kind.ERROR, B, "account_info", nth=1, value=-1), Fault(Kind.RETCODE, B, nth=2, value=10006)
        world = World(*faults)
        world.buy()
        world.call("account_info")
        world.buy()
        assert world.terminal.fired == list(faults)

    def test_mending_ends_everything_and_executes_what_was_late(self):
        world = World(
            Fault(Kind.LATE, B, nth=1, value=10012, lasts=99),
            Fault(Kind.ALGO_OFF, B, nth=2, lasts=99),
            Fault(Kind.ERROR, B, "account_info", probability=1.0, value=-10001),
        )
        world.buy()
        world.buy()
        world.call("account_info")
        world.terminal.mend()
        assert world.call("account_info").value is not None
        assert len(world.call("positions_get").value) == 1
        assert world.buy().value.retcode == 10009

    def test_time_passes_in_spite_of_all(self):
        world = World(Fault(Kind.ERROR, B, nth=1, value=-10001))
        world.buy()
        assert world.call("advance").value is True

    @pytest.mark.parametrize("kind", list(Kind))
    def test_a_step_at_which_a_kind_cannot_strike_is_refused(self, kind):
        for step in set(Step) - STEPS[kind]:
            with pytest.raises(SettingsError, match=kind.value):
                Fault(kind, step)

    def test_faults_of_orders_strike_orders_only(self):
        with pytest.raises(SettingsError, match="positions_get"):
            Fault(Kind.PARTIAL, R, "positions_get")

    def test_no_plan_is_no_fault(self):
        world = World()
        assert world.buy().value.retcode == 10009
        assert world.terminal.fired == []


def test_in_front_of_a_broker_in_another_process():
    broker = start_broker(small_terminal)
    try:
        line = broker.connect()
        plan = FaultPlan(
            (Fault(Kind.ERROR, A, nth=1, value=-10002), Fault(Kind.CLOCK_JUMP, B, "positions_get", nth=1, value=3600.0, lasts=1))
        )
        terminal = FaultyTerminal(line, plan)
        request = {"action": 1, "symbol": "EURUSD", "volume": 0.1, "type": 0}
        assert terminal.call(Request("order_send", (request,))).code == -10002
        assert terminal.call(Request("initialize")).value is True
        (jumped,) = terminal.call(Request("positions_get")).value
        (sound,) = line.call(Request("positions_get")).value
        assert jumped.time - sound.time == 3600
        line.close()
    finally:
        broker.stop()
