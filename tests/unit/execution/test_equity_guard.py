"""The equity guard: money paid in is no profit, a trip lasts, and what cannot be read keeps entries out."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import RetryError
from execution.equity_guard import EquityGuard
from tests.fakes_risk import NOW, AccountBook, Store

DAY = NOW - timedelta(hours=10)
MINUTE = timedelta(minutes=1)


class Case:
    """A guard over an account and a store; `restart` leaves what a crash leaves."""

    revision = None

    def __init__(self, limit=10.0, equity=10_000.0):
        self.book, self.store, self.limit, self.now = AccountBook(equity), Store(), limit, NOW
        self.guard = self.restart()

    def restart(self):
        self.guard = EquityGuard(self.limit, self.book, self.store, "live.mt5:Broker/1", lambda: self.revision)
        return self.guard

    def look(self, equity=None, after=MINUTE):
        self.now += after
        if equity is not None:
            self.book.equity = equity
        self.guard.observe(self.book.account(), self.now, DAY)
        return self.guard


@pytest.fixture
def case():
    return Case()


def test_the_first_look_is_the_first_peak(case):
    assert case.look().mark.peak == 10_000.0
    assert case.guard.drawdown_percent() == 0.0
    assert case.look(9_700.0).drawdown_percent() == pytest.approx(3.0)


def test_floating_loss_trips_it_once_and_says_so(case, said):
    case.look(10_500.0)
    for equity in (9_500.0, 9_449.0, 9_400.0):
        case.look(equity)
    assert "equity 9449.00 was 10.01 % below its peak 10500.00" in case.guard.tripped
    assert [line.split()[0] for line in said if "switch trips" in line] == ["ERROR"]


def test_a_trip_survives_a_restart_and_a_recovery(case, said):
    case.look(10_000.0)
    reason = case.look(8_900.0).tripped
    assert case.restart().tripped == reason
    assert any("has tripped" in line and line.startswith("ERROR") for line in said)
    assert case.look(12_000.0).tripped == reason


def test_a_peak_survives_a_restart(case):
    case.look(12_000.0)
    case.restart()
    assert case.look(11_000.0).drawdown_percent() == pytest.approx(100 / 12)


def test_another_account_or_mode_has_a_mark_of_its_own(case):
    case.look(12_000.0)
    assert EquityGuard(10.0, case.book, case.store, "paper.mt5:Broker/1").mark is None


def test_a_reset_makes_equity_the_new_peak(case):
    case.look(10_000.0)
    case.look(8_000.0)
    case.guard.reset(case.book.account(), case.now, DAY)
    assert (case.guard.tripped, case.guard.mark.peak) == ("", 8_000.0)
    assert case.restart().tripped == ""
    assert case.look(7_300.0).tripped == ""
    assert case.look(7_199.0).tripped


def test_a_deposit_is_no_peak_and_a_withdrawal_no_fall(case):
    case.look(9_500.0)
    case.look(10_000.0)
    case.look(9_500.0)
    case.book.pay(10_000.0, case.now)
    assert case.look().drawdown_percent() == pytest.approx(5.0)
    case.book.pay(-15_000.0, case.now)
    guard = case.look()
    assert guard.drawdown_percent() == pytest.approx(5.0)
    assert not guard.tripped


def test_a_deposit_does_not_hide_a_fall(case):
    case.look()
    case.book.trade(-1_100.0, case.now)
    case.book.pay(5_000.0, case.now)
    assert case.look().tripped


def test_a_withdrawal_while_the_daemon_was_down_is_no_fall(case):
    case.look()
    case.book.pay(-5_000.0, case.now + timedelta(hours=20))
    case.restart()
    assert not case.look(after=timedelta(days=3)).tripped
    assert case.guard.mark.peak == pytest.approx(5_000.0)


def test_a_transfer_is_counted_once_over_restarts_too(case):
    case.look()
    case.book.pay(10_000.0, case.now)
    for _ in range(3):
        case.look()
        case.restart()
    assert case.look().mark.peak == pytest.approx(20_000.0)


def test_a_deal_that_shows_up_late_is_counted(case):
    case.look()
    at = case.now
    case.look(after=timedelta(minutes=30))
    case.book.pay(-2_000.0, at)
    assert case.look().mark.peak == pytest.approx(8_000.0)


def test_credit_is_noticed_before_it_is_taken_for_a_peak(case):
    case.look()
    case.look(9_500.0)
    case.book.pay(1_000.0, case.now)
    case.book.balance = 10_000.0  # credit raises equity, not balance
    assert case.look().drawdown_percent() == pytest.approx(5.0)


def test_credit_taken_back_is_noticed_before_it_is_taken_for_a_fall(case):
    case.look()
    case.book.pay(-2_000.0, case.now)
    case.book.balance = 10_000.0
    assert not case.look().tripped


def test_a_deal_of_yesterday_that_shows_up_today_is_counted(case):
    case.look()
    case.book.pay(-2_000.0, case.now - MINUTE)
    case.now += MINUTE
    case.guard.observe(case.book.account(), case.now, day_start=case.now)
    assert case.guard.mark.peak == pytest.approx(8_000.0)


def test_trading_costs_are_no_transfers(case):
    case.look()
    case.book.trade(-300.0, case.now)
    assert case.look().drawdown_percent() == pytest.approx(3.0)
    assert case.guard.paid_in_since(DAY) == 0.0


def test_money_paid_in_today_is_known_from_the_days_start(case):
    case.book.pay(500.0, DAY + MINUTE)
    case.look()
    case.book.pay(-200.0, case.now)
    case.look()
    assert case.guard.paid_in_since(DAY) == 300.0
    assert case.guard.paid_in_since(DAY + MINUTE) == -200.0
    assert case.restart().paid_in_since(DAY) is None
    assert case.look().paid_in_since(DAY) == 300.0


def test_deals_are_not_asked_for_while_nothing_happens(case):
    case.look()
    before = case.book.searches
    for _ in range(50):
        case.look(9_990.0)
    assert case.book.searches == before
    case.look(after=timedelta(hours=1))
    assert case.book.searches == before + 1


def test_until_the_next_search_there_is_nothing_to_do_for_an_account_that_stays(case):
    account = case.book.account()
    assert case.guard.quiet_until(account, NOW) == NOW
    case.guard.observe(account, NOW, DAY)
    assert case.guard.quiet_until(account, NOW + MINUTE) == NOW + timedelta(hours=1)
    assert case.guard.quiet_until(case.book.account(), NOW + MINUTE) == NOW + MINUTE  # another record may tell something new
    assert case.guard.quiet_until(account, NOW + timedelta(hours=2)) == NOW + timedelta(hours=2)


@pytest.mark.parametrize("equity", [float("nan"), 0.0, -5.0])
def test_an_equity_that_is_none_changes_nothing(case, equity):
    case.look()
    mark = case.guard.mark
    assert case.look(equity).mark == mark


def test_a_mark_that_cannot_be_read_keeps_entries_out_until_it_is_reset(case):
    case.look()
    case.store["risk.drawdown.live.mt5:Broker/1"] = {"peak": "much"}
    guard = case.restart()
    assert "cannot be read" in guard.tripped
    case.look()
    assert "cannot be read" in case.guard.tripped
    assert "cannot be read" in case.restart().tripped
    case.guard.reset(case.book.account(), case.now, DAY)
    assert case.guard.tripped == ""
    assert case.restart().tripped == ""


def test_a_busy_store_hides_no_trip_and_is_written_later(case):
    case.look()
    case.store.busy = True
    with pytest.raises(RetryError):
        case.look(8_000.0)
    assert case.guard.tripped
    case.store.busy = False
    case.look(8_000.0)
    assert case.restart().tripped


def test_a_terminal_that_does_not_answer_changes_nothing(case):
    case.look()
    account = case.book.account()
    case.book.failing = True
    with pytest.raises(RetryError):
        case.guard.observe(type(account)(**{**_fields(account), "equity": 5_000.0, "balance": 5_000.0}), case.now, DAY)
    assert (case.guard.mark.peak, case.guard.tripped) == (10_000.0, "")


def test_books_that_have_not_changed_are_not_looked_through_again(case):
    case.revision = 1
    case.look()
    searched = case.book.searches
    for equity in (10_100.0, 10_200.0, 10_300.0):  # each a new peak, which may be money paid in
        assert case.look(equity).mark.peak == equity
    assert case.book.searches == searched


def test_money_paid_in_is_found_where_the_books_say_that_they_have_changed(case):
    case.revision = 1
    case.look()
    case.look(10_500.0)
    case.book.pay(1_000.0, case.now)
    case.revision = 2
    assert case.look().mark.peak == pytest.approx(11_500.0)
    assert case.guard.paid_in_since(DAY) == 1_000.0


def test_a_search_that_failed_is_made_again_though_the_books_stand_still(case):
    case.revision = 1
    case.book.pay(1_000.0, case.now)
    account, case.book.failing = case.book.account(), True
    with pytest.raises(RetryError):
        case.guard.observe(account, case.now, DAY)
    case.book.failing = False
    case.look()
    assert case.guard.paid_in_since(DAY) == 1_000.0


def _fields(account):
    return {name: getattr(account, name) for name in account.__dataclass_fields__}


STEPS = st.lists(st.tuples(st.sampled_from(["trade", "pay", "restart"]), st.floats(-0.08, 0.08)), max_size=25)


@given(STEPS)
def test_the_drawdown_is_that_of_the_trades_alone(steps):
    """Against a reference that multiplies the returns of trades and knows nothing of transfers."""
    case, unit, best, tripped = Case(), 1.0, 1.0, False
    case.look()
    for kind, share in steps:
        amount = case.book.equity * share
        if kind == "restart":
            case.restart()
            continue
        getattr(case.book, kind)(amount, case.now)
        if kind == "trade":
            unit *= 1 + share
            best = max(best, unit)
            tripped = tripped or (best - unit) / best * 100 >= 10.0 + 1e-9
        case.look()
        assert case.guard.drawdown_percent() == pytest.approx((best - unit) / best * 100, abs=1e-6)
    assert bool(case.guard.tripped) == tripped


@given(st.lists(st.tuples(st.sampled_from(["trade", "pay", "float", "restart", "hour"]), st.floats(-0.08, 0.08)), max_size=25))
def test_a_revision_changes_nothing_but_how_often_deals_are_asked_for(steps):
    told, plain = Case(), Case()
    told.revision = 1
    for kind, share in steps:
        for case in (told, plain):
            amount = case.book.equity * share
            if kind == "restart":
                case.restart()
            elif kind == "float":
                case.book.equity += amount
            elif kind != "hour":
                getattr(case.book, kind)(amount, case.now)
                case.revision = None if case is plain else case.revision + 1
            case.look(after=timedelta(hours=3) if kind == "hour" else MINUTE)
        assert told.guard.mark == plain.guard.mark
        assert told.guard.paid_in_since(DAY) == plain.guard.paid_in_since(DAY)
        assert told.store == plain.store
